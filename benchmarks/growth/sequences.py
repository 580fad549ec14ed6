"""Attention in its forms, what replaces it, and decoding, against the number of tokens."""

import math
from collections.abc import Callable, Iterator

import torch
from case import Case, doubled, itself, squared
from torch import Tensor

from lib.sequence.attention import attention
from lib.sequence.flash_attention import flash_attention
from lib.sequence.gau import GAU
from lib.sequence.linear_attention import elu_feature, linear_attention
from lib.sequence.position import Position, Rotary
from lib.sequence.random_features import gaussian_directions, positive_features
from lib.sequence.ssm import selective_scan
from lib.sequence.transformer import Context, Transformer

VOCABULARY = 96


def heads(count: int, length: int, width: int) -> list[Tensor]:
    """Queries, keys and values."""
    return [torch.randn(1, count, length, width) for _ in range(3)]


def attentions() -> Iterator[Case]:
    """Of the same queries, keys and values: with all scores in memory, in lib's tiles, and in torch's."""

    def written_out(n: int) -> Callable:
        q, k, v = heads(1, n, 64)
        return lambda: (q / math.sqrt(64) @ k.mT).softmax(-1) @ v

    def tiles(n: int) -> Callable:
        q, k, v = heads(1, n, 64)
        return lambda: flash_attention(q, k, v)

    def of_torch(n: int) -> Callable:
        q, k, v = heads(4, n, 64)
        return lambda: attention(q, k, v, causal=True)

    def numbers(n: int) -> int:
        """Scaled queries, outputs and their sums of weights, and four tiles."""
        return n * (2 * 64 + 1) + 4 * 128**2

    sizes = doubled(512, 8192)
    yield Case("softmax attention, scores written out", "flash-attention", "tokens", sizes, written_out, "n²", squared, squared)
    yield Case("softmax attention in tiles of 128", "flash-attention", "tokens", sizes, tiles, "n²", squared, numbers)
    yield Case(
        "causal softmax attention by torch's kernel", "flash-attention", "tokens", sizes, of_torch, "n²", squared, itself,
        "The kernel computes whole blocks of up to 512 keys: beside the n²/2 pairs that are needed some 256 n more.",
    )  # fmt: skip


def linear() -> Iterator[Case]:
    def sums(n: int) -> Callable:
        q, k, v = (elu_feature(x) for x in heads(4, n, 32))
        return lambda: linear_attention(q, k, v, causal=True)

    def performer(n: int) -> Callable:
        q, k, v = heads(1, n, 64)
        w = gaussian_directions(256, 64, torch.Generator().manual_seed(0), orthogonal=True)
        q, k = q / 64**0.25, k / 64**0.25
        return lambda: linear_attention(positive_features(q, w), positive_features(k, w), v)

    def scan(n: int) -> Callable:
        x, delta, B, C = (torch.rand(1, n, size) for size in (64, 64, 16, 16))
        A = -torch.rand(64, 16)
        return lambda: selective_scan(x, delta, A, B, C)

    yield Case("causal linear attention", "linear-attention", "tokens", doubled(2048, 65_536), sums, "n", itself, itself)
    yield Case("Performer's attention, 256 features", "performer", "tokens", doubled(2048, 65_536), performer, "n", itself, itself)
    yield Case("selective scan, 64 × 16 states", "ssm-hippo-mamba", "tokens", doubled(1024, 32_768), scan, "n", itself, itself)


def units() -> Iterator[Case]:
    width, dim, hidden = 128, 64, 256

    def unit(n: int, **options) -> Callable:
        x, positions = torch.randn(1, n, width), torch.arange(n)[None]
        layer = GAU(width, Position(), dim=dim, kernel="relu2", **options)
        return lambda: layer(x, Context(Position(), positions, causal=True))

    def operations(n: int) -> float:
        return 2 * n**2 * (dim + hidden) + 2 * n * width * (3 * hidden + dim)

    def numbers(n: int) -> float:
        """Three tables of scores on their way to weights, and what the first matrix gives."""
        return 3 * n**2 + n * (2 * hidden + dim)

    chunked = doubled(1024, 32_768)
    yield Case("gated attention unit, all pairs", "gau-flash", "tokens", doubled(256, 4096), unit, "n² + n", operations, numbers)
    yield Case("gated attention unit, chunks of 256", "gau-flash", "tokens", chunked, lambda n: unit(n, chunk=256), "n", itself, itself)


def decoding() -> Iterator[Case]:
    """One layer of width 128, which writes a token after the other."""
    width, weights = 128, 12 * 128**2 + VOCABULARY * 128
    model = Transformer(VOCABULARY, width, 1, position=Rotary(32))

    def cached(n: int) -> Callable:
        tokens = torch.randint(VOCABULARY, (8, n))

        def write():
            cache = model.new_cache()
            for token in tokens.split(1, 1):
                model(token, cache=cache)
            return cache

        return write

    def again(n: int) -> Callable:
        tokens = torch.randint(VOCABULARY, (1, n))

        def write():
            for length in range(1, n + 1):
                model(tokens[:, :length])

        return write

    def with_cache(n: int) -> float:
        return sum(2 * weights + 4 * t * width for t in range(1, n + 1))

    def without(n: int) -> float:
        return sum(2 * weights * t + 4 * t**2 * width for t in range(1, n + 1))

    yield Case(
        "writing with a cache, 8 texts", "medusa", "tokens", doubled(64, 1024), cached, "n + n²", with_cache, itself,
        "Appending copies the whole cache, and attention reads it for two operations a number: what grows with n² waits for memory.",
    )  # fmt: skip
    yield Case(
        "writing without a cache", "linear-attention", "tokens", doubled(32, 512), again, "n² + n³", without, itself,
        "Short passes cost more a token: all weights are read and all calls made for few of them.",
    )  # fmt: skip
