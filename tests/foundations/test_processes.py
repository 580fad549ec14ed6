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


class ShortGapsFirst(np.random.Generator):
    """Draws a first batch of gaps that are too short to reach the end, and keeps all draws."""

    def exponential(self, scale, size):
        self.batches = getattr(self, "batches", [])
        self.batches.append(super().exponential(scale if self.batches else scale / 6, size))
        return self.batches[-1]


def test_a_batch_that_ends_early_is_continued_where_it_ended():
    rng = ShortGapsFirst(np.random.PCG64(0))
    times = poisson_process(3.0, 2.0, rng)
    expected = np.cumsum(np.concatenate(rng.batches))
    assert len(rng.batches) == 2
    assert np.allclose(times, expected[expected <= 2.0], atol=1e-12)


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
