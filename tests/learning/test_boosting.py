import json
from functools import cache

import numpy as np
import pytest
import torch
import xgboost
from scipy.special import logit
from sklearn import datasets
from sklearn.ensemble import GradientBoostingRegressor

from lib.learning.boosting import boost, logistic_loss, margin, squared_loss

NAMES = ["friedman1", "diabetes", "breast cancer", "synthetic", "synthetic, missing values", "few values, many missing"]
ROUNDS, ETA = 50, 0.1
LEAF = 1e-5  # relative, beside a floor for leaves that are zero but for rounding: 1e-7 of the tree's largest
MARGIN = 1e-5
OBJECTIVES = {squared_loss: "reg:squarederror", logistic_loss: "binary:logistic"}


@cache
def task(name):
    """X (n, d) in float32, y (n,), the loss and a gamma that prunes some of its splits."""
    rng = np.random.default_rng(0)
    if name == "friedman1":
        X, y = datasets.make_friedman1(500, noise=1.0, random_state=0)
    elif name == "diabetes":
        X, y = datasets.load_diabetes(return_X_y=True)
    elif name == "breast cancer":
        X, y = datasets.load_breast_cancer(return_X_y=True)
    else:
        X = rng.normal(size=(500, 8))
        y = (rng.random(500) < 1 / (1 + np.exp(X[:, 1] * X[:, 2] - 2 * X[:, 0]))).astype(int)
    if name == "synthetic, missing values":
        X[rng.random(X.shape) < 0.2] = np.nan
        X[:, 7] = np.where(np.isnan(X[:, 7]), np.nan, 1.0)
    if name == "few values, many missing":
        X = rng.integers(0, 4, size=(500, 8)).astype(float)
        y = X @ np.arange(8) + rng.normal(size=500)
        X[:, 1:][rng.random((500, 7)) < 0.3] = np.nan
    loss = squared_loss if len(np.unique(y)) > 2 else logistic_loss
    gamma = {"friedman1": 50, "diabetes": 1000, "few values, many missing": 50}.get(name, 1)
    return X.astype(np.float32), y, loss, gamma


def trained(X, y, loss, base_score, tree):
    """xgboost's trees as nested dictionaries, and its margins (n,)."""
    options = {"objective": OBJECTIVES[loss], "base_score": base_score, "eta": ETA}
    data = xgboost.DMatrix(X, y)
    booster = xgboost.train(options | tree | {"tree_method": "exact", "nthread": 1}, data, ROUNDS)
    dump = booster.get_dump(dump_format="json", with_stats=True)
    return [json.loads(text) for text in dump], booster.predict(data, output_margin=True)


def flat(node):
    """One of our trees, depth first: a tuple for each split, a number for each leaf."""
    if node.is_leaf:
        return [node.weight]
    here = (node.feature, np.float32(node.threshold), node.default_left)
    return [here, *flat(node.left), *flat(node.right)]


def flat_theirs(node):
    """One of xgboost's, in the same form."""
    if "leaf" in node:
        return [node["leaf"]]
    children = {child["nodeid"]: child for child in node["children"]}
    here = (int(node["split"][1:]), np.float32(node["split_condition"]), node["missing"] == node["yes"])
    return [here, *flat_theirs(children[node["yes"]]), *flat_theirs(children[node["no"]])]


def assert_same(ours, theirs):
    """The same splits, thresholds and default sides in the same places, and leaves within LEAF."""
    assert len(ours) == len(theirs) == ROUNDS
    for number, (a, b) in enumerate(zip(map(flat, ours), map(flat_theirs, theirs))):
        splits, their_splits = ([x if isinstance(x, tuple) else "leaf" for x in tree] for tree in (a, b))
        leaves, their_leaves = (np.array([x for x in tree if not isinstance(x, tuple)]) for tree in (a, b))
        assert splits == their_splits, f"tree {number}"
        allowed = LEAF * np.abs(their_leaves) + 1e-7 * np.abs(their_leaves).max()
        assert np.all(np.abs(leaves - their_leaves) <= allowed), f"tree {number}"


