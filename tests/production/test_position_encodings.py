"""What the chapter on position encodings says of transformers, and lib's ALiBi beside x-transformers'."""

import pytest
import torch
import transformers
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.t5.modeling_t5 import T5Attention
from x_transformers.x_transformers import AlibiPositionalBias

from lib.sequence.attention import attention
from lib.sequence.relative_bias import Alibi, relative_bucket

PAGE = "book/attention/position-encodings.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
OFFSETS = torch.arange(-200, 201)


def test_blooms_bias_belongs_to_the_key_and_is_the_distances_up_to_a_constant_in_each_row():
    theirs = build_alibi_tensor(torch.ones(1, 30, dtype=torch.int64), 8, torch.float64)
    assert theirs.shape == (8, 1, 30), TRANSFORMERS
    at = torch.arange(30)[None]
    difference = Alibi(8).bias(at, at)[0] - theirs
    assert (difference - difference[:, :, :1]).tril().abs().max() < 1e-6, TRANSFORMERS
    assert (difference - difference[:, :, :1]).abs().max() > 1, TRANSFORMERS  # keys after the query


def test_blooms_bias_in_bfloat16_is_the_same_for_two_neighbours():
    theirs = build_alibi_tensor(torch.ones(1, 300, dtype=torch.int64), 8, torch.bfloat16)[:, 0]
    assert torch.equal(theirs[:, 256], theirs[:, 257]), TRANSFORMERS
    assert (theirs[:, 1:257] > theirs[:, :256]).all(), TRANSFORMERS
    exact = build_alibi_tensor(torch.ones(1, 300, dtype=torch.int64), 8, torch.float32)[:, 0]
    assert (exact[:, 257] > exact[:, 256]).all(), TRANSFORMERS


def test_t5_never_uses_bucket_16():
    theirs = T5Attention._relative_position_bucket(OFFSETS)
    assert sorted(theirs.unique().tolist()) == [*range(16), *range(17, 32)], TRANSFORMERS
    assert torch.equal(theirs, relative_bucket(OFFSETS)), TRANSFORMERS


def test_t5_does_not_scale_its_scores():
    torch.manual_seed(0)
    config = transformers.T5Config(d_model=32, num_heads=2, d_kv=16, dropout_rate=0.0)
    theirs = T5Attention(config, has_relative_attention_bias=True, layer_idx=0).eval()
    x = torch.randn(1, 9, 32)
    with torch.no_grad():
        q, k, v = (project(x).unflatten(-1, (2, 16)).transpose(1, 2) for project in (theirs.q, theirs.k, theirs.v))
        bias = theirs.relative_attention_bias(relative_bucket(torch.arange(9) - torch.arange(9)[:, None])).permute(2, 0, 1)
        ours = {scale: theirs.o(attention(4 * scale * q, k, v, bias=bias[None]).transpose(1, 2).flatten(2)) for scale in (1.0, 0.25)}
        got = theirs(x)[0]
    assert got.abs().max() > 0.1, TRANSFORMERS
    assert (got - ours[1.0]).abs().max() < 1e-5 < 1e-2 < (got - ours[0.25]).abs().max(), TRANSFORMERS


@pytest.mark.parametrize("heads", [1, 6, 8, 12])
def test_alibi_is_that_of_x_transformers(heads):
    at = torch.arange(40)[None]
    theirs = AlibiPositionalBias(heads=heads, total_heads=heads)(40, 40)
    assert (theirs - Alibi(heads).bias(at, at)[0]).abs().max() < 1e-5
