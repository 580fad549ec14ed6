"""Try many inputs on every public function of `lib`, and print what came of them by module.

    python tests/inputs/try_inputs.py [MODULE] [--examples 200] [--quick]
"""

import argparse
import faulthandler
import json
import resource
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from examples import CHANGES, EXAMPLES, EXEMPT, LONG, NAN, PASSED_ON
from generated import Maker, NoExample
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from public import PACKAGES, Target, all_targets
from spoilers import Spoiler, spoilers
from verdicts import CLEAR, NO_MEMORY, RIGHT, verdict

ROOM = 2**30  # bytes beyond what the imports take


def arguments_of(target: Target, size, seed: int = 0, wanted: str = "") -> dict:
    """Fresh arguments with which the function answers."""
    example = EXAMPLES.get(target.full_name)
    return Maker(target.parameters, example() if example else {}, size, seed, wanted).arguments


def first_sizes():
    """2, 3, 4, … for one axis name after the other."""
    sizes = count(2)
    return lambda name: next(sizes)


class Trial:
    """The inputs that were tried on one function."""

    def __init__(self, target: Target):
        self.target, self.outcomes, self.faults = target, Counter(), {}
        may_change = CHANGES.get(target.full_name, set()) | CHANGES.get(target.full_name.rpartition(".")[0], set())
        self.rules = dict(may_change=may_change, may_be_nan=target.full_name in NAN)

    def one(self, size, seed: int, argument: str | None, choose) -> None:
        """One call; `choose` picks a spoiler of a list."""
        arguments, expected, spoiler = arguments_of(self.target, size(), seed, argument or ""), None, None
        if argument is not None and argument in arguments:
            spoiler = choose([s for s in spoilers(arguments[argument]) if not self._is_long(argument, s)])
            if spoiler.same:
                outcome, _, expected = verdict(self.target, arguments_of(self.target, size(), seed, argument), argument, **self.rules)
                if outcome != RIGHT:
                    expected = None
            arguments[argument] = spoiler.spoil(arguments[argument])
        rules = dict(self.rules, may_be_nan=self.rules["may_be_nan"] or bool(spoiler and "NaN" in spoiler.name))
        outcome, detail, _ = verdict(self.target, arguments, argument or "", **rules, expected=expected)
        self.outcomes[outcome] += 1
        if outcome not in (RIGHT, CLEAR, NO_MEMORY):
            self.faults.setdefault((argument or "", outcome, spoiler.name if spoiler else "as made"), detail)

    def _can_be_given(self, argument: str) -> bool:
        try:
            return argument in arguments_of(self.target, first_sizes(), 0, argument)
        except NoExample:  # optional, and of a kind that the example does not show
            return False

    def _is_long(self, argument: str, spoiler: Spoiler) -> bool:
        return argument in LONG.get(self.target.full_name, ()) and spoiler.name[:3].isdecimal()

    def run(self, examples: int) -> None:
        try:
            self.one(first_sizes, 0, None, None)
        except NoExample as error:
            self.faults["", "no example", str(error)] = ""
            return
        if not self.outcomes[RIGHT]:
            self.faults["", "no right answer to the example", "as made"] = str(self.faults)
        passed_on = PASSED_ON.get(self.target.full_name, ())
        names = [n for n in self.target.parameters if n != "self" and n not in passed_on and self._can_be_given(n)]
        if not names:
            return

        @settings(max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(st.data())
        def attempt(data):
            sizes, seed = {}, data.draw(st.integers(0, 3))

            def size():
                def of(name):
                    if name not in sizes:
                        sizes[name] = data.draw(st.integers(1, 4))
                    return sizes[name]
                return of

            argument = data.draw(st.sampled_from(names))
            self.one(size, seed, argument, lambda choices: data.draw(st.sampled_from(choices)))

        attempt()


def run_here(module: str, examples: int) -> list[dict]:
    """The trials of a module's functions in this process, which gets a limit of memory."""
    found = all_targets(module)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    rows = []
    for target in found:
        if target.full_name in EXEMPT:
            continue
        faulthandler.dump_traceback_later(300, exit=True)
        trial = Trial(target)
        trial.run(examples)
        faults = [[*key, detail] for key, detail in trial.faults.items()]
        rows.append({"module": target.module, "name": target.name, "outcomes": trial.outcomes, "faults": faults})
    faulthandler.cancel_dump_traceback_later()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="?", default="lib")
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    module = "" if arguments.module == "lib" else arguments.module
    print(json.dumps(run_here(module, arguments.examples)))


if __name__ == "__main__":
    main()
