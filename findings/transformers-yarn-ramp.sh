#!/usr/bin/env bash
# transformers 5.23.0, ROPE_INIT_FUNCTIONS["yarn"]
#
# Expected: YaRN slows a pair of coordinates by its number of turns r within the trained length. Section 3.2 of the paper
#   (https://arxiv.org/abs/2309.00071) has a ramp that is linear in r: slowed by the whole factor up to r = 1, not at all
#   from r = 32 on, and between them in proportion to r - 1.
# Happens: the ramp is linear in the pair's number, between the pairs that make 32 turns and 1 turn, rounded outwards.
#   Turns fall exponentially with that number, so pairs in the middle are slowed far less than the paper's formula says.
#   The authors' own code does the same. The parameters are named as in the paper.
# Seen:
#   expected: pair 30 of 64 makes 4.35 turns and keeps 0.33 of its speed
#   seen:     it keeps 0.58, 1.75 times as much
#   a ramp in the pair's number from 16 to 41 would keep 0.58
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0 huggingface-hub==2.4.0 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0

"$python" -I -W ignore - <<'EOF'
import math
import sys

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

BASE, TRAINED, FACTOR, PAIR = 10_000.0, 2048, 4.0, 30


def kept(share):
    """Return the part of its speed that a pair keeps, when a share of the ramp is left to it."""
    return share + (1 - share) / FACTOR


config = LlamaConfig(
    hidden_size=128,
    num_attention_heads=1,
    max_position_embeddings=8192,
    rope_parameters={
        "rope_type": "yarn",
        "rope_theta": BASE,
        "factor": FACTOR,
        "original_max_position_embeddings": TRAINED,
    },
)
speeds, _ = ROPE_INIT_FUNCTIONS["yarn"](config, "cpu")
speed = BASE ** (-PAIR / 64)
turns = TRAINED * speed / (2 * math.pi)
paper, seen, by_number = kept((turns - 1) / 31), speeds[PAIR].item() / speed, kept((41 - PAIR) / (41 - 16))
print(f"expected: pair {PAIR} of 64 makes {turns:.2f} turns and keeps {paper:.2f} of its speed")
print(f"seen:     it keeps {seen:.2f}, {seen / paper:.2f} times as much")
print(f"a ramp in the pair's number from 16 to 41 would keep {by_number:.2f}")
sys.exit(None if abs(seen - by_number) < 1e-4 and seen > 1.5 * paper else "The behaviour has changed.")
EOF
