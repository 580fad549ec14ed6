#!/usr/bin/env bash
# scipy 1.17.1, scipy.sparse.linalg.cg
#
# Expected: "For convergence, norm(b - A @ x) <= max(rtol*norm(b), atol) should be satisfied", and info 0 is a
#   successful exit: https://docs.scipy.org/doc/scipy/reference/generated/scipy.sparse.linalg.cg.html
# Happens: cg computes b - A @ x once, at the start, and then judges by the residual that its recursion carries along.
#   Rounding parts the two: from a start far away, on a matrix of condition 10, it reports success at rtol 1e-12 with a
#   true residual more than ten thousand times larger. From 0 the same call keeps its promise.
# Seen:
#   expected: info 0 means a relative residual of at most 1e-12
#   seen:     info 0 with a relative residual of 1.3e-16, from 0e+00
#   seen:     info 0 with a relative residual of 2.3e-08, from 1e+08
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 scipy==1.17.1

"$python" -I - <<'EOF'
import sys

import numpy as np
from scipy.sparse.linalg import cg

RTOL = 1e-12
a, b = np.diag(np.arange(1.0, 11)), np.ones(10)


def solve(start):
    """Return cg's verdict and the true relative residual."""
    x, info = cg(a, b, x0=np.full(10, start), rtol=RTOL)
    return info, np.linalg.norm(b - a @ x) / np.linalg.norm(b)


print(f"expected: info 0 means a relative residual of at most {RTOL:.0e}")
for start in (0.0, 1e8):
    info, residual = solve(start)
    print(f"seen:     info {info} with a relative residual of {residual:.1e}, from {start:.0e}")
sys.exit(None if info == 0 and residual > 1000 * RTOL else "The behaviour has changed.")
EOF
