"""Denoising diffusion in discrete time (Ho, Jain, Abbeel 2020, arXiv 2006.11239).

Clock: t = 0 is data, t = 1, …, T are the noisy steps, and a network is told t/T, in (0, 1]. For β_t = β(t/T)/T the
chain's x_t tends to that of the path VP at the time t/T (`lib.generative.paths`), with errors O(1/T).
Tables have shape (T,), and entry t - 1 belongs to step t. No caller has to remember that: functions take t itself and
refuse a t outside 1..T. What belongs to t - 1 has a table of its own (`alpha_bars_before`), so that nothing is ever
shifted.
Tables are float64 and are rounded to the data's dtype where they are used, to float32 for data in half precision: in
float32, 1 - ᾱ_t loses up to four of its seven digits near t = 1. Half precision is computed with in float32 and rounded
once, at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from lib.course.shapes import Float, Float64, Int, checked
from lib.course.tensors import all_finite, kind, per_row, predict, require_finite_result, working_dtype
from lib.course.training import rewound_after_error
from lib.generative.clock import combine

FIRST_BETA, LAST_BETA, REFERENCE_STEPS = 1e-4, 0.02, 1000  # Ho et al. 2020, section 4

Step = int | Int[Tensor, "batch"]


class Posterior(NamedTuple):
    """q(x_{t-1} | x_t, x_0) = N(data_t · x_0 + noisy_t · x_t, variance_t I): three tables (T,)."""

    data: Float64[Tensor, "steps"]
    noisy: Float64[Tensor, "steps"]
    variance: Float64[Tensor, "steps"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """The noise schedule β_1, …, β_T of the chain q(x_t | x_{t-1}) = N(√(1 - β_t) x_{t-1}, β_t I).

    `betas` is a float64 tensor (T,) with entries in (0, 1); anything else raises a `ValueError`. A copy is kept.
    """

    betas: Float64[Tensor, "steps"]

    def __post_init__(self):
        betas = self.betas
        right_kind = isinstance(betas, Tensor) and betas.dtype == torch.float64 and not betas.is_meta
        if not right_kind or betas.ndim != 1 or not len(betas):
            came = f"{betas.dtype} with shape {kind(betas)}" if isinstance(betas, Tensor) else kind(betas)
            raise ValueError(f"betas must be a float64 tensor (T,), got {came}")
        betas = betas.clone()
        if not torch.all((betas > 0) & (betas < 1)):
            raise ValueError(f"betas must lie in (0, 1), got {betas.min().item():g} to {betas.max().item():g}")
        object.__setattr__(self, "betas", betas)

    @property
    def steps(self) -> int:
        """T, the number of noisy steps."""
        return len(self.betas)

    @cached_property
    def alphas(self) -> Float64[Tensor, "steps"]:
        """α_t = 1 - β_t."""
        return 1 - self.betas

    @cached_property
    def alpha_bars(self) -> Float64[Tensor, "steps"]:
        """ᾱ_t = α_1 ⋯ α_t, the share of the data's variance that is left in x_t."""
        return self.alphas.cumprod(0)

    @cached_property
    def alpha_bars_before(self) -> Float64[Tensor, "steps"]:
        """ᾱ_{t-1}; 1 at t = 1."""
        return torch.cat([torch.ones(1, dtype=torch.float64), self.alpha_bars[:-1]])

    @cached_property
    def noise_variances(self) -> Float64[Tensor, "steps"]:
        """1 - ᾱ_t, from logarithms so that it does not cancel."""
        return -torch.expm1(torch.log1p(-self.betas).cumsum(0))

    @cached_property
    def posterior(self) -> Posterior:
        """q(x_{t-1} | x_t, x_0), equations (6) and (7) of the paper; at t = 1 it is x_0 itself, with variance 0."""
        before = torch.cat([torch.zeros(1, dtype=torch.float64), self.noise_variances[:-1]])
        return Posterior(
            data=self.alpha_bars_before.sqrt() * self.betas / self.noise_variances,
            noisy=self.alphas.sqrt() * before / self.noise_variances,
            variance=before / self.noise_variances * self.betas,
        )

    @cached_property
    def _factors(self) -> dict[torch.dtype, Tensor]:
        """√ᾱ_t and √(1 - ᾱ_t), the factors of x_0 and ε in x_t: (2, T), by working dtype."""
        table = torch.stack([self.alpha_bars.sqrt(), self.noise_variances.sqrt()])
        return {dtype: table.to(dtype) for dtype in (torch.float32, torch.float64)}

    @cached_property
    def _ancestral(self) -> dict[str, list[list[float]]]:
        """For each step β_t / √(1 - ᾱ_t), √α_t and σ_t, by the name of the variance."""
        of_noise, roots = self.betas / self.noise_variances.sqrt(), self.alphas.sqrt()
        variances = {"beta": self.betas, "posterior": self.posterior.variance}
        return {name: torch.stack([of_noise, roots, v.sqrt()], 1).tolist() for name, v in variances.items()}

    @cached_property
    def elbo_weights(self) -> Float64[Tensor, "steps"]:
        """β_t / (2 α_t (1 - ᾱ_t)): the factor of ‖ε - ε_θ‖² in term t of the bound, in nats, if σ_t² = β_t.

        It is β_t² / (2 σ_t² α_t (1 - ᾱ_t)) of equation (12), which the posterior's variance makes infinite at t = 1.
        """
        return self.betas / (2 * self.alphas * self.noise_variances)


