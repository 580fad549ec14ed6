"""Regression trees for second-order boosting, grown exactly as xgboost's `tree_method="exact"` grows them.

A row contributes g w + h w²/2 to the loss of the leaf with weight w; a tree pays λ w²/2 and α |w| for each leaf.
Source: Chen & Guestrin, arXiv 1603.02754, sections 2.2, 3.1 and 3.4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lib.course.ranges import require_at_least, require_not_negative
from lib.course.shapes import Float, Float32, checked

# xgboost's kRtEps has two uses: a split must gain more than MIN_GAIN, and a threshold beyond all known values v lies
# |v| + END_GAP outside them.
MIN_GAIN = END_GAP = 1e-6
HESSIAN_SLACK = 1e-6
LARGEST = float(np.finfo(np.float32).max) / 4
LARGEST_SUM = 1e18  # so that its square fits into float32


@dataclass(frozen=True)
class Node:
    """A leaf (`left` and `right` are None) or a split, which keeps the weight that it would have as a leaf.

    `cover` is the sum of h over the node's rows; `gain` is what the split adds to G²/(H + λ), twice the decrease of the
    loss. Rows with X[:, feature] < threshold go left, the others right, missing values (NaN) to the default side.
    """

    weight: float
    cover: float
    gain: float = 0.0
    feature: int = -1
    threshold: float = np.nan
    default_left: bool = True
    left: "Node | None" = None
    right: "Node | None" = None

    @property
    def is_leaf(self) -> bool:
        return self.left is None


class _Limits(NamedTuple):
    reg_lambda: float
    reg_alpha: float
    gamma: float
    min_child_weight: float


@checked
def grow_tree(
    X: Float[np.ndarray, "n d"],
    g: Float[np.ndarray, " n"],
    h: Float[np.ndarray, " n"],
    *,
    max_depth: int,
    reg_lambda: float,
    gamma: float,
    min_child_weight: float,
    reg_alpha: float = 0.0,
) -> Node:
    """The tree that greedily minimises the second-order loss with gradients g and second derivatives h.

    - Every threshold between two different values of every feature is tried; NaN means missing and goes to the side
      where it gains more. X and the thresholds are rounded to float32, as xgboost stores them.
    - `gamma` is that of xgboost's code: a split at the tree's end whose gain, *without* the factor 1/2, is below gamma
      is taken back, and then perhaps its parent. The paper compares half the gain: gamma = 2 γ of the paper.
    - A child needs a sum of h of at least `min_child_weight`, up to 1e-6 for rounding; a lighter root has weight 0.
    - A split must gain more than 1e-6. Sums are taken in float64 and gains compared in float32, as xgboost does: gains
      that are equal there are tied. Then the lowest feature wins, and of its thresholds the largest. A feature with
      missing values in X, unless its known values are all equal, is scanned upwards first, missing values right, then
      downwards, missing values left, and the first in this order wins.

    Raises `ValueError` for empty or infinite X, g or h that is not finite, negative h, and parameters out of range.
    """
    columns = _columns(X)
    for name, values in {"g": g, "h": h}.items():
        total = np.sum(np.abs(values), dtype=np.float64)
        if not total < LARGEST_SUM:
            raise ValueError(f"{name} must be finite, its sizes adding up to below {LARGEST_SUM:.0e}; got {total:.3g}")
    if np.min(h) < 0:
        raise ValueError(f"h must not be negative, got {np.min(h):.6g}")
    require_at_least("max_depth", max_depth, 1)
    limits = _Limits(reg_lambda, reg_alpha, gamma, min_child_weight)
    for name, value in limits._asdict().items():
        require_not_negative(name, value)
    derivatives = np.stack([g, h]).astype(np.float64)
    missing = np.isnan(columns)
    lowest, highest = np.nanmin(columns, axis=1, initial=np.inf), np.nanmax(columns, axis=1, initial=-np.inf)
    upwards = missing.any(axis=1) & (lowest < highest)

    def grow(order: np.ndarray, depth: int) -> Node:
        """The subtree on the rows of `order` (d, m), which holds them once for each feature, by its values."""
        G, H = derivatives[:, order[0]].sum(axis=1)
        leaf = Node(_leaf_weight(G, H, limits), float(H))
        if depth == max_depth:
            return leaf
        split = _best_split(np.take_along_axis(columns, order, axis=1), derivatives[:, order], upwards, limits)
        if split is None:
            return leaf
        gain, feature, threshold, default_left = split
        goes_left = np.where(missing[feature], default_left, columns[feature] < np.float32(threshold))
        left = grow(order[goes_left[order]].reshape(len(order), -1), depth + 1)
        right = grow(order[~goes_left[order]].reshape(len(order), -1), depth + 1)
        if left.is_leaf and right.is_leaf and gain < gamma:
            return leaf
        return Node(leaf.weight, leaf.cover, gain, feature, threshold, default_left, left, right)

    return grow(np.argsort(columns, axis=1, kind="stable"), 0)


@checked
def predict_tree(node: Node, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The weight of the leaf that each row of X falls into, in X's precision or float32, whichever is finer."""
    columns = _columns(X)
    weights = np.empty(len(X), dtype=np.promote_types(X.dtype, np.float32))

    def fill(node: Node, rows: np.ndarray) -> None:
        if node.is_leaf:
            weights[rows] = node.weight
            return
        if node.feature >= len(columns):
            raise ValueError(f"X must have the tree's features, up to {node.feature}, got {len(columns)} columns")
        values = columns[node.feature, rows]
        goes_left = np.where(np.isnan(values), node.default_left, values < np.float32(node.threshold))
        fill(node.left, rows[goes_left])
        fill(node.right, rows[~goes_left])

    fill(node, np.arange(len(X)))
    return weights


