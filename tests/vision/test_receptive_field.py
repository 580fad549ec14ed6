"""lib.vision.receptive_field against autograd, numpy's convolution, transformers' ResNet, and by its own definition."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel

from lib.vision.receptive_field import Field, Layer, box, growth, joined, probe, receptive_field, seen

SEEDS = range(20)


def stack(seed, layers=None, kernels=5):
    """Random layers."""
    rng = np.random.default_rng(seed)
    count = layers or int(rng.integers(1, 6))
    return [
        Layer(int(rng.integers(1, kernels + 1)), int(rng.integers(1, 4)), int(rng.integers(0, 4)), int(rng.integers(1, 4)))
        for _ in range(count)
    ]


def network(layers):
    """The layers as torch's convolutions with weights of either sign."""
    return nn.Sequential(*[nn.Conv2d(1, 1, x.kernel, x.stride, x.padding, x.dilation) for x in layers])


@pytest.mark.parametrize("seed", SEEDS)
def test_size_and_place_are_those_of_the_definition(seed):
    layers = stack(seed)
    field = receptive_field(layers)
    for unit in (0, 1, 7):
        positions = seen(layers, unit)
        assert field.pixels(unit) == (positions[0], positions[-1])
        assert (positions[0] + positions[-1]) / 2 == field.centre + unit * field.jump
    assert field.size == positions[-1] - positions[0] + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_definition_is_what_torch_computes(seed):
    layers = stack(seed, layers=3, kernels=4)
    size = 3 * receptive_field(layers).size + 3 * receptive_field(layers).jump
    unit = network(layers)(torch.zeros(1, 1, size, size)).shape[-1] // 2
    mask = probe(network(layers), (1, size, size))
    rows = mask.any(1)
    assert rows.nonzero()[:, 0].tolist() == seen(layers, unit)
    assert torch.equal(mask, rows[:, None] & mask.any(0))  # the axes do not mix


def test_at_the_edge_padding_cuts_paths():
    layers = [Layer(3), Layer(1, 1, 1)]
    assert receptive_field(layers).pixels(0) == (-1, 1)
    assert not probe(network(layers), (1, 9, 9), at=(0, 0)).any()  # it reads nothing but padding
    assert box(probe(network(layers), (1, 9, 9), at=(1, 1))) == (0, 2, 0, 2)


def test_growth_by_hand():
    fields = growth([Layer(3, 1, 1), Layer(2, 2), Layer(3, 1, 1), Layer(3, 1, 0, 2)])
    assert fields == [Field(1, 1, 0.0), Field(3, 1, 0.0), Field(4, 2, 0.5), Field(8, 2, 0.5), Field(16, 2, 4.5)]
    assert receptive_field([]) == Field(1, 1, 0.0) and seen([], 5) == [5]
    assert fields[-1].pixels() == (-3, 12) and fields[-1].pixels(2) == (1, 16)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_small_kernels_reach_as_far_as_their_convolution(count):
    kernel = np.ones(4)
    total = np.ones(1)
    for _ in range(count):
        total = np.convolve(total, kernel)
    assert receptive_field([Layer(4)] * count).size == len(total)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (5, 3), (2, 2), (4, 2)])
def test_same_keeps_the_centre(kernel, dilation):
    layer = Layer.same(kernel, 2, dilation)
    assert receptive_field([layer, layer]).centre == 0 and layer.stride == 2


def test_branches_contain_each_other_or_lie_beside():
    wide, narrow, shifted = Field(7, 2, 0.0), Field(3, 2, 0.0), Field(4, 2, 3.5)
    assert joined(wide, narrow) == joined(wide) == wide
    assert joined(wide, shifted) == Field(9, 2, 1.0)
    with pytest.raises(ValueError, match=r"branches must have one jump to stay aligned, got \[1, 2\]"):
        joined(wide, Field(3, 1, 0.0))
    with pytest.raises(ValueError, match="branches must be at least one field"):
        joined()


