"""Files that no fault leaves half written."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from lib.course.shapes import checked_after_errors


@checked_after_errors
def replace_text(path: Path, text: str) -> None:
    """Give a file a new text at once: whatever ends the program, the file holds all of the old text or all of the new.

    What a killed program leaves beside it, `.NAME.half`, is overwritten by the next one. Raises an OSError that names
    the file, which is then as it was.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {type(text).__name__}")
    path = path.resolve()  # where a link leads
    half = path.with_name(f".{path.name}.half")
    try:
        if path.exists():
            path.open("r+").close()  # what may not be written is not replaced either
        with half.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, half)
        half.replace(path)
    except OSError as error:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
