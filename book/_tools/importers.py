"""Who imports a module of `lib`: the tests and the chapters that can notice a change of it."""

import ast
from functools import cache, cached_property
from pathlib import Path

from runs import read


def imported(source: str) -> set[str]:
    """The names that a source imports, wherever it does: `from a import b` counts as a and as a.b."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


class Importers:
    """The imports of everything under `root`: `lib`, the tests without the browser's, and the chapters."""

    def __init__(self, root: Path):
        self.root = root

    @cached_property
    def modules(self) -> dict[str, set[str]]:
        """Each module of `lib` and what it imports."""
        paths = [path for path in sorted(self.root.glob("lib/**/*.py")) if path.name != "__init__.py"]
        names = (".".join(path.relative_to(self.root).with_suffix("").parts) for path in paths)
        return {name: imported(path.read_text(encoding="utf-8")) for name, path in zip(names, paths, strict=True)}

    @cached_property
    def test_files(self) -> dict[Path, set[str]]:
        paths = sorted(self.root.glob("tests/**/test_*.py"))
        kept = [path for path in paths if path.relative_to(self.root).parts[1] != "browser"]
        return {path: imported(path.read_text(encoding="utf-8")) for path in kept}

    @cached_property
    def chapter_files(self) -> dict[Path, set[str]]:
        return {path: imported(code(path)) for path in sorted(self.root.glob("book/*/*.ipynb"))}

    def path(self, module: str) -> Path:
        return self.root / (module.replace(".", "/") + ".py")

    def own_test(self, module: str) -> Path:
        """Where a module has its own tests, if it has any."""
        _, *package, name = module.split(".")
        return self.root.joinpath("tests", *package, f"test_{name}.py")

    def tests(self, module: str) -> list[Path]:
        """The tests of a module: its own, then those of its package that import it, then all others that do."""
        own = self.own_test(module)
        found = {*self._nearest(module, self.test_files), *({own} & set(self.test_files))}
        return sorted(found, key=lambda path: (path != own, path.parent != own.parent, path))

    def chapters(self, module: str) -> list[Path]:
        return self._nearest(module, self.chapter_files)

    def _nearest(self, module: str, files: dict[Path, set[str]]) -> list[Path]:
        """The files that import a module; if there are none, those that import a module which does, and so on."""
        names, seen = {module}, set()
        while names:
            found = [path for path, imports in files.items() if imports & names]
            if found:
                return found
            seen |= names
            names = {name for name, imports in self.modules.items() if imports & names} - seen
        return []


@cache
def code(notebook: Path) -> str:
    """The code of a notebook, as one source."""
    return "\n".join(cell.source for cell in read(notebook).cells if cell.cell_type == "code")
