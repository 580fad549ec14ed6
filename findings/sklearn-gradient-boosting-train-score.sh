#!/usr/bin/env bash
# scikit-learn 1.9.1, GradientBoostingClassifier.train_score_
#
# Expected: train_score_[i] "is the loss of the model at iteration i on the in-bag sample"; with loss="log_loss" and
#   without subsampling it should be the log loss of the training data or, as the page says deviance, twice that, but
#   the same for any number of classes:
#   https://scikit-learn.org/stable/modules/generated/sklearn.ensemble.GradientBoostingClassifier.html
# Happens: for two classes it is twice the log loss, for three it is the log loss. The curves of a two-class and of a
#   three-class problem cannot be compared, nor a two-class curve with metrics.log_loss.
# Seen:
#   expected: the last train_score_ is the log loss, or twice that, whatever the number of classes
#   seen:     2 classes: train_score_ 0.4431, log loss 0.2215
#   seen:     3 classes: train_score_ 0.2469, log loss 0.2469
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1

"$python" -I - <<'EOF'
import sys

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import log_loss

print("expected: the last train_score_ is the log loss, or twice that, whatever the number of classes")
ratios = []
for load in (load_breast_cancer, load_iris):
    x, y = load(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(x, y)
    score, loss = model.train_score_[-1], log_loss(y, model.predict_proba(x))
    ratios.append(score / loss)
    print(f"seen:     {len(model.classes_)} classes: train_score_ {score:.4f}, log loss {loss:.4f}")
sys.exit(None if np.allclose(ratios, [2, 1]) else "The behaviour has changed.")
EOF
