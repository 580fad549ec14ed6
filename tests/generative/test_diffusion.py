"""lib.generative.diffusion against exact Gaussian algebra, against Bayes' rule on a grid, and on bad input."""

import numpy as np
import pytest
import torch

from lib.generative.diffusion import (
    Schedule,
    add_noise,
    ancestral_step,
    denoising_loss,
    linear_betas,
    sample,
)
from lib.generative.paths import VP

STEPS = 50


@pytest.fixture
def schedule():
    return Schedule(linear_betas(STEPS))


def generator(number=0):
    return torch.Generator().manual_seed(number)


def marginals(schedule, time, x):
    """√ᾱ_t and √(1 - ᾱ_t) for the times t/T of the rows of x."""
    t = (time * schedule.steps).round().long()
    return (table[t - 1].sqrt().to(x.dtype)[:, None] for table in (schedule.alpha_bars, schedule.noise_variances))


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


def test_the_chain_becomes_the_path_vp():
    """With β_t = β(t/T)/T, √ᾱ_t and √(1 - ᾱ_t) are α and σ of VP at t/T; the distance falls as 1/T."""
    times, one, errors = torch.linspace(0.1, 1, 10).double(), torch.ones(10, 1).double(), []
    for steps in (100, 1000, 10_000):
        chain = Schedule(VP().beta(torch.arange(1, steps + 1) / steps) / steps)
        t = (steps * times).round().long()
        pairs = torch.stack([add(one, 0 * one) for add in (
            lambda x, z: add_noise(chain, x, t, z) - VP().add_noise(x, times, z),  # noqa: B023
            lambda x, z: add_noise(chain, z, t, x) - VP().add_noise(z, times, x),  # noqa: B023
        )])  # fmt: skip
        errors.append(pairs.abs().amax(1).flatten().tolist())
    assert np.diff(np.log10(errors), axis=0).flatten() == pytest.approx([-1] * 4, abs=0.06)


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


def test_noise_is_added_at_a_step_for_each_example(schedule):
    (x, noise), t = torch.randn(2, 3, 2, 4, generator=generator()), [1, 7, STEPS]
    got = add_noise(schedule, x, torch.tensor(t), noise)
    for row, step in enumerate(t):
        assert torch.equal(got[row], add_noise(schedule, x, step, noise)[row])


def test_samples_of_an_exact_network_have_the_data_variance():
    """For data N(0, s²) the best prediction is linear; with σ² = β, the chain then ends at variance s² + O(1/T)."""
    schedule, s2 = Schedule(linear_betas(200)), 0.25

    def network(x, time):
        signal, noise = marginals(schedule, time, x)
        return noise * x / (signal**2 * s2 + noise**2)

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
        signal, noise = marginals(schedule, torch.tensor([t / STEPS]), x)
        moved = schedule.posterior.data[t - 1] * noise / signal  # of the mean, by x̂_0 = (x - noise ε) / signal
        growth = moved.square().item() / (2 * schedule.betas[t - 1].item())
        assert schedule.elbo_weights[t - 1].item() == pytest.approx(growth, rel=1e-12)


def test_denoising_loss_tells_the_network_the_step_it_noised_with(schedule):
    """A network that knows x_0 finds ε from (x, time) only if time is t/T: the loss is then 0."""
    x_0 = torch.randn(2000, 2, generator=generator(), dtype=torch.float64)

    def network(x, time):
        assert (time * STEPS).round().unique().tolist() == list(range(1, STEPS + 1))
        signal, spread = marginals(schedule, time, x)
        return (x - signal * x_0) / spread

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
    with pytest.raises(ValueError, match=r"network must return the shape of x, \(2, 3\), got \(2, 1\)"):
        sample(schedule, lambda x, time: x[:, :1], (2, 3), "beta", generator())


def overwriting(x, time):
    """A network that uses its arguments as scratch space, and says that half of x is noise."""
    half = x / 2
    x.fill_(7)
    time.fill_(0.5)
    return half


def of_one_buffer():
    """A network that hands out one tensor again and again."""
    buffer = torch.empty(0)

    def network(x, time):
        buffer.resize_(x.shape).copy_(x / 2)
        return buffer

    return network


