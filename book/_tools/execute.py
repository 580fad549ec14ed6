"""Run a chapter from top to bottom and store its outputs.

    python book/_tools/execute.py SLUG …

The kernel has one thread, seed 0 and no progress bars, so that the outputs are those that the tests compare.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from runs import new_client, parsed
from toolbox import Chapter, chapters_named, in_plain_words, one_thread, require_kernel, require_writable, usage

import contract
from contract.cells import METADATA as CELL_METADATA

from lib.chapter.files import replace_text

CELL_SECONDS = 300
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> tuple[float, float]:
    """Execute a notebook and store it; returns the kernel's CPU seconds and peak memory in gigabytes.

    When a cell fails, the file keeps its old outputs; so it does when something ends the run, at whatever moment.
    """
    require_writable(path)
    notebook = parsed(path)
    client = new_client(notebook, path.parent, timeout=CELL_SECONDS, record_timing=False, coalesce_streams=True)
    with client.setup_kernel(env=one_thread()):
        code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        for done, i in enumerate(code, 1):
            _progress(f"cell {done} of {len(code)}")
            client.execute_cell(notebook.cells[i], i, execution_count=done)
        used = usage(client.km.provisioner.pid)
    _progress("")
    tidy(notebook)
    replace_text(path, nbformat.writes(notebook) + "\n")
    return used


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Remove what differs from run to run or machine to machine, and make the pictures small."""
    notebook.metadata = {"course": notebook.metadata.get("course", {})} | METADATA
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:03d}"
        cell.metadata = {key: cell.metadata[key] for key in sorted(CELL_METADATA & set(cell.metadata))}
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = quantised(output.data["image/png"])
            if "metadata" in output:
                output.metadata = {}


def quantised(png: str) -> str:
    """A base64 PNG in at most 256 colours if that is smaller; a moving picture (APNG) stays as it is."""
    original = base64.b64decode(png)
    if b"acTL" in original:
        return png
    picture = Image.open(io.BytesIO(original))
    if picture.mode == "RGBA" and picture.getextrema()[3] == (255, 255):
        picture = picture.convert("RGB")
    whole, small = io.BytesIO(), io.BytesIO()
    picture.save(whole, "PNG", optimize=True, pnginfo=PngInfo())  # without the name of what drew it
    picture.quantize(256).save(small, "PNG", optimize=True)
    return base64.b64encode(min(whole.getvalue(), small.getvalue(), key=len)).decode()


def _progress(message: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K{message}", end="", flush=True)


@in_plain_words
def main(slugs: str) -> int:
    """Run the chapters named and say what each still violates; the first cell that fails ends the run."""
    require_kernel()
    for path in chapters_named(slugs):
        try:
            seconds, gigabytes = execute(path)
        except (CellExecutionError, DeadKernelError, CellControlSignal) as error:
            print(f"{error}\n{path.name} was not stored: mend the cell above and run it again.")
            return 1
        chapter = Chapter(path)
        problems = contract.violations(chapter)
        print(f"{path.stem}: {seconds:.1f} CPU s, {gigabytes:.2f} GB at its peak, {path.stat().st_size / 1e6:.2f} MB")
        print(contract.figures(chapter))
        print("\n".join(f"- {problem}" for problem in problems) or "It keeps the contract.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit("Name the chapter: make run CHAPTER=slug")
    sys.exit(main(" ".join(sys.argv[1:])))
