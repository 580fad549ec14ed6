"""lib.generative.metrics against closed forms, scipy's matrix root, and on bad input."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

from lib.course.data import digits
from lib.generative.metrics import digit_features, frechet_distance, sliced_distance
from lib.generative.mixtures import ring_mixture


def with_moments(mean, covariance, n=200, seed=0):
    """Samples (n, d), float64, whose sample mean and unbiased covariance are exactly those given."""
    draws = np.random.default_rng(seed).standard_normal((n, len(mean)))
    draws -= draws.mean(0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(draws, rowvar=False)), draws.T).T
    return torch.tensor(white @ np.linalg.cholesky(covariance).T + mean)


def test_commuting_covariances_have_a_closed_form():
    """For diagonal covariances it is Σ (μ - μ')² + Σ (s - s')²."""
    a = with_moments([1.0, 2.0, 0.0], np.diag([1.0, 4.0, 9.0]))
    b = with_moments([0.0, 2.0, 2.0], np.diag([4.0, 4.0, 0.25]), n=300, seed=1)
    assert frechet_distance(a, b) == pytest.approx((1 + 0 + 4) + (1 + 0 + 2.5**2), abs=1e-11)


def test_general_covariances_against_the_matrix_root():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((80, 6)) @ rng.standard_normal((6, 6)), rng.standard_normal((90, 6)) + 0.3
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    want = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(torch.tensor(a), torch.tensor(b)) == pytest.approx(want, rel=1e-10)


def test_equal_sets_are_at_zero_and_order_does_not_matter():
    a, b = with_moments([0.0, 1.0], np.eye(2)), with_moments([2.0, 0.0], np.diag([3.0, 1.0]))
    assert abs(frechet_distance(a, a)) < 1e-12
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)


def test_singular_covariances_and_fewer_samples_than_features():
    """Two points on a line each: one direction has variance, its distance is that of one dimension."""
    a = torch.tensor([[0.0, 0, 0], [2.0, 0, 0]])
    b = torch.tensor([[1.0, 1, 0], [5.0, 1, 0]])
    assert frechet_distance(a, b) == pytest.approx((2**2 + 1) + (2**0.5 - 8**0.5) ** 2, abs=1e-12)


@pytest.mark.parametrize("bad", [torch.zeros(1, 2), torch.tensor([[0.0, 1.0], [float("inf"), 0.0]])])
def test_too_few_or_infinite_samples(bad):
    good = torch.randn(9, 2)
    with pytest.raises(ValueError, match="a must hold at least 2 finite samples"):
        frechet_distance(bad, good)
    with pytest.raises(ValueError, match="b must hold at least 2 finite samples"):
        frechet_distance(good, bad)


def test_different_numbers_of_features():
    with pytest.raises(TypeError):
        frechet_distance(torch.zeros(4, 2), torch.zeros(4, 3))


@pytest.fixture(scope="module")
def features():
    return digit_features(np.random.default_rng(0))


def test_digit_features_depend_on_the_generator_alone_and_leave_torch_alone(features):
    images, _ = digits()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = digit_features(np.random.default_rng(0))(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again, features(images))
    assert not torch.equal(digit_features(np.random.default_rng(1))(images), again)


def test_digit_features_order_what_is_less_and_less_like_digits(features):
    """Two halves of the data, then blurred data, then one digit alone: each at least twice as far."""
    images, labels = digits()
    values = features(images)
    assert values.shape == (len(images), 64) and not values.requires_grad
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    halves = frechet_distance(values[order[:900]], values[order[900:]])
    blurred = frechet_distance(features(torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1)), values)
    one_digit = frechet_distance(values[labels == 3], values)
    assert 4 * halves < 2 * blurred < one_digit


def test_images_of_another_shape(features):
    with pytest.raises(TypeError):
        features(torch.zeros(4, 64))


def test_the_distance_is_never_negative_and_zero_for_equal_sets():
    """Eighty sets, among them wide and flat ones, and sets with fewer samples than features."""
    rng = np.random.default_rng(5)
    for _ in range(80):
        n, d = rng.integers(2, 120), rng.integers(1, 30)
        a = torch.tensor(rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-5, 5, size=d) + rng.standard_normal(d))
        for b in (a, a[torch.randperm(n)], a[:, :1].expand(-1, d)):
            distance = frechet_distance(b, b.flip(0))
            assert 0 <= distance < 1e-13 * b.square().sum(1).mean().item()


def test_different_sets_of_samples_have_a_distance_that_rounding_keeps_positive():
    a = torch.tensor(np.random.default_rng(6).standard_normal((50, 4)))
    assert frechet_distance(a, a + 1e-6) == pytest.approx(4e-12, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_precision_is_computed_in_float64(dtype):
    a, b = (torch.randn(60, 5, generator=torch.Generator().manual_seed(number)).to(dtype) for number in (0, 1))
    assert frechet_distance(a, b) == frechet_distance(a.double(), b.double()) > 0.01
    assert 0 <= frechet_distance(a, a) < 1e-14


@pytest.mark.parametrize("scale", [2.0**-400, 2.0**400, 2.0**509])
def test_the_distance_scales_with_the_square_of_the_units(scale):
    a, b = (torch.randn(60, 5, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (0, 1))
    assert frechet_distance(scale * a, scale * b) == pytest.approx(frechet_distance(a, b) * scale * scale, rel=1e-12)
    for one, other in ((scale * a, b), (b, scale * a)):
        larger = max(scale * scale, 1)
        assert frechet_distance(one, other) / larger == pytest.approx(frechet_distance(other, one) / larger, rel=1e-12)


@pytest.mark.parametrize("size", [1e170, 1e308])  # the latter is the floats' last power of two and more
def test_a_distance_that_overflows_is_refused(size):
    a = torch.randn(60, 5, dtype=torch.float64).clamp(-0.7, 0.7)
    a[0] = -1.7
    with pytest.raises(ValueError, match="a and b must be smaller: the result overflows torch.float64"):
        frechet_distance(size * a, -size * (a + 1))


def test_samples_without_features():
    with pytest.raises(ValueError, match=r"a must hold at least 2 finite samples \(n, features\), got shape \(3, 0\)"):
        frechet_distance(torch.ones(3, 0), torch.ones(3, 0))


def test_digit_features_take_every_precision_and_refuse_what_is_not_finite(features):
    images = digits()[0][:50]
    for dtype in (torch.float64, torch.float16):
        assert features(images.to(dtype)).dtype == torch.float32
    assert torch.equal(features(images.double()), features(images))
    assert torch.allclose(features(images.bfloat16()), features(images), atol=0.1)
    with pytest.raises(ValueError, match="images must be finite"):
        features(images / 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_sliced_distance_is_scipys_statistic_in_each_direction(seed):
    """Its statistic is n times ours squared; the length of a direction does not count."""
    rng, mixture = np.random.default_rng(seed), ring_mixture(3, 1.0, 0.4)
    samples, directions = torch.from_numpy(rng.normal(size=(50, 2))), torch.from_numpy(rng.normal(size=(4, 2)))
    statistics = [
        scipy.stats.cramervonmises(
            (samples @ u).numpy(), lambda v, u=u: mixture.project(u).cdf(torch.from_numpy(v)).numpy()
        ).statistic
        for u in directions
    ]
    want = np.sqrt(np.mean(statistics) / 50)
    assert sliced_distance(samples, mixture, directions) == pytest.approx(want, rel=1e-12)
    assert sliced_distance(samples, mixture, 7 * directions) == pytest.approx(want, rel=1e-12)


def test_the_sliced_distance_of_the_mixtures_own_samples_is_small():
    mixture, rng = ring_mixture(8, 1.0, 0.1), torch.Generator().manual_seed(0)
    directions = torch.randn(20, 2, generator=rng)
    found = [sliced_distance(mixture.sample(500, rng), mixture, directions) for _ in range(20)]
    assert np.mean(np.square(found)) == pytest.approx(1 / (6 * 500), rel=0.4)
    assert sliced_distance(mixture.sample(500, rng) + 1, mixture, directions) > 5 * max(found)


def test_the_sliced_distance_refuses_bad_input():
    mixture, samples, directions = ring_mixture(2, 1.0, 0.1), torch.zeros(4, 2), torch.eye(2)
    with pytest.raises(ValueError, match="samples must be finite and not empty"):
        sliced_distance(samples / 0, mixture, directions)
    with pytest.raises(ValueError, match=r"directions must be finite and not empty, got shape \(0, 2\)"):
        sliced_distance(samples, mixture, directions[:0])
    with pytest.raises(ValueError, match="directions must not be 0"):
        sliced_distance(samples, mixture, 0 * directions)
    with pytest.raises(ValueError, match=r"samples must have the mixture's dimension, 2, got shape \(4, 3\)"):
        sliced_distance(torch.zeros(4, 3), mixture, torch.eye(3))
    with pytest.raises(TypeError, match="directions"):
        sliced_distance(samples, mixture, torch.eye(3))
