"""Flow matching with pairs as drawn and matched in batches, in 2, 64 and 1,200 dimensions: do the flows still go straight?

    python benchmarks/gpu/flow_couplings.py [--seeds 3] [--steps 2000]

The experiment of the chapter on flow matching with networks a thousand times as large (width 1024, 4 residual blocks with
layer norms) and more dimensions: its ring of eight Gaussians, 64 Gaussians with standard normal means and deviation 0.2 in
64 dimensions, and the course's scenes of 3 x 20 x 20 numbers with deviation 1. Pairs of data and noise are as drawn, or
matched in batches of 128 as in the chapter, or of 512. Networks of all seeds and couplings are trained side by side, those
of a seed from the same start on the same data, noises and times; Adam, 512 pairs a step, TF32. Flows are followed in FP32.
The *error* of k Euler steps is the root mean square distance from the end of the flow's own line (RK4, 30 steps), *bending
over way* is B over the way of (9) in the chapter, and the *distance* of samples is the root mean square difference of
sorted projections onto 64 random directions from those of as many fresh data; that of data is for two sets of data.
Batches are matched by auction, many at once.
"""

import math
import time
from argparse import Namespace
from statistics import mean, stdev

import torch
from matching import match
from pictures import pictures
from record import arguments, device, record, say
from stacked import Stack
from torch import Tensor

from lib.generative.mixtures import GaussianMixture, ring_mixture
from lib.generative.paths import RectifiedFlow
from lib.generative.solvers import ode_states, solve_ode, time_grid

FULL = Namespace(hidden=1024, depth=4, batch=512, groups=(1, 128, 512), rate=5e-4, tries=2048, data=2**15, chunk=100)
SMALL = Namespace(hidden=16, depth=1, batch=16, groups=(1, 4, 16), rate=5e-3, tries=32, data=256, chunk=4)
EULER = (1, 4, 16)
# Errors of 1, 4 and 16 Euler steps in the chapter's run: width 64, two dimensions, 700 steps of 128 pairs.
CHAPTER = {1: (1.905, 0.268, 0.055), 128: (0.231, 0.054, 0.013)}


def drawn(mixture: GaussianMixture, count: int) -> Tensor:
    return mixture.sample(count, torch.Generator().manual_seed(0)).float().to(device())


MEANS, ONES = torch.randn(64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64), torch.ones(64).double()
LAWS = {
    "ring of 8": lambda count: drawn(ring_mixture(8, 2.0, 0.2), count),
    "64 Gaussians": lambda count: drawn(GaussianMixture(ONES / 64, MEANS, 0.04 * ONES), count),
    "pictures": lambda count: pictures(count, 0).flatten(1),
}


def in_order(noise: Tensor, x_0: Tensor, group: int) -> Tensor:
    """The noises (…, batch, dim) as they are matched within groups of the batch."""
    if group == 1:
        return noise
    of_groups = noise.reshape(-1, group, noise.shape[-1])
    order = match(x_0.reshape(of_groups.shape), of_groups)
    return of_groups.gather(1, order[..., None].expand_as(of_groups)).view_as(noise)


def train(data: Tensor, size: Namespace, seeds: int, steps: int) -> tuple[Stack, list[float]]:
    """The networks, and the mean square distance of the pairs of each coupling."""
    torch.manual_seed(0)
    generator, path, dim = torch.Generator(device()).manual_seed(0), RectifiedFlow(), data.shape[1]
    net = Stack(len(size.groups), seeds, dim, size.hidden, size.depth).to(device())
    optimizer, costs = torch.optim.Adam(net.parameters(), fused=True), []
    for step in range(steps):
        i = step % size.chunk
        if not i:  # the pairs of many steps are matched at once
            shape = min(size.chunk, steps - step), seeds, size.batch
            x_0 = data[torch.randint(len(data), shape, generator=generator, device=device())]
            noise = torch.randn(*shape, dim, generator=generator, device=device())
            noises = [in_order(noise, x_0, group) for group in size.groups]
            costs.append([float((x_0 - matched).square().sum(-1).mean()) for matched in noises])
        x, times = x_0[i].repeat(len(size.groups), 1, 1), torch.rand(seeds, size.batch, generator=generator, device=device())
        pairs = x.flatten(0, 1), times.repeat(len(size.groups), 1).flatten(), torch.cat([one[i] for one in noises]).flatten(0, 1)
        x_t, velocity = path.add_noise(*pairs).view_as(x), path.velocity(*pairs).view_as(x)
        loss = (net(x_t, pairs[1].view(x.shape[:2])) - velocity).square().mean((1, 2))
        optimizer.param_groups[0]["lr"] = size.rate * min(1, 20 * (step + 1) / steps) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    say(f"  losses a number: {[round(value, 4) for value in loss.tolist()]}")
    return net.requires_grad_(False), [mean(column) for column in zip(*costs, strict=True)]


