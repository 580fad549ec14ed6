#!/usr/bin/env bash
# FLASH-pytorch 0.1.9, GAU(rel_pos_bias=False)
#
# Expected: the argument, which is False by default, decides whether a bias by distance is added to the scores; so the
#   package's author answers in https://github.com/lucidrains/FLASH-pytorch/issues/9
#   Without it, and without a causal mask, nothing in the unit knows where a token stands: reversing the tokens
#   reverses the outputs and changes nothing else.
# Happens: the constructor never looks at the argument. The bias is made and added every time, with its parameters, and
#   a unit made with True computes the same as one made with False. Setting the attribute to None removes it.
# Seen:
#   expected: off by 0.00 when the tokens are reversed; 0 parameters of a bias; outputs with True are others
#   seen:     off by 1.20 when the tokens are reversed; 32 parameters of a bias; outputs with True are the same
#   seen:     off by 0.00 once unit.rel_pos_bias is None
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 einops==0.8.2 torch==2.13.0 rotary-embedding-torch==0.9.1 FLASH-pytorch==0.1.9

"$python" -I - <<'EOF'
import sys

import torch
from flash_pytorch import GAU

WIDTH, TOKENS = 32, 48


def unit(rel_pos_bias):
    """Return a unit with the same random weights at every call."""
    torch.manual_seed(0)
    return GAU(dim=WIDTH, query_key_dim=16, add_residual=False, rel_pos_bias=rel_pos_bias).eval()


def reversal(attend, tokens):
    """Return by how much reversing the tokens does more than reverse the outputs, as a share of the outputs."""
    outputs, reversed_outputs = attend(tokens), attend(tokens.flip(1)).flip(1)
    return ((outputs - reversed_outputs).norm() / (outputs - outputs.mean(1)).norm()).item()


off, on = unit(False), unit(True)
tokens = torch.randn(1, TOKENS, WIDTH)
with torch.no_grad():
    share, same = reversal(off, tokens), torch.equal(off(tokens), on(tokens))
    parameters = sum(p.numel() for name, p in off.named_parameters() if name.startswith("rel_pos_bias"))
    off.rel_pos_bias = None
    without = reversal(off, tokens)

print("expected: off by 0.00 when the tokens are reversed; 0 parameters of a bias; outputs with True are others")
print(f"seen:     off by {share:.2f} when the tokens are reversed; {parameters} parameters of a bias;", end=" ")
print(f"outputs with True are {'the same' if same else 'others'}")
print(f"seen:     off by {without:.2f} once unit.rel_pos_bias is None")
sys.exit(None if share > 0.1 and parameters and same and without < 1e-3 else "The behaviour has changed.")
EOF
