"""What the chapter on DeepSeek-V3 says of its configuration, and of transformers' attention and router."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import nn
from transformers import DeepseekV3Config, DynamicCache
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as theirs

from lib.course.meters import parameter_count
from lib.sequence.attention import attend
from lib.sequence.moe import MixtureOfExperts, SwiGLU, sigmoid_routing
from lib.sequence.position import Rotary, apply_rope, rope_angles
from lib.sequence.transformer import Context, extend

CHAPTER = Path(__file__).parents[2] / "book/language-models/deepseek-v3.ipynb"
SAYS = f"transformers {transformers.__version__} (5.23.0 on the page): mend book/language-models/deepseek-v3.ipynb, "
SMALL = dict(
    hidden_size=32, num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=12, q_lora_rank=16, qk_nope_head_dim=8,
    qk_rope_head_dim=4, v_head_dim=8, moe_intermediate_size=8, n_routed_experts=24, n_group=4, topk_group=2,
    num_experts_per_tok=5, vocab_size=8, num_hidden_layers=1,
)  # fmt: skip


def from_page(*first_lines):
    """The names that the chapter's open cells define, each cell known by a line of it."""
    names = {"SimpleNamespace": SimpleNamespace, "partial": partial, "torch": torch, "nn": nn}
    names |= {"attend": attend, "extend": extend}
    names |= {"MixtureOfExperts": MixtureOfExperts, "SwiGLU": SwiGLU}
    cells = ["".join(cell["source"]) for cell in json.loads(CHAPTER.read_text())["cells"] if cell["cell_type"] == "code"]
    for line in first_lines:
        (cell,) = [cell for cell in cells if line in cell.splitlines() and not cell.startswith("#@title")]
        exec(cell, names)
    return names


@pytest.fixture(scope="module")
def page():
    return from_page("class LatentAttention(nn.Module):", "def build(sizes):")


def attention_of(**options):
    """Their attention with weights that make outputs of size one, in float64, and cosines and sines of some positions."""
    torch.manual_seed(0)
    config = DeepseekV3Config(**SMALL, attn_implementation="eager", **options)
    layer = theirs.DeepseekV3Attention(config, 0).double().eval()
    for parameter in layer.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return layer, theirs.DeepseekV3RotaryEmbedding(config)


def turns_of(rotary, positions):
    return tuple(turn.double() for turn in rotary(torch.zeros(1, 1, dtype=torch.float64), positions[None]))


def causal(length):
    return torch.full((length, length), -torch.inf, dtype=torch.float64).triu(1)[None, None]


def test_the_typed_configuration_is_transformers_own(page):
    typed, config = page["V3"], DeepseekV3Config()
    pairs = {
        "vocabulary": config.vocab_size, "width": config.hidden_size, "layers": config.num_hidden_layers,
        "dense_layers": config.first_k_dense_replace, "dense_hidden": config.intermediate_size,
        "experts": config.n_routed_experts, "chosen": config.num_experts_per_tok, "hidden": config.moe_intermediate_size,
        "shared": config.n_shared_experts, "heads": config.num_attention_heads, "latent": config.kv_lora_rank,
        "query_latent": config.q_lora_rank, "plain": config.qk_nope_head_dim, "rotary": config.qk_rope_head_dim,
        "value": config.v_head_dim,
    }  # fmt: skip
    assert vars(typed) == pairs, SAYS + "the configuration"
    assert (config.n_group, config.topk_group, config.routed_scaling_factor) == (8, 4, 2.5), SAYS + "the router's groups"


def test_the_model_of_the_page_has_as_many_parameters_as_theirs(page):
    with torch.device("meta"):
        model = theirs.DeepseekV3ForCausalLM(DeepseekV3Config())
    assert parameter_count(model) == parameter_count(page["model"]) == 671_026_404_352, SAYS + "the parameters"


