"""Ratios of probabilities in the place of a gradient: the concrete score of discrete data, and the loss that learns it.

Source: Lou et al. 2024, arXiv 2310.16834, sections 3.1 (definition 3.1, the loss) and 3.3 (its form for denoising).
"""

import torch
from torch import Tensor

from lib.course.ranges import require_positive
from lib.course.shapes import Float, checked


@checked
def score_entropy(
    log_score: Float[Tensor, "*shape"], ratio: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """s - r log s + r (log r - 1) of each score s = exp(log_score) against its ratio r = p(y) / p(x) ≥ 0.

    Not negative, and zero only at s = r. The loss of a state x sums it over y ≠ x, weighted with the rates Q[x, y].
    """
    if not (ratio.detach() >= 0).all() or not ratio.detach().isfinite().all():
        raise ValueError(f"ratio must be finite and not negative, got {ratio.detach()}")
    return log_score.exp() - ratio * log_score + torch.special.xlogy(ratio, ratio) - ratio


@checked
def absorbing_score(
    log_probs: Float[Tensor, "*shape vocabulary"], noise: float
) -> Float[Tensor, "*shape vocabulary"]:
    """log of p(x with the mask at i filled by v) / p(x), from log P(token i = v | x), where masks came at noise σ̄ > 0.

    The ratio is e^-σ̄ / (1 - e^-σ̄) P(token i = v | what is not masked): all of its time stands in front.
    """
    require_positive("noise", noise)
    return log_probs - torch.tensor(noise, dtype=torch.float64).expm1().log().to(log_probs.dtype)