@checked
def linear_betas(steps: int) -> Float64[Tensor, "steps"]:
    """T variances β_1, …, β_T, evenly spaced: from 1e-4 to 0.02 at T = 1000, as in section 4 of the paper.

    For another T both ends are multiplied by 1000/T, so that x_T holds about as little of the data (ᾱ_T ≈ 4e-5). The
    last one must stay below 1: T ≤ 20 raises a `ValueError`.
    """
    fewest = REFERENCE_STEPS * LAST_BETA
    if steps <= fewest:
        raise ValueError(f"steps must be more than {fewest:g}, so that every beta is below 1, got {steps}")
    scale = REFERENCE_STEPS / steps
    return torch.linspace(scale * FIRST_BETA, scale * LAST_BETA, steps, dtype=torch.float64)


@checked
def add_noise(
    schedule: Schedule, x_0: Float[Tensor, "batch *shape"], t: Step, noise: Float[Tensor, "batch *shape"]
) -> Float[Tensor, "batch *shape"]:
    """x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε: all of the first t steps of the chain at once, with ε = `noise` from N(0, I).

    `t` is one step for the whole batch, or a tensor (batch,). A step outside 1..T raises a `ValueError`.
    """
    index = torch.as_tensor(t).long() - 1  # an int8 cannot be compared with 1000
    factors = schedule._factors[working_dtype(x_0.dtype)]
    try:
        signal, spread = factors.index_select(1, index).reshape(2, *index.shape).unbind()
    except (IndexError, RuntimeError):
        raise _outside(schedule.steps, *(int(end) + 1 for end in index.aminmax())) from None
    return require_finite_result(combine(signal, x_0, spread, noise), x_0=x_0, noise=noise)


@checked
def ancestral_step(
    schedule: Schedule,
    x_t: Float[Tensor, "batch *shape"],
    t: int,
    noise: Float[Tensor, "batch *shape"],
    variance: Literal["beta", "posterior"],
    generator: torch.Generator,
) -> Float[Tensor, "batch *shape"]:
    """Draw x_{t-1} from N(μ, σ_t² I): μ is the posterior's mean for x̂_0 in place of x_0, `noise` the predicted ε.

    That is μ = (x_t - β_t / √(1 - ᾱ_t) ε) / √α_t, equation (11) of the paper. `variance` is σ_t²: "beta" is β_t, right
    for data from N(0, I); "posterior" is that of q(x_{t-1} | x_t, x_0), right for a single data point (section 3.2;
    `fixed_large` and `fixed_small` elsewhere). The last step, t = 1, returns the mean and draws nothing.
    """
    with rewound_after_error(generator):
        x = _ancestral_step(schedule, x_t, t, noise, variance, generator)
        return require_finite_result(x, x_t=x_t, noise=noise)


@torch.no_grad()
@checked
def sample(
    schedule: Schedule,
    network: Callable[[Tensor, Tensor], Tensor],
    shape: tuple[int, ...],
    variance: Literal["beta", "posterior"],
    generator: torch.Generator,
) -> Float[Tensor, "..."]:
    """Samples of the model: float32 of the given shape (batch, …), by T ancestral steps from N(0, I) (Algorithm 2).

    `network(x, time)` predicts the noise in x (batch, …) at time t/T, given as a tensor (batch,). After an error the
    generator is where it was.
    """
    if not shape or min(shape) < 1:
        raise ValueError(f"shape must be (batch, …) with sizes of at least 1, got {shape}")
    with rewound_after_error(generator):
        x = torch.randn(shape, generator=generator)
        for t in range(schedule.steps, 0, -1):
            noise = predict(network, x, torch.full(shape[:1], t / schedule.steps))
            x = _ancestral_step(schedule, x, t, noise, variance, generator)
            if not all_finite(x):
                raise ValueError(f"network must return finite noise of moderate size, got x not finite after t = {t}")
    return x


@checked
def denoising_loss(
    schedule: Schedule,
    network: Callable[[Tensor, Tensor], Tensor],
    x_0: Float[Tensor, "batch *shape"],
    weights: Literal["simple", "elbo"],
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """One draw of the training loss for a batch: a uniform step t and a noise ε for each example.

    "simple" is the mean of (ε - ε_θ)² over examples and components: L_simple, equation (14) of the paper. "elbo"
    multiplies each example's by T · `elbo_weights`, which makes it an unbiased estimate of what depends on the network
    in the negative bound with σ_t² = β_t, in nats per component. `network` is as in `sample`; times and loss have the
    dtype of x_0, at least float32, in which a thousand times differ.
    """
    if not x_0.numel():
        raise ValueError(f"x_0 must hold at least one example, got shape {tuple(x_0.shape)}")
    wide = working_dtype(x_0.dtype)
    with rewound_after_error(generator):
        t = torch.randint(1, schedule.steps + 1, x_0.shape[:1], generator=generator)
        noise = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        predicted = predict(network, add_noise(schedule, x_0, t, noise), t.to(wide) / schedule.steps)
    if weights == "simple":
        return mse_loss(predicted.to(wide), noise.to(wide))
    errors = (noise.to(wide) - predicted).square()
    return (per_row("t", schedule.steps * schedule.elbo_weights[t - 1].to(wide), x_0) * errors).mean()


def _outside(steps, lowest, highest):
    return ValueError(f"t must lie in 1..{steps} (t = 0 is data), got {lowest} to {highest}")


def _ancestral_step(schedule, x_t, t, noise, variance, generator):
    if not 1 <= t <= schedule.steps:
        raise _outside(schedule.steps, t, t)
    of_noise, root, spread = schedule._ancestral[variance][t - 1]
    wide = working_dtype(x_t.dtype)
    x = (x_t.to(wide) - of_noise * noise.to(wide)) / root
    if t > 1:
        x = x + spread * torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype).to(wide)
    return x.to(x_t.dtype)
