"""Scores that know the distance: ALiBi's slopes, and T5's buckets with a trained scalar for each."""

import math

import torch
from torch import Tensor, nn

from lib.course.ranges import require_at_least
from lib.course.shapes import Float, Float64, Int, Int64, Real, checked
from lib.sequence.position import Position


@checked
def alibi_slopes(heads: int) -> Float64[Tensor, "{heads}"]:
    """What each head takes from a score for a step of distance: 2^(-8h/heads), h = 1 … heads, for a power of 2.

    Otherwise the slopes of the power of 2 below, and then every other one of the power of 2 above, from its first on.
    Source: ALiBi, arXiv 2108.12409, section 3; the rule for other numbers of heads is that of the authors' code.
    """
    require_at_least("heads", heads, 1)
    below = 2 ** (heads.bit_length() - 1)
    more = _geometric(2 * below)[::2][: heads - below]
    return torch.cat([_geometric(below), more])


def _geometric(heads):
    return 2.0 ** (-8 * torch.arange(1, heads + 1, dtype=torch.float64) / heads)


class Alibi(Position):
    """A score falls in proportion to the distance, with a fixed slope in each head. Source: arXiv 2108.12409."""

    @checked
    def __init__(self, heads: int):
        super().__init__()
        self.slopes = alibi_slopes(heads)

    @checked
    def bias(
        self, query_positions: Real[Tensor, "#batch query"], key_positions: Real[Tensor, "#batch key"]
    ) -> Float[Tensor, "#batch heads query key"]:
        distances = _offsets(query_positions, key_positions).abs()[:, None]
        return -self.slopes.to(distances.device)[:, None, None] * distances


@checked
def relative_bucket(
    offsets: Int[Tensor, "*shape"], *, bidirectional: bool = True, buckets: int = 32, longest: int = 128
) -> Int64[Tensor, "*shape"]:
    """The bucket 0 … buckets - 1 of each offset, the key's position less the query's.

    Half of a direction's buckets hold one distance each, the other half grow with the distance's logarithm up to
    `longest`; all that is farther shares the last one. With two directions, keys after the query take the upper half of
    the buckets; with one, they share bucket 0 with the distance 0. Source: T5, arXiv 1910.10683, section 2.1.
    """
    directions = 2 if bidirectional else 1
    each, exact = buckets // directions, buckets // directions // 2
    if buckets % (2 * directions) or exact < 1:
        raise ValueError(f"buckets must be a multiple of {2 * directions} and at least that, got {buckets}")
    if longest <= exact:
        raise ValueError(f"longest must be greater than the {exact} distances with buckets of their own, got {longest}")
    offsets = offsets.long()
    distances = offsets.abs() if bidirectional else (-offsets).clamp(min=0)
    steps = (distances.clamp(min=exact) / exact).log() / math.log(longest / exact) * (each - exact)
    bucket = torch.where(distances < exact, distances, (exact + steps.long()).clamp(max=each - 1))
    return bucket + each * (offsets > 0) if bidirectional else bucket


class RelativeBias(Position):
    """A trained scalar for each head and bucket of distances, added to the scores. Source: arXiv 1910.10683."""

    @checked
    def __init__(self, heads: int, *, bidirectional: bool = False, buckets: int = 32, longest: int = 128):
        super().__init__()
        require_at_least("heads", heads, 1)
        self.bidirectional, self.longest = bidirectional, longest
        relative_bucket(torch.zeros(1, dtype=torch.int64), bidirectional=bidirectional, buckets=buckets, longest=longest)
        self.table = nn.Embedding(buckets, heads)

    @checked
    def bias(
        self, query_positions: Int[Tensor, "#batch query"], key_positions: Int[Tensor, "#batch key"]
    ) -> Float[Tensor, "#batch heads query key"]:
        bucket = relative_bucket(
            _offsets(query_positions, key_positions),
            bidirectional=self.bidirectional,
            buckets=self.table.num_embeddings,
            longest=self.longest,
        )
        return self.table(bucket).permute(0, 3, 1, 2)


def _offsets(query_positions, key_positions):
    """Each key's position less each query's, (batch, query, key)."""
    query_positions, key_positions = (
        positions if positions.is_floating_point() else positions.long() for positions in (query_positions, key_positions)
    )
    return key_positions[:, None, :] - query_positions[:, :, None]
