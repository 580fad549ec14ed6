"""Gradient boosting with second-order trees: each tree is a Newton step for the loss at the present margins."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Real

from lib.course.shapes import checked
from lib.learning.trees import Node, grow_tree, predict_tree

Margins = Float[np.ndarray, " n"]


@checked
def squared_loss(F: Margins, y: Real[np.ndarray, " n"]) -> tuple[Margins, Margins]:
    """First and second derivatives by F (n,) of (F - y)²/2, in units of y and without units; in F's precision."""
    if not np.all(np.isfinite(y)):
        raise ValueError("y must be finite, got NaN or infinite entries")
    return F - y.astype(F.dtype), np.ones_like(F)


@checked
def logistic_loss(F: Margins, y: Real[np.ndarray, " n"]) -> tuple[Margins, Margins]:
    """First and second derivatives by the log-odds F (n,) of -log p(y), labels 0 and 1: p - y and p (1 - p).

    In F's precision; the exponential is rounded from float64, so that it is the same on every machine.
    """
    if not np.all((y == 0) | (y == 1)):
        raise ValueError(f"y must hold the labels 0 and 1, got {np.unique(y)[:5]}")
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-F, dtype=np.float64).astype(F.dtype))
    return p - y.astype(F.dtype), p * (1 - p)


@checked
def boost(
    X: Float[np.ndarray, "n d"], y: Real[np.ndarray, " n"], loss: Callable, rounds: int, eta: float, base: float, **tree
) -> list[Node]:
    """`rounds` trees, each grown on the derivatives of the loss at the margins of those before it.

    `loss(F, y) -> (g, h)` at the margins F (n,), which are kept in X's precision: with X in float32 the trees are
    xgboost's; in float64 they are, up to rounding and near ties. `eta` is the learning rate, by which the trees' weights
    are already multiplied; `base` is the first margin (for the logistic loss the log-odds: xgboost's `base_score` is its
    probability); `tree` goes to `grow_tree`; `margin` adds up the result. Raises `ValueError` for parameters out of
    range. Source: Chen & Guestrin, arXiv 1603.02754, sections 2.1 to 2.3; Friedman 2001.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    if not 0 < eta < np.inf:
        raise ValueError(f"eta must be finite and positive, got {eta}")
    if not np.isfinite(base):
        raise ValueError(f"base must be finite, got {base}")
    F = np.full(len(X), base, dtype=X.dtype)
    trees = []
    for _ in range(rounds):
        trees.append(_scaled(grow_tree(X, *loss(F, y), **tree), X.dtype.type(eta)))
        F += predict_tree(trees[-1], X)
    return trees


@checked
def margin(trees: list[Node], X: Float[np.ndarray, "n d"], base: float) -> Float[np.ndarray, " n"]:
    """base + the trees' weights for each row: predictions for the squared loss, log-odds for the logistic loss."""
    return sum((predict_tree(tree, X) for tree in trees), start=np.full(len(X), base, dtype=X.dtype))


def _scaled(node: Node, eta: np.floating) -> Node:
    """The same tree with every weight multiplied by eta, in the precision of eta."""
    weight = float(eta * type(eta)(node.weight))
    if node.left is None:
        return replace(node, weight=weight)
    return replace(node, weight=weight, left=_scaled(node.left, eta), right=_scaled(node.right, eta))
