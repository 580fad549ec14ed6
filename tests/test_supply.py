"""What the book is made of: licences that go with its own, and standalone notebooks that carry `lib` as it is here."""

import base64
import io
import json
import os
import subprocess
import sys
import zipfile

import audit
import pytest
from toolbox import ROOT, chapter_paths

from lib.chapter.standalone import pack_lib, set_up_cell, standalone

PACK = "import hashlib; from lib.chapter.standalone import pack_lib; print(hashlib.sha256(pack_lib().encode()).hexdigest())"


def test_every_licence_is_known_and_goes_with_the_books_own():
    """`make audit` lists them."""
    packages = audit.brought_in(audit.pinned())
    _, refused = audit.licences(packages)
    assert refused == [] and {"torch", "sphinx", "transformers", "markupsafe"} <= set(packages)


@pytest.mark.parametrize(
    ("words", "may"),
    {
        "MIT": True, "BSD-3-Clause AND 0BSD": True, "LGPL-3.0-only": True, "MPL-2.0 AND MIT": True,
        "Apache-2.0 WITH LLVM-exception": True, "GPL-3.0-only": False, "MIT AND GPL-2.0": False, "AGPL-3.0": False,
        "BSD License; GNU General Public License (GPL)": False, "LIMITED": False, "": False,
    }.items(),
)  # fmt: skip
def test_a_licence_is_read(words, may):
    assert audit.may_be_used("a package", words) is may


def test_a_pin_without_an_answer_proves_nothing(monkeypatch):
    """A mirror that knows no advisories must not look like a clean bill."""

    def answers(dependencies):
        def run(command, **_):
            answer = command[command.index("--output") + 1]
            answer.write_text(json.dumps({"dependencies": dependencies}))
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(audit.subprocess, "run", run)
        return audit.weaknesses({})

    whole = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    unknown = {"name": "c", "skip_reason": "not found"}
    assert answers([whole])[1] is True
    assert answers([whole, unknown])[1] is False
    told, good = answers([whole, bad])
    assert not good and "CVE-1" in told
    told, good = answers([unknown])
    assert not good and "Nothing is proved" in told
    told, good = answers([])
    assert not good and "check the network" in told


def unpacked(cell: dict) -> dict[str, bytes]:
    packed = "".join(cell["source"]).partition('set_up("""\n')[2].partition('"""')[0]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(packed))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_standalone_notebooks_carry_what_the_checkout_holds():
    here = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in ROOT.glob("lib/**/*.py")}
    carried = {name: held for name, held in here.items() if not name.startswith("lib/chapter/")}
    assert unpacked(set_up_cell()) == carried and len(carried) > 20
    cells = {"".join(standalone(path)["cells"][0]["source"]) for path in chapter_paths()}
    assert cells == {"".join(set_up_cell()["source"])}


def test_they_are_packed_the_same_whenever_and_by_whomever():
    """Other hashes, another time zone, another language, other rights of new files."""
    other = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    run = [sys.executable, "-c", PACK]
    first = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    second = subprocess.run(run, cwd=ROOT, env=other, umask=0o077, capture_output=True, text=True, check=True).stdout
    assert first == second
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(pack_lib()))) as archive:
        assert {(entry.date_time, entry.create_system, entry.external_attr >> 16) for entry in archive.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), 3, 0o600)
        }
