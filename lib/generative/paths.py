"""Gaussian paths x_t = α(t) x_0 + σ(t) ε from data to noise, on one clock: t = 0 is data, t = 1 is noise.

Every path gives α, σ, their derivatives, the SDE dx = f x dt + g dw that has these marginals, and the time of a noise
level σ/α, which carries a time from one path to another. Functions of time take a number or a tensor in [0, 1] and
return float64 of its shape, 0-dimensional for a number. Where one of them is infinite (σ' of VP at t = 0, f and g of
rectified flow at t = 1, a noise level where α = 0) it raises a `ValueError`: stop short of that end. Sources: Song et
al. 2021, arXiv 2011.13456 (VP, VE, sub-VP); Karras et al. 2022, arXiv 2206.00364 (EDM); Liu et al. 2022, arXiv
2209.03003 (rectified flow).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lib.course.ranges import require_positive
from lib.course.shapes import Float, checked
from lib.course.tensors import all_finite
from lib.generative.clock import Time, Times, combine, in_clock, shown


class GaussianPath:
    """What all paths share. A path defines `_alpha`, `_sigma`, their rates and `_time_at`, for float64 tensors."""

    @checked
    def alpha(self, t: Time) -> Times:
        """α(t), what is left of the data."""
        return self._alpha(in_clock(t))

    @checked
    def sigma(self, t: Time) -> Times:
        """σ(t), the standard deviation of the noise."""
        return self._sigma(in_clock(t))

    @checked
    def alpha_rate(self, t: Time) -> Times:
        """α'(t)."""
        return self._alpha_rate(in_clock(t))

    @checked
    def sigma_rate(self, t: Time) -> Times:
        """σ'(t)."""
        return self._finite("sigma_rate", self._sigma_rate, t)

    @checked
    def noise_level(self, t: Time) -> Times:
        """σ(t) / α(t): the σ of EDM, which sees x_t / α(t)."""
        return self._finite("noise_level", lambda t: self._sigma(t) / self._alpha(t), t)

    @checked
    def log_snr(self, t: Time) -> Times:
        """log(α² / σ²); some texts call half of it λ."""
        return self._finite("log_snr", lambda t: 2 * (self._alpha(t).log() - self._sigma(t).log()), t)

    @checked
    def drift(self, t: Time) -> Times:
        """f(t) = α' / α of dx = f x dt + g dw."""
        return self._finite("drift", self._drift, t)

    @checked
    def diffusion(self, t: Time) -> Times:
        """g(t) of dx = f x dt + g dw; g² = 2 σ (σ' - f σ), so that the variance is σ² at all times."""
        return self._finite("diffusion", lambda t: self._squared_diffusion(t).sqrt(), t)

    @checked
    def time_at(self, noise_level: float | Float[Tensor, "*rows"]) -> Times:
        """The t with σ(t) / α(t) = `noise_level`; a level that the path does not reach raises a `ValueError`."""
        levels = torch.as_tensor(noise_level, dtype=torch.float64)
        low = float(self._sigma(torch.zeros((), dtype=torch.float64)))
        end = torch.ones((), dtype=torch.float64)
        high = float(self._sigma(end) / self._alpha(end))
        if not torch.all((levels >= low * (1 - 1e-12)) & (levels <= high * (1 + 1e-12)) & (levels < math.inf)):
            raise ValueError(f"noise_level must be finite and lie in [{low:g}, {high:g}], got {shown(levels)}")
        return self._time_at(levels).clamp(0, 1)

    @checked
    def add_noise(
        self, x_0: Float[Tensor, "batch *shape"], t: Time, noise: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, "batch *shape"]:
        """x_t = α(t) x_0 + σ(t) ε, in the dtype of x_0, for one t or one for each row.

        With a *predicted* data point and noise and an earlier time it is the step of DDIM.
        """
        t = in_clock(t)
        return combine(self._alpha(t), x_0, self._sigma(t), noise)

    @checked
    def velocity(
        self, x_0: Float[Tensor, "batch *shape"], t: Time, noise: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, "batch *shape"]:
        """dx_t/dt = α'(t) x_0 + σ'(t) ε of one pair, which flow matching regresses on."""
        return combine(self._alpha_rate(in_clock(t)), x_0, self.sigma_rate(t), noise)

    def _drift(self, t):
        return self._alpha_rate(t) / self._alpha(t)

    def _squared_diffusion(self, t):
        return 2 * self._sigma(t) * self._turning(t) / self._alpha(t)

    def _turning(self, t):
        """α σ' - α' σ, the determinant of (x_0, ε) -> (x_t, dx_t/dt): a sum of two terms that are not negative."""
        return self._alpha(t) * self._sigma_rate(t) - self._alpha_rate(t) * self._sigma(t)

    def _finite(self, name, function, t):
        values = function(in_clock(t))
        if not all_finite(values):
            raise ValueError(f"{name} of {self} is infinite at one end: t must stay off it, got {shown(in_clock(t))}")
        return values