def nodes(tree):
    return [tree] if tree.is_leaf else [tree, *nodes(tree.left), *nodes(tree.right)]


@pytest.mark.parametrize("reg_lambda, prunes, max_depth", [(1, 0, 3), (0, 0, 4), (5, 1, 6)])
@pytest.mark.parametrize("name", NAMES)
def test_every_tree_is_that_of_xgboost(name, reg_lambda, prunes, max_depth):
    X, y, loss, gamma = task(name)
    tree = {"max_depth": max_depth, "reg_lambda": reg_lambda, "gamma": prunes * gamma, "min_child_weight": 1}
    theirs, want = trained(X, y, loss, 0.5, tree)
    base = 0.0 if loss is logistic_loss else 0.5
    ours = boost(X, y, loss, ROUNDS, ETA, base, **tree)
    assert_same(ours, theirs)
    assert np.abs(margin(ours, X, base) - want).max() <= MARGIN * np.abs(want).max()


@pytest.mark.parametrize("name", ["friedman1", "synthetic, missing values"])
@pytest.mark.parametrize("reg_alpha, min_child_weight, base_score", [(2.0, 5.0, 0.2), (0.0, 0.0, 0.7)])
def test_l1_least_weight_and_base_are_those_of_xgboost(name, reg_alpha, min_child_weight, base_score):
    X, y, loss, gamma = task(name)
    tree = {"max_depth": 4, "reg_lambda": 1, "gamma": gamma}
    tree |= {"min_child_weight": min_child_weight, "reg_alpha": reg_alpha}
    theirs, want = trained(X, y, loss, base_score, tree)
    base = float(logit(base_score)) if loss is logistic_loss else base_score
    ours = boost(X, y, loss, ROUNDS, ETA, base, **tree)
    assert_same(ours, theirs)
    assert np.abs(margin(ours, X, base) - want).max() <= MARGIN * np.abs(want).max()


def test_gain_and_cover_are_those_of_xgboost():
    X, y, loss, _ = task("synthetic, missing values")
    tree = {"max_depth": 3, "reg_lambda": 1, "gamma": 0, "min_child_weight": 1}
    theirs, _ = trained(X, y, loss, 0.5, tree)

    def stats(node):
        children = {child["nodeid"]: child for child in node.get("children", [])}
        below = [] if "leaf" in node else [*stats(children[node["yes"]]), *stats(children[node["no"]])]
        return [(node.get("gain", 0.0), node["cover"]), *below]

    for a, b in zip(boost(X, y, loss, ROUNDS, ETA, 0.0, **tree), theirs):
        assert np.allclose([(node.gain, node.cover) for node in nodes(a)], stats(b), rtol=1e-5, atol=1e-5)


def test_gamma_is_compared_with_the_bracket_without_its_half():
    """G = 2, H = 2 on both sides and λ = 4: the bracket is 4/6 + 4/6 = 4/3, half of it 2/3."""
    X, y = np.array([[0], [0], [1], [1]], dtype=np.float32), np.array([-1.0, -1.0, 1.0, 1.0])
    for gamma, leaves in [(1.33, 2), (1.34, 1)]:
        tree = {"max_depth": 1, "reg_lambda": 4, "gamma": gamma, "min_child_weight": 1}
        theirs, _ = trained(X, y, squared_loss, 0.0, tree)
        ours = boost(X, y, squared_loss, 1, ETA, 0.0, **tree)
        assert len(flat(ours[0])) == len(flat_theirs(theirs[0])) == 2 * leaves - 1


@pytest.mark.parametrize("name", ["friedman1", "breast cancer", "synthetic, missing values"])
def test_float64_gives_the_same_margins_up_to_rounding(name):
    X, y, loss, _ = task(name)
    tree = {"max_depth": 3, "reg_lambda": 1, "gamma": 0, "min_child_weight": 1}
    single, double = (margin(boost(Z, y, loss, ROUNDS, ETA, 0.5, **tree), Z, 0.5) for Z in (X, X.astype(float)))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert np.abs(single - double).max() < 1e-5 * np.abs(double).max()


