"""Every kind of claim passes on a true claim, raises on a false one, and refuses a call that could not fail."""

import json

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import stats

from lib.course import claims
from lib.course.claims import ClaimFailed, UselessCheck
from lib.course.verify import Claim

x = sp.symbols("x")
rng = np.random.default_rng(0)
normal = rng.normal(size=4000)
exponential = rng.exponential(size=4000)
dice = rng.integers(3, size=4000)
cdf = lambda rate: lambda t: 1 - np.exp(-rate * t)
sizes = np.array([1.0, 2.0, 4.0, 8.0])


def symbolic(lhs=sp.sin(x) ** 2 + sp.cos(x) ** 2, rhs=sp.Integer(1), **options):
    claims.symbolic(1, lhs, rhs, **{"what": "w", **options})


def exact(got=(1.0, 2.0), want=np.array([1.0, 2.0]), **options):
    claims.exact(1, got, want, **{"what": "w", "atol": 1e-6, **options})


def statistical(samples=normal, mean=0.0, **options):
    claims.statistical(1, samples, mean, **{"what": "w", "unlike": {"one": 1.0}, **options})


def order(values=3 * sizes**2, **options):
    claims.order(1, options.pop("sizes", sizes), values, **{"what": "w", "exponent": 2, "tol": 0.1, **options})


def bound(smaller=(1.0, 2.0), larger=(1.5, 2.0), **options):
    claims.bound(1, smaller, larger, **{"what": "w", "unlike": {"sharper": (1.5, 1.9)}, **options})


def cost(counted=(12, 20), formula=(12, 20), **options):
    claims.cost(1, counted, formula, **{"what": "w", **options})


def measured(effect=0.5, **options):
    claims.measured(1, effect, **{"what": "w", "at_least": 0.3, "unlike": {"none": 0.0}, **options})


