"""Regression trees for second-order boosting, grown exactly as xgboost's `tree_method="exact"` grows them.

A row contributes g w + h w²/2 to the loss of the leaf with weight w; a tree pays λ w²/2 and α |w| for each leaf.
Source: Chen & Guestrin, arXiv 1603.02754, sections 2.2, 3.1 and 3.4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lib.course.ranges import require_at_least, require_not_negative
from lib.course.shapes import Float, Float32, Int, checked

# xgboost's kRtEps has two uses: a split must gain more than MIN_GAIN, and a threshold beyond all known values v lies
# |v| + END_GAP outside them.
MIN_GAIN = END_GAP = 1e-6
HESSIAN_SLACK = 1e-6
LARGEST = float(np.finfo(np.float32).max) / 4
LARGEST_SUM = 1e18  # so that its square fits into float32
AT_ONCE = 8192  # numbers in the arrays that a scan works with: they stay in the cache, and in memory that is there already


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
    order: Int[np.ndarray, "d n"] | None = None,
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
    - `order` is what `sort_columns(X)` returns, for a caller who grows many trees on one X.

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
    if order is None:
        order = _sorted(columns)
    return _grow(columns, order, np.stack([g, h]).astype(np.float64), max_depth, limits, gamma)


@checked
def sort_columns(X: Float[np.ndarray, "n d"]) -> Int[np.ndarray, "d n"]:
    """The rows in the order of each feature's values, as `grow_tree` rounds them; missing values come last."""
    return _sorted(_columns(X))


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


def _sorted(columns: np.ndarray) -> np.ndarray:
    return np.argsort(columns, axis=1, kind="stable")


def _grow(
    columns: np.ndarray, order: np.ndarray, derivatives: np.ndarray, max_depth: int, limits: _Limits, gamma: float
) -> Node:
    """The tree, grown level by level. A level's `order` (d, m) holds for each feature one node's rows after the other's,
    each by their values: first the left halves of all nodes that were split, then the right halves.
    """
    missing = np.isnan(columns)
    lowest, highest = np.nanmin(columns, axis=1, initial=np.inf), np.nanmax(columns, axis=1, initial=-np.inf)
    upwards = missing.any(axis=1) & (lowest < highest)
    levels, sizes = [], np.array([columns.shape[1]])
    while True:
        first, ends = np.take(derivatives, order[0], axis=1), np.cumsum(sizes)
        sums = np.array([np.cumsum(first[:, end - size : end], axis=1)[:, -1] for size, end in zip(sizes, ends)])
        splits = [None] * len(sizes)
        if len(levels) < max_depth:
            splits = _best_splits(columns, order, derivatives, sizes, sums.T, upwards, limits)
        levels.append((sums.tolist(), splits))
        split = [i for i, found in enumerate(splits) if found is not None]
        if not split:
            return _linked(levels, limits, gamma)
        _, feature, threshold, default_left = (np.array(part) for part in zip(*(splits[i] for i in split)))
        rows = np.concatenate([order[0, ends[i] - sizes[i] : ends[i]] for i in split])
        node = np.repeat(np.arange(len(split)), sizes[split])
        values = columns[feature[node], rows]
        left = np.where(np.isnan(values), default_left[node], values < threshold.astype(np.float32)[node])
        sides = np.zeros((2, columns.shape[1]), dtype=bool)
        sides[:, rows] = left, ~left
        order = np.concatenate([order[side[order]].reshape(len(order), -1) for side in sides], axis=1)
        lefts = np.bincount(node[left], minlength=len(split))
        sizes = np.concatenate([lefts, sizes[split] - lefts])


