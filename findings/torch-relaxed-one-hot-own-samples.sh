#!/usr/bin/env bash
# torch 2.13.0, torch.distributions.RelaxedOneHotCategorical
#
# Expected: a distribution can score what it drew; log_prob "returns the log of the probability density function
#   evaluated at value": https://docs.pytorch.org/docs/stable/distributions.html
#   The density of the relaxed variable is finite everywhere inside the simplex: https://arxiv.org/abs/1611.00712
# Happens: in float32, the default, coordinates of a cold sample underflow to exactly 0, where log_prob takes the
#   logarithm: the density is NaN. Other samples miss the sum of 1 by more than the tolerance of the simplex check, and
#   one of these makes log_prob refuse the whole batch that sample() returned. In float64 neither happens.
# Seen:
#   expected: 10000 samples are accepted and 0 have a NaN density
#   seen:     torch.float32: refused; unchecked, 145 have a NaN density
#   seen:     torch.float64: accepted; unchecked, 0 have a NaN density
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0

"$python" -I - <<'EOF'
import sys

import torch
from torch.distributions import RelaxedOneHotCategorical

CLASSES, SAMPLES = 100, 10_000


def score(dtype):
    """Return how many of the distribution's own samples have a NaN density, and whether it refuses them."""
    temperature, logits = torch.tensor(0.1, dtype=dtype), torch.zeros(CLASSES, dtype=dtype)
    samples = RelaxedOneHotCategorical(temperature, logits=logits).sample((SAMPLES,))
    unchecked = RelaxedOneHotCategorical(temperature, logits=logits, validate_args=False)
    try:
        RelaxedOneHotCategorical(temperature, logits=logits).log_prob(samples)
        refused = False
    except ValueError:
        refused = True
    return unchecked.log_prob(samples).isnan().sum().item(), refused


torch.manual_seed(0)
print(f"expected: {SAMPLES} samples are accepted and 0 have a NaN density")
seen = {}
for dtype in (torch.float32, torch.float64):
    seen[dtype] = bad, refused = score(dtype)
    print(f"seen:     {dtype}: {'refused' if refused else 'accepted'}; unchecked, {bad} have a NaN density")
bad, refused = seen[torch.float32]
sys.exit(None if bad and refused and seen[torch.float64] == (0, False) else "The behaviour has changed.")
EOF
