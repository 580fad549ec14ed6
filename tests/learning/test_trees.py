from itertools import product

import numpy as np
import pytest

from lib.learning.trees import Node, grow_tree, predict_tree, sort_columns

PLAIN = {"max_depth": 1, "reg_lambda": 1.0, "gamma": 0.0, "min_child_weight": 0.0}


def column(*values):
    return np.array(values, dtype=float)[:, None]


def objective(side, g, h, reg_lambda, reg_alpha):
    """The least of G w + (H + λ) w²/2 + α |w| over a fine grid of w, for the rows in `side`."""
    w = np.linspace(-3, 3, 60001)
    return np.min(g[side].sum() * w + (h[side].sum() + reg_lambda) * w**2 / 2 + reg_alpha * np.abs(w))


@pytest.mark.parametrize("reg_lambda, reg_alpha", [(0.0, 0.0), (2.0, 0.0), (1.0, 0.7)])
def test_a_split_is_the_best_of_all_partitions(reg_lambda, reg_alpha):
    rng = np.random.default_rng(0)
    for _ in range(10):
        X = rng.normal(size=(9, 2)).round(1)
        X[rng.random(X.shape) < 0.3] = np.nan
        g, h = rng.normal(size=9), rng.uniform(0.5, 2, size=9)
        tree = grow_tree(X, g, h, **PLAIN | {"reg_lambda": reg_lambda}, reg_alpha=reg_alpha)
        whole = objective(np.ones(9, dtype=bool), g, h, reg_lambda, reg_alpha)
        decreases = []
        for feature, default_left in product(range(2), (True, False)):
            known = X[:, feature]
            for threshold in [*(np.unique(known[~np.isnan(known)]) + 1e-3), -99]:
                left = np.where(np.isnan(known), default_left, known < threshold)
                parts = [objective(side, g, h, reg_lambda, reg_alpha) for side in (left, ~left) if side.any()]
                decreases.append(whole - sum(parts))
        assert tree.gain / 2 == pytest.approx(max(decreases), abs=1e-6)


def test_rows_sorted_beforehand_give_the_same_tree():
    rng = np.random.default_rng(2)
    X, g = rng.normal(size=(100, 3)).round(1), rng.normal(size=100)
    X[rng.random(X.shape) < 0.2] = np.nan
    tree = grow_tree(X, g, np.ones(100), **PLAIN | {"max_depth": 4}, order=sort_columns(X))
    assert predict_tree(tree, X).tolist() == predict_tree(grow_tree(X, g, np.ones(100), **PLAIN | {"max_depth": 4}), X).tolist()


@pytest.mark.parametrize("reg_alpha", [0.0, 1.5])
def test_every_leaf_has_the_newton_weight_of_its_rows(reg_alpha):
    """-(G - α)/(H + λ) for a sum G of derivatives above α, and so on."""
    rng = np.random.default_rng(1)
    X, g, h = rng.normal(size=(200, 4)), rng.normal(size=200), rng.uniform(0.1, 1, size=200)
    weights = predict_tree(grow_tree(X, g, h, **PLAIN | {"max_depth": 4}, reg_alpha=reg_alpha), X)
    assert 4 < len(np.unique(weights)) <= 16
    for weight in np.unique(weights[weights != 0]):
        rows = weights == weight
        G, H = g[rows].sum(), h[rows].sum()
        assert weight == pytest.approx((reg_alpha - G if G > 0 else -reg_alpha - G) / (H + 1), rel=1e-12)


def test_a_split_keeps_its_cover_and_its_weight_as_a_leaf():
    tree = grow_tree(column(0, 1, 2), np.array([1.0, 1.0, -4.0]), np.array([1.0, 2.0, 3.0]), **PLAIN)
    assert (tree.cover, tree.left.cover, tree.right.cover) == (6, 3, 3)
    assert (tree.weight, tree.left.weight, tree.right.weight) == (2 / 7, -0.5, 1.0)
    assert tree.gain == pytest.approx(4 / 4 + 16 / 4 - 4 / 7, rel=1e-6)


def test_a_tie_goes_to_the_lowest_feature_and_the_largest_threshold():
    X, g = np.repeat(column(0, 1, 2), 2, axis=1), np.array([1.0, -2.0, 1.0])
    tree = grow_tree(X, g, np.ones(3), **PLAIN)
    assert (tree.feature, tree.threshold, tree.default_left) == (0, 1.5, True)


def test_a_tie_in_a_feature_with_missing_values_goes_to_the_scan_upwards():
    X, g = column(0, 1, 2, np.nan), np.array([1.0, -2.0, 1.0, 0.0])
    tree = grow_tree(X, g, np.array([1.0, 1.0, 1.0, 0.0]), **PLAIN)
    assert (tree.threshold, tree.default_left) == (0.5, False)


def test_missing_values_go_where_they_gain_more():
    X, h = column(0, 0, 1, 1, np.nan), np.ones(5)
    for missing, default_left in [(1.0, True), (-1.0, False)]:
        tree = grow_tree(X, np.array([1.0, 1.0, -1.0, -1.0, missing]), h, **PLAIN)
        assert tree.default_left is default_left
        assert predict_tree(tree, column(np.nan, 0, 1))[0] == (tree.left if default_left else tree.right).weight


@pytest.mark.parametrize("known, default_left, threshold", [((2.0, 3.0), False, 6.000001), ((2.0, 2.0), True, -1e-6)])
def test_missing_values_can_be_split_from_all_others(known, default_left, threshold):
    tree = grow_tree(column(*known, np.nan), np.array([1.0, 1.0, -1.0]), np.ones(3), **PLAIN)
    assert (tree.default_left, tree.threshold) == (default_left, pytest.approx(threshold, abs=1e-6))
    assert predict_tree(tree, column(*known, np.nan)).tolist() == [-2 / 3, -2 / 3, 0.5]


