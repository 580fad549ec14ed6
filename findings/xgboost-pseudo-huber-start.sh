#!/usr/bin/env bash
# xgboost 3.2.0 (the package xgboost-cpu), objective "reg:pseudohubererror"
#
# Expected: base_score, "the initial prediction score of all instances", is estimated for selected objectives before
#   training, and a wrong one matters little after enough rounds:
#   https://xgboost.readthedocs.io/en/stable/parameter.html
#   For labels between 100 and 101 it should lie there, or boosting should get there.
# Happens: the estimate is one Newton step from 0. The loss is nearly straight far from a label, its second derivative
#   about 1e-6, so the step overshoots to a million; from there second derivatives are smaller still, no split passes
#   min_child_weight, and after 500 rounds no prediction has moved. There is no warning.
# Seen:
#   expected: predictions between 100 and 101
#   seen:     1015125.25 to 1015125.25 after 1 round
#   seen:     1015125.25 to 1015125.25 after 500 rounds
#   seen:     100.00 to 101.00 after 500 rounds from base_score 100
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 scipy==1.17.1 xgboost-cpu==3.2.0

"$python" -I - <<'EOF'
import sys

import numpy as np
import xgboost

x = np.linspace(0, 1, 1000).reshape(-1, 1)
rows = xgboost.DMatrix(x, label=100 + x[:, 0])


def predictions(settings, rounds):
    return xgboost.train({"objective": "reg:pseudohubererror", **settings}, rows, rounds).predict(rows)


print("expected: predictions between 100 and 101")
for name, settings, rounds in (
    ("1 round", {}, 1), ("500 rounds", {}, 500), ("500 rounds from base_score 100", {"base_score": 100}, 500)
):
    p = predictions(settings, rounds)
    print(f"seen:     {p.min():.2f} to {p.max():.2f} after {name}")
stuck = predictions({}, 500)
sys.exit(None if stuck.min() == stuck.max() > 1_000_000 else "The behaviour has changed.")
EOF
