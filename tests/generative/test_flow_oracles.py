"""lib.generative against torchdiffeq, flow_matching, nflows and zuko."""

import math

import pytest
import torch
import torchdiffeq
import zuko
from flow_matching.path import AffineProbPath, CondOTProbPath
from flow_matching.path.scheduler import CondOTScheduler, VPScheduler
from flow_matching.solver import ODESolver
from flow_matching.utils import ModelWrapper
from nflows import transforms
from torch import nn

from lib.generative.bijections import ActNorm, Coupling, InvertibleLinear
from lib.generative.likelihood import log_likelihood
from lib.generative.mixtures import ring_mixture
from lib.generative.paths import VP, RectifiedFlow
from lib.generative.predictions import convert
from lib.generative.solvers import solve_ode, time_grid

MIXTURE = ring_mixture(3, 1.0, 0.4)


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def straight_field(x, t):
    path = RectifiedFlow()
    alpha, sigma = path.alpha(t), path.sigma(t)
    return -MIXTURE.denoise(x, alpha, sigma) - sigma * MIXTURE.score(x, alpha, sigma)


def close(got, want, atol):
    torch.testing.assert_close(got, want, atol=atol, rtol=0)


@pytest.mark.parametrize("method, steps", [("euler", "euler"), ("heun2", "heun")])
def test_fixed_steps_of_torchdiffeq(method, steps):
    x, times = torch.randn(6, 2), time_grid(20, 1.0, 0.01)
    theirs = torchdiffeq.odeint(lambda t, x: straight_field(x, t.item()), x, times, method=method)[-1]
    close(solve_ode(straight_field, x, times, steps), theirs, 1e-13)


def test_dopri5_of_torchdiffeq():
    x, times = torch.randn(6, 2), torch.tensor([1.0, 0.1])  # it looks beyond the end
    theirs = torchdiffeq.odeint(lambda t, x: straight_field(x, t.item()), x, times, rtol=1e-11, atol=1e-11)[-1]
    close(solve_ode(straight_field, x, time_grid(400, 1.0, 0.1)), theirs, 1e-8)


def test_paths_of_flow_matching():
    """Their t = 1 is data."""
    x_0, noise, t = torch.randn(7, 2), torch.randn(7, 2), torch.rand(7)
    for theirs, ours in ((CondOTProbPath(), RectifiedFlow()), (AffineProbPath(VPScheduler()), VP())):
        sample = theirs.sample(x_0=noise, x_1=x_0, t=1 - t)
        close(ours.add_noise(x_0, t, noise), sample.x_t, 1e-13)
        close(-ours.velocity(x_0, t, noise), sample.dx_t, 1e-12)
        value = torch.randn(7, 2)
        converted = theirs.epsilon_to_velocity(value, sample.x_t, (1 - t)[:, None])
        close(-convert(ours, value, sample.x_t, t, "noise", "velocity"), converted, 1e-11)


def test_likelihood_of_flow_matching():
    class Exact(ModelWrapper):
        def forward(self, x, t, **extras):
            return -straight_field(x, min(max(1 - float(t), 1e-9), 1 - 1e-7))

    x = MIXTURE.sample(10, torch.Generator().manual_seed(0))
    base = lambda z: -(z**2).sum(1) / 2 - math.log(2 * math.pi)  # noqa: E731
    _, theirs = ODESolver(Exact(nn.Identity())).compute_likelihood(
        x, base, step_size=None, method="dopri5", exact_divergence=True, time_grid=torch.tensor([1.0, 0.0]), atol=1e-9, rtol=1e-9
    )
    ours = log_likelihood(straight_field, x, base, time_grid(200, 0.0, 1.0))
    close(ours, theirs, 1e-6)
    close(ours, MIXTURE.log_density(x), 1e-6)


@pytest.mark.parametrize("channels", [2, 8])
def test_couplings_of_nflows_and_zuko(channels):
    half = channels // 2
    network, x = nn.Sequential(nn.Linear(half, 16), nn.Tanh(), nn.Linear(16, 2 * half)), torch.randn(9, channels)

    class WithContext(nn.Module):
        def forward(self, x, context=None):  # nflows: shift and scale one after the other, scale = σ(raw + 2) + 1e-3
            raw, shift = network(x).chunk(2, 1)
            return torch.cat([shift, torch.logit(raw.exp() - 1e-3) - 2], 1)

    network[2].weight.data *= 0.1
    network[2].bias.data[:half] -= 0.7  # nflows can only contract
    ours = Coupling(channels, network, limit=math.inf)
    mask = torch.tensor([0] * half + [1] * half)
    theirs = transforms.AffineCouplingTransform(mask, lambda i, o: WithContext())
    for got, want in ((ours(x), theirs(x)), (ours.inverse(x), theirs.inverse(x))):
        close(got[0], want[0], 1e-12)
        close(got[1], want[1], 1e-12)

    class Affine(torch.distributions.transforms.AffineTransform):
        def log_abs_det_jacobian(self, x, y):
            return self.scale.log()

    def meta(kept, context=None):
        raw, shift = network(kept).chunk(2, 1)
        return zuko.transforms.DependentTransform(Affine(shift, raw.exp()), 1)

    coupling = zuko.transforms.CouplingTransform(meta, ~mask.bool())
    z, log_det = coupling.call_and_ladj(x)
    close(ours(x)[0], z, 1e-13)
    close(ours(x)[1], log_det, 1e-12)


def test_one_by_one_convolution_and_actnorm_of_nflows():
    x, ours, theirs = torch.randn(20, 4, 3, 3), InvertibleLinear(4), transforms.OneByOneConvolution(4)
    theirs.permutation._permutation.copy_(torch.arange(4))
    with torch.no_grad():
        theirs.lower_entries.copy_(0.3 * torch.randn(6))
        theirs.upper_entries.copy_(0.3 * torch.randn(6))
        lower, upper = theirs._create_lower_upper()
        ours.order.copy_(torch.arange(4))
        ours.signs.fill_(1)
        ours.lower.copy_(lower.tril(-1))
        ours.upper.copy_(upper.triu(1))
        ours.log_scale.copy_(upper.diagonal().log())
    z, log_det = theirs(x)
    close(ours(x)[0], z, 1e-13)
    close(ours(x)[1], log_det, 1e-12)
    close(ours.inverse(z)[0], x, 1e-12)
    actnorm, other = ActNorm(4), transforms.ActNorm(4)
    other(x), actnorm(x)
    shrunk = (1 - 1 / 180) ** 0.5  # theirs divides by the unbiased deviation
    close(actnorm(x)[0] * shrunk, other(x)[0], 1e-12)
    close(actnorm(x)[1] + 36 * math.log(shrunk), other(x)[1], 1e-11)
