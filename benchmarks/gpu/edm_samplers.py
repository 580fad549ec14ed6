"""EDM's claims with trained networks on pictures: which sampler is nearest to its network's own flow, and what preconditioning gains.

    python benchmarks/gpu/edm_samplers.py [--seeds 3] [--steps 1200] [--seconds 150]

The chapter on EDM compares samplers with an exact denoiser in the plane. Here a U-Net of some million weights learns 32,768
of the course's scenes, 3 x 20 x 20 numbers of deviation 0.5, in BF16 (AdamW, 256 pictures a step, noise levels as the paper
draws them), and the same samplers walk on it from the same 128 noises, in FP32. The *error* is the chapter's: the root mean
square of a number, against 400 steps of Heun. The exact denoiser goes through the same code in float64, so that the
chapter's figures stand beside. Three networks a seed differ by what is predicted: the factors of (12), the noise
(skip 1, out σ), or the data (skip 0, out 0.5), each with the plain loss of what the network gives out, whose target has
variance 1. *Left over* is the mean square error of D over that of the best multiple of x, on other pictures. The *nearest
picture* of a sample (18 steps of Heun) is the one of the training set, as a root mean square over its numbers; beside it
stands that of other pictures. No seed begins that would not end within the seconds.
"""

import math
import time
from argparse import Namespace
from statistics import mean, stdev

import torch
from pictures import pictures
from record import arguments, autocast, device, record, say
from torch import Tensor
from unet import DEVIATION, PREDICTED, UNet, ahead, denoiser
from walks import HIGH, LOW, RATIOS, Denoiser, errors, heun, ratio

from lib.generative.mixtures import ring_mixture

FULL = Namespace(widths=(64, 128, 192), told=256, batch=256, rate=1e-3, data=2**15, held=512, walks=128, counts=(9, 18, 36, 72), ruler=400)
SMALL = Namespace(widths=(8, 8, 8), told=8, batch=8, rate=1e-3, data=64, held=16, walks=4, counts=(3, 4, 5, 6), ruler=20)
LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 80.0)


def train(predicted: str, data: Tensor, size: Namespace, steps: int, seed: int) -> UNet:
    torch.manual_seed(seed)
    generator = torch.Generator(device()).manual_seed(seed)
    net = UNet(size.widths, size.told).to(device(), memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.0, fused=True)
    for i in range(steps):
        x_0 = data[torch.randint(len(data), (size.batch,), generator=generator, device=device())]
        sigma = (1.2 * torch.randn(size.batch, generator=generator, device=device()) - 1.2).exp().clamp(LOW, HIGH)
        x = x_0 + sigma[:, None, None, None] * torch.randn(x_0.shape, generator=generator, device=device())
        with autocast():
            given, skip, out = ahead(net, predicted, x, sigma)
        loss = (given.float() - (x_0 - skip * x) / out).square().mean()
        optimizer.param_groups[0]["lr"] = size.rate * min(1, 20 * (i + 1) / steps) * (0.5 + 0.5 * math.cos(math.pi * i / steps))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    say(f"  {predicted}: last loss {loss.item():.4f}")
    return net.requires_grad_(False)


def left_over(denoise: Denoiser, held: Tensor, noise: Tensor, sigma: float) -> float:
    """The mean square error of D at a level over that of the best multiple of the input."""
    wrong = (denoise(held + sigma * noise, sigma) - held).square().mean()
    return wrong.item() * (1 / sigma**2 + 1 / DEVIATION**2)


def nearest(x: Tensor, data: Tensor) -> float:
    """The mean distance of pictures from the nearest of the data, a number."""
    return float(torch.cdist(x.flatten(1), data.flatten(1)).amin(1).mean()) / x[0].numel() ** 0.5


def spread(values: list[float]) -> list[float | None]:
    return [mean(values), stdev(values) if len(values) > 1 else None]


