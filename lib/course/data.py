"""Real data that comes with Python and scikit-learn: nothing is downloaded."""

from pydoc_data import topics

import numpy as np
import torch
from sklearn import datasets

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz0123456789.,:;'\"()[]{}<>=+-*/_#@!?%&|^~\\$`"
TEXT_LENGTH = 400_000


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Handwritten digits: images (1797, 8, 8), float32 in [0, 1], and labels (1797,), int64.

    Source: scikit-learn's `load_digits`, the test set of the UCI optical recognition data.
    """
    bunch = datasets.load_digits()
    return torch.tensor(bunch.images / 16, dtype=torch.float32), torch.tensor(bunch.target)


def english_text() -> torch.Tensor:
    """English prose as indices into `ALPHABET`, shape (400000,), int64.

    Source: the language reference in Python's own `pydoc_data.topics`, in lower case; characters outside the alphabet
    are dropped. The text differs between Python versions; its alphabet and its length do not.
    """
    text = "\n".join(topics.topics[name] for name in sorted(topics.topics)).lower()
    index = {character: i for i, character in enumerate(ALPHABET)}
    codes = [index[character] for character in text if character in index]
    if len(codes) < TEXT_LENGTH:
        raise RuntimeError(f"pydoc_data.topics holds {len(codes)} usable characters, expected {TEXT_LENGTH}")
    return torch.tensor(codes[:TEXT_LENGTH])


def windows(text: torch.Tensor, batch: int, length: int, rng: np.random.Generator) -> torch.Tensor:
    """Random windows of a text (N,): shape (batch, length)."""
    if length > len(text):
        raise ValueError(f"length must be at most the text's {len(text)}, got {length}")
    starts = torch.from_numpy(rng.integers(len(text) - length + 1, size=batch))
    return text[starts[:, None] + torch.arange(length)]
