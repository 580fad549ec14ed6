"""Minibatch optimal transport for many batches at once on a GPU: Bertsekas' auction."""

import math

import torch
from torch import Tensor

SLACKS = (1.0, 0.2, 0.04)


@torch.no_grad()
def match(x_0: Tensor, noise: Tensor) -> Tensor:
    """For batches (batch, n, dim) of data and of noises, the order (batch, n) of the noises with small squared distances.

    Rows bid for the noise that they gain most by, at its price, and raise the price by as much as it is better than the
    second best, and a slack. In the end the mean inner product of the pairs is within the last slack, in deviations of all
    inner products, of the largest that any order has; coarser slacks first make the prices. Source: Bertsekas 1988,
    "The auction algorithm: a distributed relaxation method for the assignment problem".
    """
    value = x_0 @ noise.mT
    value /= value.std()
    batch, n, _ = value.shape
    columns = torch.arange(n, device=value.device).expand(batch, n)
    price = value.new_zeros(batch, n)
    for slack in SLACKS:
        owner, mine = torch.full_like(columns, -1), torch.full_like(columns, -1)
        while (mine < 0).any():
            for _ in range(20):  # between two looks at whether everybody has bought
                gain = value - price[:, None]
                best, wish = gain.max(2)
                second = gain.scatter_(2, wish[..., None], -math.inf).amax(2)
                bid = torch.where(mine < 0, price.gather(1, wish) + best - second + slack, -math.inf)
                top = torch.full_like(price, -math.inf).scatter_reduce(1, wish, bid, "amax")
                wins = (mine < 0) & (bid == top.gather(1, wish))
                buyer = torch.full_like(columns, -1).scatter_reduce(1, wish, torch.where(wins, columns, -1), "amax")
                price, owner = torch.where(buyer < 0, price, top), torch.where(buyer < 0, owner, buyer)
                mine = columns.new_full((batch, n + 1), -1).scatter(1, torch.where(owner < 0, n, owner), columns)[:, :n]
    return mine
