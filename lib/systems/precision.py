"""Floating-point formats bit by bit, rounding to them, and loss scaling.

Sources: IEEE 754-2019, section 3.4 (the fields); Micikevicius et al. 2022, arXiv 2209.05433 (the two FP8 formats);
Micikevicius et al. 2018, arXiv 1710.03740 (loss scaling).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_positive
from lib.course.shapes import Float, Float64, Int, checked


@dataclass(frozen=True)
class FloatFormat:
    """A sign, `exponent_bits` and `mantissa_bits`; without `infinite` the top exponent holds numbers, and one NaN."""

    name: str
    exponent_bits: int
    mantissa_bits: int
    infinite: bool = True

    @property
    def bits(self) -> int:
        """How many bits a number takes."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is subtracted from a stored exponent."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def largest(self) -> float:
        """The largest finite number."""
        if self.infinite:
            return (2 - 2.0**-self.mantissa_bits) * 2.0**self.bias
        return (2 - 2 * 2.0**-self.mantissa_bits) * 2.0 ** (self.bias + 1)

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number with a leading one."""
        return 2.0 ** (1 - self.bias)

    @property
    def smallest(self) -> float:
        """The smallest positive number; numbers below `smallest_normal` are its multiples."""
        return self.smallest_normal * 2.0**-self.mantissa_bits

    @property
    def unit_roundoff(self) -> float:
        """u: a normal number is rounded with a relative error of at most u / (1 + u)."""
        return 2.0 ** -(self.mantissa_bits + 1)

    @checked
    def decode(self, codes: Int[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
        """The numbers that codes 0 … 2^bits - 1 stand for; the formats have at most 32 bits."""
        codes = codes.long()
        if codes.numel() and (codes.min() < 0 or codes.max() >= 2**self.bits):
            raise ValueError(f"codes must lie in 0 … {2**self.bits - 1}, got {codes.min()} to {codes.max()}")
        mantissa = codes % 2**self.mantissa_bits
        exponent = codes // 2**self.mantissa_bits % 2**self.exponent_bits
        negative = codes // 2 ** (self.bits - 1) == 1
        leading = (exponent > 0) * 2**self.mantissa_bits
        size = torch.ldexp((leading + mantissa).double(), exponent.clamp(min=1) - self.bias - self.mantissa_bits)
        top = exponent == 2**self.exponent_bits - 1
        if self.infinite:
            size = torch.where(top, torch.where(mantissa == 0, torch.inf, torch.nan), size)
        else:
            size = torch.where(top & (mantissa == 2**self.mantissa_bits - 1), torch.nan, size)
        return torch.where(negative, -size, size)

    @checked
    def round(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The nearest number of the format, of two the one with an even mantissa; in the dtype of x, float32 or float64.

        Beyond `largest` there is infinity, where the format has none NaN.
        """
        spacing = self._spacing(x)
        return self._in_range((x.double() / spacing).round() * spacing).to(x.dtype)

    @checked
    def round_stochastically(
        self, x: Float[Tensor, "*shape"], generator: torch.Generator
    ) -> Float[Tensor, "*shape"]:
        """One of the two neighbours, the upper one as often as x lies near it: right on average, below `largest`."""
        spacing = self._spacing(x)
        steps = x.double() / spacing
        up = torch.rand(x.shape, generator=generator, dtype=torch.float64) < steps - steps.floor()
        return self._in_range((steps.floor() + up) * spacing).to(x.dtype)

    def _spacing(self, x):
        """The distance of neighbours around x."""
        if x.dtype not in (torch.float32, torch.float64) or torch.finfo(x.dtype).eps > 2 * self.unit_roundoff:
            raise ValueError(f"x must be float64, or float32 for a format with fewer bits, got {x.dtype} for {self.name}")
        _, exponent = torch.frexp(x.double())
        lowest = torch.tensor(1 - self.bias)
        return torch.ldexp(torch.ones_like(x, dtype=torch.float64), torch.maximum(exponent - 1, lowest) - self.mantissa_bits)

    def _in_range(self, rounded):
        beyond = torch.copysign(torch.tensor(torch.inf if self.infinite else torch.nan).double(), rounded)
        return torch.where(rounded.abs() > self.largest, beyond, rounded)


FORMATS = {
    form.name: form
    for form in (
        FloatFormat("float32", 8, 23),
        FloatFormat("tf32", 8, 10),
        FloatFormat("float16", 5, 10),
        FloatFormat("bfloat16", 8, 7),
        FloatFormat("float8_e4m3fn", 4, 3, infinite=False),
        FloatFormat("float8_e5m2", 5, 2),
    )
}


@checked
def float_format(name: str) -> FloatFormat:
    """A format by torch's name for it ("tf32" has none); an unknown one raises a `ValueError`."""
    if name not in FORMATS:
        raise ValueError(f"name must be one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


@dataclass
class LossScaler:
    """A scale for the loss that grows after `interval` good steps and shrinks at once when a gradient overflows.

    The loss is multiplied by `scale` before its backward pass; `step` divides the gradients by it again. Source: arXiv
    1710.03740, section 3.2; torch's defaults.
    """

    scale: float = 2.0**16
    growth: float = 2.0
    backoff: float = 0.5
    interval: int = 2000
    good_steps: int = field(default=0, init=False)

    def __post_init__(self):
        require_positive("scale", self.scale)
        require_at_least("interval", self.interval, 1)
        require_positive("growth", self.growth)
        require_positive("backoff", self.backoff)
        if not self.growth > 1:
            raise ValueError(f"growth must be above 1, got {self.growth}")
        if not 0 < self.backoff < 1:
            raise ValueError(f"backoff must lie between 0 and 1, got {self.backoff}")

    @checked
    def update(self, overflowed: bool) -> None:
        """What a step does to the scale."""
        if overflowed:
            self.scale, self.good_steps = self.scale * self.backoff, 0
            return
        self.good_steps += 1
        if self.good_steps == self.interval:
            self.scale, self.good_steps = self.scale * self.growth, 0

    @torch.no_grad()
    @checked
    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Divide the gradients by the scale and step, or skip the step if one is not finite; whether it stepped."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        for gradient in gradients:
            gradient /= self.scale
        finite = all(gradient.isfinite().all() for gradient in gradients)
        if finite:
            optimizer.step()
        self.update(not finite)
        return finite
