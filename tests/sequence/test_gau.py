"""Squared-ReLU attention and mixed chunk attention against FLASH-pytorch and a dense matrix, and the unit as a mixer."""

import re
from functools import partial

import flash_pytorch
import pytest
import torch

from lib.course.meters import parameter_count
from lib.sequence.attention import causal_mask
from lib.sequence.gau import GAU, mixed_chunk_attention, squared_relu_attention
from lib.sequence.position import Learned, Position, Rotary, Sinusoidal
from lib.sequence.relative_bias import Alibi, RelativeBias
from lib.sequence.transformer import Transformer


def inputs(length=24, count=5, dtype=torch.float64, seed=0):
    """Queries and keys of width 6 (all but the last), and values of width 4."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, length, 6, generator=generator, dtype=dtype) for _ in range(count - 1)] + [
        torch.randn(2, 3, length, 4, generator=generator, dtype=dtype)
    ]


def order(length):
    return torch.arange(length)


def dense(quad_q, quad_k, lin_q, lin_k, v, chunk, causal):
    """Mixed chunk attention by a matrix of all weights, one query and key at a time."""
    length, dim = v.shape[2], quad_q.shape[3]
    weights = v.new_zeros(*v.shape[:2], length, length)
    for i in range(length):
        for j in range(length):
            first = i // chunk * chunk
            last = i if causal else min(first + chunk, length) - 1
            if first <= j <= last:
                square = (quad_q[:, :, i] * quad_k[:, :, j]).sum(-1).clamp(min=0) ** 2
                weights[:, :, i, j] += square / (dim * (last - first + 1))
            if not causal or j < first:
                weights[:, :, i, j] += (lin_q[:, :, i] * lin_k[:, :, j]).sum(-1) / (dim * (first if causal else length))
    return weights @ v


@pytest.mark.parametrize("causal", [True, False])
def test_squares_of_a_relu_are_the_weights(causal):
    q, k, v = inputs(count=3)
    weights = (q @ k.mT).clamp(min=0) ** 2 * (causal_mask(order(24), order(24)) if causal else 1)
    seen = (order(24)[:, None] + 1) if causal else 24
    want = torch.einsum("bhij,bhjv->bhiv", weights, v) / (6 * seen)
    assert want.abs().mean() > 0.1
    got = squared_relu_attention(q, k, v, causal=causal)
    assert torch.allclose(got, want, rtol=0, atol=1e-13)


@pytest.mark.parametrize("chunk", [1, 4, 7, 24, 50])
@pytest.mark.parametrize("causal", [True, False])
def test_chunks_are_one_dense_matrix(chunk, causal):
    parts = inputs()
    want = dense(*parts, chunk, causal)
    assert want.abs().mean() > 0.1
    assert (mixed_chunk_attention(*parts, chunk=chunk, causal=causal) - want).abs().max() < 1e-13


def test_without_chunks_to_see_it_is_squared_relu_attention():
    parts = inputs()
    whole = squared_relu_attention(parts[0], parts[1], parts[4], causal=True)
    assert (mixed_chunk_attention(*parts, chunk=24, causal=True) - whole).abs().max() < 1e-14


@pytest.mark.parametrize("causal", [True, False])
def test_flash_pytorch_agrees_on_the_unit(causal):
    """It divides scores by the length, biases included, so weights by its square."""
    torch.manual_seed(0)
    other, x = flash_pytorch.GAU(dim=32, query_key_dim=16, causal=causal).double().eval(), torch.randn(2, 20, 32).double()
    other.offsetscale.gamma.data.normal_(std=2)
    normed = other.norm(x)
    v, gate = other.to_hidden(normed).chunk(2, -1)
    q, k = other.offsetscale(other.to_qk(normed))
    bias = other.rel_pos_bias(torch.zeros(20, 20)).double()[None, None]
    mixed = squared_relu_attention(q[:, None], k[:, None], v[:, None], causal=causal, divisor=20**2, bias=bias)[:, 0]
    want = other(x) - x
    assert want.abs().mean() > 0.01 and (mixed * gate).abs().mean() > 1e-3
    assert (other.to_out(mixed * gate) - want).abs().max() < 1e-14


@pytest.mark.parametrize("length", [24, 29])
@pytest.mark.parametrize("causal", [True, False])
def test_flash_pytorch_agrees_on_chunks(causal, length):
    """Its divisors are the chunk's square for the squares, the chunk for causal sums, and the length for other sums."""
    torch.manual_seed(0)
    other = flash_pytorch.FLASH(dim=32, group_size=8, query_key_dim=16, causal=causal).double().eval()
    x = torch.randn(2, length, 32).double()
    other.qk_offset_scale.gamma.data.normal_(std=2)
    normed = other.norm(x)
    v, gate = other.to_hidden(normed).chunk(2, -1)
    quad_q, lin_q, quad_k, lin_k = other.qk_offset_scale(other.to_qk(normed))
    bias = 8 * other.rel_pos_bias(torch.zeros(8, 8)).double()[None, None]
    mixed = mixed_chunk_attention(
        *(part[:, None] for part in (quad_q, quad_k, lin_q, lin_k, v)),
        chunk=8,
        causal=causal,
        quad_divisor=8**2,
        lin_divisor=8 if causal else length,
        bias=bias,
    )[:, 0]
    want = other(x) - x
    assert want.abs().mean() > 0.01 and (mixed * gate).abs().mean() > 1e-2
    assert (other.to_out(mixed * gate) - want).abs().max() < 1e-13


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 5e-2), (torch.float16, 5e-3)])
def test_half_precision_is_rounded_once(dtype, tolerance):
    parts = [part.to(dtype) for part in inputs()]
    exact = [part.double() for part in parts]
    for call in (
        partial(mixed_chunk_attention, chunk=7, causal=True),
        lambda q, k, _, __, v: squared_relu_attention(q, k, v, causal=True),
    ):
        assert call(*parts).dtype == dtype
        assert (call(*parts).double() - call(*exact)).abs().max() < tolerance


