#!/usr/bin/env bash
# transformers 5.23.0, MtpModel with labels
#
# Expected: the modules that predict further tokens take labels, which are to be shifted by one place for each module, and
#   return the sum of the modules' losses, as equation 24 of DeepSeek-V3's report defines them (up to its factors):
#   https://arxiv.org/abs/2412.19437, section 2.2
# Happens: the loss starts as None, and the first module's is added to it: a TypeError for every model and all labels. So
#   the modules cannot be trained through their own forward; without labels it drafts as it should.
# Seen:
#   expected: a loss, which is the third value returned
#   seen:     without labels: drafts of shape (1, 1), no loss
#   seen:     with labels: TypeError: unsupported operand type(s) for +=: 'NoneType' and 'Tensor'
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0 huggingface-hub==2.4.0 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0

"$python" -I -W ignore - 2>/dev/null <<'EOF'
import sys

import torch
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.modeling_layers import MtpModel

torch.manual_seed(0)
sizes = dict(vocab_size=16, hidden_size=32, intermediate_size=16, moe_intermediate_size=16, num_hidden_layers=2)
heads = dict(num_attention_heads=2, num_key_value_heads=2, q_lora_rank=8, kv_lora_rank=8, v_head_dim=8)
rotary = dict(qk_rope_head_dim=8, qk_nope_head_dim=8)
experts = dict(n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, first_k_dense_replace=1)
main = DeepseekV3ForCausalLM(DeepseekV3Config(**sizes, **heads, **rotary, **experts)).eval()
modules = MtpModel(main, 1).eval()
tokens, at, states = torch.tensor([[3, 1, 4, 1, 5]]), torch.arange(5)[None], torch.randn(1, 5, 32)
print("expected: a loss, which is the third value returned")
drafts, _, loss = modules(tokens, states, None, at, None)
print(f"seen:     without labels: drafts of shape {tuple(drafts.shape)}, {'no loss' if loss is None else 'a loss'}")
try:
    _, _, loss = modules(tokens, states, None, at, None, labels=tokens)
except TypeError as error:
    print(f"seen:     with labels: TypeError: {error}")
    sys.exit("NoneType" not in str(error))
print(f"seen:     with labels: {loss}")
sys.exit(1)
EOF
