"""A mixture whose experts live in different processes, for `distributed.py`: the chapter's exchanges, with gradients."""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lib.sequence.moe import MixtureOfExperts, sparse_mixture


class Exchange(torch.autograd.Function):
    """Rows for the others: sent[r] of them go to process r, received[r] come from it; gradients go the other way."""

    @staticmethod
    def forward(ctx, rows, sent, received):
        ctx.sent, ctx.received = sent, received
        arrived = rows.new_empty(sum(received), rows.shape[1])
        dist.all_to_all_single(arrived, rows.contiguous(), received, sent)
        return arrived

    @staticmethod
    def backward(ctx, gradient):
        return Exchange.apply(gradient, ctx.received, ctx.sent), None, None


class Parallel(nn.Module):
    """A mixture whose experts are shared out among the processes; router and tokens are each process's own."""

    def __init__(self, whole: MixtureOfExperts):
        super().__init__()
        count, rest = divmod(len(whole.gate), dist.get_world_size())
        if rest:
            raise ValueError(f"the processes must divide the {len(whole.gate)} experts, got {dist.get_world_size()}")
        own = slice(count * dist.get_rank(), count * (dist.get_rank() + 1))
        self.whole, self.own = [whole], [nn.Parameter(matrix.detach()[own].clone()) for matrix in (whole.gate, whole.up, whole.down)]

    def forward(self, x: Tensor) -> Tensor:
        (whole,), world, count = self.whole, dist.get_world_size(), len(self.own[0])
        weights, experts = whole.route(x)
        order = experts.flatten().argsort(stable=True)
        leaving = experts.flatten().bincount(minlength=world * count).view(world, count)
        coming = torch.empty_like(leaving)
        dist.all_to_all_single(coming, leaving)
        sent, received = leaving.sum(1).tolist(), coming.sum(1).tolist()
        rows = Exchange.apply(x[order // whole.k], sent, received)
        wanted = torch.arange(count, device=x.device).repeat(world).repeat_interleave(coming.flatten())
        done = sparse_mixture(rows, rows.new_ones(len(rows), 1), wanted[:, None], *self.own)
        answers = weights.flatten()[order, None].to(x.dtype) * Exchange.apply(done, received, sent)
        return torch.zeros_like(x).index_add(0, order // whole.k, answers)
