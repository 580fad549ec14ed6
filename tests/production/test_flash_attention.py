"""What the chapter on FlashAttention says of torch's attention."""

import math
import warnings

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from lib.course.meters import saved_bytes

TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in book/attention/flash-attention.ipynb, section In production"
BACKENDS = [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]
ALLOWED = torch.ones(6, 6, dtype=torch.bool).tril()
ALLOWED[2] = False


def inputs(length=6, width=8):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 2, length, width, generator=generator).requires_grad_() for _ in range(3)]


def kept(length, attend):
    return saved_bytes(attend, *inputs(length, 16))


def growth(attend):
    return kept(512, attend) / kept(256, attend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_that_sees_nothing_is_0_and_with_a_finite_mask_the_mean(backend):
    q, k, v = inputs()
    with sdpa_kernel(backend):
        out = scaled_dot_product_attention(q, k, v, attn_mask=ALLOWED)
        finite = torch.zeros(6, 6).masked_fill(~ALLOWED, torch.finfo(torch.float32).min)
        mean = scaled_dot_product_attention(q, k, v, attn_mask=finite)[:, :, 2]
    gradient = torch.autograd.grad(out.square().sum(), q)[0]
    assert not out[:, :, 2].any() and not gradient[:, :, 2].any() and gradient[:, :, 3].all(), TORCH
    assert torch.allclose(mean, v.mean(2), atol=1e-6), TORCH
    steps = torch.softmax((q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~ALLOWED, -torch.inf), -1) @ v
    assert steps[:, :, 2].isnan().all()


def test_the_log_sum_exp_of_such_a_row_is_0_in_the_operator_and_minus_infinity_in_flex_attention():
    q, k, v = (x.detach() for x in inputs())
    bias = torch.zeros(6, 6).masked_fill(~ALLOWED, -math.inf)
    wanted = torch.logsumexp(q @ k.mT / math.sqrt(8) + bias, -1)
    _, by_operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=bias)
    blocks = create_block_mask(lambda batch, head, i, j: ALLOWED[i, j], None, None, 6, 6, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, by_flex = flex_attention(q, k, v, block_mask=blocks, return_lse=True)
    others = [0, 1, 3, 4, 5]
    assert torch.allclose(by_operator[..., others], wanted[..., others], atol=1e-5), TORCH
    assert torch.allclose(by_flex[..., others], wanted[..., others], atol=1e-5), TORCH
    assert not by_operator[..., 2].any(), TORCH
    assert (by_flex[..., 2] == -math.inf).all(), TORCH


def test_dropout_and_values_of_another_width_keep_the_weights():
    assert growth(scaled_dot_product_attention) == 2, TORCH
    assert growth(lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True)) == 2, TORCH
    assert growth(lambda q, k, v: scaled_dot_product_attention(q, k, v, dropout_p=0.1)) > 3.5, TORCH
    assert growth(lambda q, k, v: scaled_dot_product_attention(q, k, torch.cat([v, v], -1))) > 3.5, TORCH


def test_a_boolean_mask_is_kept_as_floats():
    def masked(q, k, v):
        return scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(q.shape[2], q.shape[2], dtype=torch.bool))

    assert kept(256, masked) - kept(256, scaled_dot_product_attention) == 4 * 256**2, TORCH


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_causal_query_before_a_cache_sees_the_first_key(backend):
    q, k, v = inputs()
    with sdpa_kernel(backend):
        out = scaled_dot_product_attention(q[:, :, :1], k, v, is_causal=True)
    assert torch.allclose(out, v[:, :, :1]), TORCH


def test_attention_in_tiles_counts_no_operations():
    counts = []
    for backend in BACKENDS:
        with sdpa_kernel(backend), FlopCounterMode(display=False) as counter:
            scaled_dot_product_attention(*(x.detach() for x in inputs()))
        counts.append(counter.get_total_flops())
    assert counts == [2 * 4 * 6 * 6 * 8, 0], TORCH
