#!/usr/bin/env bash
# flow_matching 1.0.10, ODESolver.compute_likelihood
#
# Expected: enable_grad says "Whether to compute gradients during sampling", for sample and compute_likelihood alike:
#   https://facebookresearch.github.io/flow_matching/generated/flow_matching.solver.ODESolver.html
#   So with enable_grad=True a likelihood has gradients with respect to the network, as a sample has.
# Happens: compute_likelihood detaches velocity and divergence at each evaluation, whatever enable_grad says. The
#   likelihood has no gradient, and a training by it stops with an error.
# Seen:
#   sample(enable_grad=True): expected a gradient, seen a gradient
#   compute_likelihood(enable_grad=True): expected a gradient, seen none
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0 torchdiffeq==0.2.5 tqdm==4.70.1 flow_matching==1.0.10

"$python" -I - <<'EOF'
import sys

import torch
from flow_matching.solver import ODESolver

torch.manual_seed(0)
network = torch.nn.Linear(2, 2)
solver = ODESolver(velocity_model=lambda x, t: network(x))
points = torch.randn(3, 2)
sample = solver.sample(x_init=points, step_size=0.1, enable_grad=True)
_, value = solver.compute_likelihood(
    x_1=points,
    log_p0=lambda x: -(x**2).sum(1) / 2,
    step_size=0.1,
    exact_divergence=True,
    enable_grad=True,
)
for name, result in (("sample", sample), ("compute_likelihood", value)):
    seen = "a gradient" if result.requires_grad else "none"
    print(f"{name}(enable_grad=True): expected a gradient, seen {seen}")
sys.exit(None if sample.requires_grad and not value.requires_grad else "The behaviour has changed.")
EOF