@torch.no_grad()
def judge(nets: dict[str, UNet], data: Tensor, held: Tensor, size: Namespace, seed: int) -> tuple[dict, dict, dict]:
    """What is left over by prediction and level, the nearest pictures by prediction, and the errors of the samplers."""
    generator = torch.Generator(device()).manual_seed(1000 + seed)
    noise = torch.randn(held.shape, generator=generator, device=device())
    made = {predicted: denoiser(net, predicted) for predicted, net in nets.items()}
    left = {(predicted, sigma): left_over(denoise, held, noise, sigma) for predicted, denoise in made.items() for sigma in LEVELS}
    near = {predicted: nearest(heun(denoise, noise, 18), data) for predicted, denoise in made.items()}
    return left, near, errors(made["EDM"], noise[: size.walks], size.counts, size.ruler)


def main() -> None:
    more = {"seeds": {"type": int, "default": 3}, "steps": {"type": int, "default": 1200}, "seconds": {"type": float, "default": 150.0}}
    chosen = arguments(__doc__, **more)
    size = SMALL if chosen.small else FULL
    if chosen.small:
        chosen.seeds, chosen.steps = 2, 6
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = False, True
    begin, ring = time.perf_counter(), ring_mixture(8, 0.7, 0.07)
    held, data = pictures(size.held + size.data, 0, DEVIATION).to(memory_format=torch.channels_last).split([size.held, size.data])
    plane = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = errors(lambda x, sigma: ring.denoise(x, 1.0, sigma), plane, size.counts, size.ruler)
    say(f"pictures, and samplers in the plane: {time.perf_counter() - begin:.0f} s")
    runs, begin = [], time.perf_counter()
    for seed in range(chosen.seeds):
        if seed and (time.perf_counter() - begin) * (seed + 1) / seed > chosen.seconds:
            say(f"stopped after {seed} seeds")
            break
        nets = {predicted: train(predicted, data, size, chosen.steps, seed) for predicted in PREDICTED}
        say(f"seed {seed}: trained, {time.perf_counter() - begin:.0f} s")
        runs.append(judge(nets, data, held, size, seed))
        say(f"seed {seed}: walked, {time.perf_counter() - begin:.0f} s")
    left, near, errs = zip(*runs, strict=True)

    def over_seeds(values: list[dict], case: tuple | str) -> list[float | None]:
        return spread([one[case] for one in values])

    rows = [[*case, *over_seeds(errs, case), exact[case]] for case in exact]
    ratios = [
        [name, *spread([ratio(one, *cases, size.counts) for one in errs]), ratio(exact, *cases, size.counts), bound]
        for name, *cases, bound in RATIOS
    ]
    lefts = [[sigma, *(figure for predicted in PREDICTED for figure in over_seeds(left, (predicted, sigma)))] for sigma in LEVELS]
    columns = [name for predicted in PREDICTED for name in (predicted, f"± {predicted}")]
    nears = [[predicted, *over_seeds(near, predicted), nearest(held, data)] for predicted in PREDICTED]
    results = {
        "errors of the samplers": (["sampler", "evaluations", "error", "±", "exact, in the plane"], rows),
        "ratios of errors": (["ratio", "here", "±", "exact, in the plane", "at least, in the chapter"], ratios),
        "left over by what is predicted": (["noise level", *columns], lefts),
        "nearest pictures": (["predicted", "nearest picture", "±", "of other pictures"], nears),
        "each seed": (["case", "evaluations", "seed", "error"], [[*case, i, one[case]] for i, one in enumerate(errs) for case in one]),
    }
    settings = vars(size) | {"deviation": DEVIATION, "steps": chosen.steps, "seeds done": len(runs)}
    beside = (
        "Karras et al. (https://arxiv.org/abs/2206.00364, section 3): Heun, the levels and the clock σ save a factor of 7.3 of the "
        "evaluations for VP's network, 300 for VE's, at equal FID."
    )
    record("edm_samplers", chosen, settings, results, beside)


if __name__ == "__main__":
    main()
