"""Linear layers whose products are computed in FP8, forward and backward, for `training_precision.py`."""

from functools import partial

import torch
from torch import nn

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


def fp8_product(a: torch.Tensor, b: torch.Tensor, dtype_a: torch.dtype, by_row: bool) -> torch.Tensor:
    """a bᵀ in BF16, both rounded to FP8 first: a to its dtype, b to E4M3."""
    factors = []
    for x, dtype in ((a.float(), dtype_a), (b.float(), E4M3)):
        largest = torch.finfo(dtype).max
        scale = (x.abs().amax(1, keepdim=True) if by_row else x.abs().amax()).clamp(min=1e-12) / largest
        factors.append(((x / scale).clamp(-largest, largest).to(dtype), scale))
    (x, u), (y, v) = factors
    return torch._scaled_mm(x, y.t(), scale_a=u, scale_b=v.t() if by_row else v, out_dtype=torch.bfloat16)


class FP8Product(torch.autograd.Function):
    """x wᵀ for x (tokens, inputs) and w (outputs, inputs), and the two products of its backward pass."""

    @staticmethod
    def forward(ctx, x, w, by_row):
        ctx.save_for_backward(x, w)
        ctx.by_row = by_row
        return fp8_product(x, w, E4M3, by_row)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        product = partial(fp8_product, dtype_a=E4M3 if ctx.by_row else E5M2, by_row=ctx.by_row)
        return product(g.contiguous(), w.t().contiguous()), product(g.t().contiguous(), x.t().contiguous()), None


class FP8Linear(nn.Linear):
    """A linear layer without a bias; sizes and the number of tokens are multiples of 16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(0, -2).bfloat16()
        return FP8Product.apply(flat, self.weight.bfloat16(), self.by_row).unflatten(0, x.shape[:-1])


def set_linear(model: nn.Module, kind: type, by_row: bool = False) -> None:
    """Make all linear layers of a model plain (`nn.Linear`) or `FP8Linear`, with the weights that they have."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.__class__, module.by_row = kind, by_row
