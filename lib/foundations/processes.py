"""The Poisson process: random event times, and how many fall where."""

import numpy as np

from lib.course.ranges import require_in, require_positive
from lib.course.shapes import Float64, Int64, Real, checked

MOST_EVENTS = 10**9


@checked
def poisson_process(
    rate: float, duration: float, rng: np.random.Generator
) -> Float64[np.ndarray, "events"]:
    """Ordered event times in (0, duration] at `rate` events per unit of time, as sums of exponential gaps.

    Raises `ValueError` for a rate or a duration out of range, and where more than 1e9 events are expected.
    """
    require_positive("rate", rate)
    require_positive("duration", duration)
    require_in("rate * duration", rate * duration, 0, MOST_EVENTS)
    times = np.empty(0)
    last = 0.0
    while last <= duration:
        expected = rate * (duration - last)
        gaps = rng.exponential(1 / rate, size=int(expected + 4 * np.sqrt(expected) + 10))
        times = np.concatenate([times, last + np.cumsum(gaps)])
        last = times[-1]
    return times[times <= duration]


@checked
def count_events(
    times: Float64[np.ndarray, "events"], edges: Real[np.ndarray, "edges"]
) -> Int64[np.ndarray, "intervals"]:
    """How many of the ordered times lie in each interval (edges[i], edges[i + 1]]; `edges` must increase.

    Raises `ValueError` for edges or times out of order, or NaN.
    """
    if len(edges) < 2 or not np.all(edges[:-1] < edges[1:]):
        raise ValueError(f"edges must be at least two increasing numbers, got {edges}")
    if np.any(np.isnan(times)) or np.any(times[:-1] > times[1:]):
        raise ValueError(f"times must be in order and not NaN, got {times}")
    return np.diff(np.searchsorted(times, edges, side="right"))
