"""Gradient boosting with second-order trees: each tree is a Newton step for the loss at the present margins."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lib.course.ranges import require_at_least, require_finite, require_positive
from lib.course.shapes import Float, Real, checked
from lib.learning.trees import Node, grow_tree, predict_tree, sort_columns

Margins = Float[np.ndarray, " n"]
LEAST_CURVATURE = 1e-16  # xgboost's, so that a certain margin can still move


@checked
def squared_loss(F: Margins, y: Real[np.ndarray, " n"]) -> tuple[Margins, Margins]:
    """First and second derivatives by F (n,) of (F - y)²/2, in units of y and without units.

    In F's precision or float32, whichever is finer.
    """
    F = _at_least_single(F)
    with np.errstate(over="ignore"):
        y = y.astype(F.dtype)
    require_finite("y", y)
    return F - y, np.ones_like(F)


@checked
def logistic_loss(F: Margins, y: Real[np.ndarray, " n"]) -> tuple[Margins, Margins]:
    """First and second derivatives by the log-odds F (n,) of -log p(y), labels 0 and 1: p - y and p (1 - p).

    In F's precision or float32, whichever is finer; the exponential is rounded from float64, so that it is the same on
    every machine. The second is kept at 1e-16 or more, as xgboost does.
    """
    if not np.all((y == 0) | (y == 1)):
        raise ValueError(f"y must hold the labels 0 and 1, got {np.unique(y)[:5]}")
    F = _at_least_single(F)
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-F, dtype=np.float64).astype(F.dtype))
    return p - y.astype(F.dtype), np.maximum(p * (1 - p), F.dtype.type(LEAST_CURVATURE))


@checked
def boost(
    X: Float[np.ndarray, "n d"], y: Real[np.ndarray, " n"], loss: Callable, rounds: int, eta: float, base: float, **tree
) -> list[Node]:
    """`rounds` trees, each grown on the derivatives of the loss at the margins of those before it.

    `loss(F, y) -> (g, h)` at the margins F (n,), which are kept in X's precision, or float32 if that is finer: with X
    in float32 the trees are xgboost's; in float64 they are, up to rounding and near ties. `eta` is the learning rate, by which the trees' weights
    are already multiplied; `base` is the first margin (for the logistic loss the log-odds: xgboost's `base_score` is its
    probability); `tree` goes to `grow_tree`; `margin` adds up the result. Raises `ValueError` for parameters out of
    range. Source: Chen & Guestrin, arXiv 1603.02754, sections 2.1 to 2.3; Friedman 2001.
    """
    require_at_least("rounds", rounds, 1)
    require_positive("eta", eta)
    F = _start(X, base)
    trees, order = [], sort_columns(X)
    for _ in range(rounds):
        derivatives = loss(F.copy(), y.copy())
        if not isinstance(derivatives, tuple) or len(derivatives) != 2:
            raise ValueError(f"loss must return two arrays, g and h, got {type(derivatives).__name__}")
        try:
            grown = grow_tree(X, *derivatives, **tree, order=order)
        except ValueError as error:
            raise ValueError(f"loss, X, base and the settings of the tree must allow for one: {error}") from error
        trees.append(_scaled(grown, F.dtype.type(eta)))
        F += predict_tree(trees[-1], X)
    return trees


@checked
def margin(trees: list[Node], X: Float[np.ndarray, "n d"], base: float) -> Float[np.ndarray, " n"]:
    """base + the trees' weights for each row: predictions for the squared loss, log-odds for the logistic loss."""
    return sum((predict_tree(tree, X) for tree in trees), start=_start(X, base))


def _at_least_single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.promote_types(values.dtype, np.float32), copy=False)


def _start(X: np.ndarray, base: float) -> np.ndarray:
    """The margins before the first tree."""
    require_finite("base", base)
    with np.errstate(over="ignore"):
        F = np.full(len(X), base, dtype=np.promote_types(X.dtype, np.float32))
    require_finite(f"base in {F.dtype}", F)
    return F


def _scaled(node: Node, eta: np.floating) -> Node:
    """The same tree with every weight multiplied by eta, in the precision of eta."""
    weight = float(eta * type(eta)(node.weight))
    if node.is_leaf:
        return replace(node, weight=weight)
    return replace(node, weight=weight, left=_scaled(node.left, eta), right=_scaled(node.right, eta))
