"""Samplers against diffusers' schedulers and flow_matching's solver, with the same denoiser, one thread, in turn.

    python benchmarks/samplers.py [--rounds 11]

Each row is the median of our CPU time over the median of the peer's for a whole run, and the most memory that either holds.
The denoiser is a line in x, so that nearly all of the time is the sampler's own; the numbers of steps are those of the papers,
a fifth of DDPM's. Where the steps draw nothing, both end at the same samples.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

import diffusers
import flow_matching
import torch
from bench import record_beside, rounds
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    ScoreSdeVeScheduler,
)
from flow_matching.path import MixtureDiscreteProbPath
from flow_matching.path.scheduler import PolynomialConvexScheduler
from flow_matching.solver import MixtureDiscreteEulerSolver
from flow_matching.utils import ModelWrapper

from lib.generative.diffusion import Schedule, linear_betas, sample
from lib.generative.masking import denoiser_log_probs, unmask_step
from lib.generative.paths import VE, VP
from lib.generative.predictions import convert, reverse_sde
from lib.generative.solvers import (
    euler_maruyama,
    euler_step,
    predictor_corrector,
    solve_ode,
    time_grid,
)

Pair = tuple[str, Callable, Callable]
STEPS = 200  # of DDPM


def noise_in(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x


def slope(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Karras et al.'s (x - D) / σ on their clock, for data from N(0, 1/4)."""
    return x * (sigma / (sigma**2 + 0.25))


