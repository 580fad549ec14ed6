import copy
import dataclasses
import inspect
import pickle
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import pytest
import torch
from beartype import BeartypeConf, beartype
from jaxtyping import Bool, Float, Float32, Float64, Int, Real, Shaped, jaxtyped
from torch import Tensor, nn

from lib.course import plans, shapes
from lib.course.shapes import checked

BEARTYPE = beartype(conf=BeartypeConf(is_pep484_tower=True))
RIGHT = object()


class State(NamedTuple):
    m: Tensor
    step: int


@dataclasses.dataclass
class Node:
    value: float


class Shown(Protocol):
    def show(self) -> str: ...


class Numbers(list[int]):
    pass


def outcome(function, args, kwargs):
    """RIGHT, or the type and words of the error and of its cause."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        return type(error), str(error), str(error.__cause__)
    return RIGHT


def function_with(annotations: dict[str, Any], result: Any, gives: Callable = lambda **kwargs: None) -> Callable:
    """A function of named arguments, some with a default, that returns what `gives` makes of them."""

    def function(a, b=None, *, c=None):
        return gives(a=a, b=b, c=c)

    function.__annotations__ = annotations | ({} if result is inspect.Parameter.empty else {"return": result})
    return function


def agree(function, *args, **kwargs):
    """What both a checked call and jaxtyping's own come to."""
    quick, judged = (outcome(check(function), args, kwargs) for check in (checked, judge))
    assert quick == judged
    return quick


def judge(function):
    return jaxtyped(function, typechecker=BEARTYPE)


def zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


# An annotation, values that it takes, values that it refuses.
ANNOTATIONS = [
    (Float[Tensor, "n 3"], [zeros(2, 3), zeros(0, 3).half(), nn.Parameter(zeros(1, 3))], [zeros(2, 4), zeros(3), np.zeros((2, 3)), None]),
    (Float[Tensor, ""], [zeros()], [zeros(1), 1.0]),
    (Float[Tensor, "..."], [zeros(), zeros(1, 2)], [zeros(1, dtype=torch.int64), 1]),
    (Float[Tensor, "n n"], [zeros(2, 2)], [zeros(2, 3)]),
    (Float[Tensor, "n _ n"], [zeros(2, 5, 2)], [zeros(2, 2, 3)]),
    (Float[Tensor, "n _rest"], [zeros(2, 5)], [zeros(2)]),
    (Float[Tensor, "n #n"], [zeros(2, 1), zeros(2, 2), zeros(1, 1)], [zeros(1, 2), zeros(2, 3)]),
    (Float[Tensor, "#n n"], [zeros(1, 2), zeros(2, 2)], [zeros(2, 1)]),
    (Float[Tensor, "*batch n"], [zeros(3), zeros(1, 2, 3)], [zeros()]),
    (Float[Tensor, "n *batch n"], [zeros(3, 3), zeros(3, 1, 2, 3)], [zeros(3), zeros(3, 1, 2)]),
    (Float[Tensor, "... 2 n"], [zeros(2, 3), zeros(5, 2, 3)], [zeros(2), zeros(3, 3)]),
    (Float[Tensor, "*#batch n"], [zeros(2, 3)], [zeros()]),
    (Float[Tensor, "n n+1"], [zeros(2, 3)], [zeros(2, 2)]),
    (Float[Tensor, "n two=2"], [zeros(3, 2)], [zeros(3, 3)]),
    (Float32[Tensor, "n"] | Float64[Tensor, "n"], [zeros(2), zeros(2).double()], [zeros(2).half(), zeros()]),
    (Float[Tensor, "n"] | Float[Tensor, "n m"], [zeros(2), zeros(2, 3)], [zeros()]),
    (Float[Tensor, "n"] | None, [zeros(2), None], [zeros(), 0]),
    (Float[Tensor | np.ndarray, "n"], [zeros(2), np.zeros(2)], [[0.0, 0.0]]),
    (float | Float[Tensor, "..."], [1.0, 1, True, np.float64(1), zeros()], ["1", 1j, np.float32(1)]),
    (Float[Any, "n"], [zeros(2), np.zeros(2)], [2.0]),
    (Shaped[Tensor, "n"], [zeros(2), zeros(2, dtype=torch.bool)], [zeros()]),
    (Bool[Tensor, "n"], [zeros(2, dtype=torch.bool)], [zeros(2)]),
    (Float[Shaped[Tensor, "n"], "m"], [zeros(3, 2)], [zeros(3)]),
    (Real[np.ndarray, "n"], [np.zeros(2), np.arange(2)], [np.zeros(2, bool), np.zeros(2, complex), np.zeros(())]),
    (Int[np.ndarray, "n"], [np.arange(2), np.arange(2, dtype=np.int8)], [np.zeros(2, np.longlong), np.zeros(2), np.arange(2, dtype="u1")]),
    (tuple[Float[Tensor, "n"], Float[Tensor, "n"]], [(zeros(2), zeros(2))], [(zeros(2), zeros(3)), (zeros(2),), [zeros(2), zeros(2)]]),
    (tuple[float, float], [(0.9, 1)], [(0.9,), 0.9, ("0", 1)]),
    (tuple[int, ...], [(), (1, 2)], [[1], (1.0,)]),
    (tuple[()], [()], [(1,)]),
    (list[Node], [[], [Node(1.0)]], [[1], (Node(1.0),)]),
    (list[Float[Tensor, "n"]], [[zeros(2), zeros(2)]], [[zeros()]]),
    (Sequence[Callable], [[len], (len,)], [[1], {len}]),
    (dict[str, Tensor], [{}, {"a": zeros(2)}], [{"a": 1}, {1: zeros(2)}, []]),
    (Mapping[str, int], [{}, {"a": 1}], [{"a": "b"}]),
    (set[int], [{1}], [{"a"}]),
    (dict, [{}], [[]]),
    (Callable, [len, nn.ReLU()], [1]),
    (Callable[[int], nn.Module], [nn.Linear, lambda width: None], [1]),
    (Literal["half", 1, None], ["half", 1, None], ["full", 2, ["half"]]),
    (None, [None], [0]),
    (float, [1.0, 1, False, np.float64(2)], ["a", 1j, zeros()]),
    (int, [1, True], [1.0, np.int64(1)]),
    (bool, [True], [1, np.True_]),
    (complex, [1j, 1.0, 1], ["a"]),
    (str | int, ["a", 1], [1.0]),
    (State, [State(zeros(1), 1)], [(zeros(1), 1)]),
    (Node, [Node(1.0)], [1.0]),
    (type[nn.Module], [nn.Linear], [nn.ReLU(), int]),
    (Numbers, [Numbers([1])], [[1], Numbers(["a"])]),
    (np.random.Generator, [np.random.default_rng(0)], [np.random]),
    (torch.dtype, [torch.float32], ["float32"]),
    (nn.Module, [nn.ReLU()], [nn.ReLU]),
    (Any, [1, None], []),
    (inspect.Parameter.empty, [1, None], []),
    ("State", [State(zeros(1), 1)], [1]),
]  # fmt: skip


