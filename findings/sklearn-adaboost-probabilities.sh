#!/usr/bin/env bash
# scikit-learn 1.9.1, AdaBoostClassifier.predict_proba
#
# Expected: "the weighted mean predicted class probabilities of the classifiers in the ensemble":
#   https://scikit-learn.org/stable/modules/generated/sklearn.ensemble.AdaBoostClassifier.html
#   An ensemble of one stump that says 1 about its class should say 1.
# Happens: for two classes it is the sigmoid of twice the weighted mean of the votes, and votes are -1 or 1: on any
#   data, no probability leaves [0.119, 0.881]. Two hundred stumps that together classify every row of a real data set
#   rightly do not come near even these bounds.
# Seen:
#   expected: 1.0000, the mean over the only stump
#   seen:     0.8808; the sigmoid of 2 is 0.8808
#   seen:     200 stumps: accuracy 1.000, probabilities 0.206 to 0.794, log loss 0.432
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1

"$python" -I - <<'EOF'
import sys

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import AdaBoostClassifier
from sklearn.metrics import log_loss

x = np.arange(8.0).reshape(-1, 1)
one = AdaBoostClassifier().fit(x, x[:, 0] > 3)
(stump,) = one.estimators_
mean = stump.predict_proba(x).max()
seen = one.predict_proba(x).max()
print(f"expected: {mean:.4f}, the mean over the only stump")
print(f"seen:     {seen:.4f}; the sigmoid of 2 is {1 / (1 + np.exp(-2)):.4f}")

x, y = load_breast_cancer(return_X_y=True)
many = AdaBoostClassifier(n_estimators=200, random_state=0).fit(x, y)
p = many.predict_proba(x)
print(f"seen:     200 stumps: accuracy {many.score(x, y):.3f}, probabilities {p.min():.3f} to {p.max():.3f},", end=" ")
print(f"log loss {log_loss(y, p):.3f}")
bounded = np.isclose(seen, 1 / (1 + np.exp(-2))) and p.max() <= seen
sys.exit(None if mean == 1 and bounded else "The behaviour has changed.")
EOF
