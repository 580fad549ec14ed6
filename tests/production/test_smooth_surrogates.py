"""What the chapter on smooth surrogates says of softplus, F1 and threshold tuning in libraries."""

import numpy as np
import pytest
import sklearn
import torch
import torchmetrics
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import TunedThresholdClassifierCV
from torchmetrics.functional.classification import binary_f1_score

PAGE = "the row of book/foundations/smooth-surrogates.ipynb no longer holds"
OF_SCIKIT_LEARN = f"scikit-learn {sklearn.__version__}: {PAGE}"
OF_TORCHMETRICS = f"torchmetrics {torchmetrics.__version__}: {PAGE}"


def test_softplus_is_linear_above_twenty():
    x = torch.tensor([19.9, 20.0001, 25.0], dtype=torch.float64)
    exact = torch.logaddexp(x, torch.zeros_like(x))
    got, better = torch.nn.functional.softplus(x), torch.nn.functional.softplus(x, threshold=40)
    message = f"torch {torch.__version__}: {PAGE}"
    assert got[1] == x[1] and 1.9e-9 < exact[1] - got[1] < 2.1e-9 and exact[0] == got[0], message
    assert torch.allclose(better, exact, rtol=1e-15, atol=0), message


def test_torchmetrics_takes_small_logits_for_probabilities():
    labels = torch.tensor([1, 0, 1])
    small, large = torch.tensor([0.3, -0.2, 0.4]).clamp(min=0), torch.tensor([0.3, -2.0, 4.0])
    assert binary_f1_score(small, labels) == 0, OF_TORCHMETRICS
    assert binary_f1_score(large, labels) == 1, OF_TORCHMETRICS


def test_nothing_to_find_and_nothing_found_scores_zero():
    with pytest.warns(UndefinedMetricWarning):
        assert f1_score([0, 0], [0, 0]) == 0, OF_SCIKIT_LEARN
    assert binary_f1_score(torch.zeros(2), torch.zeros(2, dtype=torch.int64)) == 0, OF_TORCHMETRICS


def test_thresholds_are_tuned_for_balanced_accuracy():
    rng = np.random.default_rng(0)
    t = rng.random(4000) < 0.05
    v = (rng.normal(size=4000) + 1.5 * t)[:, None]
    tuned = TunedThresholdClassifierCV(LogisticRegression()).fit(v, t)
    for_f1 = TunedThresholdClassifierCV(LogisticRegression(), scoring="f1").fit(v, t)
    assert tuned.scoring == "balanced_accuracy" and tuned.thresholds == 100, OF_SCIKIT_LEARN
    assert tuned.best_threshold_ < 0.1 < for_f1.best_threshold_ < 0.3, OF_SCIKIT_LEARN
