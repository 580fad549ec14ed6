"""What came of the edits of a module of `lib`: kept in a file, compared with those that make no difference, reported."""

import ast
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml
from edits import Edit, candidates
from runs import table

NO_DIFFERENCE = Path(__file__).with_name("no_difference.yml")
BY = ("own tests", "other tests", "a chapter", "time or crash")
LEAST, LEAST_OF_MODULE = 0.9, 0.8  # of all edits that were tried or are listed


def digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


@dataclass
class Outcome:
    """What noticed an edit: one of BY, and where; `by` is "" if nothing did.

    `tests` is a hash of what the edit met, and `seconds` are those of the tests alone.
    """

    edit: Edit
    by: str = ""
    where: str = ""
    tests: str = ""
    seconds: float = 0
    met_chapters: bool = False


@dataclass
class Outcomes:
    """The outcomes of one text of a module, in a file that grows by a line for each; the last of an edit counts."""

    module: str
    text: str
    folder: Path
    by_edit: dict[Edit, Outcome] = field(default_factory=dict)

    def __post_init__(self):
        self.file = self.folder / f"{self.module}-{digest(self.text)}.jsonl"
        for line in self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []:
            kept = json.loads(line)
            outcome = Outcome(Edit(**kept.pop("edit")), **kept)
            self.by_edit[outcome.edit] = outcome

    def add(self, outcome: Outcome) -> None:
        self.by_edit[outcome.edit] = outcome
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")

    def survivors(self) -> list[Outcome]:
        return [outcome for outcome in self.by_edit.values() if not outcome.by]


def place(text: str, edit: Edit) -> str:
    """The function or class in which an edit is, with what this is in: "Line.parse", or "the module"."""
    position, names, inside = len(text.encode()[: edit.start].decode()), [], ast.parse(text)
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    while inside:
        inner = [node for node in ast.iter_child_nodes(inside) if hasattr(node, "lineno")]
        inside = next((n for n in inner if starts[n.lineno - 1] <= position < starts[n.end_lineno]), None)
        if isinstance(inside, (ast.FunctionDef, ast.ClassDef)):
            names.append(inside.name)
    return ".".join(names) or "the module"


def change(text: str, edit: Edit) -> str:
    _, before, after = edit.lines(text)
    return f"{before} → {after}"


def listed(module: str, text: str, file: Path = NO_DIFFERENCE) -> tuple[set[Edit], list[str]]:
    """The edits of a module that are known to make no difference, and the entries that fit none of its lines any more."""
    entries = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get(module, []) if file.exists() else []
    wanted, found = {(entry["in"], entry["edit"]) for entry in entries}, {}
    changes = {written for _, written in wanted}
    for edit in (edit for edits in (candidates(text) if wanted else []) for edit in edits):
        if (written := change(text, edit)) in changes and (key := (place(text, edit), written)) in wanted:
            found.setdefault(key, {}).setdefault(edit.of(text), edit)
    old = [f"{module} · {where}: {edit}" for where, edit in sorted(wanted - set(found))]
    return {edit for same in found.values() for edit in same.values()}, old


def report(modules: list[Outcomes], file: Path = NO_DIFFERENCE) -> str:
    """The table by module, the survivors, the modules with too few killed, and entries of the list that fit nothing."""
    rows, survivors, old, low = [], [], [], []
    for outcomes in modules:
        same, out_of_date = listed(outcomes.module, outcomes.text, file)
        old += out_of_date
        tried = outcomes.by_edit.values()
        alive = [outcome for outcome in outcomes.survivors() if outcome.edit not in same]
        by = [sum(outcome.by == kind for outcome in tried) for kind in BY]
        harmless = len(same - {outcome.edit for outcome in tried if outcome.by})
        rows.append([sum(by) + harmless + len(alive), sum(by), *by, harmless, len(alive)])
        if sum(by) < LEAST_OF_MODULE * rows[-1][0]:
            low.append(outcomes.module)
        for outcome in sorted(alive, key=lambda outcome: outcome.edit.start):
            line = outcome.edit.lines(outcomes.text)[0]
            where = f"{place(outcomes.text, outcome.edit)} · line {line}"
            met = "" if outcome.met_chapters else " (has met no chapter)"
            survivors.append(f"{outcomes.module} · {where}: {change(outcomes.text, outcome.edit)}{met}")
    rows.append([sum(column) for column in zip(*rows, strict=True)] if rows else [0] * (4 + len(BY)))
    head = ["module", "edits", "killed", "%", *(f"by {kind}" for kind in BY), "no difference", "survive"]
    names = [outcomes.module for outcomes in modules] + ["all"]
    cells = [
        [name, str(edits), str(killed), f"{100 * killed / edits:.0f}" if edits else "", *map(str, rest)]
        for name, (edits, killed, *rest) in zip(names, rows, strict=True)
    ]
    lines = [table(head, cells), "", f"Survivors: {len(survivors)}", *(f"- {survivor}" for survivor in survivors)]
    if low:
        lines.append(f"Fewer than {LEAST_OF_MODULE:.0%} are killed in: {', '.join(low)}")
    if rows[-1][1] < LEAST * rows[-1][0]:
        lines.append(f"Fewer than {LEAST:.0%} are killed in all.")
    if old:
        lines += ["Listed as making no difference, but no such line stands there now:", *(f"- {entry}" for entry in old)]
    return "\n".join(lines)
