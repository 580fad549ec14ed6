"""Minibatch optimal transport for many batches at once on a GPU: Bertsekas' auction."""

import math

import torch
from torch import Tensor

SLACK = 0.04


@torch.no_grad()
def match(x_0: Tensor, noise: Tensor) -> Tensor:
    """For batches (batch, n, dim) of data and of noises, the order (batch, n) of the noises with small squared distances.

    The mean inner product of the pairs is within the slack, in deviations of all inner products, of the largest that any
    order has. Source: Bertsekas 1988, "The auction algorithm: a distributed relaxation method for the assignment problem".
    """
    value = x_0 @ noise.mT
    value /= value.std()
    batch, n, _ = value.shape
    order = torch.empty(batch, n, dtype=torch.int64, device=value.device)
    price, owner, left = value.new_zeros(batch, n), torch.full_like(order, -1), torch.arange(batch, device=value.device)
    while len(left):
        for _ in range(50):
            price, owner = bid(value, price, owner)
        mine = owned(owner)
        done = (mine >= 0).all(1)
        order[left[done]] = mine[done]
        value, price, owner, left = (kept[~done] for kept in (value, price, owner, left))
    return order


def bid(value: Tensor, price: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Rows without a noise bid for the one that they gain most by; prices (batch, n) and owners, -1 for nobody.

    A bid is as high as to make the second best as good, and a slack more; the highest gets it, from its owner if need be.
    """
    free, gain = owned(owner) < 0, value - price[:, None]
    best, wish = gain.max(2)
    second = gain.scatter_(2, wish[..., None], -math.inf).amax(2)
    offer = torch.where(free, price.gather(1, wish) + best - second + SLACK, -math.inf)
    top = torch.full_like(price, -math.inf).scatter_reduce(1, wish, offer, "amax")
    rows = torch.arange(owner.shape[1], device=owner.device).expand_as(owner)
    first = torch.where(free & (offer == top.gather(1, wish)), rows, -1)
    buyer = torch.full_like(owner, -1).scatter_reduce(1, wish, first, "amax")
    return torch.where(buyer < 0, price, top), torch.where(buyer < 0, owner, buyer)


def owned(owner: Tensor) -> Tensor:
    """Which noise each row has, -1 for none; what nobody owns is written beyond the end."""
    batch, n = owner.shape
    columns = torch.arange(n, device=owner.device).expand(batch, n)
    return columns.new_full((batch, n + 1), -1).scatter(1, torch.where(owner < 0, n, owner), columns)[:, :n]
