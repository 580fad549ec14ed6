#!/usr/bin/env bash
# torch 2.13.0, torch.compile and torch.distributions
#
# Expected: distributions check their parameters and values unless Python runs with -O or the program calls
#   set_default_validate_args(False): https://docs.pytorch.org/docs/2.13/distributions.html
# Happens: the first torch.compile(f) of a process makes that call itself, for all distributions, and never takes it
#   back. Wrapping any function is enough: it need not be called, and need have nothing to do with distributions, so
#   that importing a module with a decorated function does it too. Afterwards an exponential variable has a density at
#   negative values, and a normal one may have a negative deviation. torch.compiler.reset() does not mend it;
#   validate_args=True does, for one distribution, and so does set_default_validate_args(True), called afterwards.
#   torch's developers describe the cause in https://github.com/pytorch/pytorch/pull/185438
# Seen:
#   expected: an exponential variable's density at -5 is refused, always
#   seen:     refused in a new process
#   seen:     148.41 once a function is wrapped; a normal law of deviation -1 is accepted
#   seen:     148.41 after torch.compiler.reset()
#   seen:     refused with validate_args=True
#   seen:     refused after set_default_validate_args(True)
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0

"$python" -I - <<'EOF'
import sys

import torch
from torch.distributions import Distribution, Exponential, Normal


def density(validate=None):
    """Return what comes of asking for the density at a value that an exponential variable cannot take."""
    try:
        return f"{Exponential(1.0, validate_args=validate).log_prob(torch.tensor(-5.0)).exp():.2f}"
    except ValueError:
        return "refused"


def negative_deviation():
    """Return what comes of asking for a normal law that does not exist."""
    try:
        Normal(0.0, -1.0)
        return "accepted"
    except ValueError:
        return "refused"


print("expected: an exponential variable's density at -5 is refused, always")
seen = [density()]
print(f"seen:     {seen[-1]} in a new process")
torch.compile(lambda x: x)
seen += [density(), negative_deviation()]
print(f"seen:     {seen[-2]} once a function is wrapped; a normal law of deviation -1 is {seen[-1]}")
torch.compiler.reset()
seen.append(density())
print(f"seen:     {seen[-1]} after torch.compiler.reset()")
seen.append(density(validate=True))
print(f"seen:     {seen[-1]} with validate_args=True")
Distribution.set_default_validate_args(True)
torch.compile(lambda x: x)
seen.append(density())
print(f"seen:     {seen[-1]} after set_default_validate_args(True)")
recorded = ["refused", "148.41", "accepted", "148.41", "refused", "refused"]
sys.exit(None if seen == recorded else "The behaviour has changed.")
EOF
