"""Ways from a small map to a large one: pixel shuffle, interpolation, transposed convolution, unpooling.

Images are (batch, channel, height, width). The two axes of an image do not mix in any of them but the kernel of a
convolution, so positions, matrices and sizes are said along one axis: n pixels become m. Sources: Shi et al., arXiv
1609.05158 (pixel shuffle); Long et al., arXiv 1411.4038 (bilinear kernels); Badrinarayanan et al., arXiv 1511.00561
(unpooling).
"""

import torch
from torch import Tensor
from torch.nn.functional import fold

from lib.course.ranges import require_at_least, require_in
from lib.course.shapes import Float, Float64, Int64, Real, checked
from lib.course.tensors import kind


@checked
def pixel_shuffle(x: Real[Tensor, "batch packed height width"], r: int) -> Real[Tensor, "batch channel rows columns"]:
    """Each group of r² channels becomes one channel, r times as high and as wide.

    Pixel (r i + a, r j + b) of channel c comes from pixel (i, j) of channel c r² + r a + b.
    """
    require_at_least("r", r, 1)
    batch, packed, height, width = x.shape
    if packed % r**2:
        raise ValueError(f"x must have a multiple of r² = {r**2} channels, got {packed}")
    cells = x.reshape(batch, packed // r**2, r, r, height, width)
    return cells.permute(0, 1, 4, 2, 5, 3).reshape(batch, packed // r**2, r * height, r * width)


@checked
def pixel_unshuffle(x: Real[Tensor, "batch channel rows columns"], r: int) -> Real[Tensor, "batch packed height width"]:
    """The inverse of `pixel_shuffle`: each channel is dealt out to r² channels of a smaller picture."""
    require_at_least("r", r, 1)
    batch, channel, rows, columns = x.shape
    if rows % r or columns % r:
        raise ValueError(f"x must have a height and a width that r = {r} divides, got {rows} and {columns}")
    cells = x.reshape(batch, channel, rows // r, r, columns // r, r)
    return cells.permute(0, 1, 3, 5, 2, 4).reshape(batch, channel * r**2, rows // r, columns // r)


@checked
def positions(n: int, m: int, align_corners: bool) -> Float64[Tensor, "{m}"]:
    """Where each of m pixels lies among n, in units of the n, whose middles are 0, 1, …, n - 1.

    With `align_corners` the middles of the outermost pixels fall together, without it the outer edges of the picture. A
    single pixel has no two middles: it lies at 0.
    """
    require_at_least("n", n, 1)
    require_at_least("m", m, 1)
    u = torch.arange(m, dtype=torch.float64)
    return u * (n - 1) / max(m - 1, 1) if align_corners else (u + 0.5) * n / m - 0.5


@checked
def nearest_index(n: int, m: int) -> Int64[Tensor, "{m}"]:
    """Which of n pixels lies nearest to each of m, edges on edges; of two as near, the later one.

    In whole numbers, so that no rounding moves a pixel.
    """
    require_at_least("n", n, 1)
    require_at_least("m", m, 1)
    return (2 * torch.arange(m) + 1) * n // (2 * m)


@checked
def interp_matrix(n: int, m: int, align_corners: bool) -> Float64[Tensor, "{m} {n}"]:
    """The matrix that takes n numbers to m by linear interpolation; beyond the outermost middles they stay constant."""
    where = positions(n, m, align_corners).clamp(0, n - 1)
    return (1 - (where[:, None] - torch.arange(n)).abs()).clamp(min=0)


@checked
def bilinear(
    x: Float[Tensor, "batch channel height width"], size: tuple[int, int], align_corners: bool
) -> Float[Tensor, "batch channel rows columns"]:
    """Pictures of `size` (height, width) by linear interpolation along both axes."""
    _require_pixels("x", x)
    for length in size:
        require_at_least("each number of size", length, 1)
    down, across = (interp_matrix(n, m, align_corners).to(x) for n, m in zip(x.shape[2:], size, strict=True))
    return down @ x @ across.mT


@checked
def zero_stuff(x: Real[Tensor, "batch channel height width"], s: int) -> Real[Tensor, "batch channel rows columns"]:
    """The pictures with s - 1 zeros between neighbours: a height of h becomes (h - 1) s + 1."""
    require_at_least("s", s, 1)
    _require_pixels("x", x)
    rows, columns = ((length - 1) * s + 1 for length in x.shape[2:])
    stuffed = x.new_zeros(*x.shape[:2], rows, columns)
    stuffed[:, :, ::s, ::s] = x
    return stuffed


@checked
def transposed_size(n: int, k: int, s: int = 1, p: int = 0, extra: int = 0) -> int:
    """How many pixels a transposed convolution makes of n: (n - 1) s - 2 p + k + extra.

    A convolution with this kernel, stride and padding takes so many pixels back to n, whatever `extra` is from 0 to s - 1.
    """
    for name, value, least in (("n", n, 1), ("k", k, 1), ("s", s, 1), ("p", p, 0)):
        require_at_least(name, value, least)
    require_in("extra", extra, 0, s - 1)
    m = (n - 1) * s - 2 * p + k + extra
    if m < 1:
        raise ValueError(f"p must leave a pixel: {n} of them, k = {k}, s = {s} and p = {p} leave {m}")
    return m


@checked
def conv_transpose(
    x: Float[Tensor, "batch channel height width"],
    w: Float[Tensor, "channel out down across"],
    s: int = 1,
    p: int = 0,
    extra: int = 0,
) -> Float[Tensor, "batch out rows columns"]:
    """The transpose of the convolution with the kernels w, stride s and padding p: each pixel adds its multiple of them.

    `extra` rows below and columns to the right are reached as well (torch calls it output padding), at most s - 1.
    """
    if (x.dtype, x.device) != (w.dtype, w.device):
        raise ValueError(f"w must have the dtype and the device of x, {x.dtype} and {x.device}, got {w.dtype} and {w.device}")
    _require_pixels("x", x)
    _require_pixels("w", w)
    size = [transposed_size(n, k, s, p, extra) for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    painted = w.flatten(1).mT @ x.flatten(2)  # what each pixel adds, one column for each
    return fold(painted, size, w.shape[2:], stride=s, padding=p)


@checked
def bilinear_kernel(r: int) -> Float64[Tensor, "k k"]:
    """The kernel whose transposed convolution with stride r and padding ⌈(r - 1)/2⌉ is bilinear interpolation inside.

    It has 2 r - r % 2 rows. Source: Long et al., section 3.3, and the reference code's `upsample_filt`.
    """
    require_at_least("r", r, 1)
    k = 2 * r - r % 2
    hat = 1 - (torch.arange(k, dtype=torch.float64) - (k - 1) / 2).abs() / r
    return hat[:, None] * hat


@checked
def max_unpool(
    x: Real[Tensor, "batch channel height width"],
    index: Int64[Tensor, "batch channel height width"],
    size: tuple[int, int],
) -> Real[Tensor, "batch channel rows columns"]:
    """Pictures of `size` (height, width) that hold each number of x at its index, counted row by row, and 0 elsewhere.

    `index` is what max pooling says of where its maxima stood. An index that occurs twice in a channel raises a
    `ValueError`, because two numbers cannot stand in one place: windows must not overlap.
    """
    rows, columns = size
    flat = index.flatten(2)
    if flat.numel() and not 0 <= flat.min() <= flat.max() < rows * columns:
        raise ValueError(f"index must lie in 0 … {rows * columns - 1}, got {flat.min()} to {flat.max()}")
    if (flat.sort(-1).values.diff(dim=-1) == 0).any():
        raise ValueError("index must not hold a place twice in one channel: windows must not overlap")
    large = x.new_zeros(*x.shape[:2], rows * columns)
    return large.scatter(2, flat, x.flatten(2)).unflatten(2, size)


def _require_pixels(name, images):
    if not images.shape[2] * images.shape[3]:
        raise ValueError(f"{name} must be at least one pixel high and wide, got shape {kind(images)}")
