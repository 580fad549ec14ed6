"""The gated attention unit, and attention in chunks: squares of a ReLU within each, sums of k vᵀ across them.

In its modules, values are assumed to be of moderate size: products of huge numbers overflow, which may end in NaN.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from lib.course.ranges import require_at_least, require_positive
from lib.course.shapes import Float, checked, checked_after_errors
from lib.course.tensors import require_finite_result, working_dtype
from lib.sequence.attention import attend
from lib.sequence.position import Position
from lib.sequence.transformer import Context, extend, require_states

Kernel = Literal["softmax", "relu2"]


@checked
def squared_relu_attention(
    q: Float[Tensor, "batch heads query dim"],
    k: Float[Tensor, "batch heads key dim"],
    v: Float[Tensor, "batch heads key value"],
    *,
    causal: bool = False,
    divisor: float | None = None,
    bias: Float[Tensor, "#batch #heads query key"] | None = None,
) -> Float[Tensor, "batch heads query value"]:
    """Σⱼ relu(qᵢ·kⱼ + biasᵢⱼ)² vⱼ / divisor; `causal` sums over j ≤ i alone.

    The divisor is dim times the number of keys that a query sees, unless it is given: i + 1 keys in causal order, so that
    no output depends on how many tokens follow. Half precision is computed with in float32. A `ValueError` is raised if
    the result is not finite. Source: arXiv 2202.10447, whose code divides by the square of the length.
    """
    if causal and q.shape[2] != k.shape[2]:
        raise ValueError(f"causal needs as many keys as queries, got {k.shape[2]} and {q.shape[2]}")
    _require_divisor("divisor", divisor)
    dtype = working_dtype(q.dtype)
    weights = _squares(q.to(dtype), k.to(dtype), bias)
    if divisor is None:
        divisor = q.shape[3] * (_counts(q) if causal else k.shape[2])
    mixed = (weights.tril() if causal else weights) @ v.to(dtype) / divisor
    return require_finite_result(mixed.to(q.dtype), q=q, k=k, v=v)


@checked
def mixed_chunk_attention(
    quad_q: Float[Tensor, "batch heads length dim"],
    quad_k: Float[Tensor, "batch heads length dim"],
    lin_q: Float[Tensor, "batch heads length dim"],
    lin_k: Float[Tensor, "batch heads length dim"],
    v: Float[Tensor, "batch heads length value"],
    *,
    chunk: int,
    causal: bool = False,
    quad_divisor: float | None = None,
    lin_divisor: float | None = None,
    bias: Float[Tensor, "#batch #heads {chunk} {chunk}"] | None = None,
) -> Float[Tensor, "batch heads length value"]:
    """Squared-ReLU attention within each chunk of tokens, plus q·k without a kernel across chunks.

    Causal: a token sees its own chunk up to itself by relu(q·k + bias)², and all of the chunks before it by q·k. Not
    causal: it sees its whole chunk by the square and all chunks, its own too, by q·k. The chunk need not divide the
    length. Each part's divisor is dim times the number of tokens that the part shows to the query (at least 1), unless it
    is given. Half precision is computed with in float32. A `ValueError` is raised if the result is not finite. Source:
    arXiv 2202.10447, section 3.2.
    """
    require_at_least("chunk", chunk, 1)
    _require_divisor("quad_divisor", quad_divisor)
    _require_divisor("lin_divisor", lin_divisor)
    dtype = working_dtype(v.dtype)
    parts = [x.to(dtype) for x in (quad_q, quad_k, lin_q, lin_k, v)]
    quadratic, linear, _ = _mixed(*parts, chunk, causal, quad_divisor, lin_divisor, bias)
    mixed = (quadratic + linear).to(v.dtype)
    return require_finite_result(mixed, quad_q=quad_q, quad_k=quad_k, lin_q=lin_q, lin_k=lin_k, v=v)


def _squares(q, k, bias=None):
    """relu(q·k + bias)², in which a bias of -∞ is a weight of 0."""
    scores = q @ k.mT
    return (scores if bias is None else scores + bias).relu().square()


def _counts(x):
    """1, 2, … for the tokens of (…, length, dim), as a column."""
    return torch.arange(1, x.shape[-2] + 1, device=x.device)[:, None]


def _mixed(quad_q, quad_k, lin_q, lin_k, v, chunk, causal, quad_divisor=None, lin_divisor=None, bias=None, before=None):
    """The two parts of mixed chunk attention, and Σ k vᵀ and the number of tokens after the last whole chunk.

    `before` holds these two for the tokens that precede the first chunk.
    """
    length, dim = v.shape[2], v.new_tensor(quad_q.shape[3])
    parts = (pad(x, (0, 0, 0, -length % chunk)).unflatten(2, (-1, chunk)) for x in (quad_q, quad_k, lin_q, lin_k, v))
    quad_q, quad_k, lin_q, lin_k, v = parts  # (batch, heads, chunks, chunk, …)
    order = torch.arange(v.shape[2] * chunk, device=v.device).view(-1, chunk, 1)
    weights = _squares(quad_q, quad_k, None if bias is None else bias[:, :, None])
    sums = lin_k.mT @ v
    if causal:
        state, seen = (0, 0) if before is None else (before[0][:, :, None], int(before[1]))
        weights, states = weights.tril(), state + sums.cumsum(2)
        in_chunk, shown = order % chunk + 1, seen + order - order % chunk
        whole = length // chunk
        after = (states[:, :, whole - 1] if whole else before and before[0]), seen + whole * chunk
        linear = lin_q @ (states - sums)
    else:
        in_chunk, shown, after = (length - order + order % chunk).clamp(max=chunk), length, None
        linear = lin_q @ sums.sum(2, keepdim=True)
    quadratic = weights @ v / (dim * in_chunk if quad_divisor is None else quad_divisor)
    linear = linear / (dim * torch.as_tensor(shown).clamp(min=1) if lin_divisor is None else lin_divisor)
    return quadratic.flatten(2, 3)[:, :, :length], linear.flatten(2, 3)[:, :, :length], after


def _require_divisor(name, divisor):
    if divisor is not None:
        require_positive(name, divisor)


class GAU(nn.Module):
    """Gated attention unit, a mixer that needs no feed-forward: out(u ⊙ A v) with one head A of width `dim`.

    u and v have expansion · width entries; queries and keys are the same `dim` features with scales and offsets of their
    own. It has 3 expansion width² + width dim parameters, and 2 dim more for each scale and offset: two pairs, or four
    with `chunk`. A is a softmax or, with kernel "relu2", a squared ReLU over the number of keys seen; with `chunk` it is
    `mixed_chunk_attention`, for which the kernel must be "relu2", and a causal model decodes with a cache of fixed size.
    Source: arXiv 2202.10447, sections 2.2 and 3.2.
    """

    @checked_after_errors
    def __init__(
        self,
        width: int,
        position: Position,
        *,
        expansion: int = 2,
        dim: int = 32,
        kernel: Kernel = "softmax",
        chunk: int | None = None,
    ):
        super().__init__()
        for name, size in (("width", width), ("expansion", expansion), ("dim", dim)):
            require_at_least(name, size, 1)
        if kernel not in ("softmax", "relu2"):
            raise ValueError(f'kernel must be "softmax" or "relu2", got {kernel!r}')
        if chunk is not None:
            require_at_least("chunk", chunk, 1)
            if kernel != "relu2":
                raise ValueError(f'kernel must be "relu2" with a chunk, got {kernel!r}')
            if type(position).bias != Position.bias:
                raise ValueError(f"position must not add to scores with a chunk, got {type(position).__name__}")
        self.width, self.kernel, self.chunk, self.sizes = width, kernel, chunk, (expansion * width, expansion * width, dim)
        self.inner = nn.Linear(width, sum(self.sizes), bias=False)
        self.scale = nn.Parameter(1 + 0.1 * torch.randn(2 if chunk is None else 4, 1, dim))
        self.offset = nn.Parameter(torch.zeros_like(self.scale))
        self.out = nn.Linear(expansion * width, width, bias=False)

    @checked_after_errors
    def forward(
        self, x: Float[Tensor, "batch length width"], context: Context, cache: dict[str, Tensor] | None = None
    ) -> Float[Tensor, "batch length width"]:
        require_states(x, self.width)
        u, v, z = silu(self.inner(x)).split(self.sizes, -1)
        shared = z[None, :, None] * self.scale[:, None, None] + self.offset[:, None, None]
        placed = context.rotate(shared)  # (2 or 4, batch, 1, length, dim)
        grown = None if cache is None else dict(cache)
        mix = self._in_pairs if self.chunk is None else self._in_chunks
        mixed = self.out(u * mix(placed, v[:, None], context, grown)[:, 0])
        if cache is not None:
            cache.update(grown)
        return mixed

    def _in_pairs(self, placed, v, context, cache):
        q, k = placed
        k, v = extend(cache, "keys", k, 2), extend(cache, "values", v, 2)
        mask, causal = context.mask(q, k)
        if self.kernel == "softmax":
            return attend(q, k, v, mask, causal=causal)
        if causal:
            weights, seen = _squares(q, k).tril(), _counts(q)
        elif mask is None:
            weights, seen = _squares(q, k), k.shape[2]
        elif mask.dtype == torch.bool:
            weights, seen = _squares(q, k) * mask, mask.sum(-1, keepdim=True)
        else:
            weights, seen = _squares(q, k, mask), (mask > -torch.inf).sum(-1, keepdim=True)
        return weights @ v / (q.shape[3] * seen)

    def _in_chunks(self, placed, v, context, cache):
        if context.allowed is not None:
            raise ValueError("allowed must be None: mixed chunk attention knows the causal order alone")
        quad_q, lin_q, quad_k, lin_k = placed
        if not context.causal:
            if cache is not None:
                raise ValueError("cache must be None: a model that is not causal sees all tokens at once")
            return sum(_mixed(quad_q, quad_k, lin_q, lin_k, v, self.chunk, False)[:2])
        before, new = None, v.shape[2]
        if cache is not None:  # begin with the tokens of the unfinished chunk, whose queries have been answered
            if "state" in cache:
                before = cache["state"], cache["finished"]
            quad_k, lin_k = extend(cache, "quad_k", quad_k, 2), extend(cache, "lin_k", lin_k, 2)
            v = extend(cache, "values", v, 2)
            quad_q, lin_q = (pad(q, (0, 0, v.shape[2] - new, 0)) for q in (quad_q, lin_q))
        quadratic, linear, after = _mixed(quad_q, quad_k, lin_q, lin_k, v, self.chunk, True, before=before)
        if cache is not None:
            if after[0] is not None:
                cache["state"], cache["finished"] = after[0], torch.tensor(after[1])
            whole = v.shape[2] // self.chunk * self.chunk
            for name, kept in (("quad_k", quad_k), ("lin_k", lin_k), ("values", v)):
                cache[name] = kept[:, :, whole:].clone()
        return (quadratic + linear)[:, :, -new:]
