"""Try many inputs on every public function of `lib`, and print what came of them, by module.

    python tests/inputs/try_inputs.py [lib.sequence.moe] [--examples 200] [--each]

With `--each`, every way to spoil every argument is tried first, then as many drawn at random as `--examples` says. Each
package runs in a process of its own, in which a call gets a gibibyte and four seconds. Faults are listed below the table,
with the argument, what was put in its place, and what came.
"""

import argparse
import faulthandler
import inspect
import json
import os
import random
import resource
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, product
from pathlib import Path

from examples import CHANGES, EXAMPLES, EXEMPT, LONG, NAN, PASSED_ON
from generated import Maker, NoExample
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from public import Target, all_targets, module_names
from spoilers import Spoiler, spoilers
from verdicts import CLEAR, NO_MEMORY, RIGHT, verdict

set_hypothesis_home_dir(Path(sys.prefix, "hypothesis"))  # what it keeps of each module goes there, not into the checkout

EXAMPLES_EACH = 200
ROOM = 2**30  # bytes beyond what the imports take
AXES = 12  # names of axes in one signature, at most
SLOWEST = 300  # seconds for all inputs of one function


class Trial:
    """The inputs that were tried on one function."""

    def __init__(self, target: Target):
        name, owner = target.full_name, target.full_name.rpartition(".")[0]
        self.target, self.outcomes, self.faults = target, Counter(), {}
        self.may_change, self.may_be_nan = CHANGES.get(name, set()) | CHANGES.get(owner, set()), name in NAN
        self.long, self.passed_on = LONG.get(name, ()), PASSED_ON.get(name, ())

    def run(self, examples: int, each: bool = False) -> None:
        """The example as it is, with `each` spoiled in every way, and then at random as often as `examples` says."""
        try:
            self._call(_from_two(), 0)
        except NoExample as error:
            self.faults["", "no example", str(error)] = ""
            return
        if not self.outcomes[RIGHT]:
            self.faults["", "no right answer to the example", ""] = str(self.faults)
        choices = [(name, i) for name in self.target.parameters for i in range(len(self._spoilers(name)))]
        if each:
            for choice, (seed, sizes) in product(choices, enumerate((range(2, 2 + AXES), [1] * AXES, [2] * AXES))):
                self._attempt(choice, sizes, seed)
        if choices:
            self._spoiled(choices, examples)

    def _spoiled(self, choices: list[tuple[str, int]], examples: int) -> None:
        @settings(
            max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.sampled_from(choices), st.lists(st.integers(1, 4), min_size=AXES, max_size=AXES), st.integers(0, 3))
        def attempt(choice, sizes, seed):
            self._attempt(choice, sizes, seed)

        attempt()

    def _attempt(self, choice: tuple[str, int], sizes, seed: int) -> None:
        try:
            self._call(sizes, seed, *choice)
        except MemoryError:
            self.outcomes[NO_MEMORY] += 1

    def _arguments(self, sizes, seed: int, argument: str = "") -> dict:
        """Fresh arguments with which the function answers, `argument` among them."""
        example, sizes = EXAMPLES.get(self.target.full_name), iter(sizes)
        return Maker(self.target.parameters, example() if example else {}, lambda name: next(sizes), seed, argument).arguments

    def _spoilers(self, argument: str) -> list[Spoiler]:
        """What can be put in an argument's place, however its sizes come out; nothing where it cannot be made."""
        of_functions = self.target.parameters[argument].kind is inspect.Parameter.VAR_KEYWORD
        if argument == "self" or argument in self.passed_on or of_functions:
            return []
        try:
            value = self._arguments(_from_two(), 0, argument)[argument]
        except (NoExample, KeyError):  # optional, and of a kind that the example does not show
            return []
        return self._allowed(argument, value)

    def _allowed(self, argument: str, value) -> list[Spoiler]:
        found = [s for s in spoilers(value) if not (argument in self.long and s.name.removeprefix("last item: ")[:3].isdecimal())]
        if self.target.parameters[argument].kind is inspect.Parameter.VAR_POSITIONAL:
            return [s for s in found if isinstance(s.spoil(value), (list, tuple))]
        return found

    def _call(self, sizes, seed: int, argument: str = "", number: int = 0) -> None:
        random.seed(seed)  # beartype looks at a random item of a sequence
        arguments, spoiler, expected = self._arguments(sizes, seed, argument), None, None
        rules = dict(may_change=self.may_change, may_be_nan=self.may_be_nan)
        if argument:
            choices = self._allowed(argument, arguments[argument])
            spoiler = choices[min(number, len(choices) - 1)]
            rules["may_be_nan"] |= "NaN" in spoiler.name
            if spoiler.same:
                outcome, _, answer = verdict(self.target, self._arguments(sizes, seed, argument), argument, **rules)
                expected = answer if outcome == RIGHT else None
            arguments[argument] = spoiler.spoil(arguments[argument])
        outcome, detail, _ = verdict(self.target, arguments, argument, expected=expected, **rules)
        self.outcomes[outcome] += 1
        if outcome not in (RIGHT, CLEAR, NO_MEMORY):
            self.faults.setdefault((argument, outcome, spoiler.name if spoiler else "as it is"), detail)