@pytest.mark.parametrize(
    "call, line",
    [
        (lambda: symbolic(unlike={"minus": sp.sin(x) ** 2 - sp.cos(x) ** 2}), "✓ (1) symbolic · difference 0 · w · rejects: minus"),
        (lambda: symbolic(sp.Matrix([x, (x + 1) ** 2]), [x, x**2 + 2 * x + 1]), "✓ (1) symbolic · difference 0 · w"),
        (lambda: symbolic(sp.Integral(sp.exp(-x), (x, 0, sp.oo)), 1), "✓ (1) symbolic · difference 0 · w"),
        (lambda: exact(unlike={"a": (1, 3), "b": (2, 2)}), "✓ (1) exact · 1e-06 · w · rejects: a; b"),
        (lambda: exact(torch.ones(2, requires_grad=True), np.ones(2), atol=0), "✓ (1) exact · 0 · w"),
        (lambda: exact([2**53, -(2**53)], [2**53, -(2**53)], atol=0), "✓ (1) exact · 0 · w"),
        (lambda: exact([1 + 2j], [1 + 2j]), "✓ (1) exact · 1e-06 · w"),
        (lambda: exact((1e6 + 1, 1e-6), (1e6, 1e-6), atol=0, rtol=1e-5), "✓ (1) exact · 1e-05 relative · w"),
        (lambda: exact((1.0, 2.1), atol=1e-6, rtol=1e-2, want=(1.0, 2.09)), "✓ (1) exact · 1e-06 + 0.01 relative · w"),
        (lambda: exact((1.0, 0.0), (1.0, 1e-9), hidden_because="a zero up to rounding"), "✓ (1) exact · 1e-06 · w"),
        (lambda: exact(torch.ones(2, 3).bfloat16(), torch.ones(2, 3).bfloat16()), "✓ (1) exact · 1e-06 · w"),
        (lambda: statistical(), "✓ (1) statistical · z = 5, N = 4,000 · w · rejects: one"),
        (lambda: statistical(unlike={}, unlike_samples={"shifted": normal + 1}), "✓ (1) statistical · z = 5, N = 4,000 · w · rejects: shifted"),
        (lambda: statistical(normal[:30], z=6, unlike={"far": 9.0}), "✓ (1) statistical · z = 6, N = 30 · w · rejects: far"),
        (lambda: statistical(exponential, None, cdf=cdf(1), unlike={"rate": cdf(2)}), "✓ (1) statistical · z = 5, N = 4,000 · w · rejects: rate"),
        (lambda: statistical(dice, None, probabilities=[1 / 3] * 3, unlike={"skew": [0.5, 0.25, 0.25]}), "✓ (1) statistical · z = 5, N = 4,000 · w · rejects: skew"),
        (lambda: order(unlike={"cubic": sizes**3}), "✓ (1) order · exponent 2 ± 0.1 · w · rejects: cubic"),
        (lambda: bound(), "✓ (1) bound · N = 2 · w · rejects: sharper"),
        (lambda: bound((1, 2), (1.5, 2 - 1e-9), slack=1e-6), "✓ (1) bound · N = 2, slack 1e-06 · w · rejects: sharper"),
        (lambda: cost(unlike={"twice": (24, 40)}), "✓ (1) cost · equal · w · rejects: twice"),
        (lambda: measured(unlike={"none": 0.0}), "✓ (1) measured · at least 0.3 · w · rejects: none"),
    ],
)  # fmt: skip
def test_a_true_claim_prints_its_line(call, line, capsys):
    call()
    assert capsys.readouterr().out == line + "\n"


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: symbolic(sp.sin(x)), "simplifies to"),
        (lambda: symbolic(sp.Matrix([1, x]), [1, 0], unlike={"zero": sp.zeros(2, 1)}), "simplifies to x"),
        (lambda: exact((1.0, 1.9)), r"expected 2.0 within 1e-06, got 1.9 at index \(1,\)"),
        (lambda: exact(1 + 2j, 1 + 3j), "expected"),
        (lambda: exact(0.1 + 1e-14, 0.1, atol=1e-15), "expected"),
        (lambda: exact((1.0, 2.1)), r"expected 2.0 within 1e-06, got 2.1 at index \(1,\)"),
        (lambda: exact((1e6 + 20, 1.0), (1e6, 1.0), atol=0, rtol=1e-5), r"within 10, got 1000020.0 at index \(0,\)"),
        (lambda: exact((1e6, 1.001), (1e6, 1.0), atol=0, rtol=1e-5), r"within 1e-05, got 1.001 at index \(1,\)"),
        (lambda: exact((1.0, 1e-300), (1.0, 0.0), atol=0, rtol=1e-5), r"expected 0.0 within 0, got 1e-300"),
        (lambda: statistical(normal + 0.2), "expected mean 0"),
        (lambda: statistical(np.stack([normal, normal + 1], axis=1), [0.0, 0.0], unlike={"one": [1.0, 1.0]}), r"at index \(1,\)"),
        (lambda: statistical(exponential, None, cdf=cdf(1.5), unlike={"rate": cdf(2)}), "Kolmogorov"),
        (lambda: statistical(dice, None, probabilities=[0.4, 0.3, 0.3], unlike={"skew": [0.5, 0.25, 0.25]}), "chi-square"),
        (lambda: order([1, 300, 1, 30000], exponent=4), "no power law"),
        (lambda: order(sizes**1.5), "expected exponent 2 within 0.1, got 1.5"),
        (lambda: bound((1.6, 2.0)), r"1.6 exceeds its bound 1.5 at index \(0,\)"),
        (lambda: cost((12, 21)), "the formula gives"),
        (lambda: measured(0.2), "an effect of at least 0.3, got 0.2"),
    ],
)  # fmt: skip
def test_a_false_claim_raises_and_says_what_came(call, words, capsys):
    with pytest.raises(ClaimFailed, match=words):
        call()
    assert capsys.readouterr().out == ""