@pytest.mark.parametrize("seed", SEEDS)
def test_branches_are_found_by_the_probe(seed):
    rng = np.random.default_rng(seed)
    sides = [[Layer(int(k), 1, int(k) // 2) for k in rng.integers(1, 6, size=rng.integers(1, 4))] for _ in range(2)]

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.sides = nn.ModuleList(map(network, sides))

        def forward(self, x):
            left, right = (side(x) for side in self.sides)
            rows = min(left.shape[-1], right.shape[-1])
            return left[..., :rows, :rows] + right[..., :rows, :rows]

    first, last = joined(*map(receptive_field, sides)).pixels(20)
    assert box(probe(Sum(), (1, 40, 40), at=(20, 20))) == (first, last, first, last)


@pytest.mark.parametrize(("first_stride", "size"), [(True, 99), (False, 91)])
def test_transformers_resnet_is_probed(first_stride, size):
    config = ResNetConfig(
        embedding_size=4, hidden_sizes=[8, 8], depths=[3, 4], layer_type="bottleneck", downsample_in_bottleneck=first_stride
    )
    model = ResNetModel(config).eval()

    class Units(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x).last_hidden_state

    before = [parameter.clone() for parameter in model.parameters()]
    mask = probe(Units(), (3, 192, 192))
    row, last_row, column, last_column = box(mask)
    unit = 192 // 8 // 2
    layers = [Layer(7, 2, 3), Layer(3, 2, 1), *[Layer(3, 1, 1)] * 3]
    layers += ([Layer(1, 2), *[Layer(3, 1, 1)] * 4]) if first_stride else [Layer(3, 2, 1), *[Layer(3, 1, 1)] * 3]
    assert (row, last_row) == (column, last_column) == receptive_field(layers).pixels(unit)
    assert last_row - row + 1 == size and mask.sum() == size**2
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), "the network has changed"


def test_the_probe_sees_through_maxima_signs_and_biases():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 1, 1)).eval()
    for parameter in model.parameters():
        nn.init.constant_(parameter, -1.0)
    assert box(probe(model, (2, 12, 12), at=(1, 2))) == (2, 5, 4, 7)
    assert box(probe(nn.MaxPool2d(3, 1), (1, 9, 9), at=(0, 0))) == (0, 2, 0, 2)
    assert box(probe(nn.MaxPool2d(3, 1, dilation=(1, 1)), (1, 9, 9), at=(0, 0))) == (0, 2, 0, 2)
    for dilation in (2, (2, 1), (1, 2)):
        with pytest.raises(ValueError, match="network may not hold a maximum with dilation"):
            probe(nn.Sequential(nn.MaxPool2d(2, dilation=dilation)), (1, 9, 9))


def test_batch_normalisation_in_training_mode_sees_everything():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1))
    assert probe(model.train(), (1, 9, 9)).all()
    assert probe(model.eval(), (1, 9, 9)).sum() == 9


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ((0,), ValueError, "kernel must be at least 1, got 0"),
        ((3, 0), ValueError, "stride must be at least 1, got 0"),
        ((3, 1, -1), ValueError, "padding must be at least 0, got -1"),
        ((3, 1, 0, 0), ValueError, "dilation must be at least 1, got 0"),
        ((2.5,), TypeError, "kernel must be a whole number, got 2.5"),
        (("3",), TypeError, "kernel must be a number, got '3'"),
        ((True,), TypeError, "kernel must be a number, got True"),
    ],
)
def test_a_layer_says_what_is_wrong(values, error, text):
    with pytest.raises(error, match=text):
        Layer(*values)


class _Whole(nn.Module):
    def forward(self, images):
        return images.long()


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"kernel must be odd \(or dilation even\) to be centred on a position, got 4 and 3"):
        Layer.same(4, dilation=3)
    with pytest.raises(TypeError, match="layers must hold Layer alone, got tuple"):
        receptive_field([(3, 1)])
    with pytest.raises(ValueError, match="mask must hold a True"):
        box(torch.zeros(3, 3, dtype=torch.bool))
    model = nn.Conv2d(1, 1, 3)
    with pytest.raises(ValueError, match=r"shape must be channels, height and width, got \(5, 5\)"):
        probe(model, (5, 5))
    with pytest.raises(ValueError, match="height must be at least 1, got 0"):
        probe(model, (1, 0, 5))
    with pytest.raises(ValueError, match=r"network must take an image of shape \(1, 2, 5\), got an error"):
        probe(model, (1, 2, 5))
    with pytest.raises(ValueError, match="network must return a tensor .* that has a gradient"):
        probe(_Whole(), (1, 5, 5))
    with pytest.raises(ValueError, match=r"at must lie within the \(3, 3\) units, got \(3, 0\)"):
        probe(model, (1, 5, 5), at=(3, 0))
    with pytest.raises(ValueError, match="network must return a tensor"):
        probe(nn.Sequential(model, nn.Flatten()), (1, 5, 5))
