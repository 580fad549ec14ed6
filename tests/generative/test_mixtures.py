"""lib.generative.mixtures against torch's and scikit-learn's mixtures, autograd, Bayes' rule and Kolmogorov's test."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from lib.generative.mixtures import GaussianMixture, ring_mixture, two_humps

SHAPES = ("multiples", "diagonals", "full")
every_case = pytest.mark.parametrize("kind, number", [(kind, n) for kind in SHAPES for n in range(6)])


def generator(number=0):
    return torch.Generator().manual_seed(number)


def normal(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def random_covariances(rng, kind, components, dim):
    roots = normal(rng, components, dim, dim)
    full = roots @ roots.mT + 0.05 * torch.eye(dim, dtype=torch.float64)
    return {"multiples": full[:, 0, 0], "diagonals": full.diagonal(dim1=1, dim2=2), "full": full}[kind]


def random_mixture(kind, number, dim=None):
    rng = np.random.default_rng(number)
    components, dim = int(rng.integers(1, 6)), dim or int(rng.integers(1, 5))
    weights = torch.from_numpy(rng.dirichlet(np.ones(components)))
    means = 2 * normal(rng, components, dim)
    return GaussianMixture(weights, means, random_covariances(rng, kind, components, dim)), rng


def torch_mixture(mixture, alpha=1.0, sigma=0.0):
    covariances = alpha**2 * mixture.covariances + sigma**2 * torch.eye(mixture.dim, dtype=torch.float64)
    return MixtureSameFamily(Categorical(mixture.weights), MultivariateNormal(alpha * mixture.means, covariances))


@every_case
def test_density_and_score_are_those_of_torch(kind, number):
    mixture, rng = random_mixture(kind, number)
    alpha, sigma = rng.uniform(0.1, 1), rng.uniform(0, 2)
    x = (3 * normal(rng, 40, mixture.dim)).requires_grad_()
    want = torch_mixture(mixture, alpha, sigma).log_prob(x)
    torch.testing.assert_close(mixture.log_density(x, alpha, sigma), want, atol=1e-11, rtol=1e-11)
    (slope,) = torch.autograd.grad(want.sum(), x)
    torch.testing.assert_close(mixture.score(x, alpha, sigma).detach(), slope, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("number", range(4))
def test_density_is_that_of_scikit_learn(number):
    mixture, rng = random_mixture("full", number)
    theirs = SklearnMixture(len(mixture.weights))
    theirs.weights_, theirs.means_ = mixture.weights.numpy(), mixture.means.numpy()
    theirs.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(mixture.covariances.numpy())).swapaxes(1, 2)
    x = 3 * normal(rng, 50, mixture.dim)
    np.testing.assert_allclose(mixture.log_density(x).numpy(), theirs.score_samples(x.numpy()), atol=1e-11, rtol=1e-11)
    np.testing.assert_allclose(mixture.responsibilities(x).numpy(), theirs.predict_proba(x.numpy()), atol=1e-11)


@every_case
def test_the_push_forward_is_the_mixture_seen_through_noise(kind, number):
    mixture, rng = random_mixture(kind, number)
    alpha, sigma = rng.uniform(0.1, 1), rng.uniform(0, 2)
    x, pushed = 3 * normal(rng, 30, mixture.dim), mixture.push_forward(alpha, sigma)
    for method in ("log_density", "score", "responsibilities"):
        ours = getattr(mixture, method)(x, alpha, sigma)
        torch.testing.assert_close(ours, getattr(pushed, method)(x), atol=1e-12, rtol=1e-12)
    want = alpha**2 * mixture.covariances + sigma**2 * torch.eye(mixture.dim, dtype=torch.float64)
    torch.testing.assert_close(pushed.covariances, want, atol=1e-13, rtol=1e-13)
    torch.testing.assert_close(pushed.mean, alpha * mixture.mean, atol=1e-13, rtol=0)


@every_case
def test_the_posterior_is_bayes_rule_and_its_mean_the_denoiser(kind, number):
    """log p(x_0 | x) = log p(x_0) + log N(x; α x_0, σ² I) - log p(x), at random x_0."""
    mixture, rng = random_mixture(kind, number)
    alpha, sigma = rng.uniform(0.1, 1), rng.uniform(0.1, 2)
    x, x_0 = 2 * normal(rng, mixture.dim), 2 * normal(rng, 20, mixture.dim)
    kernel = -((x - alpha * x_0) ** 2).sum(1) / (2 * sigma**2) - mixture.dim * math.log(sigma * math.sqrt(2 * math.pi))
    want = mixture.log_density(x_0) + kernel - mixture.log_density(x[None], alpha, sigma)
    posterior = mixture.posterior(x, alpha, sigma)
    torch.testing.assert_close(posterior.log_density(x_0), want, atol=1e-9, rtol=1e-10)
    torch.testing.assert_close(posterior.mean, mixture.denoise(x[None], alpha, sigma)[0], atol=1e-12, rtol=1e-12)


@every_case
def test_tweedies_formula(kind, number):
    """E[x_0 | x] = (x + σ² ∇ log p(x)) / α, with the gradient by autograd."""
    mixture, rng = random_mixture(kind, number)
    alpha, sigma = rng.uniform(0.2, 1), rng.uniform(0.1, 2)
    x = (3 * normal(rng, 30, mixture.dim)).requires_grad_()
    (score,) = torch.autograd.grad(mixture.log_density(x, alpha, sigma).sum(), x)
    want = (x + sigma**2 * score) / alpha
    torch.testing.assert_close(mixture.denoise(x, alpha, sigma), want, atol=1e-10, rtol=1e-10)


@every_case
def test_one_pass_expects_data_and_noise_together(kind, number):
    mixture, rng = random_mixture(kind, number)
    x, (alpha, sigma, a, b) = 2 * normal(rng, 20, mixture.dim), rng.uniform(0.1, 2, 4)
    want = a * mixture.denoise(x, alpha, sigma) - b * sigma * mixture.score(x, alpha, sigma)
    torch.testing.assert_close(mixture.expectation(x, alpha, sigma, a, b), want, atol=1e-11, rtol=1e-11)
    rows = [torch.full((20,), v, dtype=torch.float64) for v in (alpha, sigma, a, b)]
    torch.testing.assert_close(mixture.expectation(x, *rows), want, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("kind", SHAPES)
def test_each_row_may_have_its_own_noise(kind):
    mixture, rng = random_mixture(kind, 3)
    x, alpha, sigma = normal(rng, 9, mixture.dim), torch.rand(9, generator=generator()), torch.rand(9).double()
    for method in ("log_density", "score", "responsibilities", "denoise"):
        together = getattr(mixture, method)(x, alpha, sigma)
        alone = [getattr(mixture, method)(x[i : i + 1], alpha[i].item(), sigma[i].item())[0] for i in range(9)]
        torch.testing.assert_close(together, torch.stack(alone), atol=1e-12, rtol=1e-12)


@every_case
def test_samples_have_the_law_along_a_random_direction(kind, number):
    """Kolmogorov's test at 1e-4 of the projected samples; the first two moments within five standard errors."""
    mixture, rng = random_mixture(kind, number)
    x, direction = mixture.sample(4000, generator(number)), normal(rng, mixture.dim)
    projected = mixture.project(direction)
    law = kstest((x @ direction).numpy(), lambda v: projected.cdf(torch.from_numpy(v)).numpy())
    assert law.pvalue > 1e-4
    assert projected.mean.item() == pytest.approx((direction @ mixture.mean).item(), abs=1e-12)
    assert projected.covariance.item() == pytest.approx((direction @ mixture.covariance @ direction).item(), rel=1e-12)
    errors = (mixture.covariance.diagonal() / 4000).sqrt()
    assert torch.all((x.mean(0) - mixture.mean).abs() < 5 * errors)
    assert torch.allclose(torch.cov(x.T), mixture.covariance, atol=0.2 * mixture.covariance.diagonal().max().item())


