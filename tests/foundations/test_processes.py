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


class Gaps(np.random.Generator):
    """Keeps all draws; the first batch's gaps are divided by `shortened`."""

    def __init__(self, seed, shortened=1):
        super().__init__(np.random.PCG64(seed))
        self.batches, self.shortened = [], shortened

    def exponential(self, scale, size):
        self.batches.append(super().exponential(scale if self.batches else scale / self.shortened, size))
        return self.batches[-1]


@pytest.mark.parametrize("rate", [0.1, 3.0, 500.0])
def test_one_batch_of_gaps_reaches_the_end(rate):
    rngs = [Gaps(seed) for seed in range(20)]
    for rng in rngs:
        poisson_process(rate, 10.0, rng)
    assert [len(rng.batches) for rng in rngs] == [1] * 20


def test_a_batch_that_ends_early_is_continued_where_it_ended():
    rng = Gaps(0, shortened=6)
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


@pytest.mark.parametrize(
    "rate, duration, message",
    [
        (1e308, 1.0, r"rate \* duration must lie in \[0, 1000000000\], got 1e\+308"),
        (1e308, 1e308, r"rate \* duration .* got inf"),
        (np.nan, 1.0, "rate must be positive and finite, got nan"),
    ],
)
def test_a_refused_process_draws_nothing(rate, duration, message):
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises(ValueError, match=message):
        poisson_process(rate, duration, rng)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("scale", [1e-307, 1e-160, 1e160, 1e306])
def test_the_unit_of_time_does_not_matter(scale):
    times = poisson_process(3 / scale, 10 * scale, np.random.default_rng(4))
    assert times / scale == pytest.approx(poisson_process(3.0, 10.0, np.random.default_rng(4)))


def test_a_process_too_slow_for_any_event_has_none():
    assert len(poisson_process(5e-324, 5e-324, np.random.default_rng(0))) == 0


def test_a_rate_is_a_number():
    with pytest.raises(TypeError, match="rate must be a number, got True"):
        poisson_process(True, 1.0, np.random.default_rng(0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float16])
def test_edges_of_every_type_and_without_end(dtype):
    times = np.array([0.5, 1.5, 2.0, 7.0])
    assert count_events(times, np.array([0, 1, 2, 3], dtype=dtype)).tolist() == [1, 2, 0]
    assert count_events(times, np.array([-np.inf, 1, np.inf])).tolist() == [1, 3]
    assert count_events(np.zeros(0), np.array([0, 1], dtype=dtype)).tolist() == [0]


@pytest.mark.parametrize(
    "edges",
    [np.array([1.0, 1.0]), np.array([3, 1], dtype=np.uint8), np.array([200, 100], dtype=np.uint8), np.array([100, -100], dtype=np.int8),
     np.array([0, np.nan, 1]), np.array([np.nan, np.nan]), np.array([0.0]), np.array([])],
)  # fmt: skip
def test_bad_edges_are_named(edges):
    with pytest.raises(ValueError, match="edges must be at least two increasing numbers, got"):
        count_events(np.array([1.0]), edges)


@pytest.mark.parametrize("edges", [np.array([False, True]), np.array(["0", "1"]), np.array([[0.0, 1.0]]), np.array([0, 1j])])
def test_edges_that_are_no_vector_of_numbers_are_named(edges):
    with pytest.raises(TypeError, match="edges"):
        count_events(np.array([1.0]), edges)


@pytest.mark.parametrize("times", [[2.0, 1.0], [0.5, np.nan, 0.1], [np.nan], [0.1, np.nan], [np.nan, 0.1]])
def test_bad_times_are_named(times):
    with pytest.raises(ValueError, match="times must be in order and not NaN, got"):
        count_events(np.array(times), np.array([0.0, 0.3, 1.0]))
