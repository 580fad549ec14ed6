"""How far samples are from data, or from a law that is known."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lib.course.data import digits
from lib.course.shapes import Float, Float32, checked
from lib.course.tensors import require_finite_result
from lib.course.training import fit
from lib.generative.mixtures import GaussianMixture

CLASSIFIER_STEPS, CLASSIFIER_BATCH = 400, 128


@checked
def frechet_distance(a: Float[Tensor, "n features"], b: Float[Tensor, "m features"]) -> float:
    """The squared Fréchet (2-Wasserstein) distance of the Gaussians fitted to two sets of features.

    ‖μ_a - μ_b‖² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½) (Dowson & Landau 1982); on Inception features it is the FID (Heusel et
    al. 2017, arXiv 1706.08500). With Σ = RᵀR, the trace is the smallest ‖R_a - U R_b‖² over orthogonal U, which the
    singular vectors of R_a R_bᵀ give: no root of a matrix is needed, singular covariances do no harm, and no rounding
    makes it negative. Few samples bias it upwards: compare sets of one size. In the features' units squared, computed
    in float64. Fewer than two samples, or a value that is not finite, raise a `ValueError`.
    """
    for name, values in (("a", a), ("b", b)):
        if len(values) < 2 or not values.numel() or not values.isfinite().all():
            raise ValueError(f"{name} must hold at least 2 finite samples (n, features), got shape {tuple(values.shape)}")
    largest = max(a.abs().max().item(), b.abs().max().item())
    scale = 2.0 ** (math.frexp(largest)[1] - 1)  # so that squares neither overflow nor vanish
    mean_a, root_a = _fit_gaussian(a.double() / scale)
    mean_b, root_b = _fit_gaussian(b.double() / scale)
    left, _, right = torch.linalg.svd(root_a @ root_b.T)
    distance = (mean_a - mean_b).square().sum() + (root_a - left @ right @ root_b).square().sum()
    return float(require_finite_result(distance * scale * scale, a=a, b=b))


@checked
def sliced_distance(
    samples: Float[Tensor, "n dim"], mixture: GaussianMixture, directions: Float[Tensor, "directions dim"]
) -> float:
    """The Cramér–von Mises distance of samples from a mixture, its root mean square over projections onto `directions`.

    In each it is √∫ (F_n - F)² dF with the samples' distribution function F_n and the mixture's F: 0 to 0.58, without a
    unit. For n samples of the mixture itself it is about 1/√(6n). Directions of any length count alike.
    """
    for name, values in (("samples", samples), ("directions", directions)):
        if not values.numel() or not values.isfinite().all():
            raise ValueError(f"{name} must be finite and not empty, got shape {tuple(values.shape)}")
    if mixture.dim != samples.shape[1]:
        raise ValueError(f"samples must have the mixture's dimension, {mixture.dim}, got shape {tuple(samples.shape)}")
    if not directions.any(1).all():
        raise ValueError("directions must not be 0")
    count, squares = len(samples), []
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    for direction in directions.double():
        levels = mixture.project(direction).cdf(samples.double() @ direction).sort().values
        squares.append((levels - middles).square().mean().item() + 1 / (12 * count**2))
    return math.sqrt(sum(squares) / len(squares))


def digit_features(rng: np.random.Generator) -> Callable[[Tensor], Tensor]:
    """Train a small classifier on the digits and return its last hidden layer: images (n, 8, 8) in [0, 1] to (n, 64).

    The result depends on `rng` alone. The images may leave [0, 1] a little, as samples do; they may have any precision,
    and the features are float32.
    """
    images, labels = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        body = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        head = nn.Linear(64, 10)

    def loss():
        chosen = torch.from_numpy(rng.integers(len(images), size=CLASSIFIER_BATCH))
        return nn.functional.cross_entropy(head(body(images[chosen])), labels[chosen])

    fit(torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3, fused=True), loss, CLASSIFIER_STEPS)

    @torch.no_grad()
    @checked
    def features(images: Float[Tensor, "n 8 8"]) -> Float32[Tensor, "n 64"]:
        return require_finite_result(body(images.float()), images=images)

    return features


def _fit_gaussian(values):
    """The mean (d,) and a square factor R (d, d) of the unbiased covariance RᵀR."""
    centred = (values - values.mean(0)) / (len(values) - 1) ** 0.5
    root = torch.linalg.qr(centred, mode="r").R
    return values.mean(0), torch.cat([root, root.new_zeros(root.shape[1] - len(root), root.shape[1])])