@pytest.mark.parametrize("annotation, right, wrong", ANNOTATIONS, ids=[str(row[0]) for row in ANNOTATIONS])
def test_arguments_and_results_are_judged_in_the_judges_words(annotation, right, wrong):
    for value in right + wrong:
        function = function_with({"a": annotation}, inspect.Parameter.empty)
        assert (agree(function, value) is RIGHT) == any(value is v for v in right), value
        function = function_with({}, annotation, lambda a, **_: a)
        assert (agree(function, value) is RIGHT) == any(value is v for v in right), value


SHARED = {"a": Float[Tensor, "batch n"], "b": Float[Tensor, "#batch m"] | None, "c": int | Int[Tensor, "batch"] | None}


@pytest.mark.parametrize(
    "result, gives",
    [
        (Float[Tensor, "batch n"], lambda a, b, c: a),
        (Float[Tensor, "batch m"], lambda a, b, c: b),
        (Float[Tensor, "n batch"], lambda a, b, c: a),
        (Float[Tensor, "batch n+1"], lambda a, b, c: b),
        (Float[Tensor, "{c} n"], lambda a, b, c: a),
        (Float[Tensor, "other other-1"], lambda a, b, c: a),
        (Float[Tensor, "batch max(m,n)"], lambda a, b, c: a),
        (Float[Tensor, "batch unknown+1"], lambda a, b, c: a),
        (tuple[Float[Tensor, "batch k"], Float[Tensor, "k ..."]], lambda a, b, c: (a, a.T)),
        (tuple[Float[Tensor, "batch k"], Float[Tensor, "k ..."]], lambda a, b, c: (a, a)),
        (list[Float[Tensor, "batch k"]], lambda a, b, c: [a]),
        (inspect.Parameter.empty, lambda a, b, c: None),
    ],
)
def test_sizes_are_shared_by_arguments_and_result(result, gives):
    function = function_with(SHARED, result, gives)
    for args, kwargs in [
        ((zeros(2, 3),), {}),
        ((zeros(2, 3), zeros(2, 4)), {}),
        ((zeros(2, 3), zeros(1, 4)), {"c": 2}),
        ((zeros(2, 3), zeros(3, 4)), {"c": 2}),
        ((zeros(2, 3),), {"c": zeros(2, dtype=torch.int64)}),
        ((zeros(2, 3),), {"c": zeros(3, dtype=torch.int64)}),
        ((zeros(1, 3), zeros(2, 3)), {}),
        ((), {"b": zeros(2, 3), "a": zeros(2, 3)}),
        ((zeros(2, 2),), {"b": zeros(2, 3), "c": "2"}),
        ((), {}),
        ((zeros(2, 3), None, None), {}),
        ((zeros(2, 3),), {"d": 1}),
        ((zeros(2, 3),), {"a": zeros(2, 3)}),
    ]:
        agree(function, *args, **kwargs)