@pytest.mark.parametrize("variance", ["beta", "posterior"])
def test_a_network_may_overwrite_its_arguments_or_reuse_its_buffer(schedule, variance):
    want = sample(schedule, lambda x, time: x / 2, (4, 3), variance, generator())
    for network in (overwriting, of_one_buffer(), lambda x, time: x.div_(2)):
        got = sample(schedule, network, (4, 3), variance, generator())
        network(torch.ones(4, 3), torch.ones(4))
        assert torch.equal(got, want)
    x_0 = torch.randn(5, 3, generator=generator(1))
    kept = x_0.clone()
    want = denoising_loss(schedule, lambda x, time: x / 2, x_0, "elbo", generator())
    for network in (overwriting, of_one_buffer(), lambda x, time: x.div_(2)):
        assert torch.equal(denoising_loss(schedule, network, x_0, "elbo", generator()), want)
    assert torch.equal(x_0, kept)


@pytest.mark.parametrize(
    ("network", "came"),
    [
        (lambda x, time: x[0], r"\(3,\)"),
        (lambda x, time: x.mean(), r"\(\)"),
        (lambda x, time: x[None], r"\(1, 2, 3\)"),
        (lambda x, time: x.mT, r"\(3, 2\)"),
        (lambda x, time: x.numpy(), "ndarray"),
        (lambda x, time: (x, time), "tuple"),
        (lambda x, time: None, "NoneType"),
    ],
)
def test_a_network_that_returns_something_else(schedule, network, came):
    message = rf"network must return the shape of x, \(2, 3\), got {came}"
    with pytest.raises(ValueError, match=message):
        denoising_loss(schedule, network, torch.zeros(2, 3), "simple", generator())
    with pytest.raises(ValueError, match=message):
        sample(schedule, network, (2, 3), "beta", generator())


def test_a_network_that_answers_in_another_precision(schedule):
    for dtype in (torch.float64, torch.bfloat16):
        assert sample(schedule, lambda x, time: x.to(dtype) / 2, (2, 3), "beta", generator()).dtype == torch.float32


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, 3e38])
def test_a_network_that_is_not_finite(schedule, wrong):
    with pytest.raises(ValueError, match=f"network must return finite noise .* after t = {STEPS}"):
        sample(schedule, lambda x, time: x * wrong, (2, 3), "beta", generator())


