"""Examples for `lib.learning`."""

import numpy as np
import torch
from examples.values import linear, normal, normal64
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from lib.learning.adam import adam_state
from lib.learning.boosting import squared_loss
from lib.learning.muon import Muon, muon_state
from lib.learning.trees import grow_tree

TREE = dict(max_depth=2, reg_lambda=1.0, gamma=0.0, min_child_weight=0.0)


def _rows():
    return normal64(8, 2).numpy()


def _signs():
    return np.where(_rows().sum(1) > 0, 1, -1)


def _tree():
    return grow_tree(_rows(), _rows()[:, 0], np.ones(8), **TREE)


def _stump(X, y, w):
    return lambda Z: np.where(Z.sum(1) > 0.5, 1, -1)


def _muon():
    model = linear(2, 3)
    model(torch.ones(1, 2)).sum().backward()
    return Muon([model.weight], [model.bias], lr=0.1)


EXAMPLES = {
    "adam.AdamState": lambda: dict(mean=normal(2), square=normal(2).abs(), step=1),
    "adam.adam_step": lambda: dict(parameters=normal(2, 3), gradient=normal(2, 3), state=adam_state(normal(2, 3)), lr=0.1),
    "adam.adam_path": lambda: dict(gradient=lambda w: 2 * w, start=normal(2, 3), steps=2, lr=0.1, options={}),
    "boosting.logistic_loss": lambda: dict(F=normal64(3).numpy(), y=np.array([0, 1, 1])),
    "boosting.boost": lambda: dict(X=_rows(), y=_rows()[:, 1], loss=squared_loss, rounds=2, eta=0.3, base=0.0, tree=TREE),
    "boosting.margin": lambda: dict(trees=[_tree(), _tree()], X=_rows(), base=0.0),
    "ensembles.majority_error": lambda: dict(n=3, p=0.3),
    "ensembles.adaboost": lambda: dict(X=_rows(), y=_signs(), make_stump=_stump, T=3),
    "ensembles.vote": lambda: dict(hypotheses=[_stump(0, 0, 0)] * 2, alphas=np.array([0.5, 0.25]), X=_rows()),
    "ensembles.out_of_fold": lambda: dict(
        base=LogisticRegression(), X=_rows(), y=np.array([0, 1] * 4), cv=KFold(2, shuffle=True, random_state=0)
    ),
    "ensembles.stack": lambda: dict(bases=[LogisticRegression()], meta=LogisticRegression(), cv=KFold(2)),
    "linear_units.is_separable": lambda: dict(X=_rows(), y=_signs(), bias=True),
    "muon.MuonState": lambda: dict(mean=normal(2, 3)),
    "muon.muon_step": lambda: dict(parameters=normal(2, 3), gradient=normal(2, 3), state=muon_state(normal(2, 3)), lr=0.1),
    "muon.Muon": lambda: dict(matrices=[linear(2, 3).weight], others=[linear(2, 3).bias], lr=0.1),
    "muon.Muon.step": lambda: dict(self=_muon()),
    "trees.Node": lambda: dict(weight=0.5, cover=1.0),
    "trees.grow_tree": lambda: dict(X=_rows(), g=_rows()[:, 0], h=np.ones(8), **TREE),
    "trees.predict_tree": lambda: dict(node=_tree(), X=_rows()),
}
CHANGES = {"muon.Muon.step": {"self"}}
LONG = {
    "adam.adam_path": {"steps"},
    "boosting.boost": {"rounds"},
    "ensembles.adaboost": {"T"},
    "linear_units.cover_count": {"N", "d"},
    "muon.newton_schulz": {"steps"},
}
NAN = {
    **dict.fromkeys(("boosting.boost", "trees.Node", "trees.grow_tree"), "a leaf has no threshold"),
    "adam.adam_step": "the docstring assumes that the mean of squares in a state is not negative",
}
