"""Scaled dot-product attention, and who may attend to whom."""

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lib.course.shapes import checked


@checked
def attention(
    q: Float[Tensor, "batch heads query dim"],
    k: Float[Tensor, "batch heads key dim"],
    v: Float[Tensor, "batch heads key value"],
    *,
    allowed: Bool[Tensor, "#batch query key"] | None = None,
    bias: Float[Tensor, "#batch #heads query key"] | None = None,
) -> Float[Tensor, "batch heads query value"]:
    """softmax(q kᵀ / √dim + bias) v, over the allowed keys (all, if None). Source: arXiv 1706.03762, section 3.2.1.

    A query that may attend to nothing has no softmax and raises a `ValueError`: let padding attend to itself.
    """
    mask = None if bias is None else bias.to(q.dtype)
    if allowed is not None:
        if not allowed.any(-1).all():
            row = tuple((~allowed.any(-1)).nonzero()[0].tolist())
            raise ValueError(f"allowed must leave every query a key, got none for (batch, query) = {row}")
        allowed = allowed[:, None]
        mask = allowed if mask is None else mask.masked_fill(~allowed, -torch.inf)
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)


@checked
def causal_mask(
    query_positions: Real[Tensor, "*batch query"], key_positions: Real[Tensor, "*batch key"]
) -> Bool[Tensor, "*batch query key"]:
    """True where the key does not come after the query."""
    return key_positions[..., None, :] <= query_positions[..., :, None]
