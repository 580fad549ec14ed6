"""Small residual networks that are trained side by side, so that a GPU has enough to do."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

WAVES = math.pi * torch.arange(1, 9)


class Stack(nn.Module):
    """Velocities side by side: x (networks, n, dim) and times (networks, n) to (networks, n, dim).

    Seeds are repeated for each coupling, so that network c · seeds + s starts as s does.
    """

    def __init__(self, couplings: int, seeds: int, dim: int, hidden: int, depth: int):
        super().__init__()
        sizes = [dim + 1 + 2 * len(WAVES), *[hidden] * (2 * depth + 1), dim]
        starts = [torch.randn(seeds, n, m) / n**0.5 for n, m in zip(sizes, sizes[1:], strict=False)]
        self.weights = nn.ParameterList(start.repeat(couplings, 1, 1) for start in starts)
        self.biases = nn.ParameterList(torch.zeros(couplings * seeds, 1, m) for m in sizes[1:])
        self.register_buffer("waves", WAVES.clone())

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        def layer(i: int, x: Tensor) -> Tensor:
            return torch.baddbmm(self.biases[i], x, self.weights[i])

        angles, last = t[..., None] * self.waves, len(self.weights) - 1
        h = layer(0, torch.cat([x, t[..., None], angles.sin(), angles.cos()], -1))
        for i in range(1, last, 2):
            h = h + layer(i + 1, silu(layer(i, layer_norm(h, h.shape[-1:]))))
        return layer(last, layer_norm(h, h.shape[-1:]))
