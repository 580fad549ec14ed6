"""lib.generative.diffusion against exact Gaussian algebra, against Bayes' rule on a grid, and on bad input."""

import numpy as np
import pytest
import torch

from lib.generative.diffusion import (
    Schedule,
    add_noise,
    ancestral_step,
    at,
    denoising_loss,
    linear_betas,
    predict_data,
    sample,
)

STEPS = 50


@pytest.fixture
def schedule():
    return Schedule(linear_betas(STEPS))


def generator(number=0):
    return torch.Generator().manual_seed(number)


def test_linear_betas_are_those_of_the_paper_at_a_thousand_steps():
    betas = linear_betas(1000)
    assert betas[0].item() == 1e-4 and betas[-1].item() == 0.02
    assert torch.allclose(betas.diff(), torch.full((999,), 0.0199 / 999, dtype=torch.float64), atol=1e-15, rtol=0)


def test_linear_betas_leave_equally_little_of_the_data_at_every_number_of_steps():
    left = [Schedule(linear_betas(steps)).alpha_bars[-1].item() for steps in (100, 1000, 10_000)]
    assert all(1e-5 < value < 1e-4 for value in left)


def test_one_step_kernels_compose_to_add_noise(schedule):
    """x_t = scale x_0 + noise of a variance; both follow from x_t = √(1-β_t) x_{t-1} + √β_t z alone."""
    scale, variance = 1.0, 0.0
    one = torch.ones(1, 1, dtype=torch.float64)
    for t, beta in enumerate(schedule.betas.tolist(), start=1):
        scale, variance = scale * (1 - beta) ** 0.5, variance * (1 - beta) + beta
        assert add_noise(schedule, one, t, 0 * one).item() == pytest.approx(scale, abs=1e-14)
        assert add_noise(schedule, 0 * one, t, one).item() == pytest.approx(variance**0.5, abs=1e-14)
        assert schedule.alpha_bars_before[t - 1].item() == pytest.approx((scale / (1 - beta) ** 0.5) ** 2, abs=1e-14)


def test_noise_variance_does_not_cancel():
    """With β = 1e-12 for three steps, 1 - ᾱ_t is t · 1e-12 to twelve digits; the naive difference has four."""
    betas = torch.full((3,), 1e-12, dtype=torch.float64)
    want = np.array([1.0, 2.0, 3.0]) * 1e-12
    np.testing.assert_allclose(Schedule(betas).noise_variances.numpy(), want, rtol=1e-11)


