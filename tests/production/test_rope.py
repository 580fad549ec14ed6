"""What the chapter on RoPE says of transformers and rotary-embedding-torch."""

import rotary_embedding_torch
import torch
import transformers
from transformers.models.llama.modeling_llama import LlamaModel, apply_rotary_pos_emb
from transformers.models.roformer.modeling_roformer import RoFormerSelfAttention

from lib.sequence.position import apply_rope, rope_angles

PAGE = "book/attention/rope.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
ROTARY = f"rotary-embedding-torch (0.9.1 on the page): mend the row in {PAGE}"
SMALL = dict(vocab_size=8, hidden_size=128, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)


def cosines(model):
    return model.rotary_emb(torch.zeros(1, 1), torch.tensor([[4095]]))[0].flatten().float()


def test_a_model_that_is_cast_rounds_its_frequencies():
    config = transformers.LlamaConfig(**SMALL)
    right = cosines(LlamaModel(config))
    assert (cosines(LlamaModel(config).to(torch.bfloat16)) - right).abs().max() > 1, TRANSFORMERS
    assert (cosines(LlamaModel._from_config(config, dtype=torch.bfloat16)) - right).abs().max() < 0.01, TRANSFORMERS


def test_bfloat16_queries_make_bfloat16_positions():
    embed = rotary_embedding_torch.RotaryEmbedding(dim=16)
    turned = embed.rotate_queries_or_keys(torch.ones(1, 1, 300, 16, dtype=torch.bfloat16))[0, 0]
    assert torch.equal(turned[257], turned[256]), ROTARY
    turned = rotary_embedding_torch.RotaryEmbedding(dim=16).rotate_queries_or_keys(torch.ones(1, 1, 300, 16))[0, 0]
    assert not torch.equal(turned[257], turned[256]), ROTARY


def test_llama_and_roformer_differ_in_layout():
    x, angles = torch.randn(1, 1, 5, 8), rope_angles(torch.arange(5), 8).float()
    twice = torch.cat([angles, angles], -1)[None]
    llama, _ = apply_rotary_pos_emb(x, x, twice.cos(), twice.sin())
    assert torch.allclose(llama, apply_rope(x, angles, "half"), atol=1e-5), TRANSFORMERS
    sinusoids = torch.cat([angles.sin(), angles.cos()], -1)[None, None]
    roformer, _ = RoFormerSelfAttention.apply_rotary_position_embeddings(sinusoids, x, x)
    assert torch.allclose(roformer, apply_rope(x, angles), atol=1e-5), TRANSFORMERS