def test_the_layer_of_the_page_is_theirs(page):
    layer, rotary = attention_of()
    sizes = SimpleNamespace(heads=4, latent=12, query_latent=16, plain=8, rotary=4, value=8)
    ours = page["LatentAttention"](32, None, sizes).double()
    names = ("q_a_proj", "q_a_layernorm", "q_b_proj", "kv_a_proj_with_mqa", "kv_a_layernorm", "kv_b_proj", "o_proj")
    mine = (ours.q_down, ours.q_norm, ours.q_up, ours.kv_down, ours.kv_norm, ours.kv_up, ours.out)
    for name, module in zip(names, mine, strict=True):
        module.load_state_dict(getattr(layer, name).state_dict())
    x, at = torch.randn(2, 9, 32, dtype=torch.float64), torch.arange(9)
    position = Rotary(4)
    want = layer(x, turns_of(rotary, at), causal(9))[0]
    got = ours(x, Context(position, at[None], causal=True))
    assert want.std() > 0.1
    torch.testing.assert_close(got, want, atol=1e-6, rtol=0, msg=SAYS + "the layer")


def test_their_layer_absorbed():
    layer, rotary = attention_of()
    x, at = torch.randn(2, 9, 32, dtype=torch.float64), torch.arange(9)
    q = layer.q_b_proj(layer.q_a_layernorm(layer.q_a_proj(x))).view(2, 9, 4, 12).transpose(1, 2)
    c, k_r = layer.kv_a_proj_with_mqa(x).split([12, 4], -1)
    c, up, angles = layer.kv_a_layernorm(c)[:, None], layer.kv_b_proj.weight.view(4, 16, 12), rope_angles(at, 4)
    scores = q[..., :8] @ up[:, :8] @ c.mT + apply_rope(q[..., 8:], angles) @ apply_rope(k_r, angles)[:, None].mT
    mixed = (scores * 12**-0.5 + causal(9)).softmax(-1) @ c @ up[:, 8:].mT
    want = layer(x, turns_of(rotary, at), causal(9))[0]
    torch.testing.assert_close(layer.o_proj(mixed.transpose(1, 2).flatten(2)), want, atol=1e-6, rtol=0, msg=SAYS + "(3)")


def test_the_cache_holds_latents_and_every_step_expands_them():
    layer, rotary = attention_of()
    cache, expanded = DynamicCache(), []
    layer.kv_b_proj.register_forward_hook(lambda module, inputs, output: expanded.append(output.shape[-2]))
    for n in range(5):
        step = torch.randn(1, 1, 32, dtype=torch.float64)
        layer(step, turns_of(rotary, torch.tensor([n])), None, past_key_values=cache)
    held = cache.layers[0]
    assert sorted([held.keys.shape, held.values.shape]) == [(1, 1, 5, 4), (1, 1, 5, 12)], SAYS + "row on the cache"
    assert expanded == [1, 2, 3, 4, 5], SAYS + "row on the cache"


def test_mscale_all_dim_alone_counts_twice():
    def scales(**yarn):
        rope = dict(rope_type="yarn", rope_theta=10000.0, factor=40.0, original_max_position_embeddings=4096, **yarn)
        layer, rotary = attention_of(rope_parameters=rope)
        cosine, sine = turns_of(rotary, torch.tensor([0]))
        plain = layer.scaling * 12**0.5
        return plain, plain * float(cosine[0, 0, 0] ** 2 + sine[0, 0, 0] ** 2)

    alone, both = scales(mscale_all_dim=1.0), scales(mscale=1.0, mscale_all_dim=1.0)
    assert abs(alone[0] - 1.874) < 1e-3 and abs(alone[1] - 3.511) < 2e-3, SAYS + f"row on mscale_all_dim, got {alone}"
    assert abs(both[0] - 1.874) < 1e-3 and abs(both[1] - 1.874) < 1e-3, SAYS + f"row on mscale_all_dim, got {both}"


def test_the_router_chooses_with_the_bias_weighs_without_it_and_leaves_it_alone():
    torch.manual_seed(1)
    layer = theirs.DeepseekV3MoE(DeepseekV3Config(**SMALL)).train()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    bias = torch.randn(24) / 4
    layer.gate.e_score_correction_bias.copy_(bias)
    x = torch.randn(50, 32)
    logits, weights, experts = layer.gate(x)
    want = sigmoid_routing(logits, 5, bias, groups=4, top_groups=2, scale=2.5)
    dense = torch.zeros(50, 24)
    assert torch.allclose(
        dense.scatter(1, experts, weights), dense.scatter(1, want.experts, want.weights), atol=1e-5
    ), SAYS + "row on DeepseekV3MoE"
    layer(x[None]).sum().backward()
    assert torch.equal(layer.gate.e_score_correction_bias, bias), SAYS + "row on DeepseekV3MoE"
