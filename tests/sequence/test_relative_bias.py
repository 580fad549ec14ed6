"""Biases by distance against transformers' Bloom and T5, and their bad input."""

import re

import pytest
import torch
from torch import nn
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.t5.modeling_t5 import T5Attention

from lib.sequence.relative_bias import Alibi, RelativeBias, alibi_slopes, relative_bucket

BUCKETS = [(True, 32, 128), (False, 32, 128), (True, 8, 20), (False, 16, 1000)]


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 8, 12, 16])
def test_slopes_are_those_of_bloom(heads):
    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32)[:, 0, 1]
    assert (theirs.double() - alibi_slopes(heads)).abs().max() < 1e-7


def test_slopes_of_eight_heads_halve():
    assert alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]


def test_alibi_falls_with_the_distance_on_both_sides():
    queries, keys = torch.tensor([[3, 7]]), torch.tensor([[0, 3, 8]])
    want = -alibi_slopes(4)[:, None, None] * torch.tensor([[3, 0, 5], [7, 4, 1]])
    assert torch.equal(Alibi(4).bias(queries, keys), want[None])


def test_alibi_is_bloom_up_to_a_constant_in_each_row():
    positions = torch.arange(6)
    theirs = build_alibi_tensor(torch.ones(1, 6), 4, torch.float32)[:, 0].double()
    difference = Alibi(4).bias(positions[None], positions[None])[0] - theirs[:, None]
    past = difference.masked_fill(positions > positions[:, None], torch.nan)
    spread = past.nan_to_num(-torch.inf).amax(-1) - past.nan_to_num(torch.inf).amin(-1)
    assert spread.max() < 1e-6


@pytest.mark.parametrize("bidirectional, buckets, longest", BUCKETS)
def test_buckets_are_those_of_t5(bidirectional, buckets, longest):
    offsets = torch.arange(-3000, 3001)
    want = T5Attention._relative_position_bucket(offsets, bidirectional, buckets, longest)
    got = relative_bucket(offsets.int(), bidirectional=bidirectional, buckets=buckets, longest=longest)
    assert torch.equal(got, want) and got.min() == 0 and got.max() == buckets - 1


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_relative_bias_is_that_of_t5(bidirectional):
    ours = RelativeBias(3, bidirectional=bidirectional)
    nn.init.normal_(ours.table.weight)
    queries, keys = torch.arange(4, 9)[None], torch.arange(9)[None]
    offsets = keys[0] - queries[0][:, None]
    bucket = T5Attention._relative_position_bucket(offsets, bidirectional, 32, 128)
    assert torch.equal(ours.bias(queries, keys)[0], ours.table.weight[bucket].permute(2, 0, 1))


def test_positions_may_be_small_and_far_apart():
    for dtype, first, last in ((torch.uint8, 0, 255), (torch.int8, -128, 127)):
        queries, keys = torch.tensor([[first]], dtype=dtype), torch.tensor([[last]], dtype=dtype)
        assert torch.equal(Alibi(2).bias(queries, keys), Alibi(2).bias(queries.long(), keys.long()))
    shared = RelativeBias(2, bidirectional=True)
    assert torch.equal(shared.bias(queries, keys), shared.bias(queries.long(), keys.long()))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: alibi_slopes(0), "heads must be at least 1, got 0"),
        (lambda: Alibi(0), "heads must be at least 1, got 0"),
        (lambda: RelativeBias(0), "heads must be at least 1, got 0"),
        (lambda: RelativeBias(2, buckets=3), "buckets must be a multiple of 2 and at least that, got 3"),
        (lambda: relative_bucket(torch.arange(3), buckets=6), "buckets must be a multiple of 4 and at least that, got 6"),
        (lambda: relative_bucket(torch.arange(3), buckets=0), "buckets must be a multiple of 4 and at least that, got 0"),
        (
            lambda: relative_bucket(torch.arange(3), longest=8),
            "longest must be greater than the 8 distances with buckets of their own, got 8",
        ),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_offsets_must_be_whole():
    with pytest.raises(TypeError, match="offsets"):
        relative_bucket(torch.tensor([0.5]))
