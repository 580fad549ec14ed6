"""Checks of the book's numbered equations, one function for each kind.

A check prints one line, the same on every machine, or raises `ClaimFailed`. A call that could not fail raises
`UselessCheck`. `unlike` names plausible mistakes; each must fail the very comparison that the claim passes.
"""

import math
import sys
from collections.abc import Callable, Mapping
from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import special

from lib.course.slips import slip
from lib.course.verify import (
    Claim,
    ClaimFailed,
    UselessCheck,
    as_array,
    as_expressions,
    require_controls,
    require_shape,
    require_tolerance,
    worst,
)

__all__ = [
    "ClaimFailed", "UselessCheck", "slip", "symbolic", "exact", "statistical", "order", "bound", "cost", "measured",
]  # fmt: skip

LOOSEST_EXACT = 1e-2
MOST_HIDDEN = 0.1
LOOSEST_SLACK = 1e-6
HIGHEST_Z = 6.0
FARTHEST_FROM_POWER_LAW = 1.5
UNDERFLOW_Z = 40.0


def symbolic(number: int, lhs, rhs, *, what: str, unlike: Mapping[str, object] = {}) -> None:
    """The difference of two sympy expressions, or of two matrices of one shape, simplifies to zero.

    A control stands in for `lhs`.
    """
    right = as_expressions(number, rhs)
    if as_expressions(number, lhs) == right and not unlike:
        raise UselessCheck(f"({number}): both sides are the same expression: give a control in unlike")

    def compare(value):
        import sympy

        left = as_expressions(number, value)
        require_shape(number, np.empty(left.shape), right.shape)
        rest = [entry for entry in (left - right).applyfunc(sympy.simplify) if entry != 0]
        return float(len(rest)), f"the difference simplifies to {rest[0] if rest else 0}"

    Claim(number, "symbolic", "difference 0", what, unlike).verify(compare, lhs, 0.0)


def exact(
    number: int,
    got: ArrayLike,
    want: ArrayLike,
    *,
    atol: float,
    rtol: float = 0.0,
    what: str,
    unlike: Mapping[str, ArrayLike] = {},
    hidden_because: str = "",
) -> None:
    """Every entry of `got` is within `atol + rtol |want|` of that of `want`; 0 and 0 demand equality.

    A control stands in for `got`. `atol` may be at most a hundredth of the largest |want|, or of 1 where every entry is
    to be 0, and `rtol` a hundredth. Entries that are not 0 and lie within `atol` of it could take any sign unseen:
    more than a tenth of them are refused, unless `hidden_because` says why that is right here.
    """
    require_tolerance(number, "atol", atol)
    require_tolerance(number, "rtol", rtol)
    if (got is want and not isinstance(got, int)) or _share_memory(got, want):
        raise UselessCheck(f"({number}): got and want are the same object, so they cannot differ")
    right = as_array(number, want, kinds="biufc")
    sizes = np.abs(right)
    if atol > LOOSEST_EXACT * (sizes.max() or 1.0):
        raise UselessCheck(f"({number}): atol = {atol:g} is too wide beside the largest |want|, {sizes.max():g}")
    if rtol > LOOSEST_EXACT:
        raise UselessCheck(f"({number}): rtol must be at most {LOOSEST_EXACT:g}, got {rtol:g}")
    hidden, some = np.count_nonzero((sizes > 0) & (sizes <= atol)), np.count_nonzero(sizes)
    if hidden > MOST_HIDDEN * some and not hidden_because:
        raise UselessCheck(
            f"({number}): {hidden} of {some} entries that are not 0 lie within atol = {atol:g} of 0 and could "
            "hide: narrow atol, use rtol, or say why in hidden_because"
        )
    allowed = atol + rtol * sizes

    def compare(value):
        left = as_array(number, value, kinds="biufc")
        require_shape(number, left, right.shape)
        deviations = np.abs(left - right)
        with np.errstate(divide="ignore"):
            shares = np.divide(deviations, allowed, out=np.zeros_like(deviations), where=deviations > 0)
        at = worst(shares)
        return float(shares[at]), f"expected {right[at]} within {allowed[at]:g}, got {left[at]} at index {at}"

    threshold = " + ".join([f"{atol:g}"] * bool(atol > 0 or not rtol) + [f"{rtol:g} relative"] * bool(rtol > 0))
    Claim(number, "exact", threshold, what, unlike).verify(compare, got, 1.0)


