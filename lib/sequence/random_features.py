"""Random features of the softmax kernel e^{x·y}: positive and trigonometric, independent or orthogonal."""

import math

import torch
from torch import Tensor

from lib.course.ranges import require_at_least
from lib.course.shapes import Float, checked


@checked
def gaussian_directions(
    features: int, dim: int, generator: torch.Generator, *, orthogonal: bool = False
) -> Float[Tensor, "{features} {dim}"]:
    """Rows w ~ N(0, I), float64; `orthogonal` makes them orthogonal within blocks of dim, each still N(0, I).

    A block's directions are a rotation drawn from the Haar measure (the signs of R's diagonal belong into Q), and their
    lengths are those of independent Gaussian vectors. Source: arXiv 2009.14794, section 2.4.
    """
    require_at_least("features", features, 1)
    require_at_least("dim", dim, 1)
    if not orthogonal:
        return torch.randn(features, dim, generator=generator, dtype=torch.float64)
    blocks = torch.randn(math.ceil(features / dim), dim, dim, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(blocks)
    directions = (q * r.diagonal(dim1=1, dim2=2).sign()[:, None]).flatten(0, 1)[:features]
    lengths = torch.randn(features, dim, generator=generator, dtype=torch.float64).norm(dim=1)
    return directions * lengths[:, None]


@checked
def positive_features(
    x: Float[Tensor, "... dim"], w: Float[Tensor, "features dim"], *, shift: Float[Tensor, "..."] | float = 0.0
) -> Float[Tensor, "... features"]:
    """e^{w·x - |x|²/2 - shift} / √features: the mean of φ(x)·φ(y) over w ~ N(0, I) is e^{x·y}, but for the shifts.

    Attention does not change where all keys share one shift; each query may have its own. Source: arXiv 2009.14794,
    lemma 1.
    """
    exponents = x @ w.to(x.dtype).T - x.square().sum(-1, keepdim=True) / 2
    shift = shift[..., None] if isinstance(shift, Tensor) else float(shift)
    return (exponents - shift).exp() / math.sqrt(len(w))


@checked
def trigonometric_features(
    x: Float[Tensor, "... dim"], w: Float[Tensor, "features dim"]
) -> Float[Tensor, "... waves"]:
    """e^{|x|²/2} (cos w·x, sin w·x) / √features, unbiased as well, but not positive. Source: the same, section 2.3."""
    angles = x @ w.to(x.dtype).T
    size = (x.square().sum(-1, keepdim=True) / 2).exp() / math.sqrt(len(w))
    return size * torch.cat([angles.cos(), angles.sin()], -1)
