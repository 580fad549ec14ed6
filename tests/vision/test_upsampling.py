"""lib.vision.upsampling against torch, brute force, the adjoint and exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from lib.vision.upsampling import (
    bilinear,
    bilinear_kernel,
    conv_transpose,
    interp_matrix,
    max_unpool,
    nearest_index,
    pixel_shuffle,
    pixel_unshuffle,
    positions,
    transposed_size,
    zero_stuff,
)

SEEDS = range(12)
SIZES = [(1, 1), (1, 5), (5, 1), (2, 2), (5, 13), (7, 20), (20, 7), (6, 18), (3, 4)]


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer(seed):
    """n, k, s, p, extra at random, such that a pixel is left."""
    rng = np.random.default_rng(seed)
    while True:
        n, k, s, p = (int(rng.integers(low, high)) for low, high in ((1, 6), (1, 6), (1, 5), (0, 4)))
        extra = int(rng.integers(s))
        if (n - 1) * s - 2 * p + k + extra > 0:
            return n, k, s, p, extra


@pytest.mark.parametrize("r", [1, 2, 3, 5])
def test_shuffle_is_torchs_and_each_number_goes_where_it_says(r):
    x = normal(r, 2, 3 * r * r, 4, 5)
    y = pixel_shuffle(x, r)
    assert torch.equal(y, F.pixel_shuffle(x, r))
    assert torch.equal(pixel_unshuffle(y, r), x) and torch.equal(pixel_unshuffle(y, r), F.pixel_unshuffle(y, r))
    for c, i, j, a, b in np.ndindex(3, 4, 5, r, r):
        assert torch.equal(y[:, c, r * i + a, r * j + b], x[:, c * r * r + r * a + b, i, j])


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.uint8])
def test_shuffle_takes_any_real_dtype_empty_and_strided_pictures(dtype):
    x = (10 * normal(0, 2, 3, 5, 8).abs()).to(dtype).permute(0, 3, 1, 2)
    assert torch.equal(pixel_shuffle(x, 2), F.pixel_shuffle(x, 2))
    assert pixel_shuffle(x[:0], 2).shape == (0, 2, 6, 10)
    assert torch.equal(pixel_unshuffle(pixel_shuffle(x, 2), 2), x)


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("align_corners", [True, False])
def test_matrix_is_torchs_linear_interpolation(n, m, align_corners):
    W = interp_matrix(n, m, align_corners)
    theirs = F.interpolate(torch.eye(n, dtype=torch.float64)[None], m, mode="linear", align_corners=align_corners)[0].mT
    torch.testing.assert_close(W, theirs, atol=1e-14, rtol=0)
    torch.testing.assert_close(W.sum(1), torch.ones(m, dtype=torch.float64), atol=1e-14, rtol=0)
    assert W.min() >= 0 and (W > 0).sum(1).max() <= 2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("align_corners", [True, False])
def test_bilinear_is_torchs(seed, align_corners):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 12, 2).tolist(), rng.integers(1, 20, 2).tolist()
    x = normal(seed, 2, 3, *n)
    want = F.interpolate(x, m, mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(bilinear(x, tuple(m), align_corners), want, atol=1e-13, rtol=0)
    single = bilinear(x.float(), tuple(m), align_corners)
    torch.testing.assert_close(single, want.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_positions_lay_edges_on_edges_and_corners_on_corners(n, m):
    edges, corners = positions(n, m, False), positions(n, m, True)
    assert edges[0] - 0.5 * n / m == pytest.approx(-0.5) and edges[-1] + 0.5 * n / m == pytest.approx(n - 0.5)
    assert corners[0] == 0 and corners[-1] == (n - 1 if m > 1 else 0)


def test_nearest_is_the_nearest_in_exact_arithmetic_and_pillows_and_torchs_exact_mode():
    for n in range(1, 25):
        for m in range(1, 25):
            index = nearest_index(n, m).tolist()
            for u, i in enumerate(index):
                t = Fraction(2 * u + 1, 2) * n / m - Fraction(1, 2)
                distances = [abs(j - t) for j in range(n)]
                assert i == max(j for j in range(n) if distances[j] == min(distances))
            line = Image.fromarray(np.arange(n, dtype=np.uint8)[None]).resize((m, 1), Image.NEAREST)
            tie = (2 * np.arange(m) + 1) * n % (2 * m) == 0  # there Pillow's rounding decides
            assert ((np.array(line)[0] == index) | tie).all()
    for m in range(1, 16):
        theirs = F.interpolate(torch.arange(5.0)[None, None], m, mode="nearest-exact").flatten()
        assert theirs.tolist() == nearest_index(5, m).tolist()


@pytest.mark.parametrize("r", range(1, 8))
def test_nearest_by_a_whole_factor_copies(r):
    assert torch.equal(nearest_index(9, 9 * r), torch.arange(9).repeat_interleave(r))


@pytest.mark.parametrize("seed", SEEDS)
def test_transposed_convolution_is_torchs_and_stuffed_zeros_under_the_kernel_turned_round(seed):
    n, k, s, p, extra = layer(seed)
    x, w = normal(seed, 2, 3, n, n + 1), normal(seed + 1, 3, 4, k, k)
    got = conv_transpose(x, w, s, p, extra)
    theirs = F.conv_transpose2d(x, w, stride=s, padding=p, output_padding=extra)
    torch.testing.assert_close(got, theirs, atol=1e-12, rtol=0)
    around = F.pad(zero_stuff(x, s), [k - 1, k - 1 + extra] * 2)
    stuffed = F.conv2d(around, w.transpose(0, 1).flip(2, 3))
    rows, columns = got.shape[2:]
    torch.testing.assert_close(got, stuffed[:, :, p : p + rows, p : p + columns], atol=1e-12, rtol=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_transposed_convolution_is_the_adjoint_and_the_gradient(seed):
    n, k, s, p, extra = layer(seed)
    y, w = normal(seed, 2, 3, n, n), normal(seed + 1, 3, 4, k, k)
    back = conv_transpose(y, w, s, p, extra)
    x = torch.randn(back.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).requires_grad_()
    there = F.conv2d(x, w, stride=s, padding=p)
    assert there.shape == y.shape
    torch.testing.assert_close((there * y).sum(), (x * back).sum(), atol=1e-11, rtol=0)
    torch.testing.assert_close(torch.autograd.grad(there, x, y)[0], back, atol=1e-12, rtol=0)


def test_transposed_convolution_has_derivatives_and_takes_kernels_that_are_not_square():
    x, w = normal(0, 1, 2, 3, 2).requires_grad_(), normal(1, 2, 3, 2, 4).requires_grad_()
    torch.autograd.gradcheck(lambda x, w: conv_transpose(x, w, 2, 1, 1), (x, w))
    want = F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1)
    torch.testing.assert_close(conv_transpose(x, w, 2, 1, 1), want)


def test_sizes_are_those_that_a_convolution_takes_back():
    assert transposed_size(3, 2) == 4
    for n, k, s, p in np.ndindex(6, 6, 5, 4):
        n, k, s = n + 1, k + 1, s + 1
        found = [m for m in range(1, 60) if m + 2 * p >= k and (m + 2 * p - k) // s + 1 == n]
        for extra in range(s):
            m = (n - 1) * s - 2 * p + k + extra
            assert (m in found) == (m >= 1)
            if m >= 1:
                assert transposed_size(n, k, s, p, extra) == m
        assert len(found) <= s


@pytest.mark.parametrize("r", range(1, 8))
def test_bilinear_kernel_interpolates_inside(r):
    x = normal(r, 1, 1, 6, 7)
    p = -(-(r - 1) // 2)
    got = conv_transpose(x, bilinear_kernel(r)[None, None], r, p)
    want = bilinear(x, (6 * r, 7 * r), False)
    assert got.shape == want.shape
    inside = (..., *[slice(r, -r)] * 2)
    torch.testing.assert_close(got[inside], want[inside], atol=1e-14, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_bilinear_kernel_is_the_reference_codes(size):
    r = (size + 1) // 2
    if 2 * r - r % 2 != size:  # the reference code fills other sizes too
        return
    centre = r - 1 if size % 2 == 1 else r - 0.5
    rows, columns = np.ogrid[:size, :size]
    want = (1 - abs(rows - centre) / r) * (1 - abs(columns - centre) / r)
    np.testing.assert_allclose(bilinear_kernel(r), want, atol=1e-15)


@pytest.mark.parametrize("seed", SEEDS)
def test_unpooling_is_torchs_and_the_transpose_of_pooling(seed):
    x = normal(seed, 2, 3, 6, 9).requires_grad_()
    pooled, index = F.max_pool2d(x, 3, return_indices=True)
    g = normal(seed + 1, *pooled.shape)
    got = max_unpool(g, index, (6, 9))
    assert torch.equal(got, F.max_unpool2d(g, index, 3)) and torch.equal(got, torch.autograd.grad(pooled, x, g)[0])
    assert torch.equal(max_unpool(g, index, (7, 11)), F.max_unpool2d(g, index, 3, output_size=(7, 11)))
    torch.autograd.gradcheck(lambda g: max_unpool(g, index, (6, 9)), g.requires_grad_())


X = torch.zeros(1, 4, 3, 3)
K = torch.zeros(4, 2, 3, 3)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: pixel_shuffle(X, 0), "r must be at least 1, got 0"),
        (lambda: pixel_shuffle(X, 3), r"x must have a multiple of r² = 9 channels, got 4"),
        (lambda: pixel_unshuffle(X, 2), "x must have a height and a width that r = 2 divides, got 3 and 3"),
        (lambda: pixel_unshuffle(X, -1), "r must be at least 1"),
        (lambda: positions(0, 3, True), "n must be at least 1, got 0"),
        (lambda: interp_matrix(3, 0, False), "m must be at least 1, got 0"),
        (lambda: nearest_index(3, -2), "m must be at least 1, got -2"),
        (lambda: nearest_index(0, 2), "n must be at least 1, got 0"),
        (lambda: bilinear(X, (0, 3), True), "each number of size must be at least 1, got 0"),
        (lambda: bilinear(X[:, :, :0], (2, 3), True), "x must be at least one pixel high and wide"),
        (lambda: zero_stuff(X, 0), "s must be at least 1, got 0"),
        (lambda: zero_stuff(X[:, :, :0], 2), r"x must be at least one pixel high and wide, got shape \(1, 4, 0, 3\)"),
        (lambda: zero_stuff(X[..., :0], 2), r"x must be at least one pixel high and wide"),
        (lambda: conv_transpose(X, K, 0), "s must be at least 1, got 0"),
        (lambda: conv_transpose(X, K, 1, -1), "p must be at least 0, got -1"),
        (lambda: conv_transpose(X, K, 2, 0, 2), r"extra must lie in \[0, 1\], got 2"),
        (lambda: conv_transpose(X, K, 1, 3), "p must leave a pixel: 3 of them, k = 3, s = 1 and p = 3 leave -1"),
        (lambda: conv_transpose(X, K.double()), "w must have the dtype and the device of x, torch.float32 and cpu, got torch.float64 and cpu"),
        (lambda: conv_transpose(X, K.to("meta")), "w must have the dtype and the device of x, .* got torch.float32 and meta"),
        (lambda: conv_transpose(X, K[..., :0]), "w must be at least one pixel high and wide"),
        (lambda: conv_transpose(X[..., :0], K), "x must be at least one pixel high and wide"),
        (lambda: transposed_size(0, 3), "n must be at least 1, got 0"),
        (lambda: transposed_size(2, 0), "k must be at least 1, got 0"),
        (lambda: bilinear_kernel(0), "r must be at least 1, got 0"),
        (lambda: max_unpool(X, torch.full(X.shape, 36), (6, 6)), r"index must lie in 0 … 35, got 36 to 36"),
        (lambda: max_unpool(X, torch.full(X.shape, -1), (6, 6)), r"index must lie in 0 … 35, got -1 to -1"),
        (lambda: max_unpool(X, torch.zeros(X.shape, dtype=torch.int64), (6, 6)), "twice in one channel"),
    ],
)
def test_bad_input_is_refused_in_words(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: pixel_shuffle(X[0], 2),
        lambda: conv_transpose(X, K[:3]),
        lambda: conv_transpose(X.long(), K),
        lambda: max_unpool(X, torch.zeros(1, 4, 3, 2, dtype=torch.int64), (6, 6)),
        lambda: bilinear(X, (6, 6, 6), True),
        lambda: bilinear(X.long(), (6, 6), True),
    ],
)
def test_wrong_shapes_and_dtypes_are_refused(call):
    with pytest.raises(TypeError):
        call()
