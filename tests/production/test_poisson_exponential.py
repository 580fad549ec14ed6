"""The rows of "In production" in book/foundations/poisson-exponential.ipynb, at the pinned versions."""

import numpy as np
import scipy
import torch
from scipy import stats

PAGE = "book/foundations/poisson-exponential.ipynb, section In production"
SCIPY, NUMPY, TORCH = (library.__version__ for library in (scipy, np, torch))


def test_the_parameter_of_expon_is_the_smallest_wait():
    assert stats.expon(3).support()[0] == 3 and stats.expon(3).mean() == 4, (
        f"scipy {SCIPY} (1.17.1 on the page): expon(3) no longer starts at 3; mend the row on expon(3) in {PAGE}"
    )
    assert abs(stats.expon(scale=1 / 3).mean() - 1 / 3) < 1e-15, (
        f"scipy {SCIPY} (1.17.1 on the page): expon(scale=1 / rate) has another mean; mend the advice in {PAGE}"
    )


def test_the_scale_that_expon_fits_is_the_mean_less_the_minimum():
    gaps = np.array([0.5, 1.0, 3.0])
    location, scale = stats.expon.fit(gaps)
    assert (location, scale) == (0.5, 1.0), (
        f"scipy {SCIPY} (1.17.1 on the page): expon.fit gives {(location, scale)}; mend the row on expon.fit in {PAGE}"
    )
    assert stats.expon.fit(gaps, floc=0) == (0, 1.5), (
        f"scipy {SCIPY} (1.17.1 on the page): floc=0 no longer gives the mean gap; mend the advice in {PAGE}"
    )


def test_kstest_rejects_true_poisson_counts(recwarn):
    worst = max(
        stats.kstest(np.random.default_rng(seed).poisson(3, size=1000), "poisson", args=(3,)).pvalue for seed in range(20)
    )
    assert worst < 1e-20, (
        f"scipy {SCIPY} (1.17.1 on the page): kstest gives Poisson counts p = {worst:.2g}; mend the row on kstest in {PAGE}"
    )
    assert not recwarn.list, f"scipy {SCIPY} (1.17.1 on the page): kstest warns of counts now; say so in {PAGE}"


def test_numpy_takes_the_mean_gap_and_torch_the_rate():
    mean = np.random.default_rng(0).exponential(3, size=10_000).mean()
    assert abs(mean - 3) < 0.2, (
        f"numpy {NUMPY} (2.4.6 on the page): exponential(3) has the mean {mean:.2f}; mend the row on numpy in {PAGE}"
    )
    mean = float(torch.distributions.Exponential(3.0).mean)
    assert abs(mean - 1 / 3) < 1e-6, (
        f"torch {TORCH} (2.13.0 on the page): Exponential(3.0) has the mean {mean:.3f}; mend the row on numpy in {PAGE}"
    )