def test_names_that_the_tests_use_can_be_arguments():
    def function(len: Float[Tensor, "n"], isinstance: int, _shape: int = 3) -> Float[Tensor, "n"]:
        return len

    assert agree(function, zeros(2), 1) is RIGHT
    assert agree(function, zeros(2, 2), 1) is not RIGHT


def test_other_kinds_of_arguments():
    def function(a: Float[Tensor, "n"], /, b: int, *c, d: int = 2, **e) -> Float[Tensor, "{d}"]:
        return a

    def annotated(*a: int, **b: Float[Tensor, "n"]):
        pass

    for n in (2, 3):
        for args, kwargs in [((1,), {}), ((1, 2, 3), {"d": 3, "f": 4}), ((1.0,), {}), ((), {"b": 1, "a": 1}), ((), {})]:
            agree(function, zeros(n), *args, **kwargs)
    agree(annotated, 1, 2, c=zeros(2), d=zeros(2))
    agree(annotated, 1, 2, c=zeros(2), d=zeros(3))

    def tuples(*a: tuple, **b: dict):
        pass

    for args, kwargs in [((1,), {}), (((1,), ()), {}), ((), {"b": 1}), ((), {"b": {}})]:
        agree(tuples, *args, **kwargs)


WORDS = ["n", "m", "k", "#n", "#m", "_", "2", "#2", "...", "*batch", "*shape"]
KINDS = [Float, Float32, Real, Int, Shaped]
DTYPES = [torch.float32, torch.float32, torch.float32, torch.float64, torch.int64]


def random_array(rng):
    words = list(rng.choice(WORDS, rng.integers(4)))
    several = [word for word in words if word[0] in "*."]
    words = [word for word in words if word not in several[1:]]
    annotation = KINDS[rng.integers(len(KINDS))][Tensor, " ".join(words)]
    return annotation | None if rng.random() < 0.3 else annotation


def random_value(annotation, sizes, rng):
    """A value that mostly fits, given the sizes of the named dimensions."""
    if rng.random() < 0.1:
        return None
    annotation = (typing.get_args(annotation) or [annotation])[0]
    shape = []
    for word in annotation.dim_str.split():
        size = sizes.get(word.strip("#"), (2,)) if rng.random() < 0.97 else (int(rng.integers(4)),)
        shape += (1,) if word[0] == "#" and rng.random() < 0.5 else size
    dtype = torch.int64 if annotation.dtype is Int else torch.float32
    return zeros(*shape, dtype=dtype if rng.random() < 0.9 else DTYPES[rng.integers(len(DTYPES))])


@pytest.mark.parametrize("number", range(30))
def test_random_annotations_and_calls(number):
    rng = np.random.default_rng(number)
    annotations = {name: random_array(rng) for name in "abc"}
    result = random_array(rng)
    results = []
    function = function_with(annotations, result, lambda **_: results[-1])
    quick, judged = checked(function), judge(function)
    for _ in range(8):
        sizes = {name: (int(rng.integers(1, 4)),) for name in ("n", "m", "k", "_")}
        sizes |= {name: tuple(rng.integers(3, size=rng.integers(3)).tolist()) for name in ("*batch", "*shape", "...")}
        a, b, c, given = (random_value(annotation, sizes, rng) for annotation in [*annotations.values(), result])
        results.append(given)
        for args, kwargs in [((a, b), {"c": c}), ((), {"c": c, "b": b, "a": a}), ((a,), {"c": c})]:
            assert outcome(quick, args, kwargs) == outcome(judged, args, kwargs)


def test_an_annotation_that_the_judge_refuses_is_refused_where_the_function_is_defined():
    quick, judged = (outcome(check, [function_with({"a": Float}, None)], {}) for check in (checked, judge))
    assert quick == judged != RIGHT


