from itertools import product
from math import prod

import numpy as np
import pytest
from sklearn import datasets
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from lib.learning.ensembles import adaboost, majority_error, out_of_fold, stack, vote


def stump(X, y, w):
    return DecisionTreeClassifier(max_depth=1, random_state=0).fit(X, y, sample_weight=w).predict


def cancer():
    X, y = datasets.load_breast_cancer(return_X_y=True)
    return X, y


@pytest.mark.parametrize("n, p", [(1, 0.3), (5, 0.3), (7, 0.75)])
def test_majority_error_by_enumeration(n, p):
    wrong = [voters for voters in product((0, 1), repeat=n) if sum(voters) > n / 2]
    chance = sum(prod(p if voter else 1 - p for voter in voters) for voters in wrong)
    assert majority_error(n, p) == pytest.approx(chance, rel=1e-12)


def test_majority_error_of_21_voters():
    assert majority_error(21, 0.3) == pytest.approx(0.02639, abs=5e-6)
    assert [majority_error(9, p) for p in (0, 0.5, 1)] == pytest.approx([0, 0.5, 1], abs=1e-15)


@pytest.mark.parametrize(
    "n, p, message", [(4, 0.3, "odd .* got 4"), (-1, 0.3, "got -1"), (3, 1.2, "p must .* got 1.2"), (3, np.nan, "nan")]
)
def test_majority_error_names_bad_input(n, p, message):
    with pytest.raises(ValueError, match=message):
        majority_error(n, p)


def test_adaboost_has_the_weights_and_votes_of_scikit_learn():
    X, y = cancer()
    theirs = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=50, random_state=0).fit(X, y)
    hypotheses, alphas = adaboost(X, 2 * y - 1, stump, 50)
    assert len(alphas) == 50 and np.abs(theirs.estimator_weights_ / 2 - alphas).max() < 1e-10
    assert np.abs(theirs.decision_function(X) / 2 - vote(hypotheses, alphas, X) / alphas.sum()).max() < 1e-10


def test_the_exponential_loss_is_the_product_of_the_normalisers():
    X, y = cancer()
    y = 2 * y - 1
    hypotheses, alphas = adaboost(X, y, stump, 15)
    bound = 1.0
    for t, alpha in enumerate(alphas, start=1):
        error = 1 / (1 + np.exp(2 * alpha))
        bound *= 2 * np.sqrt(error * (1 - error))
        F = vote(hypotheses[:t], alphas[:t], X)
        weights = np.exp(-y * F)
        assert weights.mean() == pytest.approx(bound, rel=1e-10)
        assert np.mean(np.sign(F) != y) <= bound
        assert weights[hypotheses[t - 1](X) != y].sum() == pytest.approx(weights.sum() / 2, rel=1e-10)


def test_a_perfect_hypothesis_decides_alone():
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([-1, 1, -1])
    answers = iter([np.array([-1, 1, 1]), y])

    def second_is_perfect(X, y, w):
        answer = next(answers)
        return lambda X: answer

    hypotheses, alphas = adaboost(X, y, second_is_perfect, 5)
    assert len(hypotheses) == 1 and alphas.tolist() == [1.0]
    assert vote(hypotheses, alphas, X).tolist() == y.tolist()


def test_adaboost_stops_at_a_hypothesis_that_only_guesses():
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([-1, 1, 1])
    hypotheses, alphas = adaboost(X, y, lambda X, y, w: lambda X: np.ones(3), 5)
    assert len(hypotheses) == 1 and alphas == pytest.approx([np.log(2) / 2])
    with pytest.raises(ValueError, match="error below 1/2, got 0.666667"):
        adaboost(X, y, lambda X, y, w: lambda X: -np.ones(3), 5)


def test_a_hypothesis_that_is_right_half_of_the_time_is_not_taken():
    always = lambda X, y, w: lambda Z: np.ones(len(Z))
    with pytest.raises(ValueError, match="error below 1/2, got 0.5"):
        adaboost(np.zeros((2, 1)), np.array([-1, 1]), always, 3)


def test_adaboost_names_bad_input():
    X = np.zeros((2, 1))
    with pytest.raises(ValueError, match=r"y must be -1 or 1, and not empty, got \[0 1\]"):
        adaboost(X, np.array([0, 1]), stump, 1)
    with pytest.raises(ValueError, match="not empty"):
        adaboost(X[:0], np.zeros(0), stump, 1)
    with pytest.raises(ValueError, match="T must be at least 1, got 0"):
        adaboost(X, np.array([-1, 1]), stump, 0)
    with pytest.raises(ValueError, match="predictions must be -1 or 1"):
        adaboost(X, np.array([-1, 1]), lambda X, y, w: lambda X: np.zeros(2), 1)
    with pytest.raises(TypeError, match="y"):
        adaboost(X, np.ones(3), stump, 1)


def test_bagging_is_the_mean_over_its_own_bootstrap_rows():
    X, y = cancer()
    bag = BaggingClassifier(DecisionTreeClassifier(), n_estimators=10, random_state=0).fit(X[::2], y[::2])
    replay = [
        clone(tree).fit(X[::2][rows], y[::2][rows]).predict_proba(X[1::2])
        for tree, rows in zip(bag.estimators_, bag.estimators_samples_)
    ]
    assert np.abs(np.mean(replay, axis=0) - bag.predict_proba(X[1::2])).max() < 1e-12


@pytest.mark.parametrize("load", [datasets.load_breast_cancer, datasets.load_wine])
def test_stacking_is_that_of_scikit_learn(load):
    X, y = load(return_X_y=True)
    bases = [DecisionTreeClassifier(max_depth=3, random_state=0), GaussianNB()]
    meta, cv = LogisticRegression(), StratifiedKFold(5)
    theirs = StackingClassifier([("tree", bases[0]), ("bayes", bases[1])], meta, cv=cv).fit(X[::2], y[::2])
    probabilities = stack(bases, meta, cv)(X[::2], y[::2])(X[1::2])
    assert np.abs(probabilities - theirs.predict_proba(X[1::2])).max() < 1e-12
    assert not hasattr(bases[0], "tree_") and not hasattr(meta, "coef_")


def test_out_of_fold_predictions_do_not_see_their_row():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 2, size=200)
    tree = DecisionTreeClassifier(random_state=0)
    honest = out_of_fold(tree, X, y, StratifiedKFold(5)).argmax(1)
    assert np.mean(clone(tree).fit(X, y).predict(X) == y) == 1
    assert np.mean(honest == y) < 0.65


def test_stacking_names_bad_input():
    X, y = datasets.load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="one or more classifiers"):
        stack([], LogisticRegression(), KFold(3))
    with pytest.raises(ValueError, match="predict_proba, got .*Perceptron"):
        stack([Perceptron()], LogisticRegression(), KFold(3))
    learn = stack([GaussianNB()], LogisticRegression(), StratifiedKFold(3))
    with pytest.raises(ValueError, match=r"at least two classes, got \[1\]"):
        learn(X, np.ones(len(X), dtype=int))
    with pytest.raises(TypeError, match="y"):
        learn(X, y[:-1])
    with pytest.raises(ValueError, match=r"every class in each training part, got only \[1 2\]"):
        out_of_fold(GaussianNB(), X, y, KFold(3))
    with pytest.raises(ValueError, match="exactly one test fold"):
        out_of_fold(GaussianNB(), X, y, TimeSeriesSplit(3))
