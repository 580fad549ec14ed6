"""How far samples are from data."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lib.course.data import digits
from lib.course.shapes import checked
from lib.course.training import fit

CLASSIFIER_STEPS, CLASSIFIER_BATCH = 400, 128


@checked
def frechet_distance(a: Float[Tensor, "n features"], b: Float[Tensor, "m features"]) -> float:
    """The squared Fréchet (2-Wasserstein) distance of the Gaussians fitted to two sets of features.

    ‖μ_a - μ_b‖² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½) (Dowson & Landau 1982); on Inception features it is the FID (Heusel et
    al. 2017, arXiv 1706.08500). With Σ = RᵀR, the last trace is the sum of the singular values of R_a R_bᵀ, so no root
    of a matrix is needed and singular covariances do no harm. Few samples bias it upwards: compare sets of one size.
    In the features' units squared, computed in float64. Fewer than two samples, or a value that is not finite, raise a
    `ValueError`.
    """
    mean_a, root_a = _fit_gaussian("a", a)
    mean_b, root_b = _fit_gaussian("b", b)
    overlap = torch.linalg.matrix_norm(root_a @ root_b.T, "nuc")
    return float((mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * overlap)


def digit_features(rng: np.random.Generator) -> Callable[[Tensor], Tensor]:
    """Train a small classifier on the digits and return its last hidden layer: images (n, 8, 8) in [0, 1] to (n, 64).

    The result depends on `rng` alone. The images may leave [0, 1] a little, as samples do.
    """
    images, labels = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        body = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        head = nn.Linear(64, 10)

    def loss():
        chosen = torch.from_numpy(rng.integers(len(images), size=CLASSIFIER_BATCH))
        return nn.functional.cross_entropy(head(body(images[chosen])), labels[chosen])

    fit(torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3), loss, CLASSIFIER_STEPS)

    @torch.no_grad()
    @checked
    def features(images: Float[Tensor, "n 8 8"]) -> Float[Tensor, "n 64"]:
        return body(images)

    return features


def _fit_gaussian(name, features):
    """The mean (d,) and a factor R (k, d) of the unbiased covariance RᵀR."""
    if len(features) < 2 or not torch.all(torch.isfinite(features)):
        raise ValueError(f"{name} must hold at least 2 finite samples (n, features), got shape {tuple(features.shape)}")
    values = features.double()
    centred = (values - values.mean(0)) / (len(values) - 1) ** 0.5
    return values.mean(0), torch.linalg.qr(centred, mode="r").R
