"""Smooth stand-ins for discrete choices: random ones (Gumbel, concrete) and deterministic ones (soft maxima and scores)."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lib.course.ranges import require_positive
from lib.course.shapes import checked


@checked
def gumbel(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Standard Gumbel noise, as -log of exponential draws, which no clamping has to keep away from log 0."""
    return -torch.empty(shape, dtype=dtype).exponential_(generator=generator).log()


@checked
def gumbel_softmax(
    logits: Float[Tensor, "*batch classes"],
    temperature: float,
    generator: torch.Generator,
    hard: bool = False,
) -> Float[Tensor, "*batch classes"]:
    """Samples of the concrete distribution (Jang et al. 2017; Maddison et al. 2017) with unnormalised log-probabilities.

    With `hard`, the value is one-hot and the gradient is that of the soft sample (straight-through).
    """
    require_positive("temperature", temperature)
    noise = gumbel(tuple(logits.shape), generator, logits.dtype)
    soft = ((logits + noise) / temperature).softmax(-1)
    if not hard:
        return soft
    one_hot = torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)
    return one_hot - soft.detach() + soft


@checked
def concrete_log_density(
    sample: Float[Tensor, "*batch classes"], logits: Float[Tensor, "*batch classes"], temperature: float
) -> Float[Tensor, "*batch"]:
    """The log-density of a concrete sample with respect to its first classes - 1 coordinates (Maddison et al. 2017)."""
    require_positive("temperature", temperature)
    if not torch.all(sample > 0) or not torch.allclose(sample.sum(-1), torch.ones_like(sample[..., 0]), atol=1e-5):
        raise ValueError("sample must be positive and sum to 1 over the last axis")
    classes = sample.shape[-1]
    scores = logits - (temperature + 1) * sample.log()
    constant = math.lgamma(classes) + (classes - 1) * math.log(temperature)
    return constant + scores.sum(-1) - classes * (logits - temperature * sample.log()).logsumexp(-1)


@checked
def smooth_max(x: Float[Tensor, "*batch n"], sharpness: float) -> Float[Tensor, "*batch"]:
    """log Σ exp(k x) / k for sharpness k: between max x and max x + log(n)/k."""
    require_positive("sharpness", sharpness)
    return (sharpness * x).logsumexp(-1) / sharpness


@checked
def soft_argmax(x: Float[Tensor, "*batch n"], sharpness: float) -> Float[Tensor, "*batch"]:
    """The mean index Σ i p_i under p = softmax(k x); it means something only where indices are ordered."""
    require_positive("sharpness", sharpness)
    return (sharpness * x).softmax(-1) @ torch.arange(x.shape[-1], dtype=x.dtype)


@checked
def soft_accuracy(logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, "batch"]) -> Float[Tensor, ""]:
    """The mean probability of the right class: the expected accuracy of labels drawn from the softmax."""
    if not torch.all((labels >= 0) & (labels < logits.shape[1])):
        raise ValueError(f"labels must lie in 0 … {logits.shape[1] - 1}, got {labels.min()} … {labels.max()}")
    return logits.softmax(1).gather(1, labels[:, None]).mean()


@checked
def soft_f1(probabilities: Float[Tensor, "batch"], labels: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """2 Σ p t / Σ (p + t): the F1 score where every p is 0 or 1. `labels` are 0 or 1."""
    if not torch.all((probabilities >= 0) & (probabilities <= 1)):
        raise ValueError("probabilities must lie in [0, 1]")
    if not torch.all((labels == 0) | (labels == 1)):
        raise ValueError("labels must be 0 or 1")
    total = (probabilities + labels).sum()
    if total == 0:
        raise ValueError("F1 is undefined without positive labels and predictions")
    return 2 * (probabilities * labels).sum() / total