def _linked(levels: list, limits: _Limits, gamma: float) -> Node:
    """The nodes of all levels from the sums (G, H) and splits of each; splits at the ends that gain too little go."""
    children = []
    for sums, splits in reversed(levels):
        pairs = zip(children[: len(children) // 2], children[len(children) // 2 :])
        nodes = []
        for (G, H), split in zip(sums, splits):
            node = Node(_leaf_weight(G, H, limits), H)
            if split is not None:
                left, right = next(pairs)
                if not (left.is_leaf and right.is_leaf and split[0] < gamma):
                    node = Node(node.weight, H, *split, left, right)
            nodes.append(node)
        children = nodes
    return children[0]


def _best_splits(
    columns: np.ndarray,
    order: np.ndarray,
    derivatives: np.ndarray,
    sizes: np.ndarray,
    sums: np.ndarray,
    upwards: np.ndarray,
    limits: _Limits,
) -> list[tuple[float, int, float, bool] | None]:
    """Gain, feature, threshold and whether missing values go left, for each node's best split; None where nothing gains.

    `order` (d, m) holds nodes of the given sizes one after the other; `sums` (2, nodes) are their G and H; `upwards` (d,)
    says which features are also scanned upwards. A cut at a place leaves below it what stands before it in its node.
    That at a node's first place, and that before missing values, tell known values from missing ones.
    """
    d, m = order.shape
    starts, (G, H) = np.cumsum(sizes) - sizes, np.repeat(sums, sizes, axis=1)
    scans = np.empty((1 + upwards.any(), d, m), dtype=np.float32)  # upwards, if any, and downwards
    present = np.empty((d, len(sizes)), dtype=int)
    for f in range(0, d, max(AT_ONCE // m, 1)):
        here = slice(f, f + max(AT_ONCE // m, 1))
        values = np.take_along_axis(columns[here], order[here], axis=1)
        ordered = derivatives.take(order[here], axis=1)
        present[here] = there = np.add.reduceat(~np.isnan(values), starts, axis=1, dtype=int)
        below = np.zeros_like(ordered)
        for start, size in zip(starts.tolist(), sizes.tolist()):
            np.cumsum(ordered[:, :, start : start + size - 1], axis=2, out=below[:, :, start + 1 : start + size])
        last = np.arange(len(there))[:, None], starts + np.maximum(there, 1) - 1
        known = np.where(there > 0, below[:, *last] + ordered[:, *last], 0)
        real = np.zeros(values.shape, dtype=bool)
        real[:, 1:] = values[:, :-1] < values[:, 1:]
        real[:, starts] = there < sizes
        feature, node = np.nonzero(there < sizes)
        real[feature, starts[node] + there[feature, node]] = True
        scans[-1, here] = _gains(np.repeat(known, sizes, axis=2) - below, G, H, real, limits)
        if len(scans) == 2:
            scans[0, here] = _gains(below, G, H, real & upwards[here, None], limits)

    highest = np.maximum.reduceat(scans, starts, axis=2)
    features = highest.max(axis=0).argmax(axis=0)
    splits = []
    for i, (f, start, size) in enumerate(zip(features.tolist(), starts.tolist(), sizes.tolist())):
        way = int(highest[:, f, i].argmax())
        scan, default_left = scans[way, f, start : start + size], way == len(scans) - 1
        cut = size - 1 - int(scan[::-1].argmax()) if default_left else int(scan.argmax())
        known = columns[f, order[f, start : start + present[f, i]]]
        gains = scan[cut] > MIN_GAIN
        splits.append((float(scan[cut]), f, _threshold(known, cut), default_left) if gains else None)
    return splits


def _gains(side: np.ndarray, G: np.ndarray, H: np.ndarray, allowed: np.ndarray, limits: _Limits) -> np.ndarray:
    """The gain of every cut (d, m), given G and H of one side (2, d, m) and of both (m,); -inf where not allowed."""
    lightest, other = limits.min_child_weight - HESSIAN_SLACK, H - side[1]
    allowed = allowed & (side[1] >= lightest) & (other >= lightest)
    halves = _score(side[0], side[1], limits)
    halves += _score(G - side[0], other, limits)
    halves -= _score(G, H, limits)
    halves[~allowed] = -np.inf
    return halves


def _leaf_weight(G: float, H: float, limits: _Limits) -> float:
    """The minimiser -G/(H + λ) of G w + (H + λ) w²/2, with α |w| that of G soft-thresholded; 0 where H is too small."""
    if H <= 0 or H < limits.min_child_weight - HESSIAN_SLACK:
        return 0.0
    return float(-_soft_threshold(G, limits.reg_alpha) / (H + limits.reg_lambda))


def _soft_threshold(G: np.ndarray | float, reg_alpha: float) -> np.ndarray | float:
    """G moved towards 0 by `reg_alpha`, and 0 where it would pass it."""
    if reg_alpha == 0:
        return G
    return np.sign(G) * np.maximum(np.abs(G) - reg_alpha, 0)


def _score(G: np.ndarray, H: np.ndarray, limits: _Limits) -> Float32[np.ndarray, "..."]:
    """G²/(H + λ), with α of G soft-thresholded: minus twice the least loss of a leaf; 0 where H is not positive."""
    score, curvature = np.float32(_soft_threshold(G, limits.reg_alpha) ** 2), np.float32(H + limits.reg_lambda)
    positive = (H > 0) & (curvature > 0)
    np.divide(score, curvature, out=score, where=positive)
    score[~positive] = 0
    return score


def _threshold(known: np.ndarray, cut: int) -> float:
    """The float32 number between the `cut` lowest of the ordered values and the others, as xgboost rounds it."""
    if cut == 0:
        return float(known[0] - (np.abs(known[0]) + np.float32(END_GAP)))
    if cut == len(known):
        return float(known[-1] + (np.abs(known[-1]) + np.float32(END_GAP)))
    lower, upper = known[cut - 1], known[cut]
    middle = (lower + upper) * np.float32(0.5)
    return float(upper if middle == lower else middle)