KINDS = [{}, {"kernel": "relu2"}, {"kernel": "relu2", "chunk": 5}]


def build(position=None, causal=True, **options):
    torch.manual_seed(0)
    mixer = partial(GAU, **{"dim": 8, **options})
    model = Transformer(11, 32, 2, causal=causal, position=position, mixer=mixer, feed_forward=None).double()
    for block in model.blocks:
        torch.nn.init.normal_(block.mixer.offset)
    return model


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("position", [Position, Sinusoidal, lambda: Learned(40, 32), lambda: Rotary(8)])
def test_pieces_with_a_cache_give_the_logits_of_all_at_once(options, position):
    model, tokens = build(position(), **options), torch.randint(11, (2, 33))
    want, cache = model(tokens), model.new_cache()
    pieces = [model(piece, cache=cache) for piece in tokens.split([1, 3, 1, 5, 1, 12, 10], 1)]
    assert want.abs().mean() > 0.05 and (torch.cat(pieces, 1) - want).abs().max() < 1e-13


@pytest.mark.parametrize("options", KINDS[:2])
@pytest.mark.parametrize("position", [lambda: Alibi(1), lambda: RelativeBias(1)])
def test_positions_that_add_to_scores_work_without_chunks(options, position):
    model, tokens = build(position(), **options).double(), torch.randint(11, (2, 33))
    cache = model.new_cache()
    pieces = [model(piece, cache=cache) for piece in tokens.split([1, 3, 29], 1)]
    assert (torch.cat(pieces, 1) - model(tokens)).abs().max() < 1e-13
    assert (build(**options)(tokens) - model(tokens)).abs().max() > 1e-5


def test_the_cache_of_chunks_does_not_grow():
    model, sizes = build(kernel="relu2", chunk=5), []
    cache = model.new_cache()
    for token in torch.randint(11, (1, 40)).split(1, 1):
        model(token, cache=cache)
        sizes.append(sum(part.untyped_storage().nbytes() for part in cache.layers[0].values()))
    assert sizes[9:34] == sizes[14:39] and max(sizes) == max(sizes[5:10])


