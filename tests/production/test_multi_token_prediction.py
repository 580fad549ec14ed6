"""What the chapter on multi-token prediction says of transformers, and its module against theirs."""

import pytest
import torch
import transformers
from torch import nn
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.modeling_layers import MtpLayer, MtpModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding

PAGE = "book/language-models/multi-token-prediction.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
WIDTH = 32


def llama_config(**changes):
    small = dict(vocab_size=16, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
    config = LlamaConfig(**small, num_key_value_heads=2, **changes)
    config._attn_implementation = "sdpa"
    return config


def layer_and_inputs(seed, **changes):
    torch.manual_seed(seed)
    config = llama_config(**changes)
    layer = MtpLayer(config, LlamaDecoderLayer, LlamaRMSNorm, 0).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=WIDTH**-0.5 if parameter.ndim == 2 else 1.0)
    embedded, states = torch.randn(2, 1, 7, WIDTH, dtype=torch.float64)
    at = torch.arange(7)[None]
    return layer, embedded, states, LlamaRotaryEmbedding(config)(states, at), at


def rms(norm, x):
    return norm.weight * x * (x.square().mean(-1, keepdim=True) + norm.variance_epsilon).rsqrt()


def module(layer, embedded, states, rotation, at, *, post_norm=True, state_first=False):
    """Equations 21 and 22 of DeepSeek-V3's report, in the library's order of the two halves or the report's."""
    parts = [rms(layer.enorm, embedded), rms(layer.hnorm, states)]
    joined = torch.cat(parts[::-1] if state_first else parts, -1) @ layer.eh_proj.weight.T
    out = layer.mtp_block(joined, attention_mask=None, position_embeddings=rotation, position_ids=at, past_key_values=None)
    out = out[0] if isinstance(out, tuple) else out
    return rms(layer.post_norm, out) if post_norm else out


@pytest.mark.parametrize("seed", range(3))
def test_the_library_stacks_the_embedding_first(seed):
    layer, embedded, states, rotation, at = layer_and_inputs(seed)
    theirs = layer(embedded, states, rotation, None, at, None)
    assert theirs.abs().mean() > 0.1
    torch.testing.assert_close(module(layer, embedded, states, rotation, at), theirs, rtol=0, atol=1e-6, msg=TRANSFORMERS)
    report = module(layer, embedded, states, rotation, at, state_first=True)
    assert (report - theirs).abs().max() > 0.1, TRANSFORMERS
    exchanged, _, _, _, _ = layer_and_inputs(seed)
    exchanged.eh_proj.weight.data = torch.cat(layer.eh_proj.weight.data.split(WIDTH, 1)[::-1], 1)
    swapped = module(exchanged, embedded, states, rotation, at, state_first=True)
    torch.testing.assert_close(swapped, theirs, rtol=0, atol=1e-6, msg=TRANSFORMERS)


def test_a_configuration_can_ask_for_the_order_of_the_report():
    layer, embedded, states, rotation, at = layer_and_inputs(3)
    layer.config.mtp_hidden_states_first = True
    theirs = layer(embedded, states, rotation, None, at, None)
    report = module(layer, embedded, states, rotation, at, state_first=True)
    torch.testing.assert_close(report, theirs, rtol=0, atol=1e-6, msg=TRANSFORMERS)


def test_the_library_normalises_once_more():
    layer, *inputs = layer_and_inputs(4)
    theirs = layer(*inputs[:3], None, inputs[3], None)
    assert (module(layer, *inputs, post_norm=False) - theirs).abs().max() > 0.1, TRANSFORMERS
    layer.use_post_norm = False
    plain = layer(*inputs[:3], None, inputs[3], None)
    torch.testing.assert_close(module(layer, *inputs, post_norm=False), plain, rtol=0, atol=1e-6, msg=TRANSFORMERS)


def deepseek():
    torch.manual_seed(0)
    sizes = dict(vocab_size=16, hidden_size=WIDTH, intermediate_size=16, moe_intermediate_size=16, num_hidden_layers=2)
    heads = dict(num_attention_heads=2, num_key_value_heads=2, q_lora_rank=8, kv_lora_rank=8, v_head_dim=8)
    rotary = dict(qk_rope_head_dim=8, qk_nope_head_dim=8)
    experts = dict(n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, first_k_dense_replace=1)
    return DeepseekV3ForCausalLM(DeepseekV3Config(**sizes, **heads, **rotary, **experts)).eval()


def test_a_loss_is_added_to_none():
    main, tokens, at = deepseek(), torch.tensor([[3, 1, 4, 1, 5]]), torch.arange(5)[None]
    modules, states = MtpModel(main, 1).eval(), torch.randn(1, 5, WIDTH)
    guesses, logits, loss = modules(tokens, states, None, at, None)
    assert guesses.shape == (1, 1) and logits.shape == (1, 1, 16) and loss is None, TRANSFORMERS
    assert modules.embed_tokens is main.get_input_embeddings() and modules.shared_head is main.lm_head, TRANSFORMERS
    with pytest.raises(TypeError, match="NoneType"):
        modules(tokens, states, None, at, None, labels=tokens)


def test_a_model_without_modules_does_not_draft():
    model = LlamaForCausalLM(llama_config()).eval()
    with pytest.raises(ValueError, match="num_mtp_layers"):
        model.generate(torch.tensor([[3, 1, 4]]), max_new_tokens=3, do_sample=False, use_mtp=True)
