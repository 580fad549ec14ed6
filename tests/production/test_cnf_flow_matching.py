"""What flow_matching and torchdiffeq do where the chapter on flow matching departs from them, and what lib shares."""

import math
import warnings

import flow_matching
import ot
import pytest
import torch
import torchdiffeq
import zuko
from flow_matching.path import AffineProbPath, CondOTProbPath
from flow_matching.path.scheduler import VPScheduler
from flow_matching.solver import ODESolver
from scipy.optimize import linear_sum_assignment
from torchdiffeq import odeint

from lib.generative.likelihood import log_likelihood
from lib.generative.mixtures import ring_mixture
from lib.generative.paths import VP, RectifiedFlow
from lib.generative.predictions import convert, exact_flow
from lib.generative.solvers import solve_ode, time_grid

VERSION, TORCHDIFFEQ, POT = "1.0.10", "0.2.5", "0.9.7.post1"
CHANGE = f"flow_matching is {flow_matching.__version__}, the page says {VERSION}: change 'In production' of cnf-flow-matching, "
CHANGE_ODE = f"torchdiffeq is {torchdiffeq.__version__}, the page says {TORCHDIFFEQ}: change 'In production' of cnf-flow-matching, "
CHANGE_POT = f"POT is {ot.__version__}, the page says {POT}: change 'In production' of cnf-flow-matching, "
RING, STRAIGHT = ring_mixture(8, 2.0, 0.2), RectifiedFlow()


def normal(*shape, number=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def log_normal(x):
    return -(x**2).sum(1) / 2 - x.shape[1] / 2 * math.log(2 * math.pi)


def their_velocity(x, t):
    """The exact flow of the ring on their clock, data at 1; an adaptive solver looks a little beyond the ends."""
    return -exact_flow(STRAIGHT, RING)(x, min(max(1 - float(t), 0.0), 1.0))


@pytest.mark.parametrize(
    ("theirs", "ours"), [(CondOTProbPath(), STRAIGHT), (AffineProbPath(VPScheduler()), VP())], ids=["straight", "VP"]
)
def test_their_clock_has_noise_at_zero(theirs, ours):
    data, noise, t = normal(6, 2, number=1), normal(6, 2, number=2), torch.linspace(0.1, 0.9, 6).double()
    sample = theirs.sample(x_0=noise, x_1=data, t=t)
    torch.testing.assert_close(sample.x_t, ours.add_noise(data, 1 - t, noise), rtol=0, atol=1e-13, msg=CHANGE + "the clock")
    torch.testing.assert_close(
        sample.dx_t, -ours.velocity(data, 1 - t, noise), rtol=0, atol=1e-13, msg=CHANGE + "the velocity's sign"
    )


def test_without_a_step_size_the_likelihood_is_a_single_step():
    x = RING.sample(6, torch.Generator().manual_seed(0))
    solver = ODESolver(velocity_model=their_velocity)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        end, value = solver.compute_likelihood(x_1=x, log_p0=log_normal, step_size=None, exact_divergence=True)
    constant = torch.full((6,), -2 - math.log(2 * math.pi), dtype=torch.float64)
    assert torch.allclose(end, torch.zeros_like(end), atol=1e-12) and torch.allclose(value, constant, atol=1e-12), (
        CHANGE + f"step_size=None: ends {end}, likelihoods {value}"
    )


def test_the_likelihood_has_no_gradient():
    network = torch.nn.Linear(2, 2).double()
    solver = ODESolver(velocity_model=lambda x, t: network(x))
    _, value = solver.compute_likelihood(
        x_1=normal(3, 2), log_p0=log_normal, step_size=0.1, exact_divergence=True, enable_grad=True
    )
    assert not value.requires_grad, CHANGE + "enable_grad: the likelihood has a gradient now"


def test_a_sample_depends_on_its_neighbours():
    x, ends = normal(6, 2, number=3), torch.tensor([0.0, 1.0]).double()
    options = dict(method="dopri5", rtol=1e-3, atol=1e-3)
    alone = odeint(flipped, x[:1], ends, **options)
    among = odeint(flipped, x, ends, **options)
    gap = (alone[-1] - among[-1][:1]).abs().max().item()
    assert 1e-6 < gap < 1e-1, CHANGE_ODE + f"dopri5: a sample moved by {gap:.2g} among others"
    copies = odeint(flipped, x[:1].repeat(5, 1), ends, **options)
    gap = (alone[-1] - copies[-1]).abs().max().item()
    assert gap < 1e-12, CHANGE_ODE + f"dopri5: a mean square, yet a sample moved by {gap:.2g} among its copies"


def flipped(t, x):
    return their_velocity(x, t)


def test_likelihood_is_that_of_the_library():
    x = RING.sample(6, torch.Generator().manual_seed(0))
    solver = ODESolver(velocity_model=their_velocity)
    _, value = solver.compute_likelihood(
        x_1=x, log_p0=log_normal, step_size=None, method="dopri5", exact_divergence=True, atol=1e-9, rtol=1e-9
    )
    torch.testing.assert_close(value, RING.log_density(x), rtol=0, atol=1e-6)
    ours = log_likelihood(exact_flow(STRAIGHT, RING), x, log_normal, time_grid(400, 0.0, 1.0))
    torch.testing.assert_close(ours, value, rtol=0, atol=1e-5)


def test_noise_to_velocity_is_that_of_the_library():
    x, t = normal(6, 2, number=4), torch.linspace(0.1, 0.9, 6).double()
    path, ours = AffineProbPath(VPScheduler()), VP()
    noise = -ours.sigma(1 - t)[:, None] * RING.score(x, ours.alpha(1 - t), ours.sigma(1 - t))
    theirs = path.epsilon_to_velocity(noise, x, t[:, None])
    torch.testing.assert_close(-theirs, convert(ours, noise, x, 1 - t, "noise", "velocity"), rtol=0, atol=1e-11)


def test_trace_and_determinant_agree_with_zuko():
    matrix = normal(3, 3, number=5) / 2
    transform = zuko.transforms.FreeFormJacobianTransform(f=lambda t, x: x @ matrix.mT, t0=0.0, t1=1.0, exact=True, atol=1e-9, rtol=1e-9)
    x = normal(4, 3, number=6)
    end, log_volume = transform.call_and_ladj(x)
    torch.testing.assert_close(end, x @ torch.matrix_exp(matrix).mT, rtol=0, atol=1e-8)
    torch.testing.assert_close(log_volume, matrix.trace().expand(4), rtol=0, atol=1e-9)
    ours = solve_ode(lambda x, t: x @ matrix.mT, x, time_grid(100, 0.0, 1.0))
    torch.testing.assert_close(ours, end, rtol=0, atol=1e-8)


def test_the_plan_of_pot_holds_masses():
    x, noise = RING.sample(32, torch.Generator().manual_seed(7)), normal(32, 2, number=8)
    costs = ot.dist(x.numpy(), noise.numpy())
    torch.testing.assert_close(
        torch.from_numpy(costs), torch.cdist(x, noise) ** 2, rtol=0, atol=1e-12, msg=CHANGE_POT + "dist: squared distances"
    )
    rows, columns = linear_sum_assignment(costs)
    masses = torch.zeros(32, 32, dtype=torch.float64)
    masses[rows, columns] = 1 / 32
    plan = torch.from_numpy(ot.emd([], [], costs))
    torch.testing.assert_close(plan, masses, rtol=0, atol=1e-15, msg=CHANGE_POT + "emd: 1/n at each matched pair")
    assert (plan.argmax(1) == torch.from_numpy(columns)).all(), CHANGE_POT + "emd: the order is argmax(1)"