def statistical(
    number: int,
    samples: ArrayLike,
    mean: ArrayLike | None = None,
    *,
    cdf: Callable[[np.ndarray], np.ndarray] | None = None,
    probabilities: ArrayLike | None = None,
    z: float = 5.0,
    what: str,
    unlike: Mapping[str, object] = {},
    unlike_samples: Mapping[str, ArrayLike] = {},
) -> None:
    """Independent samples of shape (N, …) agree with one reference, at the significance of `z` standard errors.

    The reference is the `mean` of every component, a continuous `cdf` (Kolmogorov–Smirnov test) or the
    `probabilities` of the outcomes 0, 1, … (chi-square test). A control in `unlike` is another reference of the same
    kind; one in `unlike_samples` is what a biased method would have drawn. At least one control is needed.
    """
    for controls in (unlike, unlike_samples):
        require_controls(number, controls)
    if set(unlike) & set(unlike_samples):
        raise UselessCheck(f"({number}): two controls have one name: {sorted(set(unlike) & set(unlike_samples))}")
    if not (isinstance(z, Real) and 0 < z <= HIGHEST_Z):
        raise UselessCheck(f"({number}): z must lie in (0, {HIGHEST_Z:g}], got {z}")
    tests = [(mean, _mean_test), (cdf, _kolmogorov_smirnov_test), (probabilities, _chi_square_test)]
    given = [(reference, test) for reference, test in tests if reference is not None]
    if len(given) != 1:
        raise UselessCheck(f"({number}): give one of mean, cdf and probabilities, got {len(given)}")
    reference, test = given[0]
    draws = as_array(number, samples)
    if draws.ndim == 0 or len(draws) < 30:
        raise UselessCheck(f"({number}): at least 30 samples are needed, got shape {draws.shape}")
    cases = {name: (draws, other) for name, other in unlike.items()}
    cases |= {name: (as_array(number, other), reference) for name, other in unlike_samples.items()}
    claim = Claim(number, "statistical", f"z = {z:g}, N = {len(draws):,}", what, cases)
    claim.verify(lambda case: test(number, *case), (draws, reference), z)


def order(
    number: int,
    sizes: ArrayLike,
    values: ArrayLike,
    *,
    exponent: float,
    tol: float,
    what: str,
    unlike: Mapping[str, ArrayLike] = {},
) -> None:
    """`values` grow like `sizes ** exponent`: the fitted log-log slope is within `tol`. A control stands in for `values`.

    `sizes` span a factor of 4 at least, and every value lies within a factor of 1.5 of the fitted power law.
    """
    require_tolerance(number, "tol", tol)
    if tol >= 0.5:
        raise UselessCheck(f"({number}): tol must be below 0.5 to tell neighbouring orders apart, got {tol:g}")
    exponent = float(as_array(number, exponent))
    x = as_array(number, sizes)
    if x.ndim != 1 or len(np.unique(x)) < 3 or np.any(x <= 0) or x.max() < 4 * x.min():
        raise UselessCheck(f"({number}): sizes must be three positive numbers or more that span a factor of 4, got {x}")

    def compare(value):
        y = as_array(number, value)
        require_shape(number, y, x.shape)
        if np.any(y <= 0):
            raise UselessCheck(f"({number}): values must be positive, got {y.min()}")
        slope, intercept = np.polyfit(np.log(x), np.log(y), 1)
        factor = np.exp(np.abs(np.log(y) - slope * np.log(x) - intercept).max())
        if factor > FARTHEST_FROM_POWER_LAW:
            return np.inf, f"the values are no power law: one is a factor of {factor:.3g} off the fitted one"
        return float(abs(slope - exponent)), f"expected exponent {exponent:g} within {tol:g}, got {slope:.4g}"

    Claim(number, "order", f"exponent {exponent:g} ± {tol:g}", what, unlike).verify(compare, values, tol)


def bound(
    number: int,
    smaller: ArrayLike,
    larger: ArrayLike,
    *,
    what: str,
    unlike: Mapping[str, ArrayLike],
    slack: float = 0.0,
) -> None:
    """`smaller <= larger + slack` in every case. A control is a sharper `larger`.

    `slack` allows for rounding: at most a millionth of the largest |larger|.
    """
    require_tolerance(number, "slack", slack)
    left = as_array(number, smaller)
    if slack > LOOSEST_SLACK * np.abs(as_array(number, larger)).max():
        raise UselessCheck(f"({number}): slack = {slack:g} is wider than rounding needs")

    def compare(value):
        right = as_array(number, value)
        require_shape(number, right, left.shape)
        at = worst(left - right)
        return float(left[at] - right[at]), f"{left[at]} exceeds its bound {right[at]} at index {at}"

    threshold = f"N = {left.size:,}" + (f", slack {slack:g}" if slack else "")
    Claim(number, "bound", threshold, what, unlike).verify(compare, larger, slack)


