#!/usr/bin/env bash
# performer-pytorch 1.1.4, causal_linear_attention_noncuda
#
# Expected: chunk_size=128 works on 128 tokens at a time, so that the tensors it forms do not grow with the length, and
#   a smaller number makes them smaller. Causal attention without a compiled kernel runs through this function.
# Happens: the number is handed to torch.chunk, which takes the number of pieces:
#   https://docs.pytorch.org/docs/2.13/generated/torch.chunk.html
#   So a chunk has length / chunk_size tokens, and for each of them a matrix of features by values is formed. Whoever
#   lowers chunk_size to save memory needs more. The output is right either way.
# Seen:
#   length 16384, chunk_size=4: expected 4 matrices at once, seen 4096
#   length 16384, chunk_size=1024: expected 1024 matrices at once, seen 16
#   length 1024, chunk_size=128: expected 128 matrices at once, seen 8
#   length 65536, chunk_size=128: expected 128 matrices at once, seen 512
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 einops==0.8.2 torch==2.13.0 \
    local-attention==1.11.2 axial-positional-embedding==0.3.12 performer-pytorch==1.1.4

"$python" -I - <<'EOF'
import sys

import torch
from performer_pytorch.performer_pytorch import causal_linear_attention_noncuda
from torch.autograd.graph import saved_tensors_hooks

WIDTH = 4


def matrices_at_once(length, chunk_size):
    """Return how many matrices of features by values the largest tensor holds that is kept for the gradients."""
    sizes = []

    def note(tensor):
        sizes.append(tensor.numel())
        return tensor

    inputs = torch.rand(3, 1, 1, length, WIDTH, requires_grad=True)
    with saved_tensors_hooks(note, lambda tensor: tensor):
        causal_linear_attention_noncuda(*inputs, chunk_size=chunk_size)
    return max(sizes) // WIDTH**2


torch.manual_seed(0)
changed = False
for length, size in ((16384, 4), (16384, 1024), (1024, 128), (65536, 128)):
    seen = matrices_at_once(length, size)
    changed |= seen != length // size
    print(f"length {length}, chunk_size={size}: expected {size} matrices at once, seen {seen}")
sys.exit("The behaviour has changed." if changed else None)
EOF
