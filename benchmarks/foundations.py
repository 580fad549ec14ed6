"""Conjugate gradients, Adam, trees, votes and checks against scipy, torch, scikit-learn, xgboost and numpy, on the same work.

    python benchmarks/foundations.py [--rounds 9]

One thread, in turn. Each row is the median of our CPU time over the median of the peer's, and the most memory that either
holds in a call. In the rows of many tensors a call steps 200 of them. xgboost's time includes its own copy of the table.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

import numpy as np
import torch
import xgboost
from bench import record_beside, rounds
from scipy.sparse import diags_array, eye_array, kron
from scipy.sparse.linalg import cg
from sklearn.datasets import load_breast_cancer, make_friedman1
from sklearn.ensemble import AdaBoostClassifier, GradientBoostingRegressor, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from lib.course import claims
from lib.foundations.quadratics import conjugate_gradient
from lib.learning.adam import adam_state, adam_step
from lib.learning.boosting import boost, margin, squared_loss
from lib.learning.ensembles import adaboost, stack, vote

Pair = tuple[str, Callable, Callable, int]


def systems() -> Iterator[Pair]:
    """A full matrix, and the five-point Laplacian of a square plus 1/20; to a residual of 1e-8."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(1000, 1000)))
    line = diags_array([-np.ones(315), 2 * np.ones(316), -np.ones(315)], offsets=[-1, 0, 1])
    square = kron(line, eye_array(316)) + kron(eye_array(316), line) + 0.05 * eye_array(316**2)
    for name, A in (("full, 1,000", q * np.linspace(1, 100, 1000) @ q.T), ("sparse, 99,856", square.tocsr())):
        b = rng.normal(size=A.shape[0])
        ours = partial(conjugate_gradient, A.__matmul__, b, tol=1e-8, maxiter=500, keep=False)
        theirs = partial(cg, A, b, rtol=1e-8, maxiter=500)
        assert np.abs(ours()[0] - theirs()[0]).max() < 1e-6 and theirs()[1] == 0
        yield f"conjugate gradients, {name} / scipy", ours, theirs, 1
        yield f"conjugate gradients, {name}, every iterate kept / scipy", partial(ours, keep=True), theirs, 1


def steps() -> Iterator[Pair]:
    """AdamW, the update alone."""
    for count, size in ((1, 10**6), (200, 5000)):
        start, gradients = torch.randn(count, size), torch.randn(count, size).unbind()
        for name, options in (("torch's default", {}), ("torch's foreach", {"foreach": True})):
            mine = [(w.clone(), adam_state(w)) for w in start]
            weights = [torch.nn.Parameter(w.clone()) for w in start]
            for w, g in zip(weights, gradients, strict=True):
                w.grad = g.clone()
            optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.01, **options)

            def step(mine: list = mine, gradients: tuple = gradients) -> None:
                for i, ((w, state), g) in enumerate(zip(mine, gradients, strict=True)):
                    mine[i] = adam_step(w, g, state, lr=1e-3, weight_decay=0.01)

            step(), optimizer.step()
            assert all(torch.allclose(w, ours, atol=1e-6) for w, (ours, _) in zip(weights, mine, strict=True))
            yield f"AdamW, {count} × {size:,} / {name}", step, optimizer.step, 3


def trees() -> Iterator[Pair]:
    for n, depth, count in ((8000, 6, 3), (500, 6, 10)):
        X, y = make_friedman1(n, noise=1.0, random_state=0)
        X = X.astype(np.float32)
        grow = dict(max_depth=depth, reg_lambda=1.0, gamma=0.0, min_child_weight=1.0)
        ours = partial(boost, X, y, squared_loss, count, 0.3, 0.0, **grow)
        machine = GradientBoostingRegressor(n_estimators=count, max_depth=depth, learning_rate=0.3, criterion="squared_error")
        options = dict(tree_method="exact", nthread=1, max_depth=depth, eta=0.3, base_score=0.0)

        def xgb(X: np.ndarray = X, y: np.ndarray = y, options: dict = options, count: int = count) -> xgboost.Booster:
            return xgboost.train(options, xgboost.DMatrix(X, y), count)

        assert np.abs(margin(ours(), X, 0.0) - xgb().predict(xgboost.DMatrix(X))).max() < 1e-3
        yield f"{count} exact trees, {n:,} × 10, depth {depth} / scikit-learn", ours, partial(machine.fit, X, y), 1
        yield f"{count} exact trees, {n:,} × 10, depth {depth} / xgboost", ours, xgb, 1


def stump(X: np.ndarray, y: np.ndarray, w: np.ndarray) -> Callable:
    """The chapter's: the best of all features, thresholds and signs."""
    order = np.argsort(X, axis=0)
    values = np.take_along_axis(X, order, axis=0)
    error = w[y < 0].sum() + np.cumsum((w * y)[order], axis=0)
    gain = np.abs(error - 0.5)
    gain[:-1][values[1:] == values[:-1]] = -1
    i, j = np.unravel_index(np.argmax(gain), gain.shape)
    c, sign = values[i : i + 2, j].mean(), 1 if error[i, j] < 0.5 else -1
    return lambda Z: np.where(Z[:, j] > c, sign, -sign)


def votes() -> Iterator[Pair]:
    X, label = load_breast_cancer(return_X_y=True)
    y = 2 * label - 1

    def of_a_library(X: np.ndarray, y: np.ndarray, w: np.ndarray) -> Callable:
        return DecisionTreeClassifier(max_depth=1, random_state=0).fit(X, y, sample_weight=w).predict

    theirs = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=50, random_state=0)
    hypotheses, alphas = adaboost(X, y, of_a_library, 50)
    assert np.abs(theirs.fit(X, y).decision_function(X) / 2 - vote(hypotheses, alphas, X) / alphas.sum()).max() < 1e-10
    for name, learner in (("the chapter's stumps", stump), ("the peer's stumps", of_a_library)):
        yield f"AdaBoost, 50 rounds, {name} / scikit-learn", partial(adaboost, X, y, learner, 50), partial(theirs.fit, X, y), 1
    bases, meta, cv = [DecisionTreeClassifier(max_depth=3, random_state=0), GaussianNB()], LogisticRegression(max_iter=1000), StratifiedKFold(5)
    stacked, peer = stack(bases, meta, cv), StackingClassifier([("tree", bases[0]), ("bayes", bases[1])], meta, cv=cv)
    assert np.abs(stacked(X, label)(X) - peer.fit(X, label).predict_proba(X)).max() < 1e-12
    yield "stacking a tree and Bayes, five folds / scikit-learn", partial(stacked, X, label), partial(peer.fit, X, label), 1


def checks() -> Iterator[Pair]:
    whole = np.arange(10_000) % 97 + 1
    for name, values in (("integers", whole), ("floats", whole / 7)):
        other, tensor = values.copy(), torch.from_numpy(values.copy())
        for form, got in (("arrays", values), ("a tensor and an array", tensor)):

            def ours(got: np.ndarray | torch.Tensor = got, want: np.ndarray = other) -> None:
                with contextlib.redirect_stdout(io.StringIO()):
                    claims.exact(1, got, want, atol=1e-9, what="the same")

            theirs = partial(np.testing.assert_allclose, got, other, rtol=0, atol=1e-9)
            yield f"a check of 10,000 {name}, {form} / numpy's assert_allclose", ours, theirs, 20


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cases = chain.from_iterable(group() for group in (systems, steps, trees, votes, checks))
    record_beside("foundations", cases, rounds(9), f"xgboost {xgboost.__version__}")


if __name__ == "__main__":
    main()
