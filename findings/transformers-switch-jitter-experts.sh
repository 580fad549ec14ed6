#!/usr/bin/env bash
# transformers 5.23.0, SwitchTransformersSparseMLP with router_jitter_noise
#
# Expected: jitter is there so that the router explores: its input is multiplied by noise near one, and the experts get the
#   tokens as they are, in every precision. The configuration calls router_jitter_noise an amount of noise for the router:
#   https://huggingface.co/docs/transformers/main/en/model_doc/switch_transformers
# Happens: the router casts its input to float32 and multiplies in place. In bfloat16 the cast makes a copy; in float32
#   there is none, and the noise is written into the layer's input, which the experts then read. With noise of 1 % the
#   outputs of float32 are off by about 1 %, and the tensor that the caller handed over has changed.
# Seen:
#   expected: the layer's input is what it was
#   seen:     training in bfloat16: input unchanged
#   seen:     training in float32: input changed, by at most 1 %
#   seen:     float32, experts get: the tokens with noise
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0 huggingface-hub==2.4.0 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0

"$python" -I -W ignore - 2>/dev/null <<'EOF'
import sys

import torch
from transformers import SwitchTransformersConfig
from transformers.models.switch_transformers.modeling_switch_transformers import SwitchTransformersSparseMLP

torch.manual_seed(0)
config = SwitchTransformersConfig(d_model=16, d_ff=32, num_experts=4, expert_capacity=64, dropout_rate=0.0, router_jitter_noise=0.01)
print("expected: the layer's input is what it was")
changed = False
for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
    layer = SwitchTransformersSparseMLP(config).to(dtype).train()
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    tokens = torch.randn(2, 8, 16).to(dtype)
    handed, seen = tokens.clone(), []
    layer.experts.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    with torch.no_grad():
        layer(handed)
    same = torch.equal(handed, tokens)
    share = ((handed - tokens).abs() / tokens.abs()).max().item()
    changed |= same != (name == "bfloat16") or share > 0.011
    print(f"seen:     training in {name}: input {'unchanged' if same else f'changed, by at most {100 * share:.0f} %'}")
noisy = not torch.equal(seen[0].view_as(tokens), tokens)
print("seen:     float32, experts get:", "the tokens with noise" if noisy else "the tokens")
sys.exit(changed or not noisy)
EOF
