"""Solvers of ODEs and SDEs on a grid of times, and Langevin dynamics.

Times may run either way: data to noise, or from t = 1 down to 0. A field or drift is called with x (batch, …) and the
time as a number; `with_times` makes one of a network that wants a time for each row. Each `…_states` is an iterator
over all states, the first included, so that a caller can stop, draw or show progress; its last is what the plain name
returns. A state that is not finite raises a `FloatingPointError` with its time. Gradients flow through all of them.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_positive
from lib.course.shapes import Float, Float64, checked, checked_after_errors
from lib.course.tensors import all_finite, kind, predict, require_finite_entries, require_finite_result, working_dtype

Field = Callable[[Tensor, float], Tensor]
Method = Literal["euler", "heun", "rk4"]


@checked
def time_grid(steps: int, start: float = 1.0, end: float = 0.0, power: float = 1.0) -> Float64[Tensor, "{steps}+1"]:
    """Times from start to end, even in t^(1/power): finer towards 0 for a power above 1.

    Neither end may be negative. On EDM's clock, power 7 from 80 to 0.002 is its grid of noise levels (arXiv
    2206.00364, equation 5).
    """
    require_at_least("steps", steps, 1)
    require_positive("power", power)
    for name, time in (("start", start), ("end", end)):
        if not 0 <= time < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {time}")
    if start == end:
        raise ValueError(f"start and end must differ, got {start} for both")
    first, last = torch.tensor([start, end], dtype=torch.float64) ** (1 / power)
    times = torch.lerp(first, last, torch.linspace(0, 1, steps + 1, dtype=torch.float64)) ** power
    times[0], times[-1] = start, end
    return times


@checked_after_errors
def euler_step(field: Field, x: Float[Tensor, "..."], t: float, to: float) -> Tensor:
    """x + h v(x, t) with h = to - t: error of one step O(h²), of all O(h); one evaluation."""
    return _finite_state(x + (to - t) * predict(field, x, t, "field"), to)


@checked_after_errors
def heun_step(field: Field, x: Float[Tensor, "..."], t: float, to: float) -> Tensor:
    """The mean of the slopes at both ends, the second at Euler's guess: error of all steps O(h²); two evaluations."""
    h, first = to - t, predict(field, x, t, "field")
    return _finite_state(x + h / 2 * (first + predict(field, x + h * first, to, "field")), to)


@checked_after_errors
def rk4_step(field: Field, x: Float[Tensor, "..."], t: float, to: float) -> Tensor:
    """The classical method of Runge and Kutta: error of all steps O(h⁴); four evaluations."""
    h, middle = to - t, (t + to) / 2
    first = predict(field, x, t, "field")
    second = predict(field, x + h / 2 * first, middle, "field")
    third = predict(field, x + h / 2 * second, middle, "field")
    fourth = predict(field, x + h * third, to, "field")
    return _finite_state(x + h / 6 * (first + 2 * (second + third) + fourth), to)


STEPS = {"euler": euler_step, "heun": heun_step, "rk4": rk4_step}


@checked
def ode_states(
    field: Field, x: Float[Tensor, "batch *shape"], times: Float64[Tensor, "times"], method: Method = "rk4"
) -> Iterator[Tensor]:
    """The states of dx/dt = field(x, t) at all times, from x at times[0]."""
    step, pairs = STEPS[method], _pairs(times)

    def states(x):
        yield x
        for t, to in pairs:
            x = step(field, x, t, to)
            yield x

    return states(x)


@checked
def solve_ode(
    field: Field, x: Float[Tensor, "batch *shape"], times: Float64[Tensor, "times"], method: Method = "rk4"
) -> Float[Tensor, "batch *shape"]:
    """The state at the last time of dx/dt = field(x, t), from x at times[0]."""
    return _last(ode_states(field, x, times, method))


