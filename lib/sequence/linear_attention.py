"""Attention without a softmax: features of queries and keys, whose sums a causal model carries along.

In its modules, values are assumed to be of moderate size: products of huge numbers overflow, which may end in NaN.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, pad

from lib.course.ranges import require_at_least
from lib.course.shapes import Float, checked, checked_after_errors
from lib.course.tensors import require_finite_result, working_dtype
from lib.sequence.position import Position
from lib.sequence.transformer import Context, require_states

CHUNK = 64


@checked_after_errors
def elu_feature(x: Float[Tensor, "..."]) -> Tensor:
    """elu(x) + 1: e^x below 0, 1 + x above; positive. Source: arXiv 2006.16236, equation 7."""
    return elu(x) + 1


@checked
def linear_attention(
    q: Float[Tensor, "batch heads query features"],
    k: Float[Tensor, "batch heads key features"],
    v: Float[Tensor, "batch heads key value"],
    *,
    causal: bool = False,
    chunk: int = CHUNK,
) -> Float[Tensor, "batch heads query value"]:
    """Σⱼ (qᵢ·kⱼ) vⱼ / Σⱼ qᵢ·kⱼ for features q and k of the queries and keys; `causal` sums over j ≤ i alone.

    The causal sums go `chunk` tokens at a time, which must divide the length: within a chunk as a masked product, before
    it through the sum of k vᵀ. Features should be positive, so that no row's weights add up to 0; a `ValueError` is
    raised if the result is not finite. Half precision is computed with in float32. Source: arXiv 2006.16236, section 3.
    """
    if causal and q.shape[2] != k.shape[2]:
        raise ValueError(f"causal needs as many keys as queries, got {k.shape[2]} and {q.shape[2]}")
    require_at_least("chunk", chunk, 1)
    if causal and q.shape[2] % chunk:
        raise ValueError(f"chunk must divide the length {q.shape[2]}, got {chunk}")
    dtype = working_dtype(q.dtype)
    given, q, k, v = q.dtype, q.to(dtype), k.to(dtype), with_ones(v.to(dtype))
    sums = causal_sums(q, k, v, chunk) if causal else q @ (k.mT @ v)
    return require_finite_result(ratio(sums).to(given), q=q, k=k, v=v)


@checked_after_errors
def with_ones(v: Float[Tensor, "... value"]) -> Tensor:
    """Values with a further entry 1, whose weighted sum is the sum of the weights."""
    return pad(v, (0, 1), value=1.0)


@checked_after_errors
def ratio(sums: Float[Tensor, "... value"]) -> Tensor:
    """Weighted sums of values divided by the sum of the weights, which is the last entry and should not be 0."""
    return sums[..., :-1] / sums[..., -1:]


@checked_after_errors
def causal_sums(
    q: Float[Tensor, "batch heads length features"],
    k: Float[Tensor, "batch heads length features"],
    v: Float[Tensor, "batch heads length value"],
    chunk: int,
    state: Float[Tensor, "batch heads features value"] | None = None,
) -> Float[Tensor, "batch heads length value"]:
    """Σ_{j ≤ i} (qᵢ·kⱼ) vⱼ after a state that holds Σ k vᵀ of what came before; the chunk divides the length.

    Entries are assumed to be of moderate size: sums that overflow may give NaN.
    """
    if chunk < 1 or q.shape[2] % chunk:
        raise ValueError(f"chunk must divide the length {q.shape[2]}, got {chunk}")
    q, k, v = (x.unflatten(2, (-1, chunk)) for x in (q, k, v))
    products = k.mT @ v
    before = products.cumsum(2) - products
    if state is not None:
        before = before + state[:, :, None]
    return (q @ before + (q @ k.mT).tril() @ v).flatten(2, 3)


class LinearAttention(nn.Module):
    """Multi-head linear attention, 4 width² parameters, as a mixer; a causal model decodes with a state of fixed size.

    `feature` maps queries and keys (…, width / heads) to their features. Positions must be put into the embeddings: what
    rotates queries and keys or adds to scores does not fit, nor do masks other than the causal order.
    """

    @checked
    def __init__(
        self, width: int, position: Position, heads: int = 4, feature: Callable[[Tensor], Tensor] = elu_feature
    ):
        super().__init__()
        require_at_least("heads", heads, 1)
        require_at_least("width", width, 1)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads = {heads}, got {width}")
        if (type(position).rotation, type(position).bias) != (Position.rotation, Position.bias):
            raise ValueError(f"position must act on embeddings alone, got {type(position).__name__}")
        self.width, self.heads, self.feature = width, heads, feature
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    @checked_after_errors
    def forward(
        self, x: Float[Tensor, "batch length width"], context: Context, cache: dict[str, Tensor] | None = None
    ) -> Float[Tensor, "batch length width"]:
        require_states(x, self.width)
        if context.allowed is not None:
            raise ValueError("allowed must be None: linear attention knows the causal order alone")
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = self.feature(q), self.feature(k), with_ones(v)
        state = None if cache is None else cache.get("state")
        if state is not None and len(state) != len(x):
            raise ValueError(f"x must have the cache's batch: the cache holds a state for a batch of {len(state)}, got a batch of {len(x)}")
        if context.causal:
            missing = -x.shape[1] % min(CHUNK, x.shape[1])
            padded = (pad(part, (0, 0, 0, missing)) for part in (q, k, v))
            sums = causal_sums(*padded, min(CHUNK, x.shape[1]), state)[:, :, : x.shape[1]]
        else:
            sums = q @ (k.mT @ v)
        if cache is not None:
            cache["state"] = k.mT @ v if state is None else state + k.mT @ v
        return self.out(ratio(sums).transpose(1, 2).flatten(2))
