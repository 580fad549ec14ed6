"""Tiled attention against torch's, forward and backward, and what it keeps."""

import math
import re

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from lib.sequence.flash_attention import flash_attention

BLOCKS = [(1, 1), (8, 16), (16, 8), (64, 64)]


def inputs(queries, keys, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((2, 3, queries, 8), (2, 3, keys, 8), (2, 3, keys, 5))
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def compare(tensors, mask, got, tolerance):
    """Outputs, log-sum-exp and gradients, against torch's attention under a mask."""
    (out, logsumexp), (q, k, v) = got, tensors
    want = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q @ k.mT / math.sqrt(q.shape[3])).masked_fill(~mask, -math.inf)
    d_out = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    ours, theirs = (torch.autograd.grad(result, tensors, d_out, retain_graph=True) for result in (out, want))
    assert want.abs().mean() > 0.05 and (out - want).abs().max() < tolerance
    assert torch.allclose(logsumexp, scores.logsumexp(-1), rtol=0, atol=tolerance)
    for one, other in zip(ours, theirs, strict=True):
        assert other.abs().mean() > 0.01 and (one - other).abs().max() < 10 * tolerance


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("causal", [True, False])
def test_it_agrees_with_torch_forward_and_backward(block, causal):
    tensors = inputs(37, 37)
    mask = torch.ones(37, 37, dtype=torch.bool).tril() if causal else torch.ones(37, 37, dtype=torch.bool)
    compare(tensors, mask, flash_attention(*tensors, causal=causal, block=block), 1e-14)


@pytest.mark.parametrize("block", BLOCKS)
def test_rows_that_may_see_nothing_are_zero_and_have_no_gradient(block):
    tensors = inputs(9, 41)
    allowed = torch.rand(2, 9, 41, generator=torch.Generator().manual_seed(2)) < 0.3
    allowed[0, 4] = False
    out, logsumexp = flash_attention(*tensors, allowed=allowed, block=block)
    compare(tensors, allowed[:, None], (out, logsumexp), 1e-14)
    assert not out[0, :, 4].any() and (logsumexp[0, :, 4] == -math.inf).all()
    assert not torch.autograd.grad(out.sum(), tensors)[0][0, :, 4].any()


def test_causal_and_allowed_hold_together():
    tensors = inputs(12, 12)
    document = torch.arange(12) // 5
    allowed = (document[:, None] == document)[None]
    mask = allowed[0] & torch.ones(12, 12, dtype=torch.bool).tril()
    compare(tensors, mask, flash_attention(*tensors, causal=True, allowed=allowed, block=(4, 3)), 1e-14)


def test_gradients_agree_with_differences():
    tensors = inputs(5, 7)
    assert torch.autograd.gradcheck(lambda q, k, v: flash_attention(q, k, v, block=(2, 3))[0], tensors)


@pytest.mark.parametrize("length", [64, 256])
def test_what_is_saved_for_backward_grows_with_the_length_alone(length):
    tensors, saved = inputs(length, length), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.numel()) or tensor, lambda tensor: tensor):
        flash_attention(*tensors)
    assert sum(saved) == 2 * 3 * length * (8 + 8 + 5 + 5 + 1)


def test_large_scores_do_not_overflow():
    q, k, v = inputs(6, 6)
    out, logsumexp = flash_attention(200 * q, 200 * k, v, block=(2, 2))
    want = scaled_dot_product_attention(200 * q, 200 * k, v)
    assert (out - want).abs().max() < 1e-12 and logsumexp.abs().max() > 1e4


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_half_precision_is_rounded_once(dtype, tolerance):
    exact = inputs(20, 20)
    rough = [tensor.detach().to(dtype).requires_grad_() for tensor in exact]
    out, _ = flash_attention(*rough, causal=True, block=(7, 7))
    want, _ = flash_attention(*(tensor.double() for tensor in rough), causal=True)
    assert out.dtype == dtype and (out.double() - want).abs().max() < tolerance
    gradients = torch.autograd.grad(out.sum(), rough)
    assert [gradient.dtype for gradient in gradients] == [dtype] * 3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"block": (0, 4)}, "block[0] must be at least 1, got 0"),
        ({"block": (4, -1)}, "block[1] must be at least 1, got -1"),
        ({"causal": True}, "causal needs as many keys as queries, got 6 and 5"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        flash_attention(*inputs(5, 6), **options)


def test_bad_entries_and_masks_are_named():
    q, k, v = (tensor.detach() for tensor in inputs(5, 6))
    for name, bad in (("q", (q / 0, k, v)), ("k", (q, k / 0, v)), ("v", (q, k, v / 0))):
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            flash_attention(*bad)
    with pytest.raises(ValueError, match="q, k and v must be smaller: the scores or the sums overflow torch.float64"):
        flash_attention(q.sign() * 1e308, k.sign() * 1e300, v)
    with pytest.raises(TypeError, match="allowed"):
        flash_attention(q, k, v, allowed=torch.ones(1, 5, 5, dtype=torch.bool))
