"""lib.generative.paths and predictions: derivatives by autograd, moments of the SDE, conversions at random times."""

import dataclasses
import itertools
import math

import mpmath
import numpy as np
import pytest
import torch

from lib.generative.mixtures import GaussianMixture, ring_mixture
from lib.generative.paths import EDM, VE, VP, Cosine, RectifiedFlow, SubVP
from lib.generative.predictions import convert, exact_flow, reverse_sde

PATHS = [VP(), VP(0.5, 0.5), SubVP(), VE(), EDM(), EDM(0.01, 10.0, 3.0), RectifiedFlow(), Cosine()]
KINDS = ("noise", "data", "score", "velocity")
every_path = pytest.mark.parametrize("path", PATHS, ids=str)


def times(number=0, low=1e-3, high=0.999, count=200):
    return low + (high - low) * torch.rand(count, generator=torch.Generator().manual_seed(number)).double()


def normal(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def derivative(function, t):
    t = t.clone().requires_grad_()
    value = function(t)
    return torch.autograd.grad(value.sum(), t)[0] if value.requires_grad else torch.zeros_like(t)


def close(got, want, rtol=1e-10, atol=1e-12):
    torch.testing.assert_close(got, want, rtol=rtol, atol=atol)


def test_alpha_and_sigma_are_those_of_the_papers():
    t = times()
    summed = 0.1 * t + 19.9 * t**2 / 2
    close(VP().alpha(t), (-summed / 2).exp())
    close(VP().sigma(t) ** 2, 1 - (-summed).exp())
    close(SubVP().alpha(t), VP().alpha(t))
    close(SubVP().sigma(t), 1 - (-summed).exp())
    close(VE(0.01, 50.0).sigma(t), 0.01 * 5000**t)
    close(EDM(0.002, 80.0, 7.0).sigma(t), (0.002 ** (1 / 7) + t * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7)
    close(RectifiedFlow().alpha(t) + RectifiedFlow().sigma(t), torch.ones_like(t))
    close(Cosine().alpha(t), (math.pi * t / 2).cos())
    close(Cosine().log_snr(t), 2 * (math.pi * t / 2).tan().reciprocal().log())


@every_path
def test_rates_are_the_derivatives(path):
    t = times()
    close(path.alpha_rate(t), derivative(path.alpha, t))
    close(path.sigma_rate(t), derivative(path.sigma, t))


@every_path
def test_the_sde_has_the_moments_of_the_path(path):
    """m' = f m for the mean and V' = 2 f V + g² for the variance; and g² = -σ² (log SNR)'."""
    t = times()
    f, g2 = path.drift(t), path.diffusion(t) ** 2
    close(derivative(path.alpha, t), f * path.alpha(t))
    close(derivative(lambda t: path.sigma(t) ** 2, t), 2 * f * path.sigma(t) ** 2 + g2)
    close(g2, -(path.sigma(t) ** 2) * derivative(path.log_snr, t), rtol=1e-9)


@every_path
def test_noise_grows_on_the_way(path):
    t = torch.linspace(1e-6, 1 - 1e-6, 999, dtype=torch.float64)
    assert torch.all(path.noise_level(t).diff() > 0) and torch.all(path.log_snr(t).diff() < 0)
    assert path.alpha(0.0).item() == 1 and path.sigma(0.0).item() == pytest.approx(getattr(path, "sigma_min", 0))


@every_path
def test_the_time_of_a_noise_level_inverts_it(path):
    t = torch.cat([times(), times(1, 1e-9, 1e-6), times(2, 0.999999, 1 - 1e-9)])
    close(path.time_at(path.noise_level(t)), t, rtol=1e-9, atol=1e-15)
    assert path.time_at(path.noise_level(0.3)).item() == pytest.approx(0.3, abs=1e-14)


@pytest.mark.parametrize("path, turned", [(VP(), "sqrt"), (SubVP(), "")])
@pytest.mark.parametrize("t", [1e-300, 1e-20, 1e-9, 1e-3])
def test_little_noise_keeps_all_its_digits(path, turned, t):
    with mpmath.workdps(400):
        low, high = mpmath.mpf(path.beta_min), mpmath.mpf(path.beta_max)
        lost = 1 - mpmath.exp(-(low * t + (high - low) / 2 * t * t))
        want = float(mpmath.sqrt(lost) if turned else lost)
    assert path.sigma(t).item() == pytest.approx(want, rel=1e-14)


@every_path
def test_noise_and_velocity_of_a_pair(path):
    """x_t = α x_0 + σ ε, for one time and one for each row; its derivative in t is `velocity`."""
    rng = np.random.default_rng(0)
    x_0, noise, t = normal(rng, 7, 2, 3), normal(rng, 7, 2, 3), times(count=7)
    x_t, slope = torch.autograd.functional.jvp(lambda t: path.add_noise(x_0, t, noise), t, torch.ones_like(t))
    close(path.velocity(x_0, t, noise), slope)
    for i in range(7):
        close(path.add_noise(x_0, t[i].item(), noise)[i], x_t[i], atol=1e-14)
        close(path.velocity(x_0, t[i].item(), noise)[i], slope[i], atol=1e-13)
    single = path.add_noise(x_0.float(), t, noise.float())
    assert single.dtype == torch.float32 and (single - x_t).abs().max() < 1e-6 * x_t.abs().max()


@every_path
@pytest.mark.parametrize("given, wanted", list(itertools.product(KINDS, KINDS)))
def test_every_conversion_returns_what_made_the_pair(path, given, wanted):
    """From a known x_0 and ε; a factor of x_t that cancels may cost what it magnifies, and no more."""
    rng = np.random.default_rng(1)
    x_0, noise, t = normal(rng, 200, 3), normal(rng, 200, 3), times(3)
    x_t = path.add_noise(x_0, t, noise)
    known = {"noise": noise, "data": x_0, "score": -noise / path.sigma(t)[:, None]}
    known["velocity"] = path.velocity(x_0, t, noise)
    got = convert(path, known[given], x_t, t, given, wanted)
    slopes = [convert(path, known[given] + 1, x_t, t, given, wanted) - got]
    slopes += [convert(path, known[given], x_t + 1, t, given, wanted) - got]
    size = slopes[0].abs() * known[given].abs() + slopes[1].abs() * x_t.abs() + known[wanted].abs()
    assert torch.all((got - known[wanted]).abs() <= 1e-12 * size)


@every_path
def test_conversions_compose(path):
    """a -> b -> c is a -> c for any prediction, not only a true one."""
    rng = np.random.default_rng(2)
    x_t, value, t = normal(rng, 50, 2), normal(rng, 50, 2), times(4, 0.1, 0.9, 50)
    for a, b, c in itertools.product(KINDS, repeat=3):
        by_way = convert(path, convert(path, value, x_t, t, a, b), x_t, t, b, c)
        direct = convert(path, value, x_t, t, a, c)
        scale = 1 + direct.abs().max().item() + x_t.abs().max().item() / path.sigma(t).min().item() ** 2
        close(by_way, direct, rtol=1e-8, atol=1e-12 * scale)


@every_path
def test_on_a_mixture_conversions_turn_score_and_denoiser_into_each_other(path):
    mixture, rng = ring_mixture(5, 1.0, 0.3), np.random.default_rng(3)
    for t in times(5, 0.05, 0.95, 10).tolist():
        alpha, sigma = path.alpha(t), path.sigma(t)
        x = mixture.push_forward(alpha.item(), sigma.item()).sample(30, torch.Generator().manual_seed(0))
        score, data = mixture.score(x, alpha, sigma), mixture.denoise(x, alpha, sigma)
        close(convert(path, score, x, t, "score", "data"), data, atol=1e-9 * (1 + sigma.item()))
        velocity = path.alpha_rate(t) * data - path.sigma_rate(t) * sigma * score
        close(convert(path, score, x, t, "score", "velocity"), velocity, rtol=1e-9, atol=1e-9)


@every_path
def test_the_exact_flow_is_what_denoiser_and_score_say(path):
    """α' E[x_0 | x] + σ' E[ε | x] at random times on both sides of one half, and finite at both ends."""
    mixture, x = ring_mixture(5, 1.0, 0.3), normal(np.random.default_rng(6), 30, 2)
    field = exact_flow(path, mixture)
    for t in times(6, 0.01, 0.99, 20).tolist():
        alpha, sigma = path.alpha(t), path.sigma(t)
        x_t = (alpha + sigma) * x
        data, score = mixture.denoise(x_t, alpha, sigma), mixture.score(x_t, alpha, sigma)
        want = path.alpha_rate(t) * data - path.sigma_rate(t) * sigma * score
        close(field(x_t, t), want, rtol=1e-9, atol=1e-10 * (1 + want.abs().max().item()))
    assert field(x, 0.0).isfinite().all() and field(x, 1.0).isfinite().all()
    close(field(x, 0.5), field(x, 0.5 - 1e-12), rtol=1e-8, atol=1e-8)


INFINITE = {  # what has no value at an end
    "VP": ("0 sigma_rate", "0 log_snr"),
    "SubVP": ("0 log_snr",),
    "VE": (),
    "EDM": (),
    "RectifiedFlow": ("0 log_snr", "1 log_snr", "1 noise_level", "1 drift", "1 diffusion"),
    "Cosine": ("0 log_snr", "1 log_snr", "1 noise_level", "1 drift", "1 diffusion"),
}


@every_path
def test_functions_raise_at_an_end_where_they_are_infinite_and_nowhere_else(path):
    names = ("alpha", "sigma", "alpha_rate", "sigma_rate", "noise_level", "log_snr", "drift", "diffusion")
    for end, name in itertools.product((0, 1), names):
        if f"{end} {name}" in INFINITE[type(path).__name__]:
            with pytest.raises(ValueError, match=f"{name} of .* is infinite at one end: t must stay off it, got {end}"):
                getattr(path, name)(float(end))
        else:
            assert getattr(path, name)(float(end)).isfinite()


AT_THE_ENDS = {  # conversions without a value; what is left has the value of the limit
    "VP": {0: "noise>score noise>velocity data>noise data>score data>velocity velocity>data velocity>score"},
    "SubVP": {0: "noise>score data>noise data>score data>velocity velocity>score"},
    "RectifiedFlow": {
        0: "noise>score data>noise data>score data>velocity velocity>score",
        1: "noise>data noise>velocity score>data score>velocity",
    },
}
AT_THE_ENDS["Cosine"] = AT_THE_ENDS["RectifiedFlow"]


@every_path
@pytest.mark.parametrize("end", [0, 1])
def test_conversions_raise_at_an_end_where_one_does_not_determine_the_other(path, end):
    rng, refused = np.random.default_rng(4), AT_THE_ENDS.get(type(path).__name__, {}).get(end, "").split()
    x, value = normal(rng, 4, 2), normal(rng, 4, 2)
    for given, wanted in itertools.permutations(KINDS, 2):
        if f"{given}>{wanted}" in refused:
            with pytest.raises(ValueError, match=f"t must stay off the end where {given} does not determine {wanted}"):
                convert(path, value, x, float(end), given, wanted)
        else:
            near = convert(path, value, x, abs(end - 1e-12), given, wanted)
            got = convert(path, value, x, float(end), given, wanted)
            close(got, near, rtol=1e-4, atol=1e-4 * (1 + near.abs().max().item()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_less_precision_is_converted_in_double_and_rounded_once(dtype):
    x, value = torch.randn(20, 3).to(dtype), torch.randn(20, 3).to(dtype)
    for given, wanted in itertools.permutations(KINDS, 2):
        got = convert(VP(), value, x, 0.01, given, wanted)
        want = convert(VP(), value.double(), x.double(), 0.01, given, wanted)
        assert got.dtype == dtype and torch.equal(got, want.to(dtype))


@every_path
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_noised_in_single_and_rounded_once(path, dtype):
    """At one time and at a time for each row, which give the same."""
    x_0, noise = torch.randn(200, 3).to(dtype), torch.randn(200, 3).to(dtype)
    for t in (0.03, 0.4):
        got, want = path.add_noise(x_0, t, noise), path.add_noise(x_0.double(), t, noise.double())
        single = 4 * torch.finfo(torch.float32).eps * (path.alpha(t) * x_0.abs() + path.sigma(t) * noise.abs())
        assert got.dtype == dtype and ((got - want).abs() <= (want.to(dtype) - want).abs() + single).all()
        assert torch.equal(got, path.add_noise(x_0, torch.full((200,), t, dtype=torch.float64), noise))


@every_path
def test_noise_predicted_in_single_precision_gives_the_data_back(path):
    x_0, noise, t = torch.randn(50, 3), torch.randn(50, 3), times(6, 0.02, 0.5, 50)
    x_t = path.add_noise(x_0, t, noise)
    magnified = path.noise_level(t)[:, None].clamp(1) / path.alpha(t)[:, None]
    assert ((convert(path, noise, x_t, t, "noise", "data") - x_0).abs() < 1e-6 * magnified).all()


def test_data_of_which_next_to_nothing_is_left():
    """α(1) of VP from 416 to 416 is e^-208, no float32, and 0 of 1.5 - 1.5 is left of it."""
    same = torch.full((1, 1), 1.5)
    assert convert(VP(416.0, 416.0), same, same, 1.0, "noise", "data").item() == 0


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_or_overflows_is_named(wrong):
    good = torch.ones(2, 3)
    bad = good.clone()
    bad[1, 2] = wrong
    for given, wanted in itertools.permutations(KINDS, 2):
        with pytest.raises(ValueError, match="value must be finite, got NaN or infinite entries"):
            convert(VP(), bad, good, 0.5, given, wanted)
    with pytest.raises(ValueError, match="x_t must be finite, got NaN or infinite entries"):
        convert(VP(), good, bad, torch.tensor([0.1, 0.5]), "noise", "data")
    thousand = torch.full((1, 2), 1e3, dtype=torch.float16)
    for huge in (thousand, torch.full((1, 2), 3e38)):
        with pytest.raises(ValueError, match="x_t and value must be smaller: the result overflows torch.float"):
            convert(VP(), -huge, huge, 1.0, "noise", "data")


@every_path
@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 2.0])
def test_the_reversed_processes_keep_the_marginals(path, noise):
    """The Fokker–Planck equation ∂p/∂t = -∇·(b p) - (λg)²/2 Δp of the process run downwards, for log p of a mixture."""
    mixture = GaussianMixture(*(torch.tensor(v).double() for v in ([0.3, 0.7], [[-1.0], [0.8]], [0.1, 0.3])))
    drift, diffusion = reverse_sde(path, lambda x, t: mixture.score(x, path.alpha(t), path.sigma(t)), noise)
    t, rng = 0.4, np.random.default_rng(5)
    width = mixture.push_forward(path.alpha(t).item(), path.sigma(t).item()).covariance.sqrt()
    x = (normal(rng, 40, 1) * width).requires_grad_()
    clock = torch.tensor(t, dtype=torch.float64, requires_grad=True)
    rate = torch.func.jacrev(lambda t: mixture.log_density(x, path.alpha(t), path.sigma(t)))(clock).detach()
    score = mixture.score(x, path.alpha(t), path.sigma(t))
    moved = drift(x, t)
    (bend,) = torch.autograd.grad(score.sum(), x, retain_graph=True)
    (spread,) = torch.autograd.grad(moved.sum(), x)
    curved = diffusion(t) ** 2 / 2 * (bend + score**2)
    residual = rate + (spread + moved * score + curved)[:, 0]
    assert residual.abs().max() < 1e-12 * (1 + rate.abs().max() + curved.abs().max() + spread.abs().max())


def test_times_outside_the_clock_are_refused():
    x = torch.zeros(3, 2)
    for bad, shown in ((-0.1, "-0.1"), (1.1, "1.1"), (math.nan, "nan"), (torch.tensor([0.5, 2.0, 0.1]), "0.1 to 2")):
        for call in (
            VP().alpha,
            RectifiedFlow().drift,
            lambda t: Cosine().add_noise(x, t, x),
            lambda t: convert(VE(), x, x, t, "noise", "noise"),
        ):
            with pytest.raises(ValueError, match=rf"t must lie in \[0, 1\] \(t = 0 is data\), got {shown}"):
                call(bad)
    with pytest.raises(ValueError, match=r"t must be one number, or one for each row of x, 3, got shape \(2,\)"):
        VP().add_noise(x, torch.tensor([0.1, 0.2]), x)
    for level in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="noise_level must be finite and lie in"):
            VP().time_at(level)
    for level in (0.001, 81.0):
        with pytest.raises(ValueError, match=r"noise_level must be finite and lie in \[0.002, 80\], got"):
            EDM().time_at(level)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: VP(-1.0, 20.0), "beta_min must be positive and finite, got -1"),
        (lambda: VP(1.0, 0.5), "beta_max must be at least beta_min = 1.0, got 0.5"),
        (lambda: SubVP(0.1, math.inf), "beta_max must be positive and finite"),
        (lambda: VE(0.0, 1.0), "sigma_min must be positive and finite, got 0"),
        (lambda: VE(2.0, 1.0), "sigma_max must be above sigma_min = 2.0, got 1.0"),
        (lambda: EDM(0.1, 1.0, 0.0), "rho must be positive and finite, got 0"),
        (lambda: reverse_sde(VP(), lambda x, t: x, -1.0), "noise must be finite and not negative, got -1"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@every_path
def test_paths_are_values(path):
    assert path == dataclasses.replace(path) and path != next(other for other in PATHS if other is not path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        path.beta_min = 3.0


def test_unknown_predictions_and_other_shapes_are_refused():
    x = torch.zeros(3, 2)
    with pytest.raises(TypeError, match="wanted"):
        convert(VP(), x, x, 0.5, "noise", "epsilon")
    with pytest.raises(TypeError, match="x_t"):
        convert(VP(), x, x[:2], 0.5, "noise", "data")
    with pytest.raises(TypeError, match="noise"):
        VP().add_noise(x, 0.5, x[:, :1])
