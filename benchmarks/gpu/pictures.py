"""The course's scenes as data for generative models: little grain, mean 0, and the deviation that is asked for."""

import numpy as np
import torch
from record import device
from torch import Tensor

from lib.course.scenes import draw, random_kinds

CHUNK = 4096


class Calm(np.random.Generator):
    """Its normal draws are an eighth as large: scenes drawn with it have a grain of 0.01 in place of 0.08."""

    def normal(self, size: tuple[int, ...]) -> np.ndarray:
        return self.standard_normal(size) / 8


def pictures(count: int, seed: int, deviation: float = 1.0) -> Tensor:
    """Scenes (count, 3, 20, 20), float32, on the device, less their mean picture; all numbers have the given deviation."""
    rng, parts = Calm(np.random.PCG64(seed)), []
    for start in range(0, count, CHUNK):
        parts.append(torch.from_numpy(draw(random_kinds(min(CHUNK, count - start), rng).numpy(), rng)))
    images = torch.cat(parts).to(device())
    images -= images.mean(0)
    return deviation / images.std() * images