def _from_two():
    """2, 3, 4, … for one axis name after the other."""
    return count(2)


def run_here(module: str, examples: int, each: bool = False) -> list[dict]:
    """The trials of a module's functions in this process, which gets a limit of memory."""
    found = [target for target in all_targets(module) if target.full_name not in EXEMPT]
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    warnings.simplefilter("ignore")
    rows = []
    for target in found:
        faulthandler.dump_traceback_later(SLOWEST, exit=True)
        trial = Trial(target)
        trial.run(examples, each)
        faults = [[*key, detail] for key, detail in trial.faults.items()]
        rows.append({"module": target.module, "name": target.name, "outcomes": trial.outcomes, "faults": faults})
    faulthandler.cancel_dump_traceback_later()
    return rows


def run_packages(module: str, examples: int, processes: int, each: bool = False) -> list[dict]:
    """The same, in a process for each package."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "MPLBACKEND": "agg"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))

    def run(package: str) -> list[dict]:
        command = [sys.executable, "-W", "ignore", __file__, package, "--examples", str(examples), "--json", *["--each"] * each]
        done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the trial of {package} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout)

    packages = list(dict.fromkeys(".".join(name.split(".")[: max(2, module.count(".") + 1)]) for name in module_names(module)))
    with ThreadPoolExecutor(processes) as pool:
        return [row for rows in pool.map(run, packages) for row in rows]


def table(rows: list[dict], write: Callable[[str], None] = print) -> int:
    """Write what came of the trials, and return how many faults there were."""
    write(f"{'module':38}{'functions':>10}{'inputs':>8}{'right':>8}{'clear':>8}{'memory':>8}{'faults':>8}")
    modules = dict.fromkeys(row["module"] for row in rows)
    for name in [*modules, "all"]:
        here = [row for row in rows if name in ("all", row["module"])]
        total = sum((Counter(row["outcomes"]) for row in here), Counter())
        faults = sum(len(row["faults"]) for row in here)
        numbers = [len(here), total.total(), total[RIGHT], total[CLEAR], total[NO_MEMORY], faults]
        write(f"{name:38}{numbers[0]:>10}" + "".join(f"{number:>8,}" for number in numbers[1:]))
    for row in rows:
        for argument, outcome, put, detail in row["faults"]:
            write(f"{row['module']}.{row['name']}: {argument} ({put}): {outcome}: {detail}")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="?", default="", help="a module or package; all of lib, if none is named")
    parser.add_argument("--examples", type=int, default=EXAMPLES_EACH, help="spoiled calls of each function")
    parser.add_argument("--each", action="store_true", help="try every way to spoil every argument first")
    parser.add_argument("--json", action="store_true", help="run in this process and print the results for a program")
    arguments = parser.parse_args()
    if arguments.module and not module_names(arguments.module):
        parser.error(f"there is no module {arguments.module} among {', '.join(module_names())}")
    if arguments.json:
        print(json.dumps(run_here(arguments.module, arguments.examples, arguments.each)))
        return
    sys.exit(table(run_packages(arguments.module, arguments.examples, os.cpu_count() or 1, arguments.each)) > 0)


if __name__ == "__main__":
    main()
