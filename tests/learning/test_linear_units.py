from itertools import product

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from lib.learning.linear_units import cover_count, is_separable, prior_bias


@pytest.mark.parametrize("N, d, counts", [(4, 2, (8, 14)), (6, 2, (12, 32)), (6, 3, (32, 52))])
def test_covers_count_is_that_of_all_labellings(N, d, counts):
    X = np.random.default_rng(0).normal(size=(N, d))
    for bias, count in zip((False, True), counts):
        separable = sum(is_separable(X, np.array(y), bias) for y in product((-1, 1), repeat=N))
        assert separable == cover_count(N, d, bias) == count


def test_few_points_are_always_separable():
    assert cover_count(3, 10**8, True) == cover_count(3, 10**18, False) == cover_count(3, 2, True) == 8
    assert cover_count(20_000, 9_999, True) == 2**19_999  # half of all labellings: 2 d points for d parameters
    assert cover_count(1000, 10**9, True) == 2**1000 and cover_count(5, 4, True) == 32 == cover_count(5, 4, False) + 2
    assert cover_count(3, 2, True) == 8 and cover_count(1, 5, False) == 2
    assert cover_count(50, 70, False) == 2**50


@pytest.mark.parametrize("bias", [False, True])
def test_separability_agrees_with_logistic_regression_without_penalty(bias):
    rng = np.random.default_rng(1)
    answers = []
    for _ in range(12):
        X, y = rng.normal(size=(7, 2)) + 0.5, rng.choice([-1, 1], size=7)
        if abs(y.sum()) < 7:
            fitted = LogisticRegression(C=1e8, fit_intercept=bias, max_iter=5000).fit(X, y)
            answers.append((is_separable(X, y, bias), bool(np.all(fitted.predict(X) == y))))
    assert all(a == b for a, b in answers) and len(set(answers)) == 2


def test_a_feature_that_is_always_zero_changes_nothing():
    assert is_separable(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([1, 1]), False)


def test_known_labellings():
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert is_separable(X, np.array([-1, -1, -1, 1]), True)
    assert not is_separable(X, np.array([-1, 1, 1, -1]), True)
    assert not is_separable(X, np.array([-1, -1, -1, 1]), False)
    line = np.array([[1.0], [2.0], [3.0]])
    assert is_separable(line, np.array([-1, 1, 1]), True) and not is_separable(line, np.array([-1, 1, 1]), False)
    assert not is_separable(line, np.array([-1, 1, -1]), True)
    assert not is_separable(np.ones((2, 1)), np.array([-1, 1]), True)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_scale_of_the_points_does_not_matter(scale):
    X, y = np.random.default_rng(2).normal(size=(6, 3)), np.array([-1, 1, -1, 1, 1, 1])
    assert is_separable(scale * X, y, False) == is_separable(X, y, False)


@pytest.mark.parametrize("scale", [5e-324, 1e-170, 1e155, 8e307])
def test_every_scale_is_decided(scale):
    line = scale * np.array([[1.0], [2.0]])
    for y, bias, answer in [([1, 1], False, True), ([-1, 1], False, False), ([-1, 1], True, True), ([1, 1], True, True)]:
        assert is_separable(line, np.array(y), bias) is answer
    X = scale * np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert is_separable(X, np.array([-1, -1, -1, 1]), True)
    assert not is_separable(X, np.array([-1, 1, 1, -1]), True)
    assert is_separable(np.array([[scale]]), np.array([1]), False)


@pytest.mark.parametrize("scales", [(1e155, 1e-155), (1e-300, 1e300), (5e-324, 1.0), (1.0, 1e200)])
def test_features_and_points_of_mixed_scales_are_decided(scales):
    X = np.array([[1.0, 2.0], [2.0, 1.0], [-1.0, 1.0], [-2.0, -3.0]])
    for y in product((-1, 1), repeat=4):
        for bias in (False, True):
            plain = is_separable(X, np.array(y), bias)
            assert is_separable(X * np.array(scales), np.array(y), bias) == plain
            assert bias or is_separable(X * np.repeat(scales, 2)[:, None], np.array(y), bias) == plain
    far = np.array([[1.0], [2.0], [1e155]])
    assert is_separable(far, np.array([-1, 1, 1]), True) and not is_separable(far, np.array([-1, 1, -1]), True)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64, np.float16])
def test_labels_of_every_type(dtype):
    X = np.array([[1.0], [2.0]])
    assert is_separable(X, np.ones(2, dtype=dtype), False)


def test_a_point_at_the_origin_is_on_no_side():
    assert not is_separable(np.array([[0.0], [1.0]]), np.array([1, 1]), False)
    assert is_separable(np.array([[0.0], [1.0]]), np.array([1, 1]), True)


def test_prior_bias_is_the_log_odds():
    for pi in (1e-12, 0.01, 0.5, 0.9):
        assert expit(prior_bias(pi)) == pytest.approx(pi, rel=1e-12)


def test_bad_input_is_named():
    X, y = np.zeros((2, 2)), np.array([-1, 1])
    for call, message in [
        (lambda: cover_count(0, 2, True), "N must be at least 1, got 0"),
        (lambda: cover_count(2, 0, True), "d must be at least 1, got 0"),
        (lambda: is_separable(X, np.array([0, 1]), True), r"y must be -1 or 1, and not empty, got \[0 1\]"),
        (lambda: is_separable(X, np.array([-128, 1], dtype=np.int8), True), "y must be -1 or 1"),
        (lambda: is_separable(X[:0], y[:0], True), r"X must not be empty, got shape \(0, 2\)"),
        (lambda: is_separable(X[:, :0], y, True), r"X must not be empty, got shape \(2, 0\)"),
        (lambda: is_separable(X + np.nan, y, True), "X must be finite, got NaN or infinite entries"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    for call, name in [
        (lambda: is_separable(X, np.ones(3), True), "y"),
        (lambda: is_separable(X, np.array([True, True]), True), "y"),
        (lambda: cover_count(True, 2, True), "N must be a number, got True"),
        (lambda: cover_count(2, True, True), "d must be a number, got True"),
        (lambda: cover_count(2, 2, 1), "bias"),
        (lambda: prior_bias(True), "pi must be a number, got True"),
    ]:
        with pytest.raises(TypeError, match=name):
            call()
    for pi in (0.0, 1.0, -0.2, float("nan")):
        with pytest.raises(ValueError, match=rf"pi must lie in \(0, 1\), got {pi}"):
            prior_bias(pi)