KINDS = [symbolic, exact, statistical, order, bound, cost, measured]
GOOD_CONTROL = {
    symbolic: sp.Integer(1), exact: (1.0, 2.0), statistical: 0.0, order: sizes**2, bound: (1.5, 2.0),
    cost: (12, 20), measured: 0.5,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_that_passes_is_refused(kind):
    with pytest.raises(UselessCheck, match="the control 'correct' passes"):
        kind(unlike={"correct": GOOD_CONTROL[kind]})


@pytest.mark.parametrize("answer", [None, (0.0,), ([0.0], "message"), (None, "message")])
def test_a_comparison_that_gives_no_deviation_is_refused(answer):
    claim = Claim(1, "exact", "0", "w", {"off": 1.0})
    with pytest.raises(UselessCheck, match="compare must return a deviation and a message, got"):
        claim.verify(lambda value: answer, 0.0, 0.0)
    with pytest.raises(UselessCheck, match="compare must return a deviation and a message, got"):
        claim.verify(lambda value: answer if value else (0.0, "message"), 0.0, 0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", ["", " ", "a · b", "a ·", "a; b", "a\nb", "a\t✓ (2)", "✓", 3])
def test_a_text_that_would_break_the_line_is_refused(kind, words):
    with pytest.raises(UselessCheck, match="must be one plain line"):
        kind(what=words)


@pytest.mark.parametrize("number", [0, -1, 2.0, "3", True])
def test_a_number_that_no_equation_has_is_refused(number):
    with pytest.raises(UselessCheck, match="number must be"):
        claims.exact(number, [1.0], [1.0], atol=1e-6, what="w")


nan = float("nan")
array = np.ones(3)
tensor = torch.ones(3)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: symbolic(sp.nan), "free of NaN"),
        (lambda: symbolic(sp.oo, sp.oo), "free of NaN"),
        (lambda: symbolic(x + 1, 1 + x), "same expression"),
        (lambda: symbolic("x", x), "the text 'x'"),
        (lambda: symbolic(0.5 * x, x / 2), "floats"),
        (lambda: symbolic([], []), "empty"),
        (lambda: symbolic([x, x], x), "shape"),
        (lambda: exact((nan, 2.0)), "finite"),
        (lambda: exact(want=(1.0, nan)), "finite"),
        (lambda: exact(unlike={"nan": (nan, nan)}), "finite"),
        (lambda: exact((), []), "empty"),
        (lambda: exact(atol=float("inf")), "atol must be finite"),
        (lambda: exact(atol=nan), "atol must be finite"),
        (lambda: exact(atol=-1.0), "atol must be finite"),
        (lambda: exact(atol=1.9), "too wide"),
        (lambda: exact((0.0, 0.0), (0.0, -0.0), atol=0.5), "too wide"),
        (lambda: exact(2**60, 2**60 + 1, atol=0), "at most 2"),
        (lambda: exact(-(2**60), -(2**60) - 1, atol=0), "at most 2"),
        (lambda: exact([1e6, 5.0], [1e6, 0.1], atol=1e4), "1 of 2 entries .* could hide"),
        (lambda: exact([1e6, 5.0], [1e6, 0.0, ], atol=1e5), "too wide"),
        (lambda: exact(rtol=float("nan")), "rtol must be finite"),
        (lambda: exact(rtol=0.1), "rtol must be at most 0.01"),
        (lambda: exact((a := torch.ones(3, dtype=torch.bfloat16)), a.view(3)), "same object"),
        (lambda: exact((a := torch.ones(4).to(torch.float8_e5m2)), a[:]), "same object"),
        (lambda: exact((a := torch.ones(3, 3, dtype=torch.bfloat16)).T[1:], a.T[1:]), "same object"),
        (lambda: exact(np.ma.array([1.0, 9.0], mask=[False, True]), [1.0, 2.0]), "kinds"),
        (lambda: exact("1", "2"), "kinds"),
        (lambda: exact((x for x in (1.0, 2.0))), "kinds"),
        (lambda: exact([torch.ones(2, requires_grad=True)], [[1.0, 1.0]]), "expected numbers"),
        (lambda: exact(array, array[:]), "same object"),
        (lambda: exact(tensor, tensor.numpy()), "same object"),
        (lambda: exact(array, array), "same object"),
        (lambda: exact(np.ones((3, 1)), np.ones(3)), "expected shape"),
        (lambda: exact(1.0, np.ones(3)), "expected shape"),
        (lambda: statistical(unlike={}), "needs a control"),
        (lambda: statistical(z=float("inf")), "z must lie"),
        (lambda: statistical(z=0.0), "z must lie"),
        (lambda: statistical(normal[:10]), "at least 30"),
        (lambda: statistical(np.zeros(100)), "do not vary"),
        (lambda: statistical(np.append(normal, nan)), "finite"),
        (lambda: statistical(mean=None), "give one of"),
        (lambda: statistical(cdf=cdf(1)), "give one of"),
        (lambda: statistical(np.ones((40, 2)), 0.0), "expected shape"),
        (lambda: statistical(dice, None, probabilities=[0.5, 0.6, 0.1]), "sum to 1"),
        (lambda: statistical(dice, None, probabilities=[0.5, 0.5]), "whole numbers from 0 to 1"),
        (lambda: statistical(dice[:40], None, probabilities=[0.9, 0.05, 0.05]), "expected 5 times"),
        (lambda: order(tol=float("inf")), "tol must be finite"),
        (lambda: order(tol=0.6), "below 0.5"),
        (lambda: order(-sizes), "positive"),
        (lambda: order(sizes=1 + 1e-9 * sizes), "span a factor of 4"),
        (lambda: order([1, 4], sizes=[1, 2]), "three positive"),
        (lambda: order([1, 4, 4], sizes=[1, 2, 2]), "three positive"),
        (lambda: bound(unlike={}), "needs a control"),
        (lambda: bound(larger=(float("inf"), 2.0)), "finite"),
        (lambda: bound(slack=float("inf")), "slack must be finite"),
        (lambda: bound((), ()), "empty"),
        (lambda: bound(slack=1.0), "wider than rounding"),
        (lambda: bound((1j, 2.0)), "kinds"),
        (lambda: cost((0, 0), (0, 0)), "expected counts"),
        (lambda: cost((1.5, 2), (1.5, 2)), "whole numbers"),
        (lambda: cost((-1, 2), (-1, 2)), "expected counts"),
        (lambda: cost((1j, 2), (1j, 2)), "kinds"),
        (lambda: statistical(exponential, None, cdf=cdf(1), unlike={"nan": lambda t: t * nan}), "passes"),
        (lambda: statistical(exponential, None, cdf="expon", unlike={"rate": cdf(2)}), "cdf must be a function"),
        (lambda: statistical(unlike_samples={"one": normal + 1}), "two controls"),
        (lambda: measured(unlike={}), "needs a control"),
        (lambda: measured(nan), "finite"),
        (lambda: measured(True), "kinds"),
        (lambda: measured(at_least=0.0), "at_least must be positive"),
        (lambda: measured(at_least=-float("inf")), "at_least must be positive"),
        (lambda: measured([0.5, 0.6]), "expected shape"),
    ],
)  # fmt: skip
def test_a_call_that_could_not_fail_is_refused(call, words):
    with pytest.raises(UselessCheck, match=words):
        call()


def test_a_fit_is_judged_on_the_scale_of_a_normal_deviate():
    assert claims._deviate(2 * stats.norm.sf(3)) == pytest.approx(3)
    assert claims._deviate(0.0) > claims.HIGHEST_Z


def test_margins_are_recorded_when_a_sweep_asks_for_them(tmp_path, monkeypatch):
    path = tmp_path / "margins.jsonl"
    monkeypatch.setenv("COURSE_MARGINS", str(path))
    exact((100.0, 100.5), np.array([100.0, 100.0]), atol=0.75)
    measured(0.6)
    Claim(1, "bound", "4", "w", {"more": 9.0}).verify(lambda value: (value, "message"), 1.0, 4.0)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["kind"], row["threshold"], row["value"], row["used"]) for row in rows] == [
        ("exact", 1.0, pytest.approx(2 / 3), pytest.approx(2 / 3)),
        ("measured", 0.3, 0.6, 0.5),
        ("bound", 4.0, 1.0, 0.25),
    ]
