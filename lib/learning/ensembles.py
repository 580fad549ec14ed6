"""Votes: the error of a majority, AdaBoost for labels -1 and 1, and stacking on out-of-fold predictions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int, Real
from scipy.stats import binom
from sklearn.base import clone

from lib.course.shapes import checked


@checked
def majority_error(n: int, p: float) -> float:
    """The probability that most of n independent voters are wrong, each with probability p; n is odd.

    A tail of the binomial distribution. Source: Dietterich 2000, section 1.
    """
    if n < 1 or n % 2 == 0:
        raise ValueError(f"n must be odd and positive, so that a vote decides, got {n}")
    if not 0 <= p <= 1:
        raise ValueError(f"p must be a probability, got {p}")
    return float(binom.sf(n // 2, n, p))


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
    _check_signs("y", y)
    if T < 1:
        raise ValueError(f"T must be at least 1, got {T}")
    w = np.full(len(y), 1 / len(y))
    hypotheses, alphas = [], []
    for _ in range(T):
        h = make_stump(X, y, w)
        predicted = h(X)
        _check_signs("the hypothesis' predictions", predicted)
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
    return sum(alpha * h(X) for alpha, h in zip(alphas, hypotheses, strict=True))


@checked
def out_of_fold(
    base: Any, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], cv: Any
) -> Float64[np.ndarray, "n classes"]:
    """Class probabilities of each row from a copy of `base` that was fitted without the row's fold.

    `base` is a scikit-learn classifier with `predict_proba`, `cv` one of its splitters. Raises `ValueError` where the
    folds do not hold each row once, or a class is missing from what a copy is fitted on.
    """
    classes = np.unique(y)
    folds = list(cv.split(X, y))
    if not np.array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(X))):
        raise ValueError("cv must put each row into exactly one test fold")
    probabilities = np.empty((len(X), len(classes)))
    for train, test in folds:
        if len(np.unique(y[train])) < len(classes):
            raise ValueError(f"cv must leave every class in each training part, got only {np.unique(y[train])}")
        probabilities[test] = clone(base).fit(X[train], y[train]).predict_proba(X[test])
    return probabilities


def stack(bases: Sequence[Any], meta: Any, cv: Any) -> Callable:
    """A learner that stacks classifiers: `fit(X, y) -> predict_proba`, and `predict_proba(X)` has shape (n, classes).

    `meta` learns from the out-of-fold probabilities of the `bases`, by the splitter `cv`; then the bases are fitted
    again, on all rows. All are scikit-learn classifiers, not yet fitted, and only copies of them are. Of two classes
    only the second one's probability is used. Source: Wolpert 1992.
    """
    if not bases or not all(hasattr(base, "predict_proba") for base in bases):
        raise ValueError(f"bases must be one or more classifiers with predict_proba, got {bases}")

    @checked
    def fit(X: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"]) -> Callable:
        if len(np.unique(y)) < 2:
            raise ValueError(f"y must hold at least two classes, got {np.unique(y)}")
        fitted_meta = clone(meta).fit(_side_by_side([out_of_fold(base, X, y, cv) for base in bases]), y)
        fitted = [clone(base).fit(X, y) for base in bases]

        def predict_proba(Z: np.ndarray) -> np.ndarray:
            return fitted_meta.predict_proba(_side_by_side([base.predict_proba(Z) for base in fitted]))

        return predict_proba

    return fit


def _side_by_side(probabilities: list[np.ndarray]) -> np.ndarray:
    """Features (n, columns) for the meta classifier; the first of two classes would only repeat the second."""
    return np.concatenate([p[:, 1:] if p.shape[1] == 2 else p for p in probabilities], axis=1)


def _check_signs(name: str, values: np.ndarray) -> None:
    """Raise unless there is at least one value and all are -1 or 1."""
    if len(values) == 0 or not np.all(np.abs(values) == 1):
        raise ValueError(f"{name} must be -1 or 1, and not empty, got {np.unique(values)[:5]}")
