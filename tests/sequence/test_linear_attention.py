"""Linear attention in its three forms, against performer-pytorch, and as a mixer that decodes."""

import re
from functools import partial

import pytest
import torch
from performer_pytorch.performer_pytorch import causal_linear_attention_noncuda
from performer_pytorch.performer_pytorch import linear_attention as performer_attention

from lib.sequence.linear_attention import LinearAttention, causal_sums, elu_feature, linear_attention
from lib.sequence.position import Learned, Position, Rotary, Sinusoidal
from lib.sequence.relative_bias import Alibi
from lib.sequence.transformer import Transformer


def inputs(length=24, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(2, 3, length, 6, generator=generator, dtype=dtype) for _ in range(3))
    return elu_feature(q), elu_feature(k), v[..., :4]


def by_weights(q, k, v, causal):
    weights = q @ k.mT
    weights = weights.tril() if causal else weights
    return weights @ v / weights.sum(-1, keepdim=True)


@pytest.mark.parametrize("chunk", [1, 4, 8, 24])
@pytest.mark.parametrize("causal", [True, False])
def test_it_is_attention_with_other_weights(chunk, causal):
    q, k, v = inputs()
    want = by_weights(q, k, v, causal)
    assert want.abs().mean() > 0.1
    assert (linear_attention(q, k, v, causal=causal, chunk=chunk) - want).abs().max() < 1e-14


def test_a_recurrence_gives_the_same():
    q, k, v = inputs()
    state, total, steps = torch.zeros(2, 3, 6, 4).double(), torch.zeros(2, 3, 6).double(), []
    for t in range(24):
        state, total = state + k[:, :, t, :, None] * v[:, :, t, None], total + k[:, :, t]
        steps.append(torch.einsum("bhf,bhfv->bhv", q[:, :, t], state) / (q[:, :, t] * total).sum(-1, keepdim=True))
    assert (linear_attention(q, k, v, causal=True, chunk=8) - torch.stack(steps, 2)).abs().max() < 1e-14


def test_a_state_continues_the_sums():
    q, k, v = inputs()
    late = causal_sums(q[:, :, 16:], k[:, :, 16:], v[:, :, 16:], 4, k[:, :, :16].mT @ v[:, :, :16])
    assert (late - causal_sums(q, k, v, 8)[:, :, 16:]).abs().max() < 1e-13


def test_performer_pytorch_agrees():
    q, k, v = inputs(128)
    assert (linear_attention(q, k, v) - performer_attention(q, k, v)).abs().max() < 1e-13
    causal = causal_linear_attention_noncuda(q, k, v, eps=0)
    assert (linear_attention(q, k, v, causal=True) - causal).abs().max() < 1e-13


def test_the_feature_is_positive_and_exponential_below_zero():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    assert torch.allclose(elu_feature(x), torch.where(x > 0, 1 + x, x.exp()), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_half_precision_is_rounded_once(dtype, tolerance):
    q, k, v = (x.to(dtype) for x in inputs())
    got = linear_attention(q, k, v, causal=True, chunk=8)
    assert got.dtype == dtype
    assert (got.double() - by_weights(q.double(), k.double(), v.double(), True)).abs().max() < tolerance


def build(position=None, **options):
    torch.manual_seed(0)
    return Transformer(11, 32, 2, position=position, mixer=partial(LinearAttention, **options)).double()


@pytest.mark.parametrize("position", [Position, Sinusoidal, lambda: Learned(200, 32)])
@pytest.mark.parametrize("length", [12, 150])
def test_pieces_with_a_cache_give_the_logits_of_all_at_once(position, length):
    model, tokens = build(position()), torch.randint(11, (2, length))
    want, cache = model(tokens), model.new_cache()
    pieces = [model(piece, cache=cache) for piece in tokens.split([1, 5, 1, length - 7], 1)]
    assert want.abs().mean() > 0.05 and (torch.cat(pieces, 1) - want).abs().max() < 1e-12
    assert [layer["state"].shape for layer in cache.layers] == [(2, 4, 8, 9)] * 2


def test_later_tokens_change_nothing_earlier_in_a_causal_model_only():
    tokens = torch.randint(11, (2, 100))
    changed = torch.cat([tokens[:, :70], (tokens[:, 70:] + 1) % 11], 1)
    for causal in (True, False):
        torch.manual_seed(0)
        model = Transformer(11, 32, 2, causal=causal, mixer=LinearAttention).double()
        same = torch.allclose(model(tokens)[:, :70], model(changed)[:, :70], rtol=0, atol=1e-12)
        assert same == causal


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: linear_attention(*inputs(), causal=True, chunk=7), "chunk must divide the length 24, got 7"),
        (lambda: linear_attention(*inputs(), causal=True, chunk=0), "chunk must be at least 1, got 0"),
        (lambda: LinearAttention(30, Position()), "width must be a multiple of heads = 4, got 30"),
        (lambda: LinearAttention(32, Position(), heads=0), "heads must be at least 1, got 0"),
        (lambda: LinearAttention(32, Rotary(8)), "position must act on embeddings alone, got Rotary"),
        (lambda: LinearAttention(32, Alibi(4)), "position must act on embeddings alone, got Alibi"),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_bad_tensors_are_named():
    q, k, v = inputs()
    with pytest.raises(ValueError, match="causal needs as many keys as queries, got 24 and 5"):
        linear_attention(q[:, :, :5], k, v, causal=True, chunk=1)
    with pytest.raises(ValueError, match="v must be finite"):
        linear_attention(q, k, v / 0)
    with pytest.raises(ValueError, match="must be smaller: the result overflows"):
        linear_attention(0 * q, k, v)


def test_a_model_refuses_masks_and_other_batches_without_a_trace(refuses_without_a_trace):
    refuses_without_a_trace(build(), "a state")
