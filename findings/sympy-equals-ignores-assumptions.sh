#!/usr/bin/env bash
# sympy 1.14.0, Expr.equals
#
# Expected: "Return True if self == other, False if it does not, or None":
#   https://docs.sympy.org/latest/modules/core.html#sympy.core.expr.Expr.equals
#   For a positive q, atan(q) + atan(1/q) = pi/2 is true: the answer may be True or, undecided, None.
# Happens: equals tries random numbers for q and does not ask whether they are positive. At a negative one the sum is
#   -pi/2, and a true identity is answered with False; another call may say None.
# Seen (the counts change from run to run):
#   expected: never False; at q = 1, 2, ..., 99 the sides differ by 0
#   seen:     False 40 times, None 10 times
source "$(dirname "$0")/_common.sh"
install mpmath==1.3.0 sympy==1.14.0

"$python" -I - <<'EOF'
import sys
from collections import Counter

from sympy import Symbol, atan, pi

q = Symbol("q", positive=True)
total = atan(q) + atan(1 / q)
answers = Counter(total.equals(pi / 2) for _ in range(50))
gap = max(abs((total - pi / 2).subs(q, value).evalf(30, chop=True)) for value in range(1, 100))

print(f"expected: never False; at q = 1, 2, ..., 99 the sides differ by {gap}")
print("seen:     " + ", ".join(f"{answer} {count} times" for answer, count in sorted(answers.items(), key=str)))
sys.exit(None if answers[False] else "The behaviour has changed.")
EOF
