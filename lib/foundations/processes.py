"""The Poisson process: random event times, and how many fall where."""

import numpy as np
from jaxtyping import Float64, Int64

from lib.course.ranges import require_positive
from lib.course.shapes import checked


@checked
def poisson_process(
    rate: float, duration: float, rng: np.random.Generator
) -> Float64[np.ndarray, "events"]:
    """Ordered event times in (0, duration] at `rate` events per unit of time, as sums of exponential gaps."""
    require_positive("rate", rate)
    require_positive("duration", duration)
    times = np.empty(0)
    last = 0.0
    while last <= duration:
        expected = rate * (duration - last)
        gaps = rng.exponential(1 / rate, size=int(expected + 4 * np.sqrt(expected) + 10))
        times = np.concatenate([times, last + np.cumsum(gaps)])
        last = times[-1]
    return times[times <= duration]


@checked
def count_events(times: Float64[np.ndarray, "events"], edges: np.ndarray) -> Int64[np.ndarray, "intervals"]:
    """How many of the ordered times lie in each interval (edges[i], edges[i + 1]]; `edges` must increase."""
    if edges.ndim != 1 or len(edges) < 2 or np.any(np.diff(edges) <= 0):
        raise ValueError(f"edges must be at least two increasing numbers, got {edges}")
    if np.any(np.diff(times) < 0):
        raise ValueError("times must be in order")
    return np.diff(np.searchsorted(times, edges, side="right"))
