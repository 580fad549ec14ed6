"""Real data that comes with Python and scikit-learn: nothing is downloaded."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from lib.course.ranges import require_at_least
from lib.course.shapes import checked

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz0123456789.,:;'\"()[]{}<>=+-*/_#@!?%&|^~\\$`"
TEXT_LENGTH = 400_000


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Handwritten digits: images (1797, 8, 8), float32 in [0, 1], and labels (1797,), int64.

    Source: the table of scikit-learn's `load_digits`, the test set of the UCI optical recognition data. It is read without
    scikit-learn, whose import takes half a second.
    """
    table = np.loadtxt(Path(find_spec("sklearn").origin).parent / "datasets/data/digits.csv.gz", delimiter=",")
    images, labels = table[:, :64].reshape(-1, 8, 8), table[:, 64]
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)


def english_text() -> torch.Tensor:
    """English prose as indices into `ALPHABET`, shape (400000,), int64.

    Source: the language reference in Python's own `pydoc_data.topics`, in lower case; characters outside the alphabet
    are dropped. The text differs between Python versions; its alphabet and its length do not.
    """
    from pydoc_data import topics

    text = "\n".join(topics.topics[name] for name in sorted(topics.topics)).lower()
    index = np.full(ord(max(text)) + 1, -1)
    index[[ord(character) for character in ALPHABET]] = range(len(ALPHABET))
    codes = index[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")]
    codes = codes[codes >= 0]
    if len(codes) < TEXT_LENGTH:
        raise RuntimeError(f"pydoc_data.topics holds {len(codes)} usable characters, expected {TEXT_LENGTH}")
    return torch.from_numpy(codes[:TEXT_LENGTH].copy())


@checked
def windows(text: torch.Tensor, batch: int, length: int, rng: np.random.Generator) -> torch.Tensor:
    """Random windows of a text (N,): shape (batch, length)."""
    if text.ndim != 1:
        raise ValueError(f"text must have shape (N,), got {tuple(text.shape)}")
    for name, count in (("batch", batch), ("length", length)):
        require_at_least(name, count, 1)
    if length > len(text):
        raise ValueError(f"length must be at most the text's {len(text)}, got {length}")
    starts = torch.from_numpy(rng.integers(len(text) - length + 1, size=batch))
    return text[starts[:, None] + torch.arange(length)]


@checked
def found_in(windows: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Which windows (batch, length) stand somewhere in a text (N,), as booleans (batch,).

    `english_text` repeats passages, so a window of its end may well have been trained on. Codes must lie from 0 to 255,
    or a `ValueError` says what came.
    """
    if windows.ndim != 2 or text.ndim != 1:
        raise ValueError(f"expected windows (batch, length) and text (N,), got {tuple(windows.shape)}, {tuple(text.shape)}")
    for name, codes in (("windows", windows), ("text", text)):
        if codes.is_complex():
            raise ValueError(f"{name} must hold integers from 0 to 255, got {codes.dtype}")
        if codes.is_floating_point() or codes.numel() and not 0 <= codes.min() <= codes.max() <= 255:
            raise ValueError(f"{name} must hold integers from 0 to 255, got {codes.dtype} from {codes.min()} to {codes.max()}")
    whole = bytes(text.tolist())
    return torch.tensor([bytes(window) in whole for window in windows.tolist()], dtype=torch.bool)
