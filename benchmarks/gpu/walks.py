"""EDM's rivals: the samplers that the chapter compares, on any denoiser of data of deviation about 0.5, and their ratios."""

from collections.abc import Callable

import torch
from torch import Tensor

from lib.generative.paths import EDM, VP, GaussianPath
from lib.generative.solvers import solve_ode, time_grid

Denoiser = Callable[[Tensor, float], Tensor]
LOW, HIGH = 0.002, 80.0
RHOS = (1, 3, 5, 7, 10, 20)
SIGMA, VARIANCE = EDM(rho=1.0), EDM(rho=0.5)  # the clocks σ and σ², EDM's and VE's
# What (14) of the chapter bounds from below: errors of which samplers, each with the place of its evaluations among four, or 35.
RATIOS = [
    ("together, VP", ("VP: Euler", 2), ("EDM: Heun", 2), 2.5),
    ("together, VE", ("VE: Euler", 2), ("EDM: Heun", 2), 15),
    ("levels", ("VP: Heun", 2), ("VP: Heun, levels (7)", 2), 8),
    ("levels, ρ = 3 over 7", ("ρ = 3", 35), ("ρ = 7", 35), 2.5),
    ("clock, VE's over EDM's", ("VE: Heun, levels (7)", 2), ("EDM: Heun", 2), 4),
    ("clock, EDM's over VP's", ("EDM: Heun", 2), ("VP: Heun, levels (7)", 2), 2),
    ("later, VP", ("VP: Euler", 3), ("EDM: Heun", 3), None),
    ("later, VE", ("VE: Euler", 3), ("EDM: Heun", 3), None),
    ("early, Heun over Euler", ("EDM: Heun", 0), ("EDM: Euler", 0), 2),
    ("limit, ρ = 20 over 7", ("ρ = 20", 35), ("ρ = 7", 35), 0.6),
]


def levels(n: int, rho: float = 7.0) -> Tensor:
    """(7) without its last 0."""
    return time_grid(n - 1, HIGH, LOW, power=float(rho))


def even(n: int) -> Tensor:
    """VP's own levels: equal steps of t."""
    return VP().noise_level(torch.linspace(*VP().time_at(levels(2)).tolist(), n, dtype=torch.float64))


def on_clock(path: GaussianPath, denoise: Denoiser, z: Tensor, levels: Tensor, method: str) -> Tensor:
    """Steps of (2) in the path's own time from noise z of level 1 at all levels, then onto D."""
    times = path.time_at(levels)
    alphas = path.alpha(times).tolist()

    def velocity(x: Tensor, t: float) -> Tensor:
        alpha, nu, alpha_rate, sigma_rate = (float(f(t)) for f in (path.alpha, path.noise_level, path.alpha_rate, path.sigma_rate))
        nu_rate = (sigma_rate - alpha_rate * nu) / alpha
        return alpha_rate / alpha * x + alpha * nu_rate / nu * (x / alpha - denoise(x / alpha, nu))

    x = solve_ode(velocity, alphas[0] * float(levels[0]) * z, times, method)
    return denoise(x / alphas[-1], float(levels[-1]))


def heun(denoise: Denoiser, z: Tensor, n: int, rho: float = 7.0) -> Tensor:
    """EDM's own sampler: n steps and 2n - 1 evaluations."""
    return on_clock(SIGMA, denoise, z, levels(n, rho), "heun")


def errors(denoise: Denoiser, z: Tensor, counts: tuple[int, ...], ruler: int) -> dict[tuple[str, int], float]:
    """By sampler and evaluations, and by ρ, the root mean square of a number against `ruler` steps of Heun."""
    truth, found = heun(denoise, z, ruler, 10.0), {}
    for n in counts:
        many = 2 * n - 1
        walks = {
            "VP: Euler": (VP(), even(many), "euler"), "VP: Heun": (VP(), even(n), "heun"), "VP: Heun, levels (7)": (VP(), levels(n), "heun"),
            "VE: Euler": (VARIANCE, levels(many, 1e5), "euler"), "VE: Heun, levels (7)": (VARIANCE, levels(n), "heun"),
            "EDM: Euler": (SIGMA, levels(many), "euler"), "EDM: Heun": (SIGMA, levels(n), "heun"),
        }  # fmt: skip
        found |= {(name, many): on_clock(path, denoise, z, *rest) for name, (path, *rest) in walks.items()}
    found |= {(f"ρ = {rho}", 35): heun(denoise, z, 18, rho) for rho in RHOS}
    return {case: float((x - truth).square().mean().sqrt()) for case, x in found.items()}


def ratio(found: dict[tuple[str, int], float], above: tuple[str, int], below: tuple[str, int], counts: tuple[int, ...]) -> float:
    """Of two errors, as `RATIOS` names them."""
    one, other = (found[name, at if at == 35 else 2 * counts[at] - 1] for name, at in (above, below))
    return one / other
