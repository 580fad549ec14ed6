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


@pytest.mark.parametrize("heads", [1, 6, 8, 12])
def test_blooms_bias_belongs_to_the_key_and_is_the_distances_up_to_a_constant_in_each_row(heads):
    theirs = build_alibi_tensor(torch.ones(1, 600, dtype=torch.int64), heads, torch.float64)
    assert theirs.shape == (heads, 1, 600), TRANSFORMERS
    at = torch.arange(600)[None]
    difference = Alibi(heads).bias(at, at)[0] - theirs
    assert (difference - difference[:, :, :1]).tril().abs().max() < 1e-4, TRANSFORMERS  # their slopes are float32
    assert (difference - difference[:, :, :1]).abs().max() > 1, TRANSFORMERS  # keys after the query


def test_blooms_bias_in_bfloat16_is_the_same_for_neighbours_two_and_then_four():
    theirs = build_alibi_tensor(torch.ones(1, 1024, dtype=torch.int64), 8, torch.bfloat16)[:, 0]
    assert torch.equal(theirs[:, 256], theirs[:, 257]), TRANSFORMERS
    assert (theirs[:, 1:257] > theirs[:, :256]).all(), TRANSFORMERS
    assert all(len(set(head.tolist())) in (128, 129) for head in theirs[:, 512:]), TRANSFORMERS  # of 512 keys
    exact = build_alibi_tensor(torch.ones(1, 1024, dtype=torch.int64), 8, torch.float32)[:, 0]
    assert (exact[:, 1:] > exact[:, :-1]).all(), TRANSFORMERS


def test_blooms_model_adds_that_bias_in_its_own_dtype():
    torch.manual_seed(0)
    config = transformers.BloomConfig(vocab_size=20, hidden_size=32, n_layer=1, n_head=8)
    model, seen = transformers.BloomModel(config).to(torch.bfloat16).eval(), []
    model.h[0].register_forward_pre_hook(lambda block, args, kwargs: seen.append(kwargs["alibi"]), with_kwargs=True)
    with torch.no_grad():
        model(torch.zeros(1, 300, dtype=torch.int64))
    want = build_alibi_tensor(torch.ones(1, 300, dtype=torch.int64), 8, torch.bfloat16)
    assert seen[0].dtype == torch.bfloat16 and torch.equal(seen[0].flatten(), want.flatten()), TRANSFORMERS


def test_t5s_encoder_never_uses_bucket_16_and_its_decoder_uses_all():
    theirs = T5Attention._relative_position_bucket(OFFSETS)
    assert sorted(theirs.unique().tolist()) == [*range(16), *range(17, 32)], TRANSFORMERS
    assert torch.equal(theirs, relative_bucket(OFFSETS)), TRANSFORMERS
    causal = T5Attention._relative_position_bucket(OFFSETS, bidirectional=False)
    assert sorted(causal.unique().tolist()) == [*range(32)], TRANSFORMERS
    assert torch.equal(causal, relative_bucket(OFFSETS, bidirectional=False)), TRANSFORMERS


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