@pytest.mark.parametrize("options", KINDS)
def test_later_tokens_change_nothing_earlier_in_a_causal_model_only(options):
    tokens = torch.randint(11, (2, 23))
    changed = torch.cat([tokens[:, :12], (tokens[:, 12:] + 1) % 11, tokens[:, :7]], 1)
    for causal in (True, False):
        model = build(causal=causal, **options)
        same = torch.allclose(model(tokens)[:, :12], model(changed)[:, :12], rtol=0, atol=1e-13)
        assert same == causal


@pytest.mark.parametrize("options", KINDS[:2])
def test_masks_replace_the_causal_order_without_chunks(options):
    model, tokens = build(**options), torch.randint(11, (2, 12))
    allowed = causal_mask(order(12), order(12))[None]
    assert (model(tokens, allowed=allowed) - model(tokens)).abs().max() < 1e-13
    apart = allowed & (order(12)[:, None] // 6 == order(12) // 6)
    assert (model(tokens, allowed=apart)[:, 6:] - model(tokens[:, 6:])).abs().max() < 1e-13


@pytest.mark.parametrize("options, pairs", [({}, 2), ({"kernel": "relu2"}, 2), ({"kernel": "relu2", "chunk": 4}, 4)])
def test_parameters_are_counted(options, pairs):
    unit = GAU(32, Position(), dim=8, expansion=3, **options)
    assert parameter_count(unit) == 3 * 3 * 32**2 + 32 * 8 + pairs * 2 * 8


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: mixed_chunk_attention(*inputs(), chunk=0), "chunk must be at least 1, got 0"),
        (lambda: mixed_chunk_attention(*inputs(), chunk=4, quad_divisor=0.0), "quad_divisor must be positive and finite"),
        (lambda: mixed_chunk_attention(*inputs(), chunk=4, lin_divisor=-1.0), "lin_divisor must be positive and finite"),
        (lambda: squared_relu_attention(*inputs(count=3), divisor=0.0), "divisor must be positive and finite, got 0"),
        (lambda: GAU(32, Position(), kernel="relu"), "kernel must be \"softmax\" or \"relu2\", got 'relu'"),
        (lambda: GAU(32, Position(), chunk=8), "kernel must be \"relu2\" with a chunk, got 'softmax'"),
        (lambda: GAU(32, Position(), kernel="relu2", chunk=0), "chunk must be at least 1, got 0"),
        (lambda: GAU(32, Position(), dim=0), "dim must be at least 1, got 0"),
        (lambda: GAU(32, Position(), expansion=0), "expansion must be at least 1, got 0"),
        (lambda: GAU(32, Alibi(1), kernel="relu2", chunk=8), "position must not add to scores with a chunk, got Alibi"),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_bad_tensors_are_named():
    q, k, v = inputs(count=3)
    with pytest.raises(ValueError, match="causal needs as many keys as queries, got 24 and 5"):
        squared_relu_attention(q[:, :, :5], k, v, causal=True)
    with pytest.raises(ValueError, match="v must be finite"):
        squared_relu_attention(q, k, v / 0)
    with pytest.raises(ValueError, match="must be smaller: the result overflows"):
        squared_relu_attention(1e100 * q, 1e100 * k, v)
    with pytest.raises(ValueError, match="lin_k must be finite"):
        mixed_chunk_attention(q, k, q, k / 0, v, chunk=4)
    with pytest.raises(TypeError, match="bias"):
        mixed_chunk_attention(q, k, q, k, v, chunk=4, bias=torch.zeros(1, 1, 5, 5).double())


def test_a_model_in_chunks_refuses_masks_and_other_batches_without_a_trace(refuses_without_a_trace):
    refuses_without_a_trace(build(kernel="relu2", chunk=4), "quad_k")


def test_a_model_that_is_not_causal_keeps_no_cache_of_chunks():
    model, tokens = build(causal=False, kernel="relu2", chunk=4), torch.randint(11, (2, 6))
    with pytest.raises(ValueError, match="cache must be None"):
        model(tokens, cache=model.new_cache())
