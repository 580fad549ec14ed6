"""What the book depends on: known weaknesses, and licences.

    python book/_tools/audit.py

Looked at is what the pins of both requirements files bring in, with the versions that are installed here. The advisories
are asked of PyPI by pip-audit, which needs the network.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from runs import table
from toolbox import ROOT, in_plain_words

PINS = (ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt")

# Both kinds go with a book under the MIT licence: nothing of the second is changed, or passed on with the book or its site.
PERMISSIVE = r"MIT|0?BSD|FreeBSD|Apache|ISC|PSF|Python Software|CNRI-Python|Zlib|CC0|BSL-1\.0|Public Domain"
FOR_USE = r"MPL|Mozilla|LGPL"
KNOWN, REFUSED = rf"\b(?:{PERMISSIVE}|{FOR_USE})", r"\bA?GPL|Affero"
LOOKED_UP = {  # what their metadata do not say, or not clearly
    "axe-playwright-python": "MIT, by the file LICENSE in the package",
    "docutils": "public domain, BSD and PSF, by COPYING.txt in the package; its one file under the GPL, for Emacs, is not in it",
}


def pinned(files: tuple[Path, ...] = PINS) -> list[Requirement]:
    """The requirements that stand in files."""
    lines = [line.partition("#")[0].strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line]


def brought_in(pins: list[Requirement]) -> dict[str, Distribution]:
    """All that is installed because of the pins, by normalised name."""
    found, waiting = {}, [(requirement.name, frozenset(requirement.extras)) for requirement in pins]
    asked = set()
    while waiting:
        if (wanted := waiting.pop()) in asked:
            continue
        asked.add(wanted)
        name, extras = wanted
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another system or Python
            continue
        found[canonicalize_name(name)] = package
        for requirement in map(Requirement, package.requires or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return dict(sorted(found.items()))


def licence(package: Distribution) -> str:
    """What a package says of its licence: an expression, else its classifiers, else the first line of its words."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if line.startswith("License ::")]
    words = (metadata.get("License") or "").strip().splitlines()
    return "; ".join(classifiers) or (words[0] if words else "")


def may_be_used(name: str, words: str) -> bool:
    """Whether every part of what a package says is known to go with the book's own licence."""
    parts = re.split(r"\s(?:AND|OR)\s|;", words)
    return name in LOOKED_UP or all(re.search(KNOWN, part) and not re.search(REFUSED, part) for part in parts)


def licences(packages: dict[str, Distribution]) -> tuple[str, list[str]]:
    """A table of the packages by licence, and the packages whose licence is unknown or does not go with the book's."""
    by_licence, refused = defaultdict(list), []
    for name, package in packages.items():
        words = LOOKED_UP.get(name) or licence(package)
        by_licence[words].append(f"{name} {package.version}")
        if not may_be_used(name, words):
            refused.append(f"{name} {package.version}: {words or 'it names no licence'}")
    rows = [[words, str(len(names)), ", ".join(names)] for words, names in sorted(by_licence.items(), key=lambda item: -len(item[1]))]
    return table(["licence", "packages", "which"], rows), refused


def weaknesses(packages: dict[str, Distribution]) -> tuple[str, bool]:
    """What pip-audit says of the versions that are installed, and whether it could say it of every one and found nothing."""
    with tempfile.TemporaryDirectory() as folder:
        names, answer = Path(folder, "installed.txt"), Path(folder, "answer.json")
        pins = [f"{name}=={package.version.partition('+')[0]}" for name, package in packages.items()]
        names.write_text("\n".join(pins), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", names, "--no-deps", "--disable-pip", "--format", "json"]
        run = subprocess.run([*command, "--progress-spinner", "off", "--output", answer], capture_output=True, text=True, check=False)
        told = json.loads(answer.read_text(encoding="utf-8"))["dependencies"] if answer.exists() else []
    if not told:
        last = (run.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return f"pip-audit could not ask ({last}): check the network, and that make has installed tests/requirements.txt.", False
    skipped = [package["name"] for package in told if "skip_reason" in package]
    rows = [
        [package["name"], package["version"], found["id"], ", ".join(found["fix_versions"]) or "none yet"]
        for package in told for found in package.get("vulns", [])
    ]  # fmt: skip
    lines = [table(["package", "version", "advisory", "mended in"], rows)] if rows else []
    if len(skipped) == len(told):
        lines.append(f"PyPI answered for none of {len(told)} packages: a mirror perhaps, without advisories. Nothing is proved.")
    else:
        lines.append(f"{len(told) - len(skipped)} of {len(told)} packages asked about, {len(rows)} advisories.")
        lines += [f"PyPI does not know {', '.join(skipped)}."] if skipped else []
    return "\n".join(lines), not rows and not skipped


@in_plain_words
def main() -> int:
    packages = brought_in(pinned())
    listed, refused = licences(packages)
    print(f"## Licences\n\n{listed}\n")
    print("\n".join(f"REFUSED: {line}" for line in refused) or "All go with the book's own, which is MIT.")
    told, good = weaknesses(packages)
    print(f"\n## Known weaknesses\n\n{told}")
    return 0 if good and not refused else 1


if __name__ == "__main__":
    sys.exit(main())