def test_after_an_error_the_generator_is_where_it_was(schedule):
    def late(x, time):
        return x if time[0] > 0.5 else x[:1]

    rng, x = generator(3), torch.zeros(2, 3)
    before = rng.get_state()
    for call in (
        lambda: sample(schedule, late, (2, 3), "beta", rng),
        lambda: sample(schedule, late, (), "beta", rng),
        lambda: denoising_loss(schedule, lambda x, time: x[:1], x, "simple", rng),
        lambda: denoising_loss(schedule, late, x / 0, "simple", rng),
        lambda: ancestral_step(schedule, x, 5, x / 0, "beta", rng),
        lambda: ancestral_step(schedule, x, STEPS + 1, x, "beta", rng),
    ):
        with pytest.raises(ValueError):
            call()
        assert torch.equal(rng.get_state(), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("t", [1, 2, 25, STEPS])
def test_every_precision_is_the_exact_result_rounded_once(schedule, dtype, t):
    x, noise = (torch.randn(40, 3, generator=generator(number)).to(dtype) for number in (0, 1))
    spacing = 2 * torch.finfo(dtype).eps
    step = lambda x, t, noise: ancestral_step(schedule, x, t, noise, "beta", generator())  # noqa: E731
    for function in (
        lambda x, noise: add_noise(schedule, x, t, noise),
        lambda x, noise: step(x, t, noise) - (step(0 * x, t, 0 * noise) if t > 1 else 0),  # without the fresh noise
    ):
        got, want = function(x, noise), function(x.double(), noise.double())
        assert got.dtype == dtype and want.dtype == torch.float64
        room = 4 if t > 1 and dtype != torch.float32 else 1  # a difference of two rounded steps
        assert ((got - want).abs() <= room * spacing * (want.abs() + x.abs() + noise.abs())).all()


def test_a_thousand_times_reach_the_network_in_every_precision():
    chain = Schedule(linear_betas(1000))
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        seen = []
        network = lambda x, time: seen.append(time) or x  # noqa: B023, E731
        loss = denoising_loss(chain, network, torch.zeros(30_000, 1, dtype=dtype), "simple", generator())
        assert loss.dtype == max(dtype, torch.float32, key=lambda kind: torch.finfo(kind).bits)
        assert (seen[0].double() * 1000).round().unique().tolist() == list(range(1, 1001))
        assert len(seen[0].unique()) == 1000


def test_losses_in_half_precision_are_those_in_double_precision(schedule):
    x_0 = torch.randn(3000, 4, generator=generator())
    for weights in ("simple", "elbo"):
        for dtype in (torch.bfloat16, torch.float16):
            rounded = x_0.to(dtype)
            got = denoising_loss(schedule, lambda x, time: torch.zeros_like(x), rounded, weights, generator())
            want = denoising_loss(schedule, lambda x, time: torch.zeros_like(x), x_0.double(), weights, generator())
            assert got.item() == pytest.approx(want.item(), rel=0.1)  # other draws of the noise


def test_a_step_where_nothing_is_left_of_the_data():
    """With β = ½, √ᾱ_300 = 2^-150 is no float32; the step does not need it, as (x - ε/2)·√2 shows."""
    chain = Schedule(torch.full((300,), 0.5, dtype=torch.float64))
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x, noise = torch.full((1, 1), 1.5, dtype=dtype), torch.full((1, 1), 0.25, dtype=dtype)
        fresh = torch.randn(1, 1, generator=generator(), dtype=dtype).double()
        got = ancestral_step(chain, x, 300, noise, "beta", generator())
        want = ((1.5 - 0.125) * 2**0.5 + 0.5**0.5 * fresh).item()
        assert got.item() == pytest.approx(want, rel=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_steps_may_be_integers_of_any_size(dtype):
    chain = Schedule(linear_betas(1000))
    t = torch.tensor([1, 2, 100], dtype=dtype)
    x = torch.ones(3, 2)
    assert torch.equal(add_noise(chain, x, t, x), add_noise(chain, x, t.long(), x))
    with pytest.raises(ValueError, match=r"t must lie in 1..1000 \(t = 0 is data\), got 0 to 99"):
        add_noise(chain, x, t - 1, x)
    with pytest.raises(ValueError, match=r"t must lie in 1..50 \(t = 0 is data\), got 1 to 100"):
        add_noise(Schedule(linear_betas(50)), x, t, x)
    with pytest.raises(TypeError, match="parameter 't'"):
        add_noise(chain, x, t.to(torch.uint8), x)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_named(schedule, wrong):
    good = torch.ones(2, 3)
    bad = good.clone()
    bad[1, 2] = wrong
    for name, (x, noise) in {"x": (bad, good), "noise": (good, bad)}.items():
        with pytest.raises(ValueError, match=f"{'x_0' if name == 'x' else name} must be finite"):
            add_noise(schedule, x, 3, noise)
        for t in (1, 3):
            with pytest.raises(ValueError, match=f"{'x_t' if name == 'x' else name} must be finite"):
                ancestral_step(schedule, x, t, noise, "beta", generator())
    with pytest.raises(ValueError, match="x_0 must be finite"):
        denoising_loss(schedule, lambda x, time: x, bad, "simple", generator())


def test_results_that_overflow_are_refused(schedule):
    huge = torch.full((1, 2), 3e38)
    for call, names in (
        (lambda: add_noise(schedule, huge, 25, huge), "x_0 and noise"),
        (lambda: ancestral_step(schedule, huge, STEPS, -huge, "beta", generator()), "x_t and noise"),
    ):
        with pytest.raises(ValueError, match=f"{names} must be smaller: the result overflows torch.float"):
            call()


def test_nothing_to_noise_or_to_sample(schedule):
    for empty in (torch.zeros(0, 3), torch.zeros(3, 0)):
        with pytest.raises(ValueError, match="x_0 must hold at least one example, got shape"):
            denoising_loss(schedule, lambda x, time: x, empty, "simple", generator())
    for shape in ((), (0, 2), (2, -1)):
        with pytest.raises(ValueError, match=r"shape must be \(batch, …\) with sizes of at least 1"):
            sample(schedule, lambda x, time: x, shape, "beta", generator())
    assert sample(schedule, lambda x, time: x, (1, 1), "beta", generator()).shape == (1, 1)
    assert add_noise(schedule, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3)).shape == (0, 3)


def test_a_schedule_keeps_a_copy_of_its_betas():
    betas = torch.full((3,), 0.5, dtype=torch.float64)
    chain = Schedule(betas)
    betas.fill_(0.1)
    assert chain.betas.tolist() == [0.5] * 3 and chain.alpha_bars[-1] == 0.125
    with pytest.raises(ValueError, match="betas must be a float64 tensor"):
        Schedule([0, 1])
