"""The rows of "In production" in book/learning/ensemble-learning.ipynb, at the pinned version."""

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, RandomForestClassifier, StackingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

PAGE = "book/learning/ensemble-learning.ipynb, section In production"
STALE = f"scikit-learn {sklearn.__version__} (1.9.1 on the page): mend the row in {PAGE}"


@pytest.fixture(scope="module")
def tumours():
    return load_breast_cancer(return_X_y=True)


@pytest.fixture(scope="module")
def perfect():
    X = np.repeat([[0.0], [1.0]], 20, axis=0)
    return AdaBoostClassifier(DecisionTreeClassifier(max_depth=1)).fit(X, X[:, 0].astype(int)), X


def test_estimator_weights_have_no_half(tumours):
    boosted = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=5).fit(*tumours)
    errors = boosted.estimator_errors_
    assert np.allclose(boosted.estimator_weights_, np.log((1 - errors) / errors)), STALE


def test_a_perfect_rule_ends_the_ensemble_with_weight_one(perfect):
    assert len(perfect[0].estimators_) == 1 and perfect[0].estimator_weights_[0] == 1.0, STALE


def test_probabilities_are_a_logistic_function_of_the_share_of_the_vote(tumours, perfect):
    X, y = tumours
    boosted = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=5).fit(X, y)
    share = boosted.estimator_weights_ @ [2 * rule.predict(X) - 1 for rule in boosted.estimators_]
    share /= boosted.estimator_weights_.sum()
    assert np.allclose(boosted.predict_proba(X)[:, 1], 1 / (1 + np.exp(-2 * share))), STALE
    unanimous = perfect[0].predict_proba(perfect[1])
    assert np.allclose([unanimous.min(), unanimous.max()], [0.119, 0.881], atol=5e-4), STALE


@pytest.mark.parametrize(
    "make", [lambda depth: BaggingClassifier(DecisionTreeClassifier(max_depth=depth), 25, random_state=0),
             lambda depth: RandomForestClassifier(25, max_depth=depth, random_state=0)]
)  # fmt: skip
def test_bags_and_forests_average_probabilities(tumours, make):
    X, y = tumours[0][:, :3], tumours[1]
    for depth, votes_differ in ((2, True), (None, False)):
        bag = make(depth).fit(X, y)
        averaged = np.mean([tree.predict_proba(X) for tree in bag.estimators_], axis=0).argmax(axis=1)
        voted = np.mean([tree.predict(X) for tree in bag.estimators_], axis=0) > 0.5
        assert np.array_equal(bag.predict(X), averaged), STALE
        assert np.any(voted != averaged) == votes_differ, STALE


def test_stacking_regressor_does_not_shuffle_its_folds():
    x = np.linspace(-3, 3, 300)[:, None]
    y, new = np.sin(2 * x[:, 0]), np.linspace(-2.9, 2.9, 77)[:, None]
    members = [("near", KNeighborsRegressor()), ("line", LinearRegression())]

    def error(cv):
        return np.mean((StackingRegressor(members, cv=cv).fit(x, y).predict(new) - np.sin(2 * new[:, 0])) ** 2)

    assert error(None) == error(KFold(5)) > 10 * error(KFold(5, shuffle=True, random_state=0)), STALE
