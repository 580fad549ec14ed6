#!/usr/bin/env bash
# torch 2.13.0, torch.nn.functional.scaled_dot_product_attention
#
# Expected: the function's page writes attention out and calls that equivalent: scores that a boolean mask excludes
#   become minus infinity, then comes a softmax. A query that may see no key has the softmax of minus infinities, which
#   is NaN. Of the C++ implementation, SDPBackend.MATH, the page says that it matches what is written:
#   https://docs.pytorch.org/docs/2.13/generated/torch.nn.functional.scaled_dot_product_attention.html
# Happens: such a query gets the output 0, from SDPBackend.MATH too, which replaces the weights of such rows by zeros.
#   The page does not say so. Whoever tests an implementation against the written steps, or looks for NaN to find
#   queries that see nothing, gets another answer from the function. All other rows agree.
# Seen:
#   expected: NaN for a query that sees nothing, as the documented steps give: nan
#   seen:     0.0 by default, 0.0 from MATH, 0.0 from FLASH_ATTENTION; other rows agree to 1e-5
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0

"$python" -I - <<'EOF'
import math
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention, softmax

LENGTH, WIDTH, EMPTY = 6, 8, 3

torch.manual_seed(0)
queries, keys, values = torch.randn(3, 1, 1, LENGTH, WIDTH)
sees = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
sees[EMPTY] = False
others = [i for i in range(LENGTH) if i != EMPTY]

scores = queries @ keys.mT / math.sqrt(WIDTH)
documented = softmax(torch.where(sees, scores, -math.inf), dim=-1) @ values
outputs = {"by default": scaled_dot_product_attention(queries, keys, values, attn_mask=sees)}
for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION):
    with sdpa_kernel(backend):
        outputs[f"from {backend.name}"] = scaled_dot_product_attention(queries, keys, values, attn_mask=sees)

agree = all(torch.allclose(o[..., others, :], documented[..., others, :], atol=1e-5) for o in outputs.values())
means = {name: output[..., EMPTY, :].abs().mean().item() for name, output in outputs.items()}
print(f"expected: NaN for a query that sees nothing, as the documented steps give: {documented[..., EMPTY, :].mean()}")
print("seen:     " + ", ".join(f"{mean} {name}" for name, mean in means.items()), end="; ")
print(f"other rows {'agree' if agree else 'do not agree'} to 1e-5")
recorded = documented[..., EMPTY, :].isnan().all() and agree and not any(means.values())
sys.exit(None if recorded else "The behaviour has changed.")
EOF
