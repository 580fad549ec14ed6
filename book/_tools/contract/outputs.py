"""The rules of stored outputs: those of one clean run, the same on every machine, with pictures described."""

import base64
import re
import struct
from collections.abc import Iterator

from lib.chapter.notebook import Chapter, text

# What must not stand in an output, and what to do about it.
NOISE = {
    r"(?<![\w/.])(/(home|tmp|root|work|Users|usr|var|opt|mnt|srv|private|Volumes)/|[A-Z]:\\)": "an absolute path; print the file's name alone",
    r"\b\w*Warning: ": "a warning; mend its cause",
    r"\d+%\||\d(s/it|it/s)\b|\r": "a progress bar; import tqdm from tqdm, not tqdm.auto, and use make run",
    r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d|\b\d\d:\d\d:\d\d\b": "a timestamp; do not print the time",
    r"\b0x[0-9a-f]{6,}\b": "a memory address; end the cell so that it returns no object",
    r"(?i)<script\b|\bjavascript:": "a script; an output shows what was computed and does nothing",
    r"\b(?:https?|ftp|wss?)://": "an address; what a chapter links to stands in its text",
}
SHOWN = {"text/plain", "text/markdown", "image/png"}
TEXTS_OF_A_PICTURE = {b"tEXt", b"zTXt", b"iTXt", b"eXIf"}


def outputs(chapter: Chapter) -> Iterator[str]:
    for due, i in enumerate(chapter.indices("code"), 1):
        count = chapter.cells[i].get("execution_count")
        if count != due:
            yield (
                f"{chapter.place(i)}: execution count {count} where {due} is due; "
                "store the outputs of one complete run (make run)"
            )
            break
    for i in chapter.indices("code"):
        yield from (f"{chapter.place(i)}: {problem}" for problem in _outputs(chapter.cells[i]))


def _outputs(cell: dict) -> Iterator[str]:
    for output in cell["outputs"]:
        if output["output_type"] == "error":
            yield f"the stored output is an error ({output['ename']}); mend the cell and run the chapter"
        if output.get("name") == "stderr":
            yield "the stored output contains stderr; mend the cause of the message and run the chapter"
        data = output.get("data", {})
        shown = "\n".join([text(output.get("text")), *(text(data[kind]) for kind in data if kind.startswith("text/"))])
        for pattern, remedy in NOISE.items():
            if found := re.search(pattern, shown):
                yield f"the stored output contains {remedy} ({found[0].strip()!r})"
        for kind in data:
            if kind.startswith("image/") and kind != "image/png":
                yield f"the picture is {kind}; show it as PNG, or APNG if it moves"
            elif kind not in SHOWN:
                yield f"the output is {kind}; print text, or show a picture"
        if TEXTS_OF_A_PICTURE & set(_chunks(text(data.get("image/png")))):
            yield "the picture holds a text, as of the program that drew it; leave that out (savefig's metadata) and run the chapter"
        if any(kind.startswith("image/") for kind in data):
            described = cell["metadata"].get("mystnb", {})
            if not described.get("image", {}).get("alt", "").strip():
                yield "the picture has no alternative text; say what it shows in the cell's metadata, mystnb.image.alt"
            if not described.get("figure", {}).get("caption", "").strip():
                yield "the picture has no caption; say what to see in the cell's metadata, mystnb.figure.caption"


def _chunks(png: str) -> Iterator[bytes]:
    """The kinds of the parts that a base64 PNG consists of."""
    picture, place = base64.b64decode(png), 8
    while place + 8 <= len(picture):
        length, kind = struct.unpack_from(">I4s", picture, place)
        yield kind
        place += 12 + length
