#!/usr/bin/env bash
# torch 2.13.0, torch.nn.functional.interpolate(mode="nearest"), the default of torch.nn.Upsample
#
# Expected: enlarging by a whole factor copies each pixel that many times, as repeat_interleave does. The documentation
#   warns that "nearest" chooses pixels by OpenCV's rule and not by scikit-image's and PIL's; for a whole factor both
#   rules give equal copies: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
# Happens: the source's index is floor(position * (1 / factor)) in float32, where 41 * (1 / 41) is below 1: a position
#   that begins a pixel shows the pixel before. Each factor from 2 to 40 is even, and "nearest-exact" is even at 41 too.
# Seen:
#   expected: at factor 41 three pixels are copied [41, 41, 41] times
#   seen:     [42, 41, 40] by 'nearest', [41, 41, 41] by 'nearest-exact'
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0

"$python" -I - <<'EOF'
import sys

import torch
from torch.nn.functional import interpolate


def copies(factor, mode):
    """Return how many times each of three pixels is copied."""
    pixels = torch.arange(3.0).view(1, 1, 3)
    return torch.bincount(interpolate(pixels, scale_factor=factor, mode=mode).flatten().long()).tolist()


print("expected: at factor 41 three pixels are copied [41, 41, 41] times")
seen = copies(41, "nearest")
print(f"seen:     {seen} by 'nearest', {copies(41, 'nearest-exact')} by 'nearest-exact'")
even_before = all(copies(factor, "nearest") == [factor] * 3 for factor in range(2, 41))
recorded = seen == [42, 41, 40] and copies(41, "nearest-exact") == [41] * 3 and even_before
sys.exit(None if recorded else "The behaviour has changed.")
EOF
