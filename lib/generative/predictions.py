"""What a network may predict on a Gaussian path: noise, data, score or velocity. The one table between them."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from lib.course.ranges import require_not_negative
from lib.course.shapes import Float, checked
from lib.course.tensors import all_finite, require_finite_result
from lib.generative.clock import Time, combine, in_clock, shown
from lib.generative.mixtures import GaussianMixture
from lib.generative.paths import GaussianPath

Prediction = Literal["noise", "data", "score", "velocity"]


@checked
def convert(
    path: GaussianPath,
    value: Float[Tensor, "batch *shape"],
    x_t: Float[Tensor, "batch *shape"],
    t: Time,
    given: Prediction,
    wanted: Prediction,
) -> Float[Tensor, "batch *shape"]:
    """Make of one prediction at x_t another: noise ε, data x_0, score ∇ log p_t, or the velocity of the flow.

    The flow is the probability-flow ODE. All say the same: x_t = α x_0 + σ ε, score = -ε/σ, velocity = α' x_0 + σ' ε =
    f x_t - g²/2 · score. Each is linear in x_t and `value`; where a factor is infinite (noise tells nothing of the data
    where α = 0, nor data of the noise where σ = 0) a `ValueError` names t, as one names what is not finite. Computed in
    float64, returned in the dtype of x_t.
    """
    t = in_clock(t)
    if given == wanted:
        return value.to(x_t.dtype)
    of_x, of_value = (torch.as_tensor(factor, dtype=torch.float64) for factor in _CONVERSIONS[given, wanted](path, t))
    if not (all_finite(of_x) and all_finite(of_value)):
        raise ValueError(f"t must stay off the end where {given} does not determine {wanted} on {path}, got {shown(t)}")
    converted = combine(of_x, x_t.double(), of_value, value.double()).to(x_t.dtype)
    return require_finite_result(converted, x_t=x_t, value=value)


# The factors of x_t and of what is given, at t.
_CONVERSIONS = {
    ("noise", "data"): lambda p, t: (1 / (alpha := p._alpha(t)), -p._sigma(t) / alpha),
    ("noise", "score"): lambda p, t: (0, -1 / p._sigma(t)),
    ("noise", "velocity"): lambda p, t: (p._drift(t), p._turning(t) / p._alpha(t)),
    ("data", "noise"): lambda p, t: (1 / (sigma := p._sigma(t)), -p._alpha(t) / sigma),
    ("data", "score"): lambda p, t: (-1 / p._sigma(t) ** 2, p._alpha(t) / p._sigma(t) ** 2),
    ("data", "velocity"): lambda p, t: (p._sigma_rate(t) / p._sigma(t), -p._turning(t) / p._sigma(t)),
    ("score", "noise"): lambda p, t: (0, -p._sigma(t)),
    ("score", "data"): lambda p, t: (1 / p._alpha(t), p._sigma(t) ** 2 / p._alpha(t)),
    ("score", "velocity"): lambda p, t: (p._drift(t), -p._squared_diffusion(t) / 2),
    ("velocity", "noise"): lambda p, t: (-p._alpha_rate(t) / p._turning(t), p._alpha(t) / p._turning(t)),
    ("velocity", "data"): lambda p, t: (p._sigma_rate(t) / p._turning(t), -p._sigma(t) / p._turning(t)),
    ("velocity", "score"): lambda p, t: (
        p._alpha_rate(t) / (p._sigma(t) * p._turning(t)),
        -p._alpha(t) / (p._sigma(t) * p._turning(t)),
    ),
}


@checked
def exact_flow(path: GaussianPath, mixture: GaussianMixture) -> Callable[[Tensor, float], Tensor]:
    """The field (x, t) of the probability-flow ODE for data from a mixture: E[α' x_0 + σ' ε | x_t], for a number t.

    It is finite on all of [0, 1]: f x - g²/2 · score before t = 1/2, where σ' may be infinite, and after it as it stands.
    """

    def field(x, t):
        alpha, sigma = path.alpha(t), path.sigma(t)
        if t < 0.5:
            return convert(path, mixture.score(x, alpha, sigma), x, t, "score", "velocity")
        return mixture.expectation(x, alpha, sigma, path.alpha_rate(t), path.sigma_rate(t))

    return field


@checked
def reverse_sde(
    path: GaussianPath, score: Callable[[Tensor, float], Tensor], noise: float = 1.0
) -> tuple[Callable, Callable]:
    """Drift (x, t) and diffusion (t) of a process with the path's marginals, to be run from t = 1 down to 0.

    dx = (f x - (1 + λ²)/2 · g² score(x, t)) dt + λ g dw with λ = `noise`: 1 reverses the path's SDE (Anderson 1982), 0
    is the probability-flow ODE. Its diffusion, g, must not depend on x. `score` is called with a number t.
    """
    require_not_negative("noise", noise)

    def drift(x, t):
        return path.drift(t) * x - (1 + noise**2) / 2 * path.diffusion(t) ** 2 * score(x, t)

    return drift, lambda t: noise * path.diffusion(t)