def images(shape: tuple) -> Iterator[Pair]:
    size, x = " × ".join(map(str, shape)), torch.randn(shape)
    generator = torch.Generator().manual_seed(0)

    ddim = DDIMScheduler(1000, clip_sample=False, timestep_spacing="trailing")
    ddim.set_timesteps(50)
    path = VP(beta_max=21.0)  # its levels reach beyond theirs
    levels = [ddim.alphas_cumprod[t].double() for t in ddim.timesteps] + [torch.ones(()).double()]
    times = [path.time_at((1 / level - 1).sqrt()).item() for level in levels]

    def our_ddim() -> torch.Tensor:
        state = x
        for t, to in zip(times[:-1], times[1:], strict=True):
            noise = noise_in(state)
            state = path.add_noise(convert(path, noise, state, t, "noise", "data"), to, noise)
        return state

    def their_ddim() -> torch.Tensor:
        state = x
        for t in ddim.timesteps:
            state = ddim.step(noise_in(state), t, state).prev_sample
        return state

    assert (our_ddim() - their_ddim()).abs().max() < 1e-4
    yield f"DDIM, 50 steps, {size}", our_ddim, their_ddim

    chain = Schedule(linear_betas(STEPS))
    ddpm = DDPMScheduler(STEPS, trained_betas=chain.betas.tolist(), clip_sample=False)
    ddpm.set_timesteps(STEPS)

    def their_ddpm() -> torch.Tensor:
        state = torch.randn(shape, generator=generator)
        for t in ddpm.timesteps:
            state = ddpm.step(noise_in(state), t, state, generator=generator).prev_sample
        return state

    ours = partial(sample, chain, lambda x, time: noise_in(x), shape, "posterior", generator)
    yield f"DDPM, {STEPS} steps, {size}", ours, their_ddpm

    heun = HeunDiscreteScheduler(1000, use_karras_sigmas=True)

    def their_heun() -> torch.Tensor:
        heun.set_timesteps(18)
        state = 80 * x
        for t in heun.timesteps:
            state = heun.step(slope(state, heun.sigmas[heun.step_index or 0].item()), t, state).prev_sample
        return state

    heun.set_timesteps(18)
    sigmas = heun.sigmas.double().unique().flip(0)

    def our_heun() -> torch.Tensor:
        state = solve_ode(slope, 80 * x, sigmas[:-1], "heun")
        return euler_step(slope, state, sigmas[-2].item(), 0.0)

    assert (our_heun() - their_heun()).abs().max() < 1e-3 * their_heun().abs().max()
    yield f"EDM's Heun, 18 levels, {size}", our_heun, their_heun

    edm = EDMEulerScheduler()

    def their_edm() -> torch.Tensor:
        edm.set_timesteps(18)
        state = 80 * x
        for t in edm.timesteps:  # F = 0 is the denoiser of data from N(0, 1/4)
            state = edm.step(0 * edm.scale_model_input(state, t), t, state).prev_sample
        return state

    grid = torch.cat([time_grid(17, 80.0, 0.002, power=7.0), torch.zeros(1, dtype=torch.float64)])
    ours = partial(solve_ode, slope, 80 * x, grid, "euler")
    assert (ours() - their_edm()).abs().max() < 1e-4
    yield f"EDM's Euler, 18 levels, {size}", ours, their_edm

    straight = FlowMatchEulerDiscreteScheduler(1000)

    def their_flow() -> torch.Tensor:
        straight.set_timesteps(sigmas=time_grid(50)[:-1].tolist())
        state = x
        for t in straight.timesteps:
            state = straight.step(noise_in(state), t, state, return_dict=False)[0]
        return state

    ours = partial(solve_ode, lambda x, t: noise_in(x), x, time_grid(50), "euler")
    assert (ours() - their_flow()).abs().max() < 1e-4
    yield f"rectified flow, Euler, 50 steps, {size}", ours, their_flow

    ve, sde = VE(0.01, 10.0), ScoreSdeVeScheduler(100, snr=0.16, sigma_min=0.01, sigma_max=10.0)
    sde.set_timesteps(100)
    sde.set_sigmas(100)

    def score(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return x * (-1 / (1 + sigma**2))

    def their_sde(corrections: int) -> torch.Tensor:
        state = 10 * x
        for i, t in enumerate(sde.timesteps):
            sigma = sde.sigmas[i].item()
            for _ in range(corrections):
                state = sde.step_correct(score(state, sigma), state, generator=generator).prev_sample
            state = sde.step_pred(score(state, sigma), t, state, generator=generator).prev_sample
        return state

    drift, diffusion = reverse_sde(ve, lambda x, t: score(x, ve.sigma(t).item()))
    grid = time_grid(99)

    def predictor(x: torch.Tensor, t: float, to: float) -> torch.Tensor:
        step = x + (to - t) * drift(x, t)
        return step + (t - to) ** 0.5 * diffusion(t).item() * torch.randn(x.shape, generator=generator)

    ours = partial(euler_maruyama, drift, diffusion, 10 * x, grid, generator)
    yield f"reversed VE SDE, 100 levels, {size}", ours, partial(their_sde, 0)
    ours = partial(predictor_corrector, predictor, lambda x, t: score(x, ve.sigma(t).item()), 10 * x, grid, 0.16, generator)
    yield f"the same with a corrector, {size}", ours, partial(their_sde, 1)


class Denoiser(ModelWrapper):
    """Probabilities of the clean tokens, which flow_matching wants; the mask is the last column."""

    def forward(self, x: torch.Tensor, t: torch.Tensor, **extras) -> torch.Tensor:
        return denoiser_log_probs(self.model[x], x, self.model.shape[1] - 1).exp()


@torch.no_grad()
def unmask(table: torch.Tensor, state: torch.Tensor, steps: int, generator: torch.Generator) -> torch.Tensor:
    mask = len(table) - 1
    for k in range(steps, 0, -1):
        log_probs = denoiser_log_probs(table[state], state, mask)
        state = unmask_step(state, log_probs, k / steps, (k - 1) / steps, mask, generator)
    return state


def tokens() -> Iterator[Pair]:
    """Steps that fill a masked sequence, each place by its own chance."""
    for batch, length, vocabulary, steps in ((16, 64, 28, 32), (2, 64, 5001, 16)):
        mask, generator = vocabulary - 1, torch.Generator().manual_seed(0)
        table, start = torch.randn(vocabulary, vocabulary), torch.full((batch, length), vocabulary - 1)
        path = MixtureDiscreteProbPath(PolynomialConvexScheduler(n=1.0))
        solver = MixtureDiscreteEulerSolver(Denoiser(table), path, vocabulary)
        grid = torch.linspace(0, 1, steps + 1)
        theirs = partial(solver.sample, start, step_size=None, time_grid=grid)

        ours = partial(unmask, table, start, steps, generator)
        assert not (ours() == mask).any() and not (theirs() == mask).any()
        yield f"masked diffusion, {steps} steps, {batch} × {length}, {vocabulary} tokens / flow_matching", ours, theirs


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    of_images = ((f"{row} / diffusers", *pair) for shape in ((256, 2), (16, 3, 32, 32)) for row, *pair in images(shape))
    peers = f"diffusers {diffusers.__version__}, flow_matching {flow_matching.__version__}"
    record_beside("samplers", chain(of_images, tokens()), rounds(11), peers)


if __name__ == "__main__":
    main()