def cost(number: int, counted: ArrayLike, formula: ArrayLike, *, what: str, unlike: Mapping[str, ArrayLike] = {}) -> None:
    """A count (operations, bytes, evaluations) equals its formula in whole numbers. A control stands in for `formula`."""
    left = as_array(number, counted)
    if not np.any(left) or np.any(left < 0):
        raise UselessCheck(f"({number}): expected counts, none negative and not all zero, got {left.tolist()}")

    def compare(value):
        right = as_array(number, value)
        require_shape(number, right, left.shape)
        if np.any(left % 1) or np.any(right % 1):
            raise UselessCheck(f"({number}): counts and formulas must be whole numbers, got {left} and {right}")
        return float(np.max(np.abs(left - right))), f"counted {left.tolist()}, the formula gives {right.tolist()}"

    Claim(number, "cost", "equal", what, unlike).verify(compare, formula, 0.0)


def measured(number: int, effect: float, *, at_least: float, what: str, unlike: Mapping[str, float]) -> None:
    """An experiment's effect reaches `at_least` on this run's seed.

    A control stands in for `effect`: what the same experiment gives when the mistake is made (trained the wrong way round,
    judged on the training rows), not arithmetic on the result.
    """
    if not (isinstance(at_least, Real) and 0 < at_least <= sys.float_info.max):
        raise UselessCheck(f"({number}): at_least must be positive and finite, got {at_least}")
    claim = Claim(number, "measured", f"at least {at_least:g}", what, unlike)

    def compare(value):
        size = as_array(number, value)
        require_shape(number, size, ())
        return -float(size), f"expected an effect of at least {at_least:g}, got {size:.4g}"

    claim.verify(compare, effect, -at_least)


def _share_memory(a, b):
    arrays = [_as_bytes(x) if isinstance(x, torch.Tensor) else x for x in (a, b)]
    return all(isinstance(x, np.ndarray) for x in arrays) and np.shares_memory(*arrays)


def _as_bytes(tensor):
    """A tensor's memory as an array, also of the types that numpy lacks (bfloat16, float8)."""
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.view(torch.int16 if tensor.element_size() == 2 else torch.uint8)
    return tensor.numpy()


def _mean_test(number, draws, mean):
    want = as_array(number, mean)
    require_shape(number, want, draws.shape[1:])
    error = draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
    if np.any(error == 0):
        raise UselessCheck(f"({number}): some samples do not vary, so they have no standard error")
    got = draws.mean(axis=0)
    scores = np.abs(got - want) / error
    at = worst(scores)
    return float(scores[at]), f"expected mean {want[at]:.6g}, got {got[at]:.6g} ± {error[at]:.2g} at index {at}"


def _kolmogorov_smirnov_test(number, draws, cdf):
    if not callable(cdf):
        raise UselessCheck(f"({number}): cdf must be a function of an array, got {cdf!r}")
    require_shape(number, draws, (len(draws),))
    from scipy import stats

    p = stats.kstest(draws, cdf).pvalue
    return _deviate(p), f"the Kolmogorov–Smirnov test gives p = {p:.2g}"


def _chi_square_test(number, draws, probabilities):
    require_shape(number, draws, (len(draws),))
    chances = as_array(number, probabilities)
    if chances.ndim != 1 or np.any(chances < 0) or abs(chances.sum() - 1) > 1e-9:
        raise UselessCheck(f"({number}): probabilities must be non-negative and sum to 1, got {chances}")
    if np.any(draws % 1) or draws.min() < 0 or draws.max() >= len(chances):
        raise UselessCheck(f"({number}): samples must be whole numbers from 0 to {len(chances) - 1}")
    expected = chances * len(draws)
    if expected.min() < 5:
        raise UselessCheck(f"({number}): merge outcomes until each is expected 5 times, got {expected.min():.2g}")
    counts = np.bincount(draws.astype(int), minlength=len(chances))
    p = special.chdtrc(len(chances) - 1, np.sum((counts - expected) ** 2 / expected))
    return _deviate(p), f"the chi-square test gives p = {p:.2g}"


def _deviate(p):
    """The two-sided normal deviate with tail probability `p`."""
    return UNDERFLOW_Z if p == 0 else float(-special.ndtri(p / 2))
