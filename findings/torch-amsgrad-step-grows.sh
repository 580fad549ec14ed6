#!/usr/bin/env bash
# torch 2.13.0, torch.optim.Adam(amsgrad=True)
#
# Expected: AMSGrad divides by the root of the largest second moment so far, so that a gradient's step size never grows;
#   that is the property which its authors found missing in Adam: https://openreview.net/forum?id=ryQu7f-RZ
#   torch names this paper: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
# Happens: torch keeps the maximum of the second moments before their bias correction and corrects afterwards, as its
#   page shows. After an early large gradient the maximum stands still while the correction 1 / (1 - beta2^t) shrinks
#   towards 1, and the step for the same gradient grows with every step.
# Seen:
#   expected: the step per unit of gradient never grows
#   seen:     1.00 at step 1, 1.41 at step 2, 3.31 at step 11, 7.05 at step 51, 13.50 at step 201
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0

"$python" -I - <<'EOF'
import sys

import torch

weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
optimiser = torch.optim.Adam([weight], lr=1.0, betas=(0.0, 0.999), eps=0.0, amsgrad=True)
sizes = []
for gradient in [1.0] + [0.001] * 200:
    before = weight.item()
    weight.grad = torch.full_like(weight, gradient)
    optimiser.step()
    sizes.append((before - weight.item()) / gradient)

print("expected: the step per unit of gradient never grows")
print("seen:     " + ", ".join(f"{sizes[t - 1]:.2f} at step {t}" for t in (1, 2, 11, 51, 201)))
sys.exit(None if all(a < b for a, b in zip(sizes, sizes[1:])) else "The behaviour has changed.")
EOF