@checked
def sde_states(
    drift: Field,
    diffusion: Callable[[float], float | Tensor],
    x: Float[Tensor, "batch *shape"],
    times: Float64[Tensor, "times"],
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Euler–Maruyama for dx = drift(x, t) dt + diffusion(t) dw: x + h drift + √|h| diffusion z, all states.

    Downwards in time, drift and diffusion are those of the reversed process, as `reverse_sde` gives them. The noise
    does not depend on x, so the strong order is 1.
    """
    pairs = _pairs(times)

    def states(x):
        yield x
        for t, to in pairs:
            step = euler_step(drift, x, t, to)
            size = diffusion(t)
            if not isinstance(size, (int, float, Tensor)):
                raise ValueError(f"diffusion must return a number or a tensor, got {kind(size)}")
            spread = torch.as_tensor(abs(to - t) ** 0.5 * size, dtype=x.dtype)
            if spread.ndim and torch.broadcast_shapes(spread.shape, x.shape) != x.shape:
                raise ValueError(f"diffusion must return what multiplies x, {kind(x)}, got shape {kind(spread)}")
            x = _finite_state(step + spread * _noise_like(x, generator), to)
            yield x

    return states(x)


@checked
def euler_maruyama(
    drift: Field,
    diffusion: Callable[[float], float | Tensor],
    x: Float[Tensor, "batch *shape"],
    times: Float64[Tensor, "times"],
    generator: torch.Generator,
) -> Float[Tensor, "batch *shape"]:
    """The last of `sde_states`: x at the last time of dx = drift(x, t) dt + diffusion(t) dw."""
    return _last(sde_states(drift, diffusion, x, times, generator))


@checked
def langevin_states(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "batch *shape"],
    step: float,
    steps: int,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Unadjusted Langevin dynamics x + ε score(x) + √(2ε) z with ε = `step`: all `steps` + 1 states.

    NCSN writes α/2 for ε (arXiv 1907.05600), NCSNv2 α for ε (arXiv 2006.09011). On N(0, s² I) the law that it keeps
    has the variance s² / (1 - ε/2s²), and it diverges from ε = 2s² on.
    """
    require_positive("step", step)
    require_at_least("steps", steps, 1)

    def states(x):
        yield x
        for number in range(1, steps + 1):
            moved = x + step * predict(lambda x, _: score(x), x, 0.0, "score")
            x = _finite_state(moved + math.sqrt(2 * step) * _noise_like(x, generator), number)
            yield x

    return states(x)


@checked
def langevin(
    score: Callable[[Tensor], Tensor],
    x: Float[Tensor, "batch *shape"],
    step: float,
    steps: int,
    generator: torch.Generator,
) -> Float[Tensor, "batch *shape"]:
    """The last of `langevin_states`."""
    return _last(langevin_states(score, x, step, steps, generator))


@checked
def langevin_correction(
    score: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"], ratio: float, generator: torch.Generator
) -> Float[Tensor, "batch *shape"]:
    """One Langevin step whose length keeps a signal-to-noise ratio r: ε = 2 (r ‖z‖ / ‖score‖)², mean norms.

    Source: arXiv 2011.13456, algorithms 4 and 5 without the factor α of VP. A step
    that is not finite raises a `ValueError`.
    """
    require_positive("ratio", ratio)
    noise = _noise_like(x, generator)
    slope = _mean_norm(score)
    if not 0 < slope < math.inf:
        raise ValueError(f"score must be finite and not 0 everywhere, got a mean norm of {slope.item():g}")
    step = 2 * (ratio * _mean_norm(noise) / slope) ** 2
    return require_finite_result(x + step * score + (2 * step).sqrt() * noise, score=score, x=x)


@checked
def predictor_corrector(
    predictor: Callable[[Tensor, float, float], Tensor],
    score: Field,
    x: Float[Tensor, "batch *shape"],
    times: Float64[Tensor, "times"],
    ratio: float,
    generator: torch.Generator,
    corrections: int = 1,
) -> Float[Tensor, "batch *shape"]:
    """x at the last time: each step is predictor(x, t, to), then `corrections` Langevin steps at the time `to`.

    The last time gets none: there, the predictor has the last word. Source: arXiv 2011.13456, algorithm 1.
    """
    require_at_least("corrections", corrections, 0)
    pairs = _pairs(times)
    for t, to in pairs:
        x = predict(lambda x, t: predictor(x, t, to), x, t, "predictor")
        for _ in range(corrections if to != pairs[-1][1] else 0):
            x = langevin_correction(predict(score, x, to, "score"), x, ratio, generator)
        x = _finite_state(x, to)
    return x


@checked_after_errors
def with_times(network: Callable[[Tensor, Tensor], Tensor]) -> Field:
    """A field (x, t) with a number t, of a network (x, time) that wants a tensor (batch,): float32 at least."""
    return lambda x, t: network(x, torch.full(x.shape[:1], t, dtype=working_dtype(x.dtype), device=x.device))


@checked_after_errors
def _finite_state(x: Tensor, t: float) -> Tensor:
    if not all_finite(x):
        raise FloatingPointError(f"the state is not finite at {t:g}: take smaller steps, or stop short of that time")
    return x


def _mean_norm(rows):
    return rows[..., None].flatten(1).norm(dim=1).mean()


def _noise_like(x, generator):
    return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)


def _pairs(times):
    if len(times) < 2 or not (times.diff() > 0).all() and not (times.diff() < 0).all():
        raise ValueError(f"times must hold two or more numbers that grow or fall throughout, got {times.tolist()[:5]}")
    require_finite_entries("times", times)
    return list(pairwise(times.tolist()))


def _last(states):
    for state in states:
        pass
    return state
