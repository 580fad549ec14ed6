"""What the chapter on upsampling says of torch and of Pillow."""

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate, max_pool2d, max_unpool2d

PAGE = "book/vision/upsampling.ipynb, section In production"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
PILLOW = f"Pillow {PIL.__version__}: mend the row in {PAGE}"
LEFT, MIDDLE = [0, 0, 1, 2, 2, 3, 4], [0, 1, 1, 2, 3, 3, 4]


def line(n):
    return torch.arange(float(n))[None, None]


def random_map(*shape):
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_nearest_takes_the_left_edge():
    assert interpolate(line(5), 7).flatten().tolist() == LEFT, TORCH
    assert interpolate(line(5), 7, mode="nearest-exact").flatten().tolist() == MIDDLE, TORCH
    pixels = Image.fromarray(np.arange(5, dtype=np.uint8)[None])
    assert np.array(pixels.resize((7, 1), Image.NEAREST))[0].tolist() == MIDDLE, PILLOW


def test_nearest_by_a_whole_factor_copies_unevenly_at_41():
    for factor in range(2, 42):
        copies = torch.bincount(interpolate(line(3), scale_factor=factor).flatten().long()).tolist()
        assert copies == ([42, 41, 40] if factor == 41 else [factor] * 3), TORCH
        exact = torch.bincount(interpolate(line(3), scale_factor=factor, mode="nearest-exact").flatten().long()).tolist()
        assert exact == [factor] * 3, TORCH


@pytest.mark.parametrize("corners", [True, False])
def test_two_layers_of_one_name_have_different_customs(corners):
    x = random_map(4, 5)
    layer = nn.UpsamplingBilinear2d(scale_factor=3) if corners else nn.Upsample(scale_factor=3, mode="bilinear")
    got = layer(x)
    assert torch.equal(got, interpolate(x, scale_factor=3, mode="bilinear", align_corners=corners)), TORCH
    assert not torch.allclose(got, interpolate(x, scale_factor=3, mode="bilinear", align_corners=not corners)), TORCH


def test_a_broken_factor_is_used_as_it_is_and_a_size_is_not():
    x = line(5).double()
    by_factor, by_size = interpolate(x, scale_factor=1.5, mode="linear"), interpolate(x, 7, mode="linear")
    assert by_factor.shape == by_size.shape == (1, 1, 7), TORCH
    for got, scale in ((by_factor, 1.5), (by_size, 7 / 5)):
        places = ((torch.arange(7, dtype=torch.float64) + 0.5) / scale - 0.5).clamp(0, 4)
        torch.testing.assert_close(got.flatten(), places, msg=TORCH)


def test_bilinear_to_a_quarter_reads_the_middle_of_each_cell():
    x = random_map(8, 8).requires_grad_()
    for antialias, count in ((False, 4), (True, 36)):
        (g,) = torch.autograd.grad(interpolate(x, (2, 2), mode="bilinear", antialias=antialias)[0, 0, 0, 0], x)
        assert int((g != 0).sum()) == count, TORCH
    plain = interpolate(x, (2, 2), mode="bilinear")[0, 0, 0, 0]
    torch.testing.assert_close(plain, x[0, 0, 1:3, 1:3].mean(), msg=TORCH)


@pytest.mark.parametrize(("antialias", "a"), [(False, -0.75), (True, -0.5)])
def test_bicubic_enlarging_has_two_kernels(antialias, a):
    unit = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    unit[0, 0, 4, :] = 1
    got = interpolate(unit, (18, 9), mode="bicubic", antialias=antialias)[0, 0, :, 4]
    t = ((torch.arange(18, dtype=torch.float64) + 0.5) / 2 - 0.5 - 4).abs()
    near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    want = torch.where(t < 1, near, torch.where(t < 2, far, torch.zeros(())))
    torch.testing.assert_close(got, want, atol=1e-12, rtol=0, msg=TORCH)


def test_unpooling_of_overlapping_windows_has_the_gradient_of_another_function():
    x = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    x[0, 0, 1, 1] = 1  # the maximum of all four windows
    _, index = max_pool2d(x, 2, stride=1, return_indices=True)
    assert index.unique().tolist() == [4]
    g = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64, requires_grad=True)
    large = max_unpool2d(g, index, 2, stride=1, output_size=(3, 3))
    assert large[0, 0, 1, 1] in g and large.sum() == large[0, 0, 1, 1], TORCH  # one of four, so one derivative is 1
    (gradient,) = torch.autograd.grad(large.sum(), g)
    assert gradient.flatten().tolist() == [1, 1, 1, 1], TORCH
