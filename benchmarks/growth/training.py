"""What training is made cheaper by: checkpoints, packing, experts; and Muon's orthogonal steps."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from case import Case, constant, doubled, itself, squared
from torch import nn

from lib.learning.muon import newton_schulz
from lib.sequence.moe import MixtureOfExperts
from lib.systems.checkpointing import checkpoint_sequential
from lib.systems.packing import first_fit, first_fit_decreasing


def checkpointing() -> Iterator[Case]:
    """Forward and backward through layers of width 32, on 8192 rows: a mebibyte for each layer's product."""
    x = torch.randn(8192, 32, requires_grad=True)

    def chain(depth: int, run: Callable) -> Callable:
        layers = nn.Sequential(*(nn.Sequential(nn.Linear(32, 32), nn.Tanh()) for _ in range(depth)))

        def once():
            x.grad = None
            layers.zero_grad()
            with torch.enable_grad():
                run(layers).sum().backward()

        return once

    def kept(depth: int) -> Callable:
        return chain(depth, lambda layers: layers(x))

    def root(depth: int) -> Callable:
        return chain(depth, lambda layers: checkpoint_sequential(layers, round(math.sqrt(depth)), x))

    sizes = doubled(16, 256)
    yield Case("backward, every activation kept", "gradient-checkpointing", "layers", sizes, kept, "L", itself, itself)
    yield Case("backward, √L segments", "gradient-checkpointing", "layers", sizes, root, "L", itself, math.sqrt)


def packing() -> Iterator[Case]:
    def fit(method: Callable, count: int) -> Callable:
        lengths = np.random.default_rng(0).lognormal(5.5, 1, count).astype(int).clip(1, 2048)
        return lambda: method(lengths, 2048)

    few, many = doubled(4096, 65_536), doubled(2**16, 2**20)
    yield Case(
        "first fit", "packing-rmpad", "documents", few, lambda n: fit(first_fit, n), "n²", squared, itself,
        "Up to some 10,000 documents numpy's calls, a microsecond or two a document, take longer to start than to search; the smallest "
        "lists find room in what Python holds already.",
    )  # fmt: skip
    yield Case(
        "first fit, decreasing", "packing-rmpad", "documents", many, lambda n: fit(first_fit_decreasing, n), "n log n",
        lambda n: n * math.log(n), itself,
        "Documents of one length are placed at once, and numpy's calls for the 2,000 lengths cost 20 ms at any size.",
    )  # fmt: skip


def experts() -> Iterator[Case]:
    """4096 tokens of width 256, each heard by two experts of 256 units."""
    tokens, width, hidden, chosen = 4096, 256, 256, 2

    def mixture(count: int) -> Callable:
        layer, x = MixtureOfExperts(width, hidden, count, chosen), torch.randn(1, tokens, width)
        return lambda: layer(x)

    def operations(count: int) -> float:
        return 6 * tokens * width * chosen * hidden + 2 * tokens * width * count

    yield Case("mixture of experts, two chosen", "mixture-of-experts", "experts", doubled(4, 128), mixture, "1", operations, constant)


def muon() -> Iterator[Case]:
    def orthogonal(n: int) -> Callable:
        matrix = torch.randn(n, n)
        return lambda: newton_schulz(matrix)

    yield Case(
        "Muon's step of an n × n matrix", "kimi-vl", "n", doubled(64, 1024), orthogonal, "n³", lambda n: n**3, squared,
        "The smaller the matrix, the smaller the share of the processor's speed that a product reaches; and holes between "
        "small arrays, some tenths of a MiB, count as held.",
    )  # fmt: skip
