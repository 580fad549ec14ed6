"""What the chapter on receptive fields says of torch, numpy, scipy and transformers, and its published networks."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch
import transformers
from scipy import ndimage, signal
from torch import nn
from torch.nn.functional import conv1d, conv2d
from transformers import ResNetConfig, ResNetModel

from lib.vision.receptive_field import Layer, box, probe, receptive_field

CHAPTER = Path(__file__).parents[2] / "book/vision/receptive-field.ipynb"
PAGE = "book/vision/receptive-field.ipynb, section In production"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
NUMPY = f"numpy {np.__version__} (2.4.6 on the page): mend the row in {PAGE}"
SCIPY = f"scipy {scipy.__version__} (1.17.1 on the page): mend the row in {PAGE}"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
EVEN = [np.array([1.0, 10.0]), np.array([1.0, 10.0, 100.0, 1000.0])]


@pytest.fixture(scope="module")
def page():
    """The names of the chapter's cells that define the arithmetic and the published networks."""
    names = {"rng": np.random.default_rng(0)}
    cells = ["".join(cell["source"]) for cell in json.loads(CHAPTER.read_text())["cells"] if cell["cell_type"] == "code"]
    for line in ("def reads(layer, i):", "def reach(layer):", "def from_bottom(layers):", "def window(layers, i):", "def resnet(depth,"):
        (cell,) = [cell for cell in cells if line in cell and not cell.startswith("#@title")]
        exec(cell, names)
    return names


def impulse(length=12):
    x = np.zeros(length)
    x[5] = 1
    return x


def by_torch(x, kernel):
    """Convolution by torch, which does not turn the kernel round itself."""
    turned = torch.from_numpy(kernel[::-1].copy())
    return conv1d(torch.from_numpy(x)[None, None], turned[None, None], padding="same")[0, 0].numpy()


@pytest.mark.parametrize("kernel", EVEN, ids=len)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_torch_pads_one_more_behind(kernel):
    x = impulse()
    want = [sum(kernel[::-1][a] * x[q] for a in range(len(kernel)) if 0 <= (q := i + a - len(kernel) // 2 + 1) < 12) for i in range(12)]
    assert np.array_equal(by_torch(x, kernel), want), TORCH
    image, square = torch.from_numpy(x)[None, None, None], torch.from_numpy(kernel[::-1].copy())[None, None, None]
    assert np.array_equal(conv2d(image, square, padding="same")[0, 0, 0].numpy(), want), TORCH


def test_torch_refuses_same_with_a_stride():
    with pytest.raises(RuntimeError, match="padding='same' is not supported for strided convolutions"):
        conv1d(torch.zeros(1, 1, 9), torch.zeros(1, 1, 3), padding="same", stride=2)
        pytest.fail(TORCH)
    with pytest.raises(ValueError, match="padding='same' is not supported for strided convolutions"):
        nn.Conv1d(1, 1, 3, padding="same", stride=2)
        pytest.fail(TORCH)


@pytest.mark.parametrize("kernel", EVEN, ids=len)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_numpy_is_one_sample_apart(kernel):
    x = impulse()
    later = np.roll(by_torch(x, kernel), 1)
    assert np.array_equal(np.convolve(x, kernel, "same"), later), NUMPY
    assert np.array_equal(signal.convolve(x, kernel, "same", method="direct"), later), NUMPY
    odd = np.array([1.0, 10.0, 100.0])
    assert np.array_equal(np.convolve(x, odd, "same"), by_torch(x, odd)), NUMPY


@pytest.mark.parametrize("kernel", EVEN, ids=len)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_scipys_images_side_with_each(kernel):
    x = impulse()
    assert np.array_equal(ndimage.convolve1d(x, kernel, mode="constant"), by_torch(x, kernel)), SCIPY
    turned = kernel[::-1].copy()
    assert np.array_equal(ndimage.correlate1d(x, turned, mode="constant"), np.convolve(x, kernel, "same")), SCIPY


class Units(nn.Module):
    """A small transformers ResNet of a depth, from images to its last map."""

    def __init__(self, depths, **options):
        super().__init__()
        sizes = [4] * len(depths)
        config = ResNetConfig(embedding_size=4, hidden_sizes=sizes, depths=list(depths), layer_type="bottleneck", **options)
        self.model = ResNetModel(config).eval()

    def forward(self, x):
        return self.model(x).last_hidden_state


@pytest.mark.parametrize(("options", "size"), [({}, 427), ({"downsample_in_bottleneck": True}, 483)])
def test_transformers_resnet_50_has_the_later_field_by_default(page, options, size):
    assert tuple(ResNetConfig().depths) == page["BLOCKS"][50], TRANSFORMERS
    first, last, *columns = box(probe(Units(page["BLOCKS"][50], **options), (3, 1024, 1024)))
    assert (first, last) == tuple(columns)
    assert last - first + 1 == size, TRANSFORMERS
    typed = page["resnet"](50) if options else page["resnet_v15"](50)
    assert page["from_bottom"](typed)[-1] == (size, 32)


def test_the_typed_networks_have_the_published_fields(page):
    sizes = {name: receptive_field([Layer(*layer) for layer in layers]).size for name, layers in page["NETWORKS"].items()}
    assert sizes == {"AlexNet": 195, "VGG-16": 212, "ResNet-50": 483, "ResNet-101": 1027, "ResNet-152": 1507}


def test_a_maximum_sends_its_gradient_to_one_winner():
    x = torch.tensor([[[[1.0, 3.0, 2.0], [3.0, 0.0, 3.0], [0.0, 1.0, 3.0]]]], requires_grad=True)
    nn.functional.max_pool2d(x, 3).sum().backward()
    assert x.grad.nonzero().tolist() == [[0, 0, 0, 1]], TORCH  # of four equal ones the first
