"""Examples for `lib.course`."""

import matplotlib.pyplot as plt
import numpy as np
import sympy
import torch
from examples.values import linear, normal, normal64, tokens
from matplotlib.figure import Figure

from lib.course.exercises import Checker, same
from lib.course.line import Line
from lib.course.verify import Claim

LINE = "✓ (4) exact · 1e-12 · two sums · rejects: forgot one"


def _double(x):
    return 2 * x


def _checked(x: float) -> float:
    return 2 * x


def _test(attempt):
    same(attempt(3), 6, "For 3", atol=0)


def _checker():
    return Checker(1, "double it", _test)


def _axes():
    return Figure().subplots()


def _frames():
    plt.close("all")
    figures = [Figure(figsize=(0.3, 0.3), dpi=20) for _ in range(2)]
    return figures


def _optimizer():
    model = linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def _fit():
    model, optimizer = _optimizer()
    return dict(optimizer=optimizer, loss=lambda: model(torch.ones(3, 2)).square().mean(), steps=2)


def _claim():
    return Claim(1, "exact", "0", "one and one", {"one": 1.0})


def _x():
    return sympy.Symbol("x")


EXAMPLES = {
    "arithmetic.arithmetic": lambda: dict(
        operation=torch.ops.aten.add.Tensor, args=(normal(2), normal(2)), kwargs={}, result=normal(2)
    ),
    "causes.cause": lambda: dict(error=RuntimeError("size"), function=_checked, args=(2**70,), kwargs={}),
    "claims.symbolic": lambda: dict(number=1, lhs=(_x() + 1) ** 2, rhs=_x() ** 2 + 2 * _x() + 1, what="a square"),
    "claims.exact": lambda: dict(number=1, got=[1.0, 2.0], want=[1.0, 2.0], atol=1e-12, what="a", unlike={"b": [1.0, 3.0]}),
    "claims.statistical": lambda: dict(
        number=1, samples=normal64(100).numpy(), mean=normal64(100).mean().item(), what="a", unlike={"b": 3.0}
    ),
    "claims.order": lambda: dict(
        number=1, sizes=[1.0, 2.0, 4.0], values=[1.0, 4.0, 16.0], exponent=2.0, tol=0.1, what="a", unlike={"b": [1.0, 2.0, 4.0]}
    ),
    "claims.bound": lambda: dict(number=1, smaller=[1.0, 2.0], larger=[2.0, 3.0], what="a", unlike={"b": [0.0, 3.0]}),
    "claims.cost": lambda: dict(number=1, counted=[1, 2], formula=[1, 2], what="a", unlike={"b": [1, 3]}),
    "claims.measured": lambda: dict(number=1, effect=0.5, at_least=0.3, what="a", unlike={"b": 0.1}),
    "data.windows": lambda: dict(text=tokens(20), batch=2, length=3),
    "data.found_in": lambda: dict(windows=tokens(2, 3), text=tokens(20)),
    "exercises.require": lambda: dict(condition=True, counterexample="For 3"),
    "exercises.same": lambda: dict(got=normal(3), want=normal(3), case="For 3", atol=1e-6),
    "exercises.Checker": lambda: dict(number=1, hint="double it", test=_test),
    "exercises.Checker.__call__": lambda: dict(self=_checker(), attempt=_double),
    "exercises.Checker.prove": lambda: dict(self=_checker(), solution=_double, wrong={"half": lambda x: x / 2}),
    "figures.curves": lambda: dict(axes=_axes(), series={"a": ([1.0, 2.0], [3.0, 4.0])}, xlabel="x", ylabel="y"),
    "figures.contours": lambda: dict(axes=_axes(), function=lambda x, y: x * x + y * y, xlim=(-1.0, 1.0), ylim=(-1.0, 1.0)),
    "figures.image_grid": lambda: dict(images=np.zeros((1, 2, 3, 3)), limits=(0.0, 1.0)),
    "figures.animation": lambda: dict(frames=_frames(), seconds=1.0),
    "line.Line.format": lambda: dict(self=Line(1, "exact", "0", "one")),
    "line.parse": lambda: dict(output=LINE),
    "line.is_plain": lambda: dict(words="plain"),
    "meters.counted": lambda: dict(function=_double),
    "meters.parameter_count": lambda: dict(module=linear(2, 3)),
    "meters.matmul_flops": lambda: dict(function=torch.matmul, args=[normal(2, 3), normal(3, 2)]),
    "meters.elementwise_operations": lambda: dict(function=torch.add, args=[normal(2, 3), normal(2, 3)]),
    "meters.saved_bytes": lambda: dict(function=torch.sin, args=[normal(2, 3).requires_grad_()]),
    "meters.saved_bytes_over_time": lambda: dict(function=torch.sin, args=[normal(2, 3).requires_grad_()]),
    "plans.plan": lambda: dict(function=_checked),
    "ranges.require_signs": lambda: dict(name="y", values=np.array([1.0, -1.0])),
    "ranges.own_array": lambda: dict(name="y", values=np.array([1.0, -1.0]), shape=(2,)),
    "scenes.require_kinds": lambda: dict(name="kind", kinds=[(1, 2, 3)]),
    "scenes.caption": lambda: dict(kind=(1, 2, 3), template=0),
    "scenes.tokenize": lambda: dict(captions=["a red disc"]),
    "scenes.random_kinds": lambda: dict(n=3, rng=np.random.default_rng(0)),
    "scenes.shapes_with_captions": lambda: dict(n=3, rng=np.random.default_rng(0)),
    "scenes.draw": lambda: dict(kinds=np.array([[1, 2, 3]]), rng=np.random.default_rng(0)),
    "shapes.checked": lambda: dict(function=_checked),
    "shapes.checked_after_errors": lambda: dict(function=_checked),
    "shapes.judged": lambda: dict(function=_checked),
    "slips.slip": lambda: dict(function=_double, right="2", wrong="3"),
    "source.show": lambda: dict(function=_double),
    "tensors.all_finite": lambda: dict(values=normal(3)),
    "tensors.require_finite_result": lambda: dict(result=normal(3), arguments=dict(x=normal(3))),
    "tensors.require_finite_entries": lambda: dict(name="x", values=normal(3)),
    "tensors.require_tokens": lambda: dict(tokens=tokens(2, 3), count=5),
    "tensors.require_law": lambda: dict(name="x", rows=normal(2, 3).softmax(-1)),
    "tensors.predict": lambda: dict(network=lambda x, t: x * t, x=normal(2, 3), time=0.5),
    "tensors.require_width": lambda: dict(name="x", x=normal(2, 3), width=3),
    "tensors.kind": lambda: dict(value=normal(2, 3)),
    "tensors.per_row": lambda: dict(name="t", values=normal(2), x=normal(2, 3)),
    "training.fit": _fit,
    "verify.Claim": lambda: dict(number=1, kind="exact", threshold="0", what="one", controls={"two": 2.0}),
    "verify.Claim.verify": lambda: dict(self=_claim(), compare=lambda value: (value, "one"), value=0.0, allowance=0.5),
    "verify.require_tolerance": lambda: dict(number=1, name="atol", value=0.1),
    "verify.require_controls": lambda: dict(number=1, controls={"two": 2.0}),
    "verify.require_shape": lambda: dict(number=1, array=np.zeros((2, 3)), shape=(2, 3)),
    "verify.as_array": lambda: dict(number=1, value=normal(2, 3), kinds="iuf"),
    "verify.as_expressions": lambda: dict(number=1, value=[_x(), _x() + 1]),
    "verify.worst": lambda: dict(deviations=np.array([[1.0, 3.0], [2.0, 0.0]])),
}
EXEMPT = {
    "training.seed": "it is there to change the global random state",
    "figures.use_style": "it is there to change matplotlib's settings, and has no arguments",
}
CHANGES = {
    "exercises.Checker.prove": {"self"},
    "exercises.Checker.__call__": {"self"},
    "figures.curves": {"axes"},
    "figures.contours": {"axes"},
    "figures.animation": {"frames"},
    "training.fit": {"optimizer", "loss"},
    **{f"meters.{name}": {"args"} for name in ("matmul_flops", "elementwise_operations", "saved_bytes", "saved_bytes_over_time")},
}
LONG = {"training.fit": {"steps"}, "scenes.random_kinds": {"n"}, "scenes.shapes_with_captions": {"n"}}
PASSED_ON = {
    **{f"meters.{name}": {"args"} for name in ("matmul_flops", "elementwise_operations", "saved_bytes", "saved_bytes_over_time")},
    "arithmetic.arithmetic": {"args", "kwargs", "result"},
    "causes.cause": {"function", "args", "kwargs"},
    "verify.Claim.verify": {"value"},
    "tensors.predict": {"time"},
}
