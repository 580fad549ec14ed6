#!/usr/bin/env bash
# transformers 5.23.0, initialization.lecun_normal_
#
# Expected: LeCun's first weights have the variance 1/m for m inputs, so that a sum keeps the size of its terms. JAX's
#   function of this name cuts the normal law at two of its standard deviations and widens it to make good the loss:
#   https://docs.jax.dev/en/latest/_autosummary/jax.nn.initializers.lecun_normal.html
# Happens: the law is widened, by 1 / 0.8796, and then handed to torch's trunc_normal_ without bounds. Those are not
#   counted in standard deviations: they stay at -2 and 2, far outside the weights of any layer of usual width. So
#   nothing is lost, and what was to make good the loss is too much: the variance is 1 / 0.8796^2 = 1.29 times 1/m.
# Seen:
#   expected: m times the variance is 1.00 for every m, and no weight is beyond 2.27 / sqrt(m)
#   seen:     m = 16: 1.29, largest above 4 / sqrt(m)
#   seen:     m = 256: 1.29, largest above 4 / sqrt(m)
#   seen:     m = 4096: 1.29, largest above 4 / sqrt(m)
#   seen:     the patch embedding of a new SiglipVisionModel, m = 768: 1.29
#   bounds of two standard deviations would give 1.00
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0 huggingface-hub==2.4.0 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0

"$python" -I -W ignore - <<'EOF'
import math
import sys

import torch
from transformers import SiglipVisionConfig, SiglipVisionModel
from transformers.initialization import lecun_normal_

WEIGHTS, CUT = 2**22, 2 / 0.8796


def scaled_variance(weight):
    """Return the variance times the number of inputs."""
    return weight.flatten(1).shape[1] * weight.detach().double().var().item()


torch.manual_seed(0)
print(f"expected: m times the variance is 1.00 for every m, and no weight is beyond {CUT:.2f} / sqrt(m)")
changed = False
for inputs in (16, 256, 4096):
    weight = lecun_normal_(torch.empty(WEIGHTS // inputs, inputs))
    variance, largest = scaled_variance(weight), weight.abs().max().item() * math.sqrt(inputs)
    beyond = "above 4" if largest > 4 else f"{largest:.2f}"
    print(f"seen:     m = {inputs}: {variance:.2f}, largest {beyond} / sqrt(m)")
    changed |= not (variance > 1.25 and largest > 4)

embedding = SiglipVisionModel(SiglipVisionConfig(num_hidden_layers=1)).get_input_embeddings().weight
variance = scaled_variance(embedding)
changed |= variance < 1.25
print(f"seen:     the patch embedding of a new SiglipVisionModel, m = {embedding[0].numel()}: {variance:.2f}")

deviation = CUT / 2 / math.sqrt(256)
torch.nn.init.trunc_normal_(weight := torch.empty(WEIGHTS // 256, 256), 0, deviation, -2 * deviation, 2 * deviation)
print(f"bounds of two standard deviations would give {scaled_variance(weight):.2f}")
sys.exit("The behaviour has changed." if changed else None)
EOF