def test_thresholds_separate_neighbouring_floats():
    lower = np.float32(1.0)
    for _ in range(3):
        upper = np.nextafter(lower, np.float32(2))
        tree = grow_tree(column(lower, upper), np.array([1.0, -1.0]), np.ones(2), **PLAIN)
        assert tree.threshold == upper
        lower = upper


def test_gamma_takes_splits_back_from_the_end_of_the_tree():
    """Nearly an exclusive or: the first split gains almost nothing, and is kept for the sake of those below it."""
    X, g = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([1.2, -1.0, -1.0, 1.0])
    options = PLAIN | {"max_depth": 2, "reg_lambda": 0.0}
    full = grow_tree(X, g, np.ones(4), **options)
    assert full.gain < 1.0 < full.left.gain
    assert grow_tree(X, g, np.ones(4), **options | {"gamma": 1.0}) == full
    assert grow_tree(X, g, np.ones(4), **options | {"gamma": 5.0}).is_leaf


def test_children_need_the_least_weight_up_to_rounding():
    X, g, h = np.arange(20.0)[:, None], np.repeat([1.0, -1.0], 10), np.full(20, 0.1)
    for rounding in (-1e-9, 0.0, 1e-9):
        assert grow_tree(X, g, h, **PLAIN | {"min_child_weight": 1.0 + rounding}).threshold == 9.5
    assert grow_tree(X, g, h, **PLAIN | {"min_child_weight": 1.1}).is_leaf
    assert grow_tree(X, g, h, **PLAIN | {"min_child_weight": 2.1}).weight == 0


def test_nothing_to_gain_is_a_leaf():
    leaf = grow_tree(column(1, 1, 1), np.array([1.0, -1.0, 1.0]), np.ones(3), **PLAIN)
    assert leaf.is_leaf and leaf.gain == 0
    assert grow_tree(column(1, 2, 3), np.ones(3), np.zeros(3), **PLAIN | {"reg_lambda": 0.0}).weight == 0
    empty = column(np.nan, np.nan)
    assert grow_tree(empty, np.array([1.0, -1.0]), np.ones(2), **PLAIN | {"min_child_weight": 1.0}).is_leaf


def test_predictions_have_the_precision_of_the_features():
    tree = Node(0.1, 1.0)
    assert predict_tree(tree, np.zeros((1, 1)))[0] == 0.1
    assert predict_tree(tree, np.zeros((1, 1), dtype=np.float32)) == np.float32(0.1)
    assert predict_tree(Node(1e5, 1.0), np.zeros((1, 1), dtype=np.float16)).tolist() == [1e5]


def test_half_precision_grows_the_tree_of_the_same_numbers():
    rng = np.random.default_rng(2)
    X, g, h = (values.astype(np.float16) for values in (rng.normal(size=(50, 3)), rng.normal(size=50), np.ones(50)))
    wide = [values.astype(np.float64) for values in (X, g, h)]
    assert grow_tree(X, g, h, **PLAIN | {"max_depth": 3}) == grow_tree(*wide, **PLAIN | {"max_depth": 3})


def test_a_leaf_says_so():
    assert Node(0.1, 1.0).is_leaf and not Node(0.1, 1.0, left=Node(0.2, 0.5), right=Node(0.3, 0.5)).is_leaf


@pytest.mark.parametrize(
    "change, message",
    [
        ({"X": np.zeros((0, 2)), "g": np.zeros(0), "h": np.zeros(0)}, r"X must have .* got shape \(0, 2\)"),
        ({"X": np.full((2, 1), np.inf)}, "X must hold numbers .* got inf"),
        ({"X": np.full((2, 1), -np.inf, dtype=np.float16)}, "X must hold numbers .* got inf"),
        ({"X": np.full((2, 1), -3e38)}, "X must hold numbers .* got 3e.38"),
        ({"g": np.array([0.0, np.nan])}, "g must be finite, .* got nan"),
        ({"g": np.array([6e17, -6e17])}, r"g must be finite, its sizes adding up to below 1e\+18; got 1.2e\+18"),
        ({"h": np.array([0.0, np.inf])}, "h must be finite, .* got inf"),
        ({"h": np.array([1.0, -1.0])}, "h must not be negative, got -1"),
        ({"max_depth": 0}, "max_depth must be at least 1, got 0"),
        ({"reg_lambda": -1.0}, "reg_lambda must be finite and not negative, got -1"),
        ({"gamma": float("nan")}, "gamma .* got nan"),
        ({"min_child_weight": float("inf")}, "min_child_weight .* got inf"),
        ({"reg_alpha": -0.5}, "reg_alpha .* got -0.5"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        grow_tree(**{"X": column(0, 1), "g": np.ones(2), "h": np.ones(2)} | PLAIN | change)


def test_wrong_shapes_and_types_are_named():
    with pytest.raises(TypeError, match="g"):
        grow_tree(column(0, 1), np.ones(3), np.ones(2), **PLAIN)
    with pytest.raises(TypeError, match="X"):
        grow_tree(np.zeros((2, 1), dtype=int), np.ones(2), np.ones(2), **PLAIN)
    for setting in ("max_depth", "reg_lambda", "gamma", "min_child_weight"):
        with pytest.raises(TypeError, match=f"{setting} must be a number, got True"):
            grow_tree(column(0, 1), np.ones(2), np.ones(2), **PLAIN | {setting: True})
    tree = grow_tree(np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([1.0, -1.0]), np.ones(2), **PLAIN)
    with pytest.raises(ValueError, match="up to 1, got 1 columns"):
        predict_tree(tree, column(0))