def test_squared_loss_without_regularisation_is_scikit_learns_gradient_boosting():
    X, y = datasets.make_friedman1(400, noise=1.0, random_state=1)
    theirs = GradientBoostingRegressor(n_estimators=60, max_depth=3, min_samples_leaf=5, random_state=0)
    theirs.fit(X[:300], y[:300])
    tree = {"max_depth": 3, "reg_lambda": 0, "gamma": 0, "min_child_weight": 5}
    base = y[:300].mean()
    ours = margin(boost(X[:300], y[:300], squared_loss, 60, 0.1, base, **tree), X, base)
    assert np.abs(ours - theirs.predict(X)).max() < 1e-10


@pytest.mark.parametrize("loss, value", [(squared_loss, lambda F, y: (F - y) ** 2 / 2), (logistic_loss, None)])
def test_derivatives_are_those_of_autograd(loss, value):
    value = value or (lambda F, y: torch.nn.functional.binary_cross_entropy_with_logits(F, y, reduction="none"))
    rng = np.random.default_rng(2)
    F, y = torch.tensor(rng.normal(size=20) * 4, requires_grad=True), torch.tensor(rng.integers(0, 2, size=20) * 1.0)
    (g,) = torch.autograd.grad(value(F, y).sum(), F, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), F)
    got = loss(F.detach().numpy(), y.numpy())
    assert np.abs(np.array(got) - torch.stack([g.detach(), h]).numpy()).max() < 1e-12


def test_extreme_margins_give_finite_derivatives():
    for dtype in (np.float32, np.float64):
        g, h = logistic_loss(np.array([-2000.0, 2000.0], dtype=dtype), np.array([1, 0]))
        assert g.tolist() == [-1, 1] and h.tolist() == [dtype(1e-16)] * 2 and g.dtype == h.dtype == dtype


@pytest.mark.parametrize("reg_lambda", [0, 1])
@pytest.mark.parametrize("base", [-500, -50, -17, -5, 5, 17, 37, 50, 500])
def test_certain_margins_move_as_xgboosts_do(base, reg_lambda):
    y, tree = np.array([1.0, 0.0]), {"max_depth": 1, "reg_lambda": reg_lambda, "gamma": 0, "min_child_weight": 0}
    for X in (np.zeros((2, 1), dtype=np.float32), np.array([[0.0], [1.0]], dtype=np.float32)):
        data = xgboost.DMatrix(X, y)
        data.set_base_margin(np.full(2, base, dtype=np.float32))
        options = {"objective": "binary:logistic", "eta": 1, "tree_method": "exact", "nthread": 1} | tree
        want = xgboost.train(options, data, 1).predict(data, output_margin=True)
        got = margin(boost(X, y, logistic_loss, 1, 1.0, base, **tree), X, base)
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
        double = margin(boost(X.astype(float), y, logistic_loss, 1, 1.0, base, **tree), X.astype(float), base)
        assert np.all(np.isfinite(double))


def test_losses_in_half_precision_are_those_of_single_precision():
    F, y = np.array([-12.0, 12.0, 0.5], dtype=np.float16), np.array([1, 0, 1])
    for loss, labels in ((logistic_loss, y), (squared_loss, 1e5 * y)):
        for ours, want in zip(loss(F, labels), loss(F.astype(np.float32), labels), strict=True):
            assert ours.dtype == np.float32 and np.array_equal(ours, want)


def test_half_precision_features_give_the_trees_of_single_precision():
    X, y, loss, _ = task("synthetic")
    half = X.astype(np.float16)
    options = {"max_depth": 3, "reg_lambda": 1, "gamma": 0, "min_child_weight": 1}
    ours = boost(half, 1e5 * y, squared_loss, 5, 0.3, 0.5, **options)
    want = boost(half.astype(np.float32), 1e5 * y, squared_loss, 5, 0.3, 0.5, **options)
    assert ours == want and np.array_equal(margin(ours, half, 0.5), margin(want, half.astype(np.float32), 0.5))


