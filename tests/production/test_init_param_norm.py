"""What the chapter on initialisation, parametrisation and normalisation says of torch and transformers."""

import pytest
import torch
import transformers
from scipy.stats import truncnorm
from torch import nn
from transformers import initialization

PAGE = "book/attention/init-param-norm.ipynb, section In production"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


def is_near(value, want):
    return abs(float(torch.as_tensor(value).detach()) / want - 1) < 0.01


def test_linear_draws_uniformly_with_a_third_of_the_variance():
    weight = nn.Linear(500, 800).weight.detach()
    assert is_near(weight.var() * 500, 1 / 3), TORCH
    assert is_near(weight.abs().max(), 500**-0.5), TORCH


def test_multihead_attention_is_drawn_as_one_xavier_matrix():
    layer = nn.MultiheadAttention(512, 8)
    assert is_near(layer.in_proj_weight.var() * 512, 1 / 2), TORCH
    assert is_near(layer.out_proj.weight.var() * 512, 1 / 3), TORCH


def test_truncated_normal_cuts_at_values():
    weight = torch.empty(200_000)
    nn.init.trunc_normal_(weight, std=0.02)
    assert is_near(weight.std(), 0.02) and weight.abs().max() > 3 * 0.02, TORCH
    nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04)
    assert is_near(weight.var() / 0.02**2, truncnorm.var(-2, 2)) and weight.abs().max() <= 0.04, TORCH
    nn.init.trunc_normal_(weight)
    assert is_near(weight.var(), truncnorm.var(-2, 2)), TORCH


def test_torch_draws_what_the_chapter_derives():
    weight = torch.empty(800, 500)
    nn.init.xavier_normal_(weight)
    assert is_near(weight.var(), 2 / 1300), TORCH
    nn.init.kaiming_normal_(weight, nonlinearity="relu")
    assert is_near(weight.var(), 2 / 500), TORCH
    nn.init.kaiming_uniform_(weight, nonlinearity="linear")
    assert is_near(weight.var(), 1 / 500), TORCH


def test_lecun_normal_corrects_for_a_cut_that_does_not_happen():
    weight = torch.empty(800, 500)
    initialization.lecun_normal_(weight)
    assert is_near(weight.var() * 500, 1 / truncnorm.var(-2, 2)), TRANSFORMERS
    assert weight.abs().max() * 500**0.5 > 3, TRANSFORMERS


def test_t5_puts_the_root_into_its_query():
    config = transformers.T5Config(d_model=256, d_kv=64, num_heads=8, d_ff=512, num_layers=1, vocab_size=16)
    attention = transformers.T5Model(config).encoder.block[0].layer[0].SelfAttention
    assert is_near(attention.q.weight.std(), (256 * 64) ** -0.5), TRANSFORMERS
    assert is_near(attention.k.weight.std(), 256**-0.5) and is_near(attention.v.weight.std(), 256**-0.5), TRANSFORMERS
    assert is_near(attention.o.weight.std(), (8 * 64) ** -0.5), TRANSFORMERS
    x = torch.randn(1, 5, 256)
    attention.relative_attention_bias.weight.data.zero_()
    q, k, v = (part(x).unflatten(-1, (8, 64)).transpose(1, 2) for part in (attention.q, attention.k, attention.v))
    mixed = nn.functional.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).flatten(2)
    assert torch.allclose(attention.eval()(x)[0], attention.o(mixed), atol=1e-5), TRANSFORMERS


def test_gpt2_counts_two_branches_for_a_block():
    config = transformers.GPT2Config(n_layer=8, n_embd=256, n_head=4, vocab_size=16, bos_token_id=0, eos_token_id=0)
    block = transformers.GPT2Model(config).h[0]
    assert is_near(block.attn.c_proj.weight.std(), 0.02 / 16**0.5), TRANSFORMERS
    assert is_near(block.mlp.c_proj.weight.std(), 0.02 / 16**0.5), TRANSFORMERS
    assert is_near(block.attn.c_attn.weight.std(), 0.02), TRANSFORMERS
