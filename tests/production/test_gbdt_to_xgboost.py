"""The rows of "In production" in book/learning/gbdt-to-xgboost.ipynb, at the pinned version."""

import json

import numpy as np
import scipy.sparse
import xgboost

PAGE = "book/learning/gbdt-to-xgboost.ipynb, section In production"
PINNED = f"xgboost {xgboost.__version__} (3.2.0 on the page)"
STUMP = {"base_score": 0.0, "eta": 1.0, "max_depth": 1, "min_child_weight": 0.0}


def trained(X, y, rounds=1, **options):
    return xgboost.train({"nthread": 1, "verbosity": 0} | options, xgboost.DMatrix(X, y), rounds)


def predicted(booster, X):
    return booster.predict(xgboost.DMatrix(X))


def root(booster):
    return json.loads(booster.get_dump(dump_format="json", with_stats=True)[0])


def stored_base(booster):
    return json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"]


def test_gain_and_gamma_leave_out_the_half():
    X, y = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([-1.0, -1.0, 1.0, 1.0])
    split = root(trained(X, y, **STUMP, reg_lambda=4, gamma=1.3, tree_method="exact"))
    assert "children" in split and abs(split["gain"] - 4 / 3) < 1e-6, (
        f"{PINNED}: a bracket of 4/3 (a gain of 2/3) does not survive gamma=1.3 as before; mend the row on gamma in {PAGE}"
    )
    leaf = root(trained(X, y, **STUMP, reg_lambda=4, gamma=1.34, tree_method="exact"))
    assert "leaf" in leaf, f"{PINNED}: gamma=1.34 keeps a bracket of 4/3; mend the row on gamma in {PAGE}"


def test_base_score_is_estimated_and_stored_as_a_list_in_a_string():
    X, y = np.arange(10.0)[:, None], np.arange(10.0) ** 2
    labels = (y > 40).astype(float)
    bases = [stored_base(trained(X, y)), stored_base(trained(X, labels, objective="binary:logistic"))]
    for base, mean in zip(bases, (y.mean(), labels.mean()), strict=True):
        assert isinstance(base, str) and np.allclose(json.loads(base), [mean], rtol=1e-5), (
            f"{PINNED}: base_score is {base!r}, where the labels' mean is {mean}; mend the row on base_score in {PAGE}"
        )


def test_pseudo_huber_starts_far_from_labels_that_are_far_from_0():
    X = np.arange(50.0)[:, None]
    for low, high, least in [(3, 4, 30), (99, 101, 9e5)]:
        started = predicted(trained(X, np.linspace(low, high, 50), objective="reg:pseudohubererror"), X).min()
        assert started > least, (
            f"{PINNED}: labels in [{low}, {high}] are predicted at {started:.4g}; mend the row on pseudo-Huber in {PAGE}"
        )


def test_what_a_sparse_matrix_leaves_out_is_missing():
    X = np.random.default_rng(0).integers(0, 3, size=(400, 3)).astype(float)
    y = (X[:, 0] == 1).astype(float)
    dense, sparse = (trained(Z, y, max_depth=2, tree_method="hist") for Z in (X, scipy.sparse.csr_matrix(X)))
    assert np.abs(predicted(dense, X) - predicted(sparse, X)).max() > 0.1, (
        f"{PINNED}: hist grows the same trees on a dense and on a CSR matrix; mend the row on CSR in {PAGE}"
    )


def test_hist_cuts_at_data_values_and_equal_values_go_right():
    X, y = np.array([[0.0], [1.0], [2.0], [5.0]]), np.array([0.0, 0.0, 1.0, 1.0])
    for method, want in (("exact", 1.5), ("hist", 2.0)):
        booster = trained(X, y, **STUMP, reg_lambda=0, tree_method=method)
        threshold = root(booster)["split_condition"]
        assert threshold == want, f"{PINNED}: {method} cuts at {threshold}, not {want}; mend the row on thresholds in {PAGE}"
        below = np.nextafter(np.float32(want), np.float32(0))
        assert predicted(booster, np.array([[want], [below]])).tolist() == [1, 0], (
            f"{PINNED}: with {method} a value equal to the threshold goes left; mend the row on thresholds in {PAGE}"
        )