@torch.no_grad()
def judge(net: Stack, count: int, held: Tensor, other: Tensor) -> Tensor:
    """For each of `count` networks: bending over way, errors and distances of few Euler steps, distances at the end and of data."""
    n, dim = len(held), held.shape[1]
    generator = torch.Generator(device()).manual_seed(1)
    noise = torch.randn(n, dim, generator=generator, device=device()).expand(count, n, dim)
    directions = torch.randn(dim, 64, generator=generator, device=device())
    directions /= directions.norm(dim=0)
    wanted, times = (held @ directions).sort(0).values, time_grid(30)

    def field(x: Tensor, t: float) -> Tensor:
        return net(x, x.new_full(x.shape[:2], t))

    def distance(x: Tensor) -> Tensor:
        return ((x @ directions).sort(1).values - wanted).square().mean((1, 2)).sqrt()

    states = list(ode_states(field, noise, times))
    end, step = states[-1], states[0] - states[-1]
    bend = torch.stack([(field(x, t) - step).square().sum(-1).mean(1) for x, t in zip(states, times.tolist(), strict=True)])
    bent = torch.trapezoid(bend, -times.to(bend), dim=0) / step.square().sum(-1).mean(1)
    few = [solve_ode(field, noise, time_grid(k), "euler") for k in EULER]
    errors = [(x - end).square().sum(-1).mean(1).sqrt() for x in few]
    return torch.stack([bent, *errors, *map(distance, few), distance(end), distance(other[None]).expand(count)], 1)


def main() -> None:
    chosen = arguments(__doc__, seeds={"type": int, "default": 3}, steps={"type": int, "default": 2000})
    size = SMALL if chosen.small else FULL
    if chosen.small:
        chosen.seeds, chosen.steps = 2, 6
    rows, single = [], []
    for law, draw in LAWS.items():
        begin, data = time.perf_counter(), draw(size.data + 2 * size.tries)
        held, other, data = data.split([size.tries, size.tries, size.data])
        torch.backends.cuda.matmul.allow_tf32 = True
        net, costs = train(data, size, chosen.seeds, chosen.steps)
        torch.backends.cuda.matmul.allow_tf32 = False
        found = judge(net, len(size.groups) * chosen.seeds, held, other).view(len(size.groups), chosen.seeds, -1).tolist()
        for group, cost, of_seeds in zip(size.groups, costs, found, strict=True):
            gains = [[plain[k] / one[k] for plain, one in zip(found[0], of_seeds, strict=True)] for k in (1, 2)]
            means = [mean(column) for column in zip(*of_seeds, strict=True)]
            spread = [figure for gain in gains for figure in (mean(gain), stdev(gain) if len(gain) > 1 else None)]
            rows.append([law, data.shape[1], group, cost / costs[0], *means[:4], *spread, *means[4:]])
            single += [[law, group, seed, *one] for seed, one in enumerate(of_seeds)]
            say(f"{law}, batches of {group}: cost {cost / costs[0]:.3f}, gain in 1 step {spread[0]:.2f}, in 4 steps {spread[2]:.2f}")
        say(f"  {time.perf_counter() - begin:.0f} s")
    figures = ["bending over way", *(f"error in {k}" for k in EULER), *(f"distance in {k}" for k in EULER), "distance at the end", "distance of data"]
    gains = ["drawn over this, 1 step", "± 1 step", "drawn over this, 4 steps", "± 4 steps"]
    head = ["law", "dimensions", "matched in batches of", "cost of a pair over drawn", *figures[:4], *gains, *figures[4:]]
    ours = [[group, *errors, *(plain / one for plain, one in zip(CHAPTER[1][:2], errors[:2], strict=True))] for group, errors in CHAPTER.items()]
    results = {
        "flows, means over seeds": (head, rows),
        "the chapter's ring, one run": ([head[2], *figures[1:4], gains[0], gains[2]], ours),
        "each network": ([head[0], head[2], "seed", *figures], single),
    }
    settings = vars(size) | {"steps": chosen.steps, "seeds": chosen.seeds}
    beside = (
        "Tong et al. (https://arxiv.org/abs/2302.00482) match batches on toys in the plane and on images. Nothing crosses only if a batch "
        "holds all data; in many dimensions all noises of a batch are about as far from a picture."
    )
    record("flow_couplings", chosen, settings, results, beside)


if __name__ == "__main__":
    main()
