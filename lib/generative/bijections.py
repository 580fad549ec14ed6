"""Bijections with exact inverses and log-determinants: couplings, 1×1 convolutions, actnorm, and their composition.

A bijection acts on x (batch, channels, …), vectors being channels alone, and keeps its shape. `forward(x)` returns z
and log |det ∂z/∂x| (batch,), in nats; `inverse(z)` returns x and log |det ∂x/∂z|, minus that number. Forward leads
from data to noise, so that log p(x) = log p_z(z) + log |det|; some papers and libraries write the other direction.
Sources: NICE, arXiv 1410.8516; RealNVP, arXiv 1605.08803; Glow, arXiv 1807.03039.

In its modules, values are assumed to be of moderate size: products of huge numbers overflow, which may end in NaN.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from lib.course.ranges import require_at_least
from lib.course.shapes import Float, checked, checked_after_errors
from lib.course.tensors import kind

Values = Float[Tensor, "batch channels *space"]
LogDet = Float[Tensor, "batch"]


class Coupling(nn.Module):
    """One half of the channels is moved by what a network makes of the other half, which is kept.

    Additive, z_b = x_b + t(x_a), it keeps volume. Affine, z_b = x_b e^s + t, its log-determinant is Σ s, where s =
    limit · tanh(raw / limit) bounds the raw scale; a `limit` of infinity leaves it as it is. `network` maps the kept
    channels (batch, kept, …) to t, or to raw scale and t one after the other, (batch, moved, …) or (batch, 2 moved,
    …). Kept are the first ⌈channels/2⌉, or the last ⌊channels/2⌋ if `flipped`. Nothing is asked of the network, not
    even an inverse.
    """

    @checked
    def __init__(
        self, channels: int, network: nn.Module, affine: bool = True, flipped: bool = False, limit: float = 2.0
    ):
        super().__init__()
        require_at_least("channels", channels, 2)
        if not limit > 0:
            raise ValueError(f"limit must be positive, got {limit}")
        self.network, self.affine, self.flipped, self.limit = network, affine, flipped, limit
        self.sizes = [channels - channels // 2, channels // 2]

    @checked
    def forward(self, x: Values) -> tuple[Values, LogDet]:
        """z and log |det ∂z/∂x|."""
        kept, moved = self._split(x)
        scale, shift = self._scale_and_shift(kept, moved)
        if scale is None:
            return self._join(kept, moved + shift), x.new_zeros(len(x))
        return self._join(kept, torch.addcmul(shift, moved, scale.exp())), scale.flatten(1).sum(1)

    @checked
    def inverse(self, z: Values) -> tuple[Values, LogDet]:
        """x and log |det ∂x/∂z|: no more work than forward."""
        kept, moved = self._split(z, "z")
        scale, shift = self._scale_and_shift(kept, moved)
        if scale is None:
            return self._join(kept, moved - shift), z.new_zeros(len(z))
        return self._join(kept, (moved - shift) * (-scale).exp()), -scale.flatten(1).sum(1)

    def _split(self, x, name="x"):
        _require_channels(name, x, sum(self.sizes))
        first, last = x.split(self.sizes, 1)
        return (last, first) if self.flipped else (first, last)

    def _join(self, kept, moved):
        return torch.cat([moved, kept] if self.flipped else [kept, moved], 1)

    def _scale_and_shift(self, kept, moved):
        made = self.network(kept)
        wanted = (len(moved), (1 + self.affine) * moved.shape[1], *moved.shape[2:])
        if not isinstance(made, Tensor) or tuple(made.shape) != wanted:
            raise ValueError(f"network must return the shape {wanted}, got {kind(made)}")
        if not self.affine:
            return None, made
        raw, shift = made.chunk(2, 1)
        return (raw if self.limit == math.inf else self.limit * (raw / self.limit).tanh()), shift


class InvertibleLinear(nn.Module):
    """z = W x at every place, a learned 1×1 convolution with W = P L (U + diag(s)): log-determinant places · Σ log
    |s|.

    P is a fixed permutation, L has ones on its diagonal, U is strictly upper triangular, and log |s| is what is
    learned of s, whose signs are fixed: W can be singular at no parameter. It starts as a random rotation, from
    torch's global generator. W's inverse solves two triangular systems.
    """

    @checked
    def __init__(self, channels: int):
        super().__init__()
        require_at_least("channels", channels, 1)
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("order", permutation.argmax(1))
        self.register_buffer("signs", diagonal.sign().to(torch.get_default_dtype()))
        self.lower = nn.Parameter(lower.tril(-1).to(torch.get_default_dtype()))
        self.upper = nn.Parameter(upper.triu(1).to(torch.get_default_dtype()))
        self.log_scale = nn.Parameter(diagonal.abs().log().to(torch.get_default_dtype()))

    @property
    def weight(self) -> Float[Tensor, "channels channels"]:
        """W."""
        lower, upper = self._factors()
        return (lower @ upper)[self.order]

    @checked
    def forward(self, x: Values) -> tuple[Values, LogDet]:
        """z and log |det ∂z/∂x|."""
        _require_channels("x", x, len(self.order))
        places = x.flatten(2) if x.ndim > 2 else x[..., None]
        return (self.weight @ places).reshape(x.shape), self._log_det(x)

    @checked
    def inverse(self, z: Values) -> tuple[Values, LogDet]:
        """x and log |det ∂x/∂z|."""
        _require_channels("z", z, len(self.order))
        lower, upper = self._factors()
        unordered = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)[self.order.argsort()]
        solved = torch.linalg.solve_triangular(lower, unordered, upper=False, unitriangular=True)
        inverse = torch.linalg.solve_triangular(upper, solved, upper=True)
        places = z.flatten(2) if z.ndim > 2 else z[..., None]
        return (inverse @ places).reshape(z.shape), -self._log_det(z)

    def _factors(self):
        lower = self.lower.tril(-1) + torch.eye(len(self.order), dtype=self.lower.dtype, device=self.lower.device)
        return lower, self.upper.triu(1) + torch.diag(self.signs * self.log_scale.exp())

    def _log_det(self, x):
        return (math.prod(x.shape[2:]) * self.log_scale.sum()).expand(len(x))


class ActNorm(nn.Module):
    """z = (x - shift) e^log_scale in each channel; the first batch sets both so that z has mean 0 and variance 1.

    From then on they are parameters like any other, and batches do not matter. The first batch goes through `forward`.
    """

    @checked
    def __init__(self, channels: int):
        super().__init__()
        require_at_least("channels", channels, 1)
        self.shift, self.log_scale = (nn.Parameter(torch.zeros(channels)) for _ in range(2))
        self.register_buffer("ready", torch.tensor(False))

    @checked
    def forward(self, x: Values) -> tuple[Values, LogDet]:
        """z and log |det ∂z/∂x|."""
        _require_channels("x", x, len(self.shift))
        if not self.ready:
            self._prepare(x.detach())
        shift, log_scale = self._shaped(x)
        scale = log_scale.exp()
        return (x * scale).sub_(shift * scale), self._log_det(x)

    @checked
    def inverse(self, z: Values) -> tuple[Values, LogDet]:
        """x and log |det ∂x/∂z|; before the first batch a `RuntimeError`."""
        _require_channels("z", z, len(self.shift))
        if not self.ready:
            raise RuntimeError("ActNorm has no inverse before its first batch: call forward with data first")
        shift, log_scale = self._shaped(z)
        return (z * (-log_scale).exp()).add_(shift), -self._log_det(z)

    @torch.no_grad()
    def _prepare(self, x):
        channels = x.movedim(1, 0).flatten(1)
        deviation, mean = torch.std_mean(channels, 1, correction=0)
        if channels.shape[1] < 2 or not (deviation > 0).all():
            raise ValueError(f"x must vary in every channel of the first batch, got deviations {deviation.tolist()}")
        self.shift.copy_(mean)
        self.log_scale.copy_(-deviation.log())
        self.ready.fill_(True)

    def _shaped(self, x):
        shape = (-1, *(1 for _ in x.shape[2:]))
        return self.shift.reshape(shape), self.log_scale.reshape(shape)

    def _log_det(self, x):
        return (math.prod(x.shape[2:]) * self.log_scale.sum()).expand(len(x))


class Flow(nn.Module):
    """Bijections one after the other, itself a bijection: log-determinants add up, the inverse runs from the last to
    the first."""

    @checked_after_errors
    def __init__(self, layers: Iterable[nn.Module]):
        super().__init__()
        layers = list(layers)
        for i, layer in enumerate(layers):
            if not isinstance(layer, nn.Module) or not callable(getattr(layer, "inverse", None)):
                raise TypeError(f"layers must have forward and inverse, got {type(layer).__name__} at {i}")
        require_at_least("the number of layers", len(layers), 1)
        self.layers = nn.ModuleList(layers)

    @checked
    def forward(self, x: Values) -> tuple[Values, LogDet]:
        """z and log |det ∂z/∂x|."""
        total = x.new_zeros(len(x))
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return x, total

    @checked
    def inverse(self, z: Values) -> tuple[Values, LogDet]:
        """x and log |det ∂x/∂z|."""
        total = z.new_zeros(len(z))
        for layer in reversed(self.layers):
            z, log_det = layer.inverse(z)
            total = total + log_det
        return z, total

    @checked
    def log_density(self, x: Values, log_base: Callable[[Tensor], Tensor]) -> LogDet:
        """log p(x) = log p_z(z) + log |det ∂z/∂x|, in nats; `log_base` maps z to its log density (batch,)."""
        z, log_det = self(x)
        base = log_base(z)
        if not isinstance(base, Tensor) or base.shape != log_det.shape:
            raise ValueError(f"log_base must return a number for each row, shape {kind(log_det)}, got {kind(base)}")
        return base + log_det


def _require_channels(name, x, channels):
    if x.shape[1] != channels:
        raise ValueError(f"{name} must have {channels} channels, got shape {tuple(x.shape)}")
