"""Attention in one pass over tiles of keys, with memory linear in the length: FlashAttention in plain torch."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lib.course.ranges import require_at_least
from lib.course.shapes import Bool, Float, checked
from lib.course.tensors import require_finite_entries, working_dtype


@checked
def flash_attention(
    q: Float[Tensor, "batch heads query dim"],
    k: Float[Tensor, "batch heads key dim"],
    v: Float[Tensor, "batch heads key value"],
    *,
    causal: bool = False,
    allowed: Bool[Tensor, "#batch query key"] | None = None,
    block: tuple[int, int] = (128, 128),
) -> tuple[Float[Tensor, "batch heads query value"], Float[Tensor, "batch heads query"]]:
    """softmax(q kᵀ / √dim) v and the rows' log-sum-exp of the scores, tile by tile of `block` = (queries, keys).

    `causal` lets query i see the keys up to i, `allowed` (True: may be seen) narrows it further. A query that may see
    nothing gives 0, with log-sum-exp -∞ and gradient 0. No tensor with query × key entries is made: backward computes
    each tile's weights again from the log-sum-exp, which itself is taken as a constant. Half precision is computed with
    in float32. A `ValueError` is raised if an entry is not finite, or if scores overflow. Source: arXiv 2205.14135,
    algorithms 1 and 4, with the queries in the outer loop as in arXiv 2307.08691.
    """
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        require_finite_entries(name, tensor)
    for name, size in zip(("block[0]", "block[1]"), block, strict=True):
        require_at_least(name, size, 1)
    if causal and q.shape[2] != k.shape[2]:
        raise ValueError(f"causal needs as many keys as queries, got {k.shape[2]} and {q.shape[2]}")
    out, logsumexp = _Flash.apply(q, k, v, _Tiles(q.shape[2], k.shape[2], block, causal, allowed))
    if logsumexp.isnan().any() or out.isnan().any():
        raise ValueError(f"q, k and v must be smaller: the scores or the sums overflow {logsumexp.dtype}")
    return out, logsumexp


class _Tiles:
    """The tiles of the score matrix that hold something to see, and what may be seen in each."""

    def __init__(self, queries, keys, block, causal, allowed):
        self.queries, self.keys, self.block, self.causal, self.allowed = queries, keys, block, causal, allowed

    def rows(self) -> Iterator[slice]:
        return (slice(i, min(i + self.block[0], self.queries)) for i in range(0, self.queries, self.block[0]))

    def columns(self, rows: slice) -> Iterator[slice]:
        seen = min(self.keys, rows.stop) if self.causal else self.keys
        return (slice(j, min(j + self.block[1], seen)) for j in range(0, seen, self.block[1]))

    def scores(self, q: Tensor, k: Tensor, rows: slice, columns: slice) -> Tensor:
        """The scores of a tile, -∞ where nothing may be seen."""
        scores = q[:, :, rows] @ k[:, :, columns].mT
        if self.causal and columns.stop > rows.start + 1:
            i = torch.arange(rows.start, rows.stop, device=q.device)[:, None]
            j = torch.arange(columns.start, columns.stop, device=q.device)
            scores.masked_fill_(j > i, -math.inf)
        if self.allowed is not None:
            scores.masked_fill_(~self.allowed[:, None, rows, columns], -math.inf)
        return scores


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, tiles):
        scaled, keys, values = _working(q) / math.sqrt(q.shape[3]), _working(k), _working(v)
        out = values.new_zeros(*q.shape[:3], v.shape[3])
        logsumexp = values.new_full(q.shape[:3], -math.inf)
        for rows in tiles.rows():
            largest, total, sums = -math.inf, 0, 0
            for columns in tiles.columns(rows):
                scores = tiles.scores(scaled, keys, rows, columns)
                new = scores.amax(-1, keepdim=True).clamp(min=largest)
                base = new.nan_to_num(neginf=0)  # a row that has seen nothing yet: exp(-∞ - 0) = 0
                weights, shrink = (scores - base).exp(), (largest - base).exp()
                total = shrink * total + weights.sum(-1, keepdim=True)
                sums = shrink * sums + weights @ values[:, :, columns]
                largest = new
            if isinstance(total, Tensor):
                out[:, :, rows] = sums / total.where(total > 0, 1)
                logsumexp[:, :, rows] = (largest + total.log())[..., 0]
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, out, logsumexp)
        ctx.tiles = tiles
        ctx.mark_non_differentiable(logsumexp)
        return out, logsumexp

    @staticmethod
    def backward(ctx, d_out, _):
        q, k, v, out, logsumexp = ctx.saved_tensors
        tiles, scale, d_out = ctx.tiles, 1 / math.sqrt(q.shape[3]), _working(d_out)
        scaled, keys, values = _working(q) * scale, _working(k), _working(v)
        dq, dk, dv = torch.zeros_like(scaled), torch.zeros_like(keys), torch.zeros_like(values)
        mean = (d_out * out).sum(-1, keepdim=True)
        base = logsumexp.nan_to_num(neginf=0)[..., None]
        for rows in tiles.rows():
            for columns in tiles.columns(rows):
                weights = (tiles.scores(scaled, keys, rows, columns) - base[:, :, rows]).exp()
                dv[:, :, columns] += weights.mT @ d_out[:, :, rows]
                d_scores = weights * (d_out[:, :, rows] @ values[:, :, columns].mT - mean[:, :, rows])
                dq[:, :, rows] += d_scores @ keys[:, :, columns]
                dk[:, :, columns] += d_scores.mT @ scaled[:, :, rows]
        return (dq * scale).to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), None


def _working(tensor):
    return tensor.to(working_dtype(tensor.dtype))
