#!/usr/bin/env bash
# rotary-embedding-torch 0.9.1, RotaryEmbedding.rotate_queries_or_keys
#
# Expected: position m is rotated by m times the frequencies, so each position has a rotation of its own, up to rounding
#   in the queries' dtype: equation (34) of https://arxiv.org/abs/2104.09864 and
#   https://github.com/lucidrains/rotary-embedding-torch
# Happens: for bfloat16 queries the positions themselves are made in bfloat16, which has no whole number between 256 and
#   258: position 257 is rotated as 256, and 2048 positions become 641. The angles are kept for later calls, so that
#   float32 queries given to the same object afterwards are rotated wrongly as well.
# Seen:
#   expected: 2048 distinct rotations of 2048 positions in bfloat16, 256 unlike 257, float32 unharmed
#   seen:     641 distinct rotations, 256 like 257, float32 afterwards off by 1.99
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 einops==0.8.2 torch==2.13.0 rotary-embedding-torch==0.9.1

"$python" -I - <<'EOF'
import sys

import torch
from rotary_embedding_torch import RotaryEmbedding

LENGTH, WIDTH = 2048, 64
queries = torch.zeros(1, 1, LENGTH, WIDTH)
queries[..., ::2] = 1
right = RotaryEmbedding(dim=WIDTH).rotate_queries_or_keys(queries)

embedding = RotaryEmbedding(dim=WIDTH)
rotated = embedding.rotate_queries_or_keys(queries.bfloat16())[0, 0]
afterwards = (embedding.rotate_queries_or_keys(queries) - right).abs().max().item()
distinct, wanted = (len(torch.unique(r, dim=0)) for r in (rotated, right[0, 0].bfloat16()))
equal = torch.equal(rotated[256], rotated[257])

print(f"expected: {wanted} distinct rotations of {LENGTH} positions in bfloat16, 256 unlike 257, float32 unharmed")
print(f"seen:     {distinct} distinct rotations, 256 {'like' if equal else 'unlike'} 257,", end=" ")
print(f"float32 afterwards off by {afterwards:.2f}")
sys.exit(None if distinct < wanted and equal and afterwards > 1 else "The behaviour has changed.")
EOF