@dataclass(frozen=True)
class VP(GaussianPath):
    """Variance preserving: α² + σ² = 1, f = -β/2, g² = β with β(t) from `beta_min` to `beta_max`, evenly.

    It is the limit of DDPM's chain with β_i = β(i/T)/T. σ' is infinite at t = 0.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self):
        require_positive("beta_min", self.beta_min)
        require_positive("beta_max", self.beta_max)
        if self.beta_max < self.beta_min:
            raise ValueError(f"beta_max must be at least beta_min = {self.beta_min}, got {self.beta_max}")

    @checked
    def beta(self, t: Time) -> Times:
        """β(t)."""
        return self._beta(in_clock(t))

    def _beta(self, t):
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def _summed_beta(self, t):
        """∫_0^t β."""
        return (self.beta_min + (self.beta_max - self.beta_min) / 2 * t) * t

    def _time_of(self, summed):
        """The t with ∫_0^t β = summed, the root of a quadratic in the form that does not cancel."""
        slope = self.beta_max - self.beta_min
        return 2 * summed / (self.beta_min + (self.beta_min**2 + 2 * slope * summed).sqrt())

    def _alpha(self, t):
        return (-self._summed_beta(t) / 2).exp()

    def _alpha_rate(self, t):
        return -self._beta(t) / 2 * self._alpha(t)

    def _sigma(self, t):
        return (-torch.expm1(-self._summed_beta(t))).sqrt()

    def _sigma_rate(self, t):
        return self._beta(t) * self._alpha(t) ** 2 / (2 * self._sigma(t))

    def _drift(self, t):
        return -self._beta(t) / 2

    def _squared_diffusion(self, t):
        return self._beta(t)

    def _time_at(self, level):
        return self._time_of(torch.log1p(level**2))


@dataclass(frozen=True)
class SubVP(VP):
    """Song et al.'s sub-VP: α as in VP, σ = 1 - α², less noise at every time; g² = β (1 - α⁴)."""

    def _sigma(self, t):
        return -torch.expm1(-self._summed_beta(t))

    def _sigma_rate(self, t):
        return self._beta(t) * self._alpha(t) ** 2

    def _squared_diffusion(self, t):
        return -self._beta(t) * torch.expm1(-2 * self._summed_beta(t))

    def _time_at(self, level):
        return self._time_of(2 * torch.asinh(level / 2))


@dataclass(frozen=True)
class VE(GaussianPath):
    """Variance exploding: α = 1, σ(t) = σ_min (σ_max / σ_min)^t. At t = 0, data carry noise σ_min already."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self):
        _require_order(self.sigma_min, self.sigma_max)

    def _log_ratio(self):
        return math.log(self.sigma_max / self.sigma_min)

    def _alpha(self, t):
        return torch.ones_like(t)

    def _alpha_rate(self, t):
        return torch.zeros_like(t)

    def _sigma(self, t):
        return self.sigma_min * (self._log_ratio() * t).exp()

    def _sigma_rate(self, t):
        return self._log_ratio() * self._sigma(t)

    def _drift(self, t):
        return torch.zeros_like(t)

    def _squared_diffusion(self, t):
        return 2 * self._sigma(t) * self._sigma_rate(t)

    def _time_at(self, level):
        return (level / self.sigma_min).log() / self._log_ratio()


@dataclass(frozen=True)
class EDM(VE):
    """Karras et al.: α = 1, and σ(t)^(1/ρ) grows evenly from σ_min to σ_max: their grid of noise levels is even in t.

    Their own clock is σ itself, σ' = 1 on it: `sigma` and `time_at` convert, `convert`'s velocity is σ'(t) times
    theirs.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self):
        _require_order(self.sigma_min, self.sigma_max)
        require_positive("rho", self.rho)

    def _root(self, t):
        """σ^(1/ρ) and its slope."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return low + (high - low) * t, high - low

    def _sigma(self, t):
        return self._root(t)[0] ** self.rho

    def _sigma_rate(self, t):
        root, slope = self._root(t)
        return self.rho * slope * root ** (self.rho - 1)

    def _time_at(self, level):
        return (level ** (1 / self.rho) - self.sigma_min ** (1 / self.rho)) / self._root(0.0)[1]


@dataclass(frozen=True)
class RectifiedFlow(GaussianPath):
    """Straight lines: α = 1 - t, σ = t, and the velocity of a pair is ε - x_0. f and g are infinite at t = 1."""

    def _alpha(self, t):
        return 1 - t

    def _alpha_rate(self, t):
        return -torch.ones_like(t)

    def _sigma(self, t):
        return t.clone()

    def _sigma_rate(self, t):
        return torch.ones_like(t)

    def _time_at(self, level):
        return level / (1 + level)


@dataclass(frozen=True)
class Cosine(GaussianPath):
    """A quarter of a circle: α = cos(πt/2), σ = sin(πt/2); f and g are infinite at t = 1.

    The velocity is π/2 times the v = α ε - σ x_0 of Salimans & Ho (arXiv 2202.00512). Nichol & Dhariwal's schedule is
    this one with an offset at t = 0 (arXiv 2102.09672).
    """

    def _alpha(self, t):
        return (math.pi / 2 * (1 - t)).sin()

    def _alpha_rate(self, t):
        return -math.pi / 2 * self._sigma(t)

    def _sigma(self, t):
        return (math.pi / 2 * t).sin()

    def _sigma_rate(self, t):
        return math.pi / 2 * self._alpha(t)

    def _time_at(self, level):
        return 2 / math.pi * level.atan()


def _require_order(sigma_min, sigma_max):
    require_positive("sigma_min", sigma_min)
    require_positive("sigma_max", sigma_max)
    if sigma_max <= sigma_min:
        raise ValueError(f"sigma_max must be above sigma_min = {sigma_min}, got {sigma_max}")
