"""Where a token stands: rotary and sinusoidal encodings, and the position objects that a transformer takes."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from lib.course.ranges import require_at_least, require_positive
from lib.course.shapes import Float, Float32, Float64, Int, Int64, Real, checked, checked_after_errors
from lib.course.tensors import kind, require_finite_entries, require_width, working_dtype

Layout = Literal["interleaved", "half"]
LONGEST = 2**53  # up to here float64 holds every whole number
PIECE = 512  # positions that are rotated at once where no gradient is wanted


@checked
def rope_frequencies(dim: int, base: float = 10000.0) -> Float64[Tensor, "pairs"]:
    """θ_i = base^(-2i/dim) for i = 0 … dim/2 - 1, in radians per position, the fastest first.

    Source: RoFormer, arXiv 2104.09864, section 3.2.2.
    """
    _require_even("dim", dim)
    _require_base(base)
    return base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)


@checked
def rope_angles(positions: Real[Tensor, "*shape"], dim: int, base: float = 10000.0) -> Float64[Tensor, "*shape pairs"]:
    """The angles m θ_i in radians, θ_i those of `rope_frequencies`, for every position m and pair i = 0 … dim/2 - 1.

    Always float64: bfloat16 cannot tell neighbouring positions apart beyond 256, and near position 100,000 even
    float32 is off by 0.005. Fractional positions are welcome. Source: RoFormer, arXiv 2104.09864, section 3.2.2.
    """
    return _angles(positions, rope_frequencies(dim, base))


def _angles(positions, frequencies):
    """Their products in float64, (*shape, pairs)."""
    if positions.is_floating_point():
        require_finite_entries("positions", positions)
    positions = positions.double()
    if not (positions.abs() < LONGEST).all():
        largest = positions.abs().max().item()
        raise ValueError(f"positions must be below 2^53 in size, beyond which float64 skips some, got {largest:g}")
    return positions[..., None] * frequencies.to(positions.device)


@checked
def apply_rope(
    x: Float[Tensor, "... dim"],
    angles: Float32[Tensor, "... pairs"] | Float64[Tensor, "... pairs"],
    layout: Layout = "interleaved",
) -> Float[Tensor, "... dim"]:
    """Rotate the pairs of x by the angles; leading dimensions broadcast, and the dtype of x is kept.

    Pair i is (x_2i, x_2i+1) in the interleaved layout (RoFormer) and (x_i, x_i+dim/2) in the half layout (Llama).
    Angles in half precision are refused; x in half precision is rotated in float32.
    """
    require_finite_entries("angles", angles)
    return Rotation(angles, layout, x.dtype)(x)


class Rotation:
    """The rotation of pairs by given angles, worked out once for many vectors; `apply_rope` without its checks."""

    def __init__(self, angles: Tensor, layout: Layout, dtype: torch.dtype):
        self.pairs, self.layout, self.dtype = angles.shape[-1], layout, working_dtype(dtype)
        cos, sin = angles.double().cos().to(self.dtype), angles.double().sin().to(self.dtype)
        if layout == "interleaved":
            self.phase = torch.complex(cos, sin)
        else:
            self.cos, self.sin = torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)

    def __call__(self, x: Tensor) -> Tensor:
        dim = x.shape[-1]
        if dim != 2 * self.pairs:
            raise ValueError(f"angles must hold {dim / 2:g} pairs for x of dim {dim}, got {self.pairs}")
        if self.layout == "interleaved":
            turned = torch.view_as_real(_as_complex(x.to(self.dtype)) * self.phase).flatten(-2)
        elif x.ndim > 1 and x.shape[-2] > PIECE and not (x.requires_grad and torch.is_grad_enabled()):
            return _turned_in_pieces(x, self.cos, self.sin)
        else:
            turned = _turned(x.to(self.dtype), self.cos, self.sin)
        return turned.to(x.dtype)


for _name in ("__init__", "__call__"):  # not as decorators, for a chapter shows the class
    setattr(Rotation, _name, checked_after_errors(getattr(Rotation, _name)))


class StretchedRotation(Rotation):
    """A rotation whose results are multiplied by `magnitude`, at no cost for a vector: scores get its square."""

    @checked_after_errors
    def __init__(self, angles: Float[Tensor, "... pairs"], layout: Layout, dtype: torch.dtype, magnitude: float):
        super().__init__(angles, layout, dtype)
        if layout == "interleaved":
            self.phase = magnitude * self.phase
        else:
            self.cos, self.sin = magnitude * self.cos, magnitude * self.sin


def _turned(x, cos, sin):
    """The half layout: each half times cos, and the other half times sin."""
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


def _turned_in_pieces(x, cos, sin):
    """A few positions after the others, so that intermediate results stay in the cache; gradients would cost more."""
    x, cos, sin = torch.broadcast_tensors(x, cos, sin)
    turned = torch.empty_like(x, memory_format=torch.contiguous_format)
    for result, piece, c, s in zip(*(y.split(PIECE, -2) for y in (turned, x, cos, sin)), strict=True):
        piece = piece.to(cos.dtype)
        result.copy_((piece * c).add_(piece.roll(piece.shape[-1] // 2, -1).mul_(s)))
    return turned


def _as_complex(x):
    """Neighbours as the real and the imaginary part of one number."""
    pairs = x.unflatten(-1, (-1, 2))
    readable = pairs.stride(-1) == 1 and not pairs.storage_offset() % 2 and all(n % 2 == 0 for n in pairs.stride()[:-1])
    return torch.view_as_complex(pairs if readable else pairs.clone(memory_format=torch.contiguous_format))


@checked
def half_layout_permutation(dim: int) -> Int64[Tensor, "dim"]:
    """The p for which x[..., p] holds in the half layout what x holds in the interleaved one; p.argsort() leads back."""
    _require_even("dim", dim)
    return torch.cat([torch.arange(0, dim, 2), torch.arange(1, dim, 2)])


@checked
def sinusoidal(positions: Real[Tensor, "*shape"], dim: int, base: float = 10000.0) -> Float64[Tensor, "*shape {dim}"]:
    """sin(m θ_i) in channel 2i and cos(m θ_i) in channel 2i + 1, float64. Source: arXiv 1706.03762, section 3.5."""
    angles = rope_angles(positions, dim, base)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


class Position(nn.Module):
    """No information about positions (NoPE), and the three places where a subclass can put some.

    Positions have shape (batch, length), or (1, length) for all sequences alike; they need not be contiguous. From the
    transformer they come as int64, or as float64 if they are not whole.
    """

    @checked_after_errors
    def embed(self, x: Float[Tensor, "batch length width"], positions: Real[Tensor, "#batch length"]) -> Tensor:
        """What enters the first block, from the tokens' embeddings; same shape."""
        return x

    @checked_after_errors
    def rotation(
        self, positions: Real[Tensor, "#batch length"], dtype: torch.dtype
    ) -> Callable[[Tensor], Tensor] | None:
        """What puts the positions into queries and keys, (…, batch, heads, length, dim) in and out, or None for nothing.

        A model asks for it once, for all of its layers.
        """
        return None

    @checked_after_errors
    def bias(
        self, query_positions: Real[Tensor, "#batch query"], key_positions: Real[Tensor, "#batch key"]
    ) -> Tensor | None:
        """What is added to the scores, of shape (batch or 1, heads or 1, query, key), or None for nothing.

        `lib.sequence.relative_bias` has two that use it.
        """
        return None


