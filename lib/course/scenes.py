"""Small pictures of one coloured shape each, with captions: a world in which it is known what an image and a text share."""

import re
from collections.abc import Sequence

import numpy as np
import torch

from lib.course.ranges import require_at_least

SHAPES = ("disc", "square", "triangle", "cross", "ring", "bar")
COLOURS = ("red", "green", "blue", "yellow", "pink", "white")
PLACES = ("top left", "top right", "bottom left", "bottom right")
TEMPLATES = (  # the first half leaves the place out
    "a {}",
    "a photo of a {}",
    "there is a {}",
    "a small {} on grey",
    "a {} at the {}",
    "a photo of a {} at the {}",
    "there is a {} in the {} corner",
    "a {} that lies {}",
)
SIDE = 20
WORDS = tuple(sorted(set(" ".join((*SHAPES, *COLOURS, *PLACES, *TEMPLATES)).replace("{}", "").split())))
LONGEST = 12

_RGB = np.array([(0.9, 0.2, 0.2), (0.2, 0.8, 0.3), (0.25, 0.35, 1), (0.95, 0.9, 0.2), (0.95, 0.45, 0.85), (0.95, 0.95, 0.95)])
_NUMBERS = {word: number for number, word in enumerate(WORDS, 1)}


def names() -> list[str]:
    """The 36 names "red disc", …: entry 6 * colour + shape."""
    return [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]


def caption(kind: Sequence[int], template: int) -> str:
    """The caption of a scene (colour, shape, place) by one of the `TEMPLATES`."""
    colour, shape, place = kind
    return TEMPLATES[template].format(f"{COLOURS[colour]} {SHAPES[shape]}", PLACES[place])


def tokenize(captions: Sequence[str]) -> torch.Tensor:
    """The words' numbers in `WORDS`, counted from 1, and zeros behind them: shape (captions, 12), int64.

    A word that is not in `WORDS`, and more than 12 of them, raise a `ValueError`.
    """
    tokens = torch.zeros(len(captions), LONGEST, dtype=torch.int64)
    for row, text in zip(tokens, captions, strict=True):
        words = text.split()
        unknown = [word for word in words if word not in _NUMBERS]
        if unknown or not 0 < len(words) <= LONGEST:
            raise ValueError(f"captions must have 1 to {LONGEST} words out of WORDS, got {text!r}")
        row[: len(words)] = torch.tensor([_NUMBERS[word] for word in words])
    return tokens


def random_kinds(n: int, rng: np.random.Generator, pairs: Sequence[int] = range(36)) -> torch.Tensor:
    """n random scenes (n, 4), int64: colour, shape, place, and the template of a caption, all equally likely.

    Colour and shape are those of one of `pairs`, which index `names()`. Bad pairs raise a `ValueError` before any draw.
    """
    require_at_least("n", n, 1)
    pairs = np.asarray(pairs)
    if pairs.size == 0 or pairs.min() < 0 or pairs.max() > 35:
        raise ValueError(f"pairs must be at least one, each in 0 … 35, got {pairs}")
    pair, place, template = rng.choice(pairs, n), rng.integers(4, size=n), rng.integers(len(TEMPLATES), size=n)
    return torch.from_numpy(np.column_stack([pair // 6, pair % 6, place, template]))


def shapes_with_captions(
    n: int, rng: np.random.Generator, pairs: Sequence[int] = range(36)
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images (n, 3, 20, 20) in [0, 1], float32, of n `random_kinds`; the tokens (n, 12) of their captions; the kinds (n, 4).

    A shape lies in a quarter of a grey picture, moved by a pixel at most, under noise.
    """
    kinds = random_kinds(n, rng, pairs)
    tokens = tokenize([caption(kind[:3], kind[3]) for kind in kinds.tolist()])
    return torch.from_numpy(draw(kinds.numpy(), rng)), tokens, kinds


def draw(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images (n, 3, 20, 20), float32, of the scenes (n, 3 or more): colour, shape, place."""
    colour, shape, place = np.asarray(kinds)[:, :3].T
    n = len(colour)
    moved = rng.integers(-1, 2, size=(2, n))
    pixel = np.arange(SIDE)
    y = (pixel - (5 + 10 * (place // 2) + moved[0])[:, None])[:, :, None]
    x = (pixel - (5 + 10 * (place % 2) + moved[1])[:, None])[:, None, :]
    size, radius = np.maximum(abs(x), abs(y)), x**2 + y**2
    inside = [
        radius <= 10, size <= 3, (abs(x) <= (y + 4) / 2) & (y <= 3), (np.minimum(abs(x), abs(y)) <= 0) & (size <= 3),
        (radius <= 12) & (radius >= 5), (abs(y) <= 1) & (abs(x) <= 3),
    ]  # fmt: skip
    mask = np.take_along_axis(np.stack(inside), shape[None, :, None, None], 0)[0]
    light = rng.uniform(0.7, 1, size=(n, 1, 1, 1))
    images = np.where(mask[:, None], light * _RGB[colour][:, :, None, None], 0.35)
    return np.clip(images + 0.08 * rng.normal(size=images.shape), 0, 1).astype(np.float32)
