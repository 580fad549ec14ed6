"""Smooth stand-ins for discrete choices: random ones (Gumbel, concrete), deterministic ones (soft maxima and scores).

All of them compute in float64 and return the precision that they were given, half precision included.
"""

import math

import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_positive, require_whole
from lib.course.shapes import Float, Int64, checked


@checked
def gumbel(
    shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "..."]:
    """Standard Gumbel noise, as -log of exponential draws, which no clamping has to keep away from log 0."""
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point type, got {dtype}")
    for size in shape:
        require_whole("each size of shape", size, 0)
    drawn_in = torch.promote_types(dtype, torch.float32)  # half precision would round some draws to 0
    return -torch.empty(shape, dtype=drawn_in).exponential_(generator=generator).log().to(dtype)


@checked
def gumbel_softmax(
    logits: Float[Tensor, "*batch classes"],
    temperature: float,
    generator: torch.Generator,
    hard: bool = False,
) -> Float[Tensor, "*batch classes"]:
    """Samples of the concrete distribution for unnormalised log-probabilities (Jang et al. 2017; Maddison et al. 2017).

    With `hard`, the value is one-hot and the gradient is that of the soft sample (straight-through).
    """
    require_positive("temperature", temperature)
    require_at_least("the number of classes of logits", logits.shape[-1], 1)
    wide = torch.promote_types(logits.dtype, torch.float32)
    noisy = logits + gumbel(tuple(logits.shape), generator, wide)
    soft = (_below_largest(noisy)[0] / temperature).softmax(-1).to(logits.dtype)
    if not hard:
        return soft
    one_hot = torch.zeros_like(soft).scatter(-1, noisy.argmax(-1, keepdim=True), 1.0)
    return one_hot - soft.detach() + soft


@checked
def concrete_log_density(
    sample: Float[Tensor, "*batch classes"], logits: Float[Tensor, "*batch classes"], temperature: float
) -> Float[Tensor, "*batch"]:
    """The log-density of a concrete sample with respect to its first classes - 1 coordinates (Maddison et al. 2017).

    Raises `ValueError` for a sample that is not positive, or does not sum to 1 up to its precision and 1e-5.
    """
    require_positive("temperature", temperature)
    require_at_least("the number of classes of sample", sample.shape[-1], 1)
    excess = sample.double().sum(-1) - 1
    if not torch.all(sample > 0) or not torch.all(excess.abs() <= max(1e-5, torch.finfo(sample.dtype).eps)):
        came = f"got entries from {sample.min():.3g}, and sums from {1 + excess.min():.6g} to {1 + excess.max():.6g}"
        raise ValueError(f"sample must be positive and sum to 1 over the last axis, {came}")
    classes = sample.shape[-1]
    logs = sample.double().log()
    constant = math.lgamma(classes) + (classes - 1) * math.log(temperature)
    density = constant + (logits - temperature * _below_largest(logs)[0]).log_softmax(-1).sum(-1) - logs.sum(-1)
    return density.to(torch.promote_types(sample.dtype, logits.dtype))


@checked
def smooth_max(x: Float[Tensor, "*batch n"], sharpness: float) -> Float[Tensor, "*batch"]:
    """log Σ exp(k x) / k for sharpness k: between max x and max x + log(n)/k."""
    require_positive("sharpness", sharpness)
    gaps, largest = _below_largest(x)
    return (largest.squeeze(-1) + (sharpness * gaps).logsumexp(-1) / sharpness).to(x.dtype)


@checked
def soft_argmax(x: Float[Tensor, "*batch n"], sharpness: float) -> Float[Tensor, "*batch"]:
    """The mean index Σ i p_i under p = softmax(k x); it means something only where indices are ordered."""
    require_positive("sharpness", sharpness)
    p = (sharpness * _below_largest(x)[0]).softmax(-1)
    return (p @ torch.arange(x.shape[-1], dtype=p.dtype)).to(x.dtype)


@checked
def soft_accuracy(logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, "batch"]) -> Float[Tensor, ""]:
    """The mean probability of the right class: the expected accuracy of labels drawn from the softmax."""
    require_at_least("the number of labels", len(labels), 1)
    if not torch.all((labels >= 0) & (labels < logits.shape[1])):
        raise ValueError(f"labels must lie in 0 … {logits.shape[1] - 1}, got {labels.min()} … {labels.max()}")
    return logits.double().softmax(1).gather(1, labels[:, None]).mean().to(logits.dtype)


@checked
def soft_f1(probabilities: Float[Tensor, "batch"], labels: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """2 Σ p t / Σ (p + t): the F1 score where every p is 0 or 1. `labels` are 0 or 1."""
    if not torch.all((probabilities >= 0) & (probabilities <= 1)):
        raise ValueError(f"probabilities must lie in [0, 1], got {probabilities.min()} … {probabilities.max()}")
    if not torch.all((labels == 0) | (labels == 1)):
        raise ValueError(f"labels must be 0 or 1, got {labels.unique()[:5].tolist()}")
    p, t = probabilities.double(), labels.double()
    total = (p + t).sum()
    if total == 0:
        raise ValueError("F1 is undefined without positive labels and predictions")
    return (2 * (p * t).sum() / total).to(probabilities.dtype)


def _below_largest(x: Tensor) -> tuple[Tensor, Tensor]:
    """x minus its largest entry along the last axis, in float64, and that entry: scaling it up cannot overflow."""
    require_at_least("the length of x", x.shape[-1], 1)
    x, finite = x.double(), torch.finfo(torch.float64).max
    largest = x.detach().amax(-1, keepdim=True).clamp(-finite, finite)
    return x - largest, largest
