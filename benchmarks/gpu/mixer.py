"""The course's attention layer with the products inside left open, so that benchmarks can exchange them."""

from collections.abc import Callable

import torch
from record import device
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lib.sequence.position import Position
from lib.sequence.transformer import Context


class Mixer(nn.Module):
    """Multi-head attention without positions, in the dtype of its weights; `inner(q, k, v, context)` mixes.

    Queries, keys and values, and what `inner` returns, are (batch, heads, length, dim).
    """

    def __init__(self, width: int, position: Position, heads: int, inner: Callable[..., Tensor]):
        super().__init__()
        self.heads, self.inner = heads, inner
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, context: Context, cache: None = None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(self.inner(q, k, v, context).transpose(1, 2).flatten(2))


def flash(q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
    """Causal attention by torch's fused kernel."""
    return scaled_dot_product_attention(q, k, v, is_causal=True)


def set_inner(model: nn.Module, inner: Callable[..., Tensor]) -> None:
    for module in model.modules():
        if isinstance(module, Mixer):
            module.inner = inner


def half() -> torch.dtype:
    """BF16, or float32 on a CPU, where BF16 is slow."""
    return torch.bfloat16 if device().type == "cuda" else torch.float32
