"""What the chapter on linear attention says of performer-pytorch and transformers."""

import inspect

import torch
import transformers
from performer_pytorch.performer_pytorch import FastAttention, causal_linear_attention_noncuda
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.minimax.modeling_minimax import MiniMaxLightningAttention

from lib.course.meters import saved_bytes
from lib.sequence.linear_attention import causal_sums, elu_feature, linear_attention

PAGE = "book/attention/linear-attention.ipynb, section In production"
PERFORMER = f"performer-pytorch (1.1.4 on the page): mend the row in {PAGE}"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"


class LargestTensor(TorchDispatchMode):
    entries = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.entries = max(self.entries, result.numel())
        return result


def inputs(length, width=8):
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 1, length, width, generator=generator, dtype=torch.float64)
    return elu_feature(q), elu_feature(k), v


def test_chunk_size_is_the_number_of_chunks():
    assert inspect.signature(causal_linear_attention_noncuda).parameters["chunk_size"].default == 128, PERFORMER
    q, k, v = inputs(64)
    for pieces in (2, 4):
        with LargestTensor() as largest:
            got = causal_linear_attention_noncuda(q, k, v, chunk_size=pieces, eps=0)
        assert (got - linear_attention(q, k, v, causal=True)).abs().max() < 1e-12, PERFORMER
        assert largest.entries == 64 // pieces * 8 * 8, PERFORMER


def test_autograd_keeps_a_state_for_every_token():
    for length in (64, 256):
        leaves = [x.requires_grad_() for x in inputs(length)]
        kept = saved_bytes(causal_linear_attention_noncuda, *leaves) // 8
        assert kept > length * 8 * 8, PERFORMER
        assert saved_bytes(lambda q, k, v: causal_sums(q, k, v, 8), *leaves) // 8 < kept / 2, PERFORMER


def test_the_causal_form_of_two_softmaxes_overflows():
    q, k, v = (x.float() for x in inputs(12))
    two = FastAttention(8, causal=False, no_projection=True)
    by_softmaxes = q.softmax(-1) @ (k.softmax(-2).mT @ v)
    assert (two(q, k, v) - by_softmaxes).abs().max() < 1e-5, PERFORMER
    causal = FastAttention(8, causal=True, no_projection=True)
    by_exponentials = linear_attention(q.softmax(-1), k.exp(), v, causal=True, chunk=12)
    assert (causal(q, k, v) - by_exponentials).abs().max() < 1e-4, PERFORMER
    assert causal(q, k, v).isfinite().all(), PERFORMER
    k[0, 0, 3, 2] = 89
    assert causal(q, k, v).isnan().any(), PERFORMER
    assert two(q, k, v).isfinite().all(), PERFORMER


def test_minimax_decays_does_not_divide_and_normalises():
    torch.manual_seed(0)
    config = transformers.MiniMaxConfig(
        hidden_size=16, num_attention_heads=2, num_key_value_heads=2, head_dim=8, num_hidden_layers=2, block_size=4,
        layer_types=["linear_attention", "full_attention"],
    )  # fmt: skip
    layer = MiniMaxLightningAttention(config, 0).double()
    x = torch.randn(1, 11, 16, dtype=torch.float64)
    with torch.no_grad():
        got = layer(x, None, None)[0]
        activated = torch.nn.functional.silu(layer.qkv_proj(x))[0].unflatten(-1, (2, 24))
        q, k, v = activated.transpose(0, 1).split(8, -1)
        assert (q < 0).any() and (v < -0.3).sum() == 0, TRANSFORMERS
        state, sums = torch.zeros(2, 8, 8).double(), []
        for t in range(11):
            state = (-layer.slope_rate.double()).exp() * state + k[:, t, :, None] * v[:, t, None]
            sums.append((q[:, t, None] @ state)[:, 0].flatten())
        sums = torch.stack(sums)
        normalised = sums / (sums.square().mean(-1, keepdim=True) + layer.norm.variance_epsilon).sqrt()
        want = layer.out_proj(layer.output_gate(x).sigmoid() * normalised)
    assert want.abs().mean() > 0.05, TRANSFORMERS
    assert (got - want).abs().max() < 1e-5, TRANSFORMERS
