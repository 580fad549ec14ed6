"""What the chapter on Deep InfoMax says of pytorch-metric-learning, scikit-learn and torch."""

import math

import numpy as np
import pytest
import pytorch_metric_learning
import sklearn
import torch
from pytorch_metric_learning.losses import NTXentLoss
from sklearn.feature_selection import mutual_info_regression
from torch.nn.functional import cross_entropy, kl_div, normalize

PAGE = "book/vision/deep-infomax.ipynb, section In production"
PML = f"pytorch-metric-learning {pytorch_metric_learning.__version__} (2.9.0 on the page): mend the row in {PAGE}"
SKLEARN = f"scikit-learn {sklearn.__version__} (1.9.1 on the page): mend the row in {PAGE}"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_ntxent_loss_takes_references_with_the_same_labels_for_the_batch_itself():
    a, b, labels = normal(6, 4), normal(6, 4, seed=1), torch.arange(6)
    right = cross_entropy(normalize(a) @ normalize(b).T / 0.5, labels)
    assert torch.isclose(NTXentLoss(0.5)(a, labels, ref_emb=b, ref_labels=labels.clone()), right), PML
    for options in ({}, {"ref_labels": labels}):
        leaf = a.clone().requires_grad_()
        loss = NTXentLoss(0.5)(leaf, labels, ref_emb=b, **options)
        loss.backward()
        assert loss == 0 and not leaf.grad.any(), PML


def test_ntxent_loss_leaves_other_positives_out_of_the_denominator():
    a, labels = normalize(normal(6, 4)), torch.tensor([0, 0, 0, 1, 1, 1])
    scores = (a @ a.T / 0.5).fill_diagonal_(-math.inf)
    positive = (labels[:, None] == labels) & ~torch.eye(6, dtype=torch.bool)
    rows, columns = positive.nonzero().T
    negatives = scores.masked_fill(positive, -math.inf)[rows].logsumexp(1)
    own = scores[rows, columns]
    theirs = NTXentLoss(0.5)(a, labels)
    assert torch.isclose(theirs, (torch.logaddexp(negatives, own) - own).mean()), PML
    assert theirs < (scores[rows].logsumexp(1) - own).mean() - 0.1, PML


def test_ntxent_loss_ends_at_the_smallest_float32():
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.1]])
    labels = torch.arange(2)
    leaf = a.clone().requires_grad_()
    loss = NTXentLoss(0.01)(leaf, labels, ref_emb=-a, ref_labels=labels.clone())  # each code opposite to its pair
    loss.backward()
    true = cross_entropy(normalize(a) @ normalize(-a).T / 0.01, labels)
    assert true > 190 and abs(loss.item() - 87.3) < 0.1 and not leaf.grad.any(), PML


def test_mutual_information_of_sklearn_is_not_negative_and_ends_where_its_neighbours_do():
    rng = np.random.default_rng(0)
    of_nothing = [mutual_info_regression(rng.normal(size=(100, 1)), rng.normal(size=100), random_state=0)[0] for _ in range(40)]
    assert min(of_nothing) == 0 and np.mean(of_nothing) > 0.01, SKLEARN
    x = rng.normal(size=1000)
    assert abs(mutual_info_regression(x[:, None], x, random_state=0)[0] - 5.7) < 0.1, SKLEARN


def test_kl_div_takes_the_logarithm_of_the_second_law_first():
    p, q = normal(2, 5).softmax(1)
    divergence = (p * (p / q).log()).sum()
    assert torch.isclose(kl_div(q.log(), p, reduction="sum"), divergence), TORCH
    with pytest.warns(UserWarning, match="batchmean"):
        assert torch.isclose(kl_div(q.log(), p), divergence / 5), TORCH
