from itertools import product
from math import prod

import numpy as np
import pytest
from scipy.special import ndtr
from sklearn import datasets
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
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
    "n, p, error, message",
    [
        (4, 0.3, ValueError, "n must be odd, from 1 to 10\\^9, got 4"),
        (-1, 0.3, ValueError, "n must be at least 1, got -1"),
        (10**9 + 1, 0.5, ValueError, "n must be odd, from 1 to 10\\^9, got 1000000001"),
        (2**53 + 1, 0.5, ValueError, "n must be odd, from 1 to 10\\^9, got 9007199254740993"),
        (10**400 + 1, 0.5, ValueError, "n must be odd"),
        (3, 1.2, ValueError, r"p must lie in \[0, 1\], got 1.2"),
        (3, np.nan, ValueError, r"p must lie in \[0, 1\], got nan"),
        (True, 0.3, TypeError, "n must be a number, got True"),
        (3, True, TypeError, "p must be a number, got True"),
    ],
)
def test_majority_error_names_bad_input(n, p, error, message):
    with pytest.raises(error, match=message):
        majority_error(n, p)


def test_majority_error_of_very_many_voters_is_normal():
    """By the central limit theorem, whose error is of the order 1/n for a symmetric vote."""
    n = 10**9 - 1
    for z in (-3.0, -1.0, 0.0, 2.0):
        assert majority_error(n, 0.5 + z / (2 * n**0.5)) == pytest.approx(ndtr(z), rel=1e-6)


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
    for predictions in (np.zeros(2), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="a hypothesis' predictions must be -1 or 1"):
            adaboost(X, np.array([-1, 1]), lambda X, y, w: lambda X: predictions, 1)
    for predictions in (1.0, np.ones(1), np.ones((2, 1)), np.array([True, True]), None):
        with pytest.raises(ValueError, match=r"a hypothesis must return real numbers of shape \(2,\), got shape"):
            adaboost(X, np.array([-1, 1]), lambda X, y, w: lambda X: predictions, 1)
        with pytest.raises(ValueError, match=r"a hypothesis must return real numbers of shape \(2,\), got shape"):
            vote([lambda X: predictions], np.ones(1), X)
    with pytest.raises(ValueError, match="hypotheses must be as many as alphas, and at least one, got 0 and 0"):
        vote([], np.zeros(0), X)
    with pytest.raises(ValueError, match="hypotheses must be as many as alphas, and at least one, got 1 and 2"):
        vote([lambda X: np.ones(2)], np.ones(2), X)
    with pytest.raises(TypeError, match="T must be a number, got True"):
        adaboost(X, np.array([-1, 1]), stump, True)
    with pytest.raises(TypeError, match="y"):
        adaboost(X, np.ones(3), stump, 1)


def test_learners_and_hypotheses_may_overwrite_their_arguments_and_reuse_their_answers():
    X, y = cancer()
    X, y = X[:100], 2 * y[:100] - 1
    before, answer = X.copy(), np.empty(100)

    def greedy(X, y, w):
        tree = DecisionTreeClassifier(max_depth=1, random_state=0).fit(X, y, sample_weight=w)
        X[:], y[:], w[:] = 0, 1, 0

        def predict(X):
            answer[:] = tree.predict(X)
            X[:] = 0
            return answer

        return predict

    hypotheses, alphas = adaboost(X, y, greedy, 8)
    others, want = adaboost(X, y, stump, 8)
    assert np.array_equal(alphas, want)
    assert np.array_equal(vote(hypotheses, alphas, X), vote(others, want, X)) and np.array_equal(X, before)


@pytest.mark.parametrize("dtype", [np.int8, np.float16])
def test_narrow_labels_and_predictions_boost_as_wide_ones(dtype):
    X, y = cancer()
    y = 2 * y - 1
    narrow = lambda X, y, w: (lambda h: lambda Z: h(Z).astype(dtype))(stump(X, y, w))
    (_, alphas), (_, want) = adaboost(X, y.astype(dtype), narrow, 10), adaboost(X, y, stump, 10)
    assert alphas == pytest.approx(want, rel=1e-12)
    with pytest.raises(ValueError, match="error below 1/2"):
        adaboost(X[:2], np.ones(2, dtype=np.uint8), lambda X, y, w: lambda Z: -np.ones(2, dtype=np.int8), 1)


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


def test_classifiers_that_overwrite_their_features_are_stacked_like_others():
    X, y = datasets.load_wine(return_X_y=True)
    outcomes = []
    for copy in (True, False):
        bases = [make_pipeline(StandardScaler(copy=copy), GaussianNB()), DecisionTreeClassifier(max_depth=2, random_state=0)]
        train, test = X[::2].copy(), X[1::2].copy()
        outcomes.append(stack(bases, LogisticRegression(), StratifiedKFold(3))(train, y[::2])(test))
        assert np.array_equal(train, X[::2]) and np.array_equal(test, X[1::2])
    assert np.array_equal(*outcomes)


@pytest.mark.parametrize("cv", [5, 5.0, None, "5", KFold, [(0, 1)]])
def test_what_is_no_splitter_is_named(cv):
    X, y = datasets.load_iris(return_X_y=True)
    with pytest.raises(TypeError, match=r"cv must be a splitter like KFold\(5\), got"):
        out_of_fold(GaussianNB(), X, y, cv)
    with pytest.raises(TypeError, match=r"cv must be a splitter like KFold\(5\), got"):
        stack([GaussianNB()], LogisticRegression(), cv)


def test_folds_that_do_not_hold_each_row_once_are_named():
    class Folds(KFold):
        def __init__(self, *folds):
            self.folds = folds

        def split(self, X, y):
            return iter(self.folds)

    X, y = np.arange(4.0)[:, None], np.array([0, 1, 0, 1])
    rows = np.arange(4)
    for folds in ([], [(rows, rows[:2])], [(rows, rows), (rows, rows)]):
        with pytest.raises(ValueError, match="exactly one test fold"):
            out_of_fold(GaussianNB(), X, y, Folds(*folds))
    with pytest.raises(ValueError, match="cv must leave a test fold out of its training part"):
        out_of_fold(GaussianNB(), X, y, Folds((rows, rows)))


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
    with pytest.raises(ValueError, match="meta must have predict_proba, got .*Perceptron"):
        stack([GaussianNB()], Perceptron(), KFold(3))
    learn = stack([GaussianNB()], LogisticRegression(), StratifiedKFold(3))
    with pytest.raises(ValueError, match=r"at least two classes, got \[1\]"):
        learn(X, np.ones(len(X), dtype=int))
    with pytest.raises(TypeError, match="y"):
        learn(X, y[:-1])
    with pytest.raises(ValueError, match=r"X must hold rows of at least one number, got shape \(150, 0\)"):
        out_of_fold(GaussianNB(), X[:, :0], y, KFold(3))
    with pytest.raises(TypeError, match="hypotheses"):
        vote([max, None], np.ones(2), X)
    with pytest.raises(ValueError, match=r"every class in each training part, got only \[1 2\]"):
        out_of_fold(GaussianNB(), X, y, KFold(3))
    with pytest.raises(ValueError, match="exactly one test fold"):
        out_of_fold(GaussianNB(), X, y, TimeSeriesSplit(3))
