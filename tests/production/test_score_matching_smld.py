"""What diffusers and scikit-learn do where the chapter on score matching departs from them: a test for each row."""

import diffusers
import numpy as np
import pytest
import sklearn
import torch
from diffusers import ScoreSdeVeScheduler
from sklearn.mixture import GaussianMixture as SklearnMixture

from lib.generative.mixtures import GaussianMixture

PAGE = "book/diffusion/score-matching-smld.ipynb, section In production"
DIFFUSERS = f"diffusers is {diffusers.__version__}, the page says 0.42.1: mend the row in {PAGE} on "
SKLEARN = f"scikit-learn is {sklearn.__version__}, the page says 1.9.1: mend the row in {PAGE} on GaussianMixture"


def corrected(score, x, seed=0):
    return ScoreSdeVeScheduler().step_correct(score, x, generator=torch.Generator().manual_seed(seed)).prev_sample


def test_the_corrector_is_langevins_step_with_a_size_from_the_batch():
    """x' = x + (h/2) s + √h z with h = 2α = 4 (0.15 z̄/s̄)², z̄ and s̄ the mean lengths over the batch."""
    generator = torch.Generator().manual_seed(1)
    x, score = torch.randn(2, 50, 6, generator=generator)
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    h = 4 * (0.15 * z.norm(dim=1).mean() / score.norm(dim=1).mean()) ** 2
    gap = (corrected(score, x) - (x + h / 2 * score + h.sqrt() * z)).abs().max()
    assert gap < 1e-6, DIFFUSERS + f"step_correct: it differs from Langevin's step by {gap:.2g}"
    louder = torch.cat([score[:1], 10 * score[1:]])
    assert (corrected(louder, x)[0] - corrected(score, x)[0]).abs().max() > 0.1, (
        DIFFUSERS + "step_correct: the first row no longer depends on the scores of the others"
    )


def test_the_relative_step_is_nine_hundredths():
    """Where the score is as long as the noise over σ, h/σ² = 4 · 0.15² = 0.09."""
    x, sigma = torch.zeros(4000, 20), 0.3
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    moved = corrected(-z / sigma, x)
    relative = ((moved / z).mean() + 0).item()  # h/2 · (-1/σ) + √h for every entry
    expected = -0.09 * sigma / 2 + 0.3 * sigma
    assert relative == pytest.approx(expected, rel=1e-4), DIFFUSERS + f"step_correct: r is no longer 0.09 ({relative})"


def test_noise_is_added_for_pictures_only():
    x = torch.zeros(5, 3)
    noisy = ScoreSdeVeScheduler().add_noise(x, torch.ones(5, 3), torch.arange(5))
    assert noisy.shape == (5, 1, 5, 3), DIFFUSERS + f"add_noise: rows of vectors come back with shape {tuple(noisy.shape)}"


def by_hand(weights, means, deviations):
    """scikit-learn's mixture with given parameters; it evaluates the inverse deviations and not the covariances."""
    model = SklearnMixture(len(weights), covariance_type="spherical")
    model.weights_, model.means_, model.covariances_ = weights, means, deviations**2
    model.precisions_cholesky_ = 1 / deviations
    return model


def test_score_is_a_mean_log_density():
    generator = np.random.default_rng(0)
    weights, means, deviations = np.array([0.2, 0.5, 0.3]), generator.normal(size=(3, 2)), np.array([0.5, 1.0, 2.0])
    x = generator.normal(size=(40, 2))
    model = by_hand(weights, means, deviations)
    assert model.score(x) == pytest.approx(model.score_samples(x).mean(), abs=1e-12), SKLEARN
    assert not any("grad" in name for name in dir(model)), SKLEARN + ": it offers a gradient"
    ours = GaussianMixture(torch.tensor(weights), torch.tensor(means), torch.tensor(deviations**2))
    gap = np.abs(ours.log_density(torch.tensor(x)).numpy() - model.score_samples(x)).max()
    assert gap < 1e-12, f"the book's mixture and {SKLEARN} differ by {gap:.2g}"
    y = torch.tensor(x, requires_grad=True)
    parts = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor(weights)),
        torch.distributions.Independent(
            torch.distributions.Normal(torch.tensor(means), torch.tensor(deviations)[:, None].expand(3, 2)), 1
        ),
    )
    parts.log_prob(y).sum().backward()
    assert (ours.score(y.detach()) - y.grad).abs().max() < 1e-12, "the book's score differs from torch's by autograd"