def test_defaults_are_taken_as_the_judge_takes_them():
    def function(a: int, b: int = "1", c: Float[Tensor, "n"] = zeros(2), d: Float[Tensor, "n"] = zeros(3)):
        pass

    for kwargs in [{}, {"b": "1"}, {"b": 1, "c": zeros(3)}, {"b": 1, "c": zeros(2)}, {"d": zeros(3)}]:
        agree(function, 1, **kwargs)


def test_right_calls_do_without_the_judge(monkeypatch):
    monkeypatch.setattr(shapes, "judged", None)
    planned = 0
    for annotation, right, _ in ANNOTATIONS:
        if plans.plan(function_with({"a": annotation}, annotation)):
            planned += 1
            function = checked(function_with({"a": annotation}, annotation, lambda a, **_: a))
            assert all(function(value) is function(a=value) is value for value in right)
    assert planned > 0.7 * len(ANNOTATIONS)


def test_a_function_is_called_once_and_its_arguments_are_checked_before():
    calls = []

    @checked
    def function(a: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        calls.append(1)
        return torch.cat([a, a])

    with pytest.raises(TypeError, match="return value"):
        function(zeros(2))
    assert len(calls) == 1
    with pytest.raises(TypeError, match="parameters"):
        function(zeros(2, 2))
    assert len(calls) == 1


def test_an_inner_error_is_the_functions_own():
    @checked
    def function(a: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="^mine$") as raised:
        function(zeros(2))
    assert raised.value.__context__ is None


@checked
def doubled(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Twice x."""
    return 2 * x


def test_a_checked_function_is_still_that_function():
    plain = doubled.__wrapped__
    assert (doubled.__name__, doubled.__doc__, doubled.__module__) == ("doubled", "Twice x.", __name__)
    assert inspect.signature(doubled) == inspect.signature(plain)
    assert "return 2 * x" in inspect.getsource(doubled)
    assert pickle.loads(pickle.dumps(doubled)) is doubled and copy.deepcopy(doubled) is doubled


def test_a_checked_function_is_differentiated_and_mapped():
    assert torch.func.vmap(doubled)(torch.ones(3, 2)).sum() == 12
    assert torch.func.jvp(doubled, (torch.ones(2),), (torch.ones(2),))[1].tolist() == [2, 2]
    assert torch.func.jacrev(doubled)(torch.ones(2)).tolist() == [[2, 0], [0, 2]]


def test_methods_static_methods_properties_and_dataclasses():
    class Scaler:
        @checked
        def __init__(self, factor: float):
            self.factor = factor

        @checked
        def scaled(self, x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            return self.factor * x

        @checked
        @staticmethod
        def one(n: int) -> Float[Tensor, "{n}"]:
            return torch.ones(n)

        @checked
        @property
        def wrong(self) -> int:
            return "wrong"

    scaler = copy.deepcopy(Scaler(2))
    assert scaler.scaled(scaler.one(3)).tolist() == [2, 2, 2]
    with pytest.raises(TypeError, match="scaled"):
        scaler.scaled(zeros(1, 1))
    with pytest.raises(TypeError, match="one"):
        Scaler.one(2.0)
    with pytest.raises(TypeError, match="factor"):
        Scaler("2")
    with pytest.raises(TypeError, match="wrong"):
        scaler.wrong

    checked(dataclass := dataclasses.make_dataclass("Pair", [("a", Float[Tensor, "n"]), ("b", Float[Tensor, "n"])]))
    with pytest.raises(TypeError):
        dataclass(zeros(2), zeros(3))


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({missing}))
from lib.course.shapes import CHECKS, Float, Real, checked
import numpy as np, torch
from torch import Tensor

@checked
def total(x: Float[Tensor, "n"], y: Real[Tensor | np.ndarray, "n"] | None = None) -> float:
    return float(x.sum())

assert not CHECKS
assert total.__annotations__ == {{"x": Tensor, "y": Tensor | np.ndarray | None, "return": float}}
assert total(torch.ones(2, 3)) == 6
"""


@pytest.mark.parametrize("missing", [("jaxtyping",), ("beartype",), ("jaxtyping", "beartype")])
def test_without_one_of_its_checkers_lib_runs_unchecked(missing):
    run = subprocess.run([sys.executable, "-c", WITHOUT.format(missing=missing)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_shapes_is_the_one_home_of_jaxtyping():
    sources = {path.name: path.read_text(encoding="utf-8") for path in Path(shapes.__file__).parents[1].rglob("*.py")}
    homes = {name for name, source in sources.items() if re.search(r"(from|import) (jaxtyping|beartype)", source)}
    assert homes == {"shapes.py", "plans.py"}
