#!/usr/bin/env bash
# FLASH-pytorch 0.1.9, GAU(causal=True)
#
# Expected: in a causal unit a token's output depends only on the tokens up to it, so that a text may go on, or be
#   padded with masked tokens, and what was computed stays valid.
# Happens: scores are divided by the number of tokens that are passed in, later and masked ones included, and then
#   squared; https://kexue.fm/archives/8934 reports this divisor of the paper's code too. No softmax makes up for it:
#   when n tokens become n', what the unit adds to each earlier token shrinks by (n / n')^2. A model that was trained at
#   one length and writes token by token gets other outputs from every layer.
# Seen:
#   expected: outputs for 12 tokens are 1 times as large when 36 follow, and when 36 are masked
#   seen:     0.0625 times when 36 follow, 0.0625 times when 36 are masked; (12 / 48)^2 is 0.0625
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 einops==0.8.2 torch==2.13.0 rotary-embedding-torch==0.9.1 FLASH-pytorch==0.1.9

"$python" -I - <<'EOF'
import sys

import torch
from flash_pytorch import GAU

WIDTH, SHORT, LONG = 32, 12, 48

torch.manual_seed(0)
unit = GAU(dim=WIDTH, query_key_dim=16, causal=True, add_residual=False).double().eval()
tokens = torch.randn(1, LONG, WIDTH, dtype=torch.float64)
keep = torch.arange(LONG)[None] < SHORT
constant = unit.to_out[0].bias  # added whatever the tokens are
with torch.no_grad():
    alone = unit(tokens[:, :SHORT]) - constant
    followed = unit(tokens)[:, :SHORT] - constant
    padded = unit(tokens, mask=keep)[:, :SHORT] - constant

ratios = [(outputs.norm() / alone.norm()).item() for outputs in (followed, padded)]
square = (SHORT / LONG) ** 2
proportional = all(torch.allclose(outputs, square * alone, rtol=1e-6, atol=1e-12) for outputs in (followed, padded))
rest = LONG - SHORT
print(f"expected: outputs for {SHORT} tokens are 1 times as large when {rest} follow, and when {rest} are masked")
print(f"seen:     {ratios[0]:.4f} times when {rest} follow, {ratios[1]:.4f} times when {rest} are masked;", end=" ")
print(f"({SHORT} / {LONG})^2 is {square:.4f}")
sys.exit(None if proportional else "The behaviour has changed.")
EOF