@pytest.mark.parametrize("t", [2, 3, STEPS // 2, STEPS])
def test_posterior_is_bayes_rule_on_a_grid(schedule, t):
    """The normalised product q(x_t | x_{t-1}) q(x_{t-1} | x_0), has the tables' mean and variance."""
    x_0, x_t, beta = 0.7, -0.4, schedule.betas[t - 1].item()
    before = schedule.alpha_bars_before[t - 1].item()
    grid = np.linspace(-12, 12, 200_001)
    logs = -((x_t - (1 - beta) ** 0.5 * grid) ** 2) / (2 * beta) - (grid - before**0.5 * x_0) ** 2 / (2 * (1 - before))
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    mean = (weights * grid).sum()
    posterior = schedule.posterior
    assert (posterior.data[t - 1] * x_0 + posterior.noisy[t - 1] * x_t).item() == pytest.approx(mean, abs=1e-10)
    assert posterior.variance[t - 1].item() == pytest.approx((weights * (grid - mean) ** 2).sum(), rel=1e-9)


def test_posterior_of_the_first_step_is_the_data(schedule):
    data, noisy, variance = (table[0].item() for table in schedule.posterior)
    assert data == pytest.approx(1, abs=1e-14) and noisy == 0 and variance == 0


@pytest.mark.parametrize("variance", ["beta", "posterior"])
def test_ancestral_steps_with_the_true_data_return_it_and_pass_the_marginals(schedule, variance):
    """Told the true noise at every step, the chain ends at x_0; the posterior's variance keeps the marginals of q."""
    x_0 = torch.full((20_000, 1), 0.5, dtype=torch.float64)
    rng = generator()
    x = add_noise(schedule, x_0, STEPS, torch.randn(x_0.shape, generator=rng, dtype=x_0.dtype))
    for t in range(STEPS, 0, -1):
        signal, noise = schedule.alpha_bars[t - 1].sqrt(), schedule.noise_variances[t - 1].sqrt()
        if variance == "posterior":
            assert x.mean().item() == pytest.approx((signal * 0.5).item(), abs=5 * noise.item() / 20_000**0.5)
            assert x.var().item() == pytest.approx(noise.item() ** 2, rel=0.05)
        x = ancestral_step(schedule, x, t, (x - signal * x_0) / noise, variance, rng)
    assert torch.allclose(x, x_0, atol=1e-12)


@pytest.mark.parametrize("variance", ["beta", "posterior"])
def test_ancestral_step_draws_the_named_variance_and_none_at_the_last_step(schedule, variance):
    x = torch.zeros(40_000, 1)
    want = schedule.betas if variance == "beta" else schedule.posterior.variance
    drawn = ancestral_step(schedule, x, 2, x, variance, generator())
    assert drawn.var().item() == pytest.approx(want[1].item(), rel=0.05)
    assert torch.count_nonzero(ancestral_step(schedule, x, 1, x, variance, generator())) == 0


def test_predict_data_inverts_add_noise_in_float32(schedule):
    x_0, noise = torch.randn(STEPS, 3, generator=generator()), torch.randn(STEPS, 3, generator=generator(1))
    t = torch.arange(1, STEPS + 1)
    assert torch.allclose(predict_data(schedule, add_noise(schedule, x_0, t, noise), t, noise), x_0, atol=1e-4)


def test_at_takes_a_step_for_each_example(schedule):
    x = torch.zeros(3, 2, 4)
    got = at(schedule.betas, torch.tensor([1, 7, STEPS]), x)
    assert got.shape == (3, 1, 1) and got.dtype == x.dtype
    assert torch.equal(got.flatten(), schedule.betas[[0, 6, STEPS - 1]].float())


def test_samples_of_an_exact_network_have_the_data_variance():
    """For data N(0, s²) the best prediction is linear; with σ² = β, the chain then ends at variance s² + O(1/T)."""
    schedule, s2 = Schedule(linear_betas(200)), 0.25

    def network(x, time):
        t = (time * schedule.steps).round().long()
        signal, noise = at(schedule.alpha_bars, t, x), at(schedule.noise_variances, t, x)
        return noise.sqrt() * x / (signal * s2 + noise)

    got = sample(schedule, network, (2000, 2), "beta", generator())
    assert got.shape == (2000, 2) and got.dtype == torch.float32
    assert got.var().item() == pytest.approx(s2, rel=0.1)


def test_sampling_visits_every_step_from_the_last_to_the_first(schedule):
    visited = []

    def network(x, time):
        visited.append(time)
        return torch.zeros_like(x)

    sample(schedule, network, (3, 2), "posterior", generator())
    want = torch.arange(STEPS, 0, -1)[:, None].expand(STEPS, 3) / STEPS
    assert torch.equal(torch.stack(visited), want)


def test_losses_of_a_constant_prediction(schedule):
    """A network that says 0 errs by ε: L_simple is E ε² = 1, the bound's part is the sum of its weights."""
    x_0 = torch.randn(40_000, 2, generator=generator())

    def silent(x, time):
        return torch.zeros_like(x)

    assert denoising_loss(schedule, silent, x_0, "simple", generator()).item() == pytest.approx(1, abs=0.03)
    bound = denoising_loss(schedule, silent, x_0, "elbo", generator()).item()
    assert bound == pytest.approx(schedule.elbo_weights.sum().item(), rel=0.05)


def test_elbo_weight_is_the_divergence_of_the_two_gaussians(schedule):
    """For σ² = β, term t is KL(N(μ̃, β̃) ‖ N(μ_θ, β)): moving ε by 1 moves it by the weight."""
    for t in (1, 2, STEPS):
        x = torch.zeros(1, 1, dtype=torch.float64)
        means = [schedule.posterior.data[t - 1] * predict_data(schedule, x, t, x + shift) for shift in (0, 1)]
        growth = (means[1] - means[0]).square().item() / (2 * schedule.betas[t - 1].item())
        assert schedule.elbo_weights[t - 1].item() == pytest.approx(growth, rel=1e-12)


def test_denoising_loss_tells_the_network_the_step_it_noised_with(schedule):
    """A network that knows x_0 finds ε from (x, time) only if time is t/T: the loss is then 0."""
    x_0 = torch.randn(2000, 2, generator=generator(), dtype=torch.float64)

    def network(x, time):
        t = (time * schedule.steps).round().long()
        assert t.unique().tolist() == list(range(1, STEPS + 1))
        return (x - at(schedule.alpha_bars.sqrt(), t, x) * x_0) / at(schedule.noise_variances.sqrt(), t, x)

    assert denoising_loss(schedule, network, x_0, "simple", generator()).item() < 1e-20


@pytest.mark.parametrize("steps", [20, 0, -3])
def test_too_few_steps_for_linear_betas(steps):
    with pytest.raises(ValueError, match=f"steps must be more than 20.*got {steps}"):
        linear_betas(steps)


@pytest.mark.parametrize(
    ("betas", "message"),
    [
        (torch.tensor([0.1, 1.0], dtype=torch.float64), r"betas must lie in \(0, 1\), got 0.1 to 1"),
        (torch.tensor([0.0], dtype=torch.float64), r"betas must lie in \(0, 1\)"),
        (torch.tensor([float("nan")], dtype=torch.float64), r"betas must lie in \(0, 1\), got nan"),
        (torch.tensor([0.1]), "betas must be a float64 tensor.*float32"),
        (torch.zeros(0, dtype=torch.float64), "betas must be a float64 tensor"),
        (torch.full((2, 2), 0.1, dtype=torch.float64), r"shape \(2, 2\)"),
    ],
)
def test_bad_betas(betas, message):
    with pytest.raises(ValueError, match=message):
        Schedule(betas)


@pytest.mark.parametrize("t", [0, -1, STEPS + 1, torch.tensor([1, 0]), torch.tensor([1, STEPS + 1])])
def test_a_step_outside_the_chain(schedule, t):
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=rf"t must lie in 1..{STEPS} \(t = 0 is data\)"):
        add_noise(schedule, x, t, x)


def test_wrong_types_and_shapes(schedule):
    x = torch.zeros(2, 3)
    with pytest.raises(TypeError):
        add_noise(schedule, x, 1, torch.zeros(3, 2))
    with pytest.raises(TypeError):
        add_noise(schedule, x, torch.tensor([1, 1, 1]), x)
    with pytest.raises(TypeError):
        ancestral_step(schedule, x, 1, x, "fixed_small", generator())
    with pytest.raises(TypeError):
        denoising_loss(schedule, lambda x, time: x, x, "vlb", generator())


def test_a_network_of_the_wrong_shape(schedule):
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"network must return the shape of x, \(2, 3\), got \(2, 1\)"):
        denoising_loss(schedule, lambda x, time: x[:, :1], x, "simple", generator())
    with pytest.raises(TypeError):
        sample(schedule, lambda x, time: x[:, :1], (2, 3), "beta", generator())
