"""Votes: the error of a majority, AdaBoost for labels -1 and 1, and stacking on out-of-fold predictions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import betainc
from sklearn.base import clone

from lib.course.ranges import own_array, require_at_least, require_in, require_signs
from lib.course.shapes import Float, Float64, Int, Real, checked, checked_after_errors

MOST_VOTERS = 10**9


@checked
def majority_error(n: int, p: float) -> float:
    """The probability that most of n independent voters are wrong, each with probability p; n is odd.

    A tail of the binomial distribution, as an incomplete beta function, which is accurate up to 10^9 voters. Source:
    Dietterich 2000, section 1.
    """
    require_at_least("n", n, 1)
    if n % 2 == 0 or n > MOST_VOTERS:
        raise ValueError(f"n must be odd, from 1 to 10^9, got {n}")
    require_in("p", p, 0, 1)
    majority = n // 2 + 1
    return float(betainc(majority, majority, p))


@checked
def adaboost(
    X: Float[np.ndarray, "n d"], y: Real[np.ndarray, " n"], make_stump: Callable, T: int
) -> tuple[list[Callable], Float64[np.ndarray, " rounds"]]:
    """Hypotheses and their weights α = ln((1 - ε)/ε)/2 after at most T rounds of AdaBoost; labels are -1 and 1.

    `make_stump(X, y, w) -> h` learns from rows with weights w (n,) that sum to 1, and `h(X)` gives -1 or 1 (n,); ε is
    its weighted error. Stops before a hypothesis with ε >= 1/2. One with ε = 0 decides alone and is returned alone,
    with weight 1. Raises `ValueError` for other labels, for T below 1 and where the first hypothesis has ε >= 1/2.
    scikit-learn's weights are 2α. Source: Freund & Schapire 1997, in the form of Schapire & Singer 1999.
    """
    require_signs("y", y)
    require_at_least("T", T, 1)
    w = np.full(len(y), 1 / len(y))
    hypotheses, alphas = [], []
    for _ in range(T):
        h = make_stump(X.copy(), y.copy(), w.copy())
        if not callable(h):
            raise ValueError(f"make_stump must return a hypothesis, got {type(h).__name__}")
        predicted = _predicted("make_stump: a hypothesis", h, X)
        require_signs("make_stump: a hypothesis' predictions", predicted)
        error = w[predicted != y].sum()
        if error == 0:
            return [h], np.ones(1)
        if error >= 0.5:
            break
        hypotheses.append(h)
        alphas.append(0.5 * np.log((1 - error) / error))
        w = w * np.exp(-alphas[-1] * y * predicted)
        w /= w.sum()
    if not hypotheses:
        raise ValueError(f"make_stump must return a hypothesis with a weighted error below 1/2, got {error:.6g}")
    return hypotheses, np.array(alphas)


@checked
def vote(
    hypotheses: Sequence[Callable], alphas: Float64[np.ndarray, " rounds"], X: Float[np.ndarray, "n d"]
) -> Float64[np.ndarray, " n"]:
    """The weighted vote Σ α h(X), shape (n,): its sign is the label, its size how sure the vote is."""
    if not 0 < len(hypotheses) == len(alphas):
        came = f"{len(hypotheses)} and {len(alphas)}"
        raise ValueError(f"hypotheses must be as many as alphas, and at least one, got {came}")
    for h in hypotheses:
        if not callable(h):
            raise TypeError(f"hypotheses must be callable, got {type(h).__name__}")
    return sum(alpha * _predicted("hypotheses: a hypothesis", h, X) for alpha, h in zip(alphas, hypotheses))


@checked
def out_of_fold(
    base: Any, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], cv: Any
) -> Float64[np.ndarray, "n classes"]:
    """Class probabilities of each row from a copy of `base` that was fitted without the row's fold.

    `base` is a scikit-learn classifier with `predict_proba`, `cv` one of its splitters. Raises `ValueError` where the
    folds do not hold each row once, where a copy would be fitted on its own fold, and where a class is missing from
    what a copy is fitted on.
    """
    _require_splitter(cv)
    if not hasattr(base, "predict_proba"):
        raise TypeError(f"base must be a classifier with predict_proba, got {base!r}")
    if not X.size:
        raise ValueError(f"X must hold rows of at least one number, got shape {X.shape}")
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(f"y must hold at least two classes, got {classes}")
    folds = list(cv.split(X, y))
    if sorted(row for _, test in folds for row in test) != list(range(len(X))):
        raise ValueError("cv must put each row into exactly one test fold")
    probabilities = np.empty((len(X), len(classes)))
    for train, test in folds:
        if np.intersect1d(train, test).size:
            raise ValueError("cv must leave a test fold out of its training part")
        if len(np.unique(y[train])) < len(classes):
            raise ValueError(f"cv must leave every class in each training part, got only {np.unique(y[train])}")
        probabilities[test] = clone(base).fit(X[train], y[train]).predict_proba(X[test])
    return probabilities


@checked_after_errors
def stack(bases: Sequence[Any], meta: Any, cv: Any) -> Callable:
    """A learner that stacks classifiers: `fit(X, y) -> predict_proba`, and `predict_proba(X)` has shape (n, classes).

    `meta` learns from the out-of-fold probabilities of the `bases`, by the splitter `cv`; then the bases are fitted
    again, on all rows. All are scikit-learn classifiers, not yet fitted, and only copies of them are. Of two classes
    only the second one's probability is used. Source: Wolpert 1992.
    """
    if not bases or not all(hasattr(base, "predict_proba") for base in bases):
        raise ValueError(f"bases must be one or more classifiers with predict_proba, got {bases}")
    if not hasattr(meta, "predict_proba"):
        raise ValueError(f"meta must have predict_proba, got {meta}")
    _require_splitter(cv)

    @checked
    def fit(X: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"]) -> Callable:
        if len(np.unique(y)) < 2:
            raise ValueError(f"y must hold at least two classes, got {np.unique(y)}")
        fitted_meta = clone(meta).fit(_side_by_side([out_of_fold(base, X, y, cv) for base in bases]), y)
        fitted = [clone(base).fit(X.copy(), y.copy()) for base in bases]

        def predict_proba(Z: np.ndarray) -> np.ndarray:
            return fitted_meta.predict_proba(_side_by_side([base.predict_proba(Z.copy()) for base in fitted]))

        return predict_proba

    return fit


def _side_by_side(probabilities: list[np.ndarray]) -> np.ndarray:
    """Features (n, columns) for the meta classifier; the first of two classes would only repeat the second."""
    return np.concatenate([p[:, 1:] if p.shape[1] == 2 else p for p in probabilities], axis=1)


def _predicted(name: str, h: Callable, X: np.ndarray) -> np.ndarray:
    """h(X), one number for each row."""
    return own_array(name, h(X.copy()), (len(X),))


def _require_splitter(cv: Any) -> None:
    if isinstance(cv, type) or not hasattr(cv, "get_n_splits"):
        raise TypeError(f"cv must be a splitter like KFold(5), got {cv!r}")