def test_the_loss_may_overwrite_its_arguments_and_reuse_its_answer():
    X, y, _, _ = task("synthetic")
    g, h = np.empty(len(y)), np.ones(len(y))

    def loss(F, y):
        np.subtract(F, y, out=g)
        F[:], y[:] = 0, 0
        return g, h

    X, y = X.astype(float), y.astype(float)
    labels, options = y.copy(), {"max_depth": 2, "reg_lambda": 1, "gamma": 0, "min_child_weight": 0}
    assert boost(X, y, loss, 4, 0.5, 0.0, **options) == boost(X, labels, squared_loss, 4, 0.5, 0.0, **options)
    assert np.array_equal(y, labels)


def test_training_loss_falls_every_round():
    X, y, loss, _ = task("synthetic")
    trees = boost(X, y, loss, 20, 0.3, 0.0, max_depth=2, reg_lambda=1, gamma=0, min_child_weight=0)
    losses = [np.logaddexp(0, -(2 * y - 1) * margin(trees[:k], X, 0.0)).mean() for k in range(21)]
    assert losses[0] == pytest.approx(np.log(2)) and np.all(np.diff(losses) < 0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": np.array([0.0, 2.0])}, r"y must hold the labels 0 and 1, got \[0. 2.\]"),
        ({"y": np.array([-1, 1])}, "labels 0 and 1"),
        ({"y": np.array([0.0, np.nan]), "loss": squared_loss}, "y must be finite"),
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"eta": 0.0}, "eta must be positive and finite, got 0.0"),
        ({"eta": float("nan")}, "eta must be positive and finite, got nan"),
        ({"base": 1e39, "X": np.zeros((2, 1), dtype=np.float32)}, "base in float32 must be finite"),
        ({"y": np.array([1e39, 0.0]), "loss": squared_loss, "X": np.zeros((2, 1), dtype=np.float32)}, "y must be finite"),
        ({"base": float("inf")}, "base must be finite, got inf"),
        ({"X": np.zeros((0, 1)), "y": np.zeros(0)}, "X must have at least one row"),
        ({"loss": lambda F, y: (F * np.nan, F)}, "g must be finite"),
        ({"loss": lambda F, y: (F, F, F)}, "loss must return two arrays, g and h, got tuple"),
        ({"loss": lambda F, y: [F, F]}, "loss must return two arrays, g and h, got list"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"X": np.array([[0.0], [1.0]]), "y": np.array([0, 1]), "loss": logistic_loss}
    good |= {"rounds": 2, "eta": 0.1, "base": 0.0}
    with pytest.raises(ValueError, match=message):
        boost(**good | change, max_depth=1, reg_lambda=1, gamma=0, min_child_weight=0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rounds": True}, "rounds must be a number, got True"),
        ({"eta": True}, "eta must be a number, got True"),
        ({"base": True}, "base must be a number, got True"),
        ({"loss": lambda F, y: (F[:1], F)}, "g"),
        ({"loss": lambda F, y: (F, np.ones(len(F), dtype=int))}, "h"),
        ({"y": np.array([True, False])}, "y"),
    ],
)
def test_wrong_types_are_named(change, message):
    good = {"X": np.array([[0.0], [1.0]]), "y": np.array([0, 1]), "loss": logistic_loss}
    good |= {"rounds": 2, "eta": 0.1, "base": 0.0}
    with pytest.raises(TypeError, match=message):
        boost(**good | change, max_depth=1, reg_lambda=1, gamma=0, min_child_weight=0)


@pytest.mark.parametrize("base, error", [(float("nan"), ValueError), (float("inf"), ValueError), (True, TypeError)])
def test_a_margin_names_its_base(base, error):
    with pytest.raises(error, match="base must be"):
        margin([], np.zeros((2, 1)), base)