def _columns(X: np.ndarray) -> np.ndarray:
    """The features (d, n) of X (n, d) in float32, after checking them."""
    if X.size == 0:
        raise ValueError(f"X must have at least one row and one column, got shape {X.shape}")
    largest = float(np.nanmax(np.abs(X), initial=0))
    if largest > LARGEST:
        raise ValueError(f"X must hold numbers of size at most {LARGEST:.3g}, or NaN where missing; got {largest:.3g}")
    return np.ascontiguousarray(X.T, dtype=np.float32)


def _best_split(
    values: np.ndarray, derivatives: np.ndarray, upwards: np.ndarray, limits: _Limits
) -> tuple[float, int, float, bool] | None:
    """Gain, feature, threshold and whether missing values go left, for a node's best split; None where nothing gains.

    All of shape (d, m): each feature's values in order, NaN last, and the g and h of their rows; `upwards` (d,) says
    which features are also scanned upwards. Cut j has the j lowest values below it, in a scan downwards it stands at
    place m - j.
    """
    m = values.shape[1]
    present = m - np.isnan(values).sum(axis=1, keepdims=True)
    real = np.zeros((len(values), m + 1), dtype=bool)
    real[:, 1:m] = values[:, :-1] < values[:, 1:]
    real[:, :1] = present < m
    np.put_along_axis(real, present, present < m, axis=1)
    below = np.pad(np.cumsum(derivatives, axis=2), ((0, 0), (0, 0), (1, 0)))
    above = np.take_along_axis(below, present[None], axis=2) - below

    G, H = derivatives[:, 0].sum(axis=1)
    scans = downwards = _gains(above, G, H, real, limits)[:, ::-1]
    if upwards.any():
        scans = np.concatenate([_gains(below, G, H, real & upwards[:, None], limits), downwards], axis=1)
    feature, place = divmod(int(np.argmax(scans)), scans.shape[1])
    default_left = place >= scans.shape[1] - m - 1
    cut = scans.shape[1] - 1 - place if default_left else place
    if not scans[feature, place] > MIN_GAIN:
        return None
    return float(scans[feature, place]), feature, _threshold(values[feature, : present[feature, 0]], cut), default_left


def _gains(side: np.ndarray, G: float, H: float, allowed: np.ndarray, limits: _Limits) -> np.ndarray:
    """The gain of every cut (d, m + 1), given G and H of one side (2, d, m + 1) and of both; -inf where not allowed."""
    lightest = limits.min_child_weight - HESSIAN_SLACK
    allowed = allowed & (side[1] >= lightest) & (H - side[1] >= lightest)
    halves = _score(side[0], side[1], limits) + _score(G - side[0], H - side[1], limits)
    return np.where(allowed, halves - _score(G, H, limits), -np.inf)


def _leaf_weight(G: float, H: float, limits: _Limits) -> float:
    """The minimiser -G/(H + λ) of G w + (H + λ) w²/2, with α |w| that of G soft-thresholded; 0 where H is too small."""
    if H <= 0 or H < limits.min_child_weight - HESSIAN_SLACK:
        return 0.0
    return float(-_soft_threshold(G, limits.reg_alpha) / (H + limits.reg_lambda))


def _soft_threshold(G: np.ndarray | float, reg_alpha: float) -> np.ndarray | float:
    """G moved towards 0 by `reg_alpha`, and 0 where it would pass it."""
    return np.sign(G) * np.maximum(np.abs(G) - reg_alpha, 0)


def _score(G: np.ndarray | float, H: np.ndarray | float, limits: _Limits) -> Float32[np.ndarray, "..."]:
    """G²/(H + λ), with α of G soft-thresholded: minus twice the least loss of a leaf; 0 where H is not positive."""
    squares, curvature = np.float32(_soft_threshold(G, limits.reg_alpha) ** 2), np.float32(H + limits.reg_lambda)
    return np.divide(squares, curvature, out=np.zeros_like(squares), where=(H > 0) & (curvature > 0))


def _threshold(known: np.ndarray, cut: int) -> float:
    """The float32 number between the `cut` lowest of the ordered values and the others, as xgboost rounds it."""
    if cut == 0:
        return float(known[0] - (np.abs(known[0]) + np.float32(END_GAP)))
    if cut == len(known):
        return float(known[-1] + (np.abs(known[-1]) + np.float32(END_GAP)))
    lower, upper = known[cut - 1], known[cut]
    middle = (lower + upper) * np.float32(0.5)
    return float(upper if middle == lower else middle)
