#!/usr/bin/env bash
# scipy 1.17.1, scipy.linalg.expm
#
# Expected: expm scales, takes a Padé approximant and squares; from 400 rows on only the norm that chooses the order is
#   estimated instead of computed: https://docs.scipy.org/doc/scipy/reference/generated/scipy.linalg.expm.html
#   The exponential of a rate matrix (rows that sum to 0) is a matrix of probabilities: rows that sum to 1, no negative
#   entry. Here every state is left at rate 100 for a uniformly drawn one.
# Happens: in float32, 399 rows are right to single precision, and 400 rows are not probabilities at all. In float64
#   both sizes are right.
# Seen:
#   expected: rows sum to 1 and no entry is negative, at every size
#   seen:     399 rows, float32: sums off by 6.6e-04, smallest entry 2.5e-03
#   seen:     400 rows, float32: sums off by 6.1e+00, smallest entry -4.7e-02
#   seen:     400 rows, float64: sums off by 5.0e-13, smallest entry 2.5e-03
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 scipy==1.17.1

"$python" -I - <<'EOF'
import sys

import numpy as np
from scipy.linalg import expm


def departure(size, dtype):
    """Return how far the rows' sums are from 1, and the smallest entry."""
    rates = 100 * (np.full((size, size), 1 / size) - np.eye(size))
    probabilities = expm(rates.astype(dtype)).astype(np.float64)
    return abs(probabilities.sum(axis=1) - 1).max(), probabilities.min()


print("expected: rows sum to 1 and no entry is negative, at every size")
seen = {}
for size, dtype in ((399, "float32"), (400, "float32"), (400, "float64")):
    seen[size, dtype] = off, smallest = departure(size, dtype)
    print(f"seen:     {size} rows, {dtype}: sums off by {off:.1e}, smallest entry {smallest:.1e}")
right = seen[399, "float32"][0] < 0.01 and seen[400, "float64"][0] < 1e-9
off, smallest = seen[400, "float32"]
wrong = not (off < 0.1 and smallest >= 0)
sys.exit(None if right and wrong else "The behaviour has changed.")
EOF
