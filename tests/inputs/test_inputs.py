"""Every public function of `lib` answers rightly or says what it expected; `make inputs` tries many more inputs."""

import textwrap

import pytest
import spoilers
import torch
import try_inputs
import verdicts
from examples import CHANGES, EXAMPLES, EXEMPT, LONG, NAN, PASSED_ON
from public import PACKAGES, Target, all_targets

FEW = 5


@pytest.mark.parametrize("package", PACKAGES)
def test_bad_input_is_refused_by_name(package):
    faults = []
    if try_inputs.table(try_inputs.run_packages(f"lib.{package}", FEW, 1), faults.append):
        pytest.fail("\n".join(faults))


def test_examples_are_of_functions_that_exist():
    names = {target.full_name for target in all_targets()}
    for table in (EXAMPLES, EXEMPT, LONG, NAN, PASSED_ON, CHANGES):
        assert set(table) <= names | {name.rpartition(".")[0] for name in names}


def _changes(x):
    x.zero_()


def _changes_state(x):
    torch.rand(1)


def _answers_nan(x):
    return x / 0 * 0


def _raises(x):
    return x[7]


def _says_nothing(x):
    raise ValueError("wrong")


def _says_half(x):
    raise ValueError("x is wrong")


def _is_right(x):
    return 2 * x


def _is_clear(x):
    raise ValueError("x must be positive, got -1")


def _hangs(x):
    while True:
        pass


@pytest.mark.parametrize(
    "function, words",
    [
        (_is_right, verdicts.RIGHT),
        (_is_clear, verdicts.CLEAR),
        (_changes, "changes an argument"),
        (_changes_state, "changes global state"),
        (_answers_nan, "NaN from finite input"),
        (_raises, "IndexError"),
        (_says_nothing, "ValueError without an argument's name"),
        (_says_half, "ValueError without what was expected"),
        (_hangs, "hangs"),
    ],
)
def test_each_kind_of_fault_is_seen(function, words, monkeypatch):
    monkeypatch.setattr(verdicts, "SECONDS", 0.2)
    with torch.random.fork_rng(devices=[]):
        assert verdicts.verdict(Target(__name__, function.__name__, function), {"x": torch.ones(2)}, "x")[0] == words


def test_another_answer_to_the_same_input_is_seen():
    target = Target(__name__, "_is_right", _is_right)
    with torch.random.fork_rng(devices=[]):
        outcome, *_ = verdicts.verdict(target, {"x": torch.ones(2)}, "x", expected=torch.ones(2))
    assert outcome == "another answer to the same input"


def test_spoilers_change_no_argument_themselves():
    for value in (torch.rand(2, 3), torch.ones(2, dtype=torch.int64), 2, 0.5, "word", [1, 2], (1.0, 2.0), torch.rand(2).numpy()):
        before = verdicts.frozen(value)
        for spoiler in spoilers.spoilers(value):
            spoiler.spoil(value)
            assert verdicts.frozen(value) == before, spoiler.name


def test_a_function_without_an_example_is_a_fault():
    def new(function):
        """A function whose argument cannot be made from its signature."""

    trial = try_inputs.Trial(Target("lib.course", "new", new))
    trial.run(1)
    assert list(trial.faults) == [("", "no example", "function: <class 'inspect._empty'>")]


def test_the_table_counts_by_module():
    rows = [
        {"module": "lib.a", "name": "f", "outcomes": {verdicts.RIGHT: 2, verdicts.CLEAR: 1}, "faults": []},
        {"module": "lib.b", "name": "g", "outcomes": {"hangs": 1}, "faults": [["x", "hangs", "3", "more than 4 s"]]},
    ]
    lines = []
    assert try_inputs.table(rows, lines.append) == 1
    assert "\n".join(" ".join(line.split()) for line in lines) == textwrap.dedent("""\
        module functions inputs right clear memory faults
        lib.a 1 3 2 1 0 0
        lib.b 1 1 0 0 0 1
        all 2 4 2 1 0 1
        lib.b.g: x (3): hangs: more than 4 s""")
