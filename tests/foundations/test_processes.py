import numpy as np
import pytest
from scipy import stats

from lib.foundations.processes import count_events, poisson_process


def test_counts_are_poisson_and_gaps_exponential():
    times = poisson_process(3.0, 20_000.0, np.random.default_rng(0))
    counts = count_events(times, np.arange(20_001.0))
    observed = np.bincount(np.minimum(counts, 12), minlength=13)
    expected = np.append(stats.poisson.pmf(range(12), 3), stats.poisson.sf(11, 3)) * len(counts)
    assert counts.sum() == len(times)
    assert stats.chisquare(observed, expected).pvalue > 1e-6
    assert stats.kstest(np.diff(times), stats.expon(scale=1 / 3).cdf).pvalue > 1e-6


def test_times_are_ordered_and_inside_even_when_few():
    for seed in range(50):
        times = poisson_process(0.5, 2.0, np.random.default_rng(seed))
        assert np.all(np.diff(times) > 0) and np.all((times > 0) & (times <= 2.0))


def test_an_interval_holds_its_right_edge():
    assert count_events(np.array([1.0, 1.5, 2.0]), np.array([0.0, 1.0, 2.0])).tolist() == [1, 2]


@pytest.mark.parametrize("rate, duration, name", [(0.0, 1.0, "rate"), (-1.0, 1.0, "rate"), (1.0, np.inf, "duration")])
def test_a_rate_and_a_duration_must_be_positive(rate, duration, name):
    with pytest.raises(ValueError, match=f"{name} must be positive and finite"):
        poisson_process(rate, duration, np.random.default_rng(0))


def test_bad_edges_and_times_are_named():
    with pytest.raises(ValueError, match="edges must be"):
        count_events(np.array([1.0]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="times must be in order"):
        count_events(np.array([2.0, 1.0]), np.array([0.0, 3.0]))
