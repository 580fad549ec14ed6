"""Coupling flows, solvers of ODEs and likelihoods against nflows, zuko, torchdiffeq and flow_matching, with the same networks.

    python benchmarks/flows.py [--rounds 11]

One thread, in turn. Each row is the median of our CPU time over the median of the peer's, and the most memory that either
holds in a call. The couplings have the same networks and each library's own bound on the scale. The solvers make the same
steps, and torchdiffeq's rk4, the 3/8 rule, has as many calls in each as ours.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

import flow_matching
import torch
import torchdiffeq
import zuko
from bench import record_beside, rounds
from flow_matching.solver import ODESolver
from flow_matching.utils import ModelWrapper
from nflows import transforms
from torch import nn

from lib.generative.bijections import ActNorm, Coupling, Flow, InvertibleLinear
from lib.generative.likelihood import log_likelihood
from lib.generative.networks import ResidualMLP
from lib.generative.solvers import solve_ode, time_grid, with_times

Pair = tuple[str, Callable, Callable, int]


def backward(function: Callable, x: torch.Tensor, parameters: list) -> Callable:
    def once() -> None:
        for parameter in parameters:
            parameter.grad = None
        z, log_det = function(x)
        (log_det - z.square().flatten(1).sum(1) / 2).mean().backward()

    return once


def network(kept: int, made: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(kept, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, made))


class WithContext(nn.Module):
    """A network as nflows calls it."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor, context: None = None) -> torch.Tensor:
        return self.inner(x)


def of_zuko(inner: nn.Module, channels: int) -> Callable:
    """What makes zuko's transform of the moved half."""

    def transform(kept: torch.Tensor) -> zuko.transforms.DependentTransform:
        return zuko.transforms.DependentTransform(zuko.transforms.MonotonicAffineTransform(*inner(kept).chunk(2, 1)), 1)

    return transform


def couplings() -> Iterator[Pair]:
    """Eight affine couplings in turn on both halves."""
    for batch, channels in ((256, 2), (1024, 8)):
        half = channels // 2
        inner = [network(half, 2 * half) for _ in range(8)]
        masks = [torch.tensor([i % 2] * half + [1 - i % 2] * half) for i in range(8)]  # nflows moves where it is 1
        ours = Flow([Coupling(channels, f, flipped=i % 2 == 1) for i, f in enumerate(inner)])
        nflows = transforms.CompositeTransform(
            [transforms.AffineCouplingTransform(mask, lambda i, o, f=f: WithContext(f)) for mask, f in zip(masks, inner, strict=True)]
        )
        zukos = zuko.transforms.ComposedTransform(
            *[zuko.transforms.CouplingTransform(of_zuko(f, channels), mask == 0) for mask, f in zip(masks, inner, strict=True)]
        )
        x, parameters = torch.randn(batch, channels), list(ours.parameters())
        size = f"eight couplings, {batch} × {channels}"
        for name, forward, inverse in (
            ("nflows", nflows, nflows.inverse),
            ("zuko", zukos.call_and_ladj, zukos.inv.call_and_ladj),
        ):
            yield f"{size}, forward / {name}", torch.no_grad()(partial(ours, x)), torch.no_grad()(partial(forward, x)), 3
            yield f"{size}, inverse / {name}", torch.no_grad()(partial(ours.inverse, x)), torch.no_grad()(partial(inverse, x)), 3
            yield f"{size}, forward and backward / {name}", backward(ours, x, parameters), backward(forward, x, parameters), 2


def glow() -> Iterator[Pair]:
    """The other two layers of Glow."""
    x = torch.randn(64, 12, 16, 16)
    for name, ours, theirs in (
        ("1 × 1 convolution", InvertibleLinear(12), transforms.OneByOneConvolution(12)),
        ("actnorm", ActNorm(12), transforms.ActNorm(12)),
    ):
        ours(x), theirs(x)
        own, other = list(ours.parameters()), list(theirs.parameters())
        for way, one, two in (
            ("forward", torch.no_grad()(partial(ours, x)), torch.no_grad()(partial(theirs, x))),
            ("inverse", torch.no_grad()(partial(ours.inverse, x)), torch.no_grad()(partial(theirs.inverse, x))),
            ("forward and backward", backward(ours, x, own), backward(theirs, x, other)),
        ):
            yield f"{name}, 64 × 12 × 16 × 16, {way} / nflows", one, two, 2


class Velocity(ModelWrapper):
    """A network as flow_matching calls it, whose times run the other way."""

    def forward(self, x: torch.Tensor, t: torch.Tensor, **extras) -> torch.Tensor:
        return -self.model(x, (1 - t).float().expand(len(x)))


def solvers() -> Iterator[Pair]:
    """Forty steps of a field that costs next to nothing, and of a network."""
    model, times = ResidualMLP(2, 64, 2), time_grid(40)
    for name, field, x in (
        ("x ↦ -x", lambda x, t: -x, torch.randn(512, 2)),
        ("x ↦ -x", lambda x, t: -x, torch.randn(64, 3, 32, 32)),
        ("a network", with_times(model), torch.randn(512, 2)),
    ):
        for method, other in (("euler", "euler"), ("heun", "heun2"), ("rk4", "rk4")):

            def theirs(field: Callable = field, x: torch.Tensor = x, other: str = other) -> torch.Tensor:
                return torchdiffeq.odeint(lambda t, x: field(x, t), x, times, method=other)[-1]

            if name == "a network":

                def theirs(x: torch.Tensor = x, other: str = other) -> torch.Tensor:  # noqa: F811
                    return torchdiffeq.odeint(lambda t, x: model(x, t.float().expand(len(x))), x, times, method=other)[-1]

            ours, theirs = (torch.no_grad()(f) for f in (partial(solve_ode, field, x, times, method), theirs))
            assert method == "rk4" or (ours() - theirs()).abs().max() < 1e-4
            yield f"ODE, {name}, {' × '.join(map(str, x.shape))}, {method} / torchdiffeq", ours, theirs, 1


def normal(x: torch.Tensor) -> torch.Tensor:
    return -x.square().sum(1) / 2 - x.shape[1] * math.log(2 * math.pi) / 2


def likelihoods() -> Iterator[Pair]:
    """Forty steps of Heun, exact and by one probe of signs."""
    for dim in (2, 16):
        model, x, times = ResidualMLP(dim, 64, 2), torch.randn(256, dim), time_grid(40, 0.0, 1.0)
        solver, probes = ODESolver(Velocity(model)), torch.randint(2, (1, 256, dim)) * 2.0 - 1
        for name, probe in (("exact trace", None), ("one probe", probes)):
            ours = partial(log_likelihood, with_times(model), x, normal, times, "heun", probe)
            theirs = partial(
                solver.compute_likelihood, x, normal, step_size=None, method="heun2", exact_divergence=probe is None,
                time_grid=1 - times.float(),
            )  # fmt: skip
            apart = (ours() - theirs()[1]).abs()
            assert probe is not None or apart.max() < 1e-3, apart.max()
            yield f"likelihood of 256 × {dim}, {name} / flow_matching", ours, theirs, 1


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cases = chain.from_iterable(group() for group in (couplings, glow, solvers, likelihoods))
    peers = f"nflows 0.14, zuko {zuko.__version__}, torchdiffeq {torchdiffeq.__version__}, flow_matching {flow_matching.__version__}"
    record_beside("flows", cases, rounds(11), peers)


if __name__ == "__main__":
    main()