class Sinusoidal(Position):
    """Fixed sines and cosines, added to the embeddings."""

    @checked
    def embed(
        self, x: Float[Tensor, "batch length width"], positions: Real[Tensor, "#batch length"]
    ) -> Float[Tensor, "batch length width"]:
        _require_even("the width of x", x.shape[-1])
        return (x + sinusoidal(positions, x.shape[-1])).to(x.dtype)


class Learned(Position):
    """A trained vector for each of the positions 0 … longest - 1, added to the embeddings and at first as large as they."""

    @checked
    def __init__(self, longest: int, width: int):
        super().__init__()
        require_at_least("longest", longest, 1)
        require_at_least("width", width, 1)
        self.table = nn.Embedding(longest, width)

    @checked
    def embed(
        self, x: Float[Tensor, "batch length width"], positions: Int[Tensor, "#batch length"]
    ) -> Float[Tensor, "batch length width"]:
        longest, positions = self.table.num_embeddings, positions.long()
        require_width("x", x, self.table.embedding_dim)
        if positions.numel() and (positions.min() < 0 or positions.max() >= longest):
            raise ValueError(
                f"positions must lie in 0 … {longest - 1}, the trained ones, got {positions.min()} … {positions.max()}"
            )
        return (x + self.table(positions)).to(x.dtype)


class Rotary(Position):
    """Rotary position embedding of queries and keys: scores depend on the distance alone. Source: arXiv 2104.09864.

    `frequencies` (pairs,), in radians per position, stand in for those of the base; `lib.sequence.extrapolation` makes
    some for texts longer than the trained ones. `magnitude` multiplies rotated queries and keys, hence scores by its
    square. They are no parameters: a model's weights fit a model with others, and a cast does not round the angles.
    """

    @checked
    def __init__(
        self,
        head_dim: int,
        base: float = 10000.0,
        layout: Layout = "interleaved",
        *,
        frequencies: Float64[Tensor, "pairs"] | None = None,
        magnitude: float = 1.0,
    ):
        super().__init__()
        _require_even("head_dim", head_dim)
        _require_base(base)
        require_positive("magnitude", magnitude)
        if frequencies is None:
            frequencies = rope_frequencies(head_dim, base)
        if len(frequencies) != head_dim // 2:
            raise ValueError(f"frequencies must hold {head_dim // 2} pairs for head_dim {head_dim}, got {len(frequencies)}")
        require_finite_entries("frequencies", frequencies)
        self.layout, self.frequencies, self.magnitude = layout, frequencies.detach().clone(), magnitude

    @checked
    def rotation(self, positions: Real[Tensor, "#batch length"], dtype: torch.dtype) -> Rotation:
        angles = _angles(positions, self.frequencies)[:, None]
        if self.magnitude == 1:
            return Rotation(angles, self.layout, dtype)
        return StretchedRotation(angles, self.layout, dtype, self.magnitude)


def _require_even(name, dim):
    if dim < 2 or dim % 2:
        raise ValueError(f"{name} must be even and at least 2, got {dim}")


def _require_base(base):
    if not 1 < base <= torch.finfo(torch.float64).max:
        raise ValueError(f"base must be {'finite' if base > 1 else 'greater than 1'}, got {base}")