def test_the_distribution_function_has_the_density_as_its_slope():
    mixture, rng = random_mixture("multiples", 1, dim=1)
    x = (3 * normal(rng, 50)).requires_grad_()
    (slope,) = torch.autograd.grad(mixture.cdf(x).sum(), x)
    torch.testing.assert_close(slope, mixture.log_density(x[:, None]).exp().detach(), atol=1e-13, rtol=1e-10)


def test_far_from_all_components_the_score_is_that_of_the_nearest():
    weights, means = torch.tensor([0.2, 0.8], dtype=torch.float64), torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    mixture = GaussianMixture(weights, means, torch.ones(2, dtype=torch.float64))
    x = torch.tensor([[-1e6], [1e6]], dtype=torch.float64)
    assert torch.equal(mixture.score(x), -(x - means))
    assert torch.equal(mixture.responsibilities(x), torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("kind", SHAPES)
def test_without_noise_the_denoiser_returns_the_data(kind):
    mixture, rng = random_mixture(kind, 2)
    x = normal(rng, 5, mixture.dim)
    torch.testing.assert_close(mixture.denoise(0.5 * x, 0.5), x, atol=1e-12, rtol=0)


def test_a_data_set_is_a_mixture_of_points():
    """Its denoiser is a softmax over the points; without noise it has no density."""
    points = normal(np.random.default_rng(0), 7, 3)
    data = GaussianMixture(torch.full((7,), 1 / 7).double(), points, torch.zeros(7, dtype=torch.float64))
    x = torch.zeros(1, 3, dtype=torch.float64)
    weights = (-((0.8 * points) ** 2).sum(1) / (2 * 0.5**2)).softmax(0)
    torch.testing.assert_close(data.denoise(x, 0.8, 0.5)[0], weights @ points, atol=1e-13, rtol=0)
    assert set(map(tuple, data.sample(50, generator()).tolist())) <= set(map(tuple, points.tolist()))
    with pytest.raises(ValueError, match="sigma must be positive, for a component has variance 0"):
        data.score(x)


def test_a_ring_has_its_modes_on_the_circle():
    ring = ring_mixture(8, 2.0, 0.1)
    torch.testing.assert_close(ring.means.norm(dim=1), torch.full((8,), 2.0).double())
    torch.testing.assert_close(ring.mean, torch.zeros(2).double(), atol=1e-15, rtol=0)
    assert ring.means[0].tolist() == [2.0, 0.0] and ring.covariances[5, 1, 1].item() == pytest.approx(0.01)


def test_two_humps_are_unlike_in_weight_and_width():
    humps, x = two_humps(), torch.linspace(-3, 3, 50).double()[:, None]
    want = 0.3 * norm.pdf(x, -1.5, 0.2) + 0.7 * norm.pdf(x, 1.0, 0.3)
    np.testing.assert_allclose(humps.log_density(x).exp(), want[:, 0], rtol=1e-12)


def test_half_and_single_precision_round_once():
    mixture, rng = random_mixture("full", 4)
    x = normal(rng, 20, mixture.dim)
    for dtype in (torch.float16, torch.float32):
        for method in ("log_density", "score", "denoise", "responsibilities"):
            got = getattr(mixture, method)(x.to(dtype), 0.5, 0.5)
            assert torch.equal(got, getattr(mixture, method)(x.to(dtype).double(), 0.5, 0.5).to(dtype))


def test_density_and_score_can_be_differentiated_twice():
    mixture, rng = random_mixture("full", 5, dim=2)
    x = normal(rng, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mixture.score(x, 0.7, 0.3), x)
    assert torch.autograd.gradgradcheck(lambda x: mixture.log_density(x, 0.7, 0.3), x)


def test_mixtures_keep_copies():
    weights, means, covariances = torch.ones(1).double(), torch.zeros(1, 2).double(), torch.ones(1).double()
    mixture = GaussianMixture(weights, means, covariances)
    for values in (weights, means, covariances):
        values += 1
    assert mixture.weights.item() == 1 and mixture.mean.tolist() == [0, 0]
    assert torch.equal(mixture.covariances[0], torch.eye(2).double())


def f64(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    "weights, means, covariances, message",
    [
        ([0.5, 0.4], [[0.0], [1.0]], [1.0, 1.0], "weights must not be negative and sum to one"),
        ([1.5, -0.5], [[0.0], [1.0]], [1.0, 1.0], "weights must not be negative and sum to one"),
        ([math.nan, 1.0], [[0.0], [1.0]], [1.0, 1.0], "weights must be finite"),
        ([0.5, 0.5], [[0.0], [math.inf]], [1.0, 1.0], "means must be finite"),
        ([0.5, 0.5], [[0.0], [1.0]], [1.0, math.nan], "covariances must be finite"),
        ([0.5, 0.5], [[0.0], [1.0]], [1.0, -1.0], "covariances must be positive semidefinite"),
        ([1.0], [[0.0, 0.0]], [[1.0, 1.0, 1.0]], r"covariances must have the shape \(1,\), \(1, 2\) or \(1, 2, 2\)"),
        ([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]], "covariances must be symmetric"),
        ([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]], "covariances must be positive semidefinite"),
        ([1.0], [[]], [1.0], "means must hold a component in at least one dimension"),
    ],
)
def test_bad_parameters_are_refused(weights, means, covariances, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(f64(weights), f64(means), f64(covariances))


def test_bad_arguments_are_refused():
    mixture, x = ring_mixture(3, 1.0, 0.1), torch.zeros(4, 2)
    with pytest.raises(TypeError, match="components"):
        GaussianMixture(f64([1.0]), f64([[0.0], [1.0]]), f64([1.0]))
    with pytest.raises(TypeError, match="weights"):
        GaussianMixture(torch.ones(1), f64([[0.0]]), f64([1.0]))
    with pytest.raises(ValueError, match=r"x must have the mixture's dimension, 2, got shape \(4, 3\)"):
        mixture.score(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="x must be finite"):
        mixture.log_density(x / 0)
    for name in ("alpha", "sigma"):
        with pytest.raises(ValueError, match=f"{name} must be finite and not negative, got -1"):
            mixture.denoise(x, **{name: -1.0})
        with pytest.raises(ValueError, match=f"{name} must be finite and not negative, got -1 to 1"):
            mixture.denoise(x, **{name: torch.tensor([1.0, -1.0, 0.0, 1.0])})
        for wrong in (math.nan, math.inf):
            with pytest.raises(ValueError, match=f"{name} must be finite and not negative, got {wrong} to {wrong}"):
                mixture.score(x, **{name: torch.tensor(wrong)})
        with pytest.raises(ValueError, match=rf"{name} must be one number, or one for each row of x, 4, got shape \(3"):
            mixture.score(x, **{name: torch.ones(3)})
        with pytest.raises(ValueError, match=f"{name} must be finite and not negative"):
            mixture.push_forward(**dict(alpha=1.0, sigma=1.0) | {name: -0.1})
    with pytest.raises(ValueError, match="cdf is for one dimension"):
        mixture.cdf(torch.zeros(2))
    with pytest.raises(TypeError, match="direction"):
        mixture.project(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        mixture.sample(0, generator())
    with pytest.raises(ValueError, match="components must be at least 1"):
        ring_mixture(0, 1.0, 1.0)
    with pytest.raises(ValueError, match="deviation must be finite and not negative"):
        ring_mixture(2, 1.0, -1.0)
