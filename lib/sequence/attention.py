"""Scaled dot-product attention, and who may attend to whom."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lib.course.shapes import Bool, Float, Real, checked, checked_after_errors
from lib.course.tensors import require_finite_entries, working_dtype


@checked
def attention(
    q: Float[Tensor, "batch heads query dim"],
    k: Float[Tensor, "batch heads key dim"],
    v: Float[Tensor, "batch heads key value"],
    *,
    causal: bool = False,
    allowed: Bool[Tensor, "#batch query key"] | None = None,
    bias: Float[Tensor, "#batch #heads query key"] | None = None,
) -> Float[Tensor, "batch heads query value"]:
    """softmax(q kᵀ / √dim + bias) v, over the allowed keys (all, if None). Source: arXiv 1706.03762, section 3.2.1.

    `causal` leaves query i of as many keys those up to i. A bias of -∞ forbids a key too. Half precision is computed
    with in float32. A `ValueError` is raised if a query may attend to nothing, which has no softmax (let padding attend
    to itself), if an entry is not finite, or if scores overflow.
    """
    if causal:
        if q.shape[2] != k.shape[2]:
            raise ValueError(f"causal needs as many keys as queries, got {k.shape[2]} and {q.shape[2]}")
        if allowed is not None or bias is not None:
            order, causal = torch.arange(q.shape[2], device=q.device), False
            past = causal_mask(order, order)[None]
            allowed = past if allowed is None else allowed & past
    mask = softmax_mask(q, k, allowed, bias)
    _require_finite_scores(q, k)
    mixed = attend(q, k, v, mask, causal=causal)
    if not _norm(mixed) < torch.inf and not mixed.isfinite().all():
        require_finite_entries("v", v)
        raise ValueError(f"q and k must be smaller: with the bias, their scores overflow {working_dtype(q.dtype)}")
    return mixed


@checked
def causal_mask(
    query_positions: Real[Tensor, "*batch query"], key_positions: Real[Tensor, "*batch key"]
) -> Bool[Tensor, "*batch query key"]:
    """True where the key does not come after the query."""
    if query_positions.dtype != key_positions.dtype:  # or half precision would take 257 for 256
        query_positions, key_positions = query_positions.double(), key_positions.double()
    require_finite_entries("query_positions", query_positions)
    require_finite_entries("key_positions", key_positions)
    return key_positions[..., None, :] <= query_positions[..., :, None]


@checked
def softmax_mask(
    q: Float[Tensor, "batch heads query dim"],
    k: Float[Tensor, "batch heads key dim"],
    allowed: Bool[Tensor, "#batch query key"] | None,
    bias: Float[Tensor, "#batch #heads query key"] | None,
) -> Tensor | None:
    """What `attend` adds to the scores, or a `ValueError` if that leaves a query without a key."""
    if not k.shape[2]:
        raise ValueError(f"k must hold at least one key, got shape {tuple(k.shape)}")
    mask = None
    if allowed is not None:
        if not allowed.any(-1).all():
            row = tuple((~allowed.any(-1)).nonzero()[0].tolist())
            raise ValueError(f"allowed must leave every query a key, got none for (batch, query) = {row}")
        mask = allowed[:, None]
    if bias is not None:
        bias = bias.to(working_dtype(q.dtype))
        if bias.isnan().any() or (bias == torch.inf).any():
            raise ValueError("bias must be finite or -inf, got NaN or +inf entries")
        mask = bias if mask is None else torch.where(mask, bias, -torch.inf)
        nothing = (mask == -torch.inf).all(-1)
        if nothing.any():
            row = tuple(nothing.nonzero()[0].tolist())
            raise ValueError(f"bias must leave every query an allowed key, got -inf for (batch, head, query) = {row}")
    return mask


@checked_after_errors
def attend(
    q: Float[Tensor, "batch heads query dim"],
    k: Float[Tensor, "batch heads key dim"],
    v: Float[Tensor, "batch heads key value"],
    mask: Tensor | None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """`attention` without its checks, under a mask or in causal order; half precision is computed with in float32.

    Entries are assumed to be of moderate size: scores that overflow give NaN.
    """
    dtype = working_dtype(q.dtype)
    q, k, v, given = q.to(dtype), k.to(dtype), v.to(dtype), q.dtype
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale).to(given)


def _require_finite_scores(q, k):
    """Refuse queries and keys that are not finite, or whose products are not."""
    if q.numel() and k.numel():
        dtype = working_dtype(q.dtype)
        if not _norm(q) * _norm(k) < torch.finfo(dtype).max:  # no score exceeds it; all may still be finite
            require_finite_entries("q", q)
            require_finite_entries("k", k)
            if not (q.to(dtype) @ k.to(dtype).mT).isfinite().all():
                raise ValueError(f"q and k must be smaller: their scores overflow {dtype}")


def _norm(x):
    """The root of the sum of squares: not finite if an entry is not, or if a square overflows; the quickest look at all."""
    return torch.linalg.vector_norm(x.detach()).item()
