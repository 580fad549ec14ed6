"""Random erasing, mixup and CutMix of a batch against kornia's, on the same pictures, one thread, in turn.

    python benchmarks/augmentation.py [--rounds 11]

Each row is the median of our CPU time over the median of kornia's, both for ten calls one after the other. They are those
that a training loop makes, draws included. Every other erasing row erases in every picture: there both mostly copy, and for large pictures the copy alone is
half of the time.
"""

from functools import partial

import kornia
import kornia.augmentation as K
import torch
from bench import in_turn, milliseconds, record, rounds
from torch.nn.functional import one_hot

from lib.vision.augmentation import centred_boxes, cutmix, mixup, random_erasing

SHAPES = ((64, 3, 32, 32), (256, 3, 32, 32), (64, 3, 224, 224))


def main() -> None:
    turns = rounds(11)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator, rows = torch.Generator().manual_seed(0), []
    for shape in SHAPES:
        x, labels = torch.rand(shape), torch.arange(shape[0]) % 10
        y = one_hot(labels, 10).float()
        size = " × ".join(map(str, shape))
        pairs = {}
        for p in (0.5, 1.0):
            peer = K.RandomErasing(scale=(0.02, 0.4), ratio=(0.3, 1 / 0.3), p=p)
            ours = partial(random_erasing, x, generator, p=p, value=0.0)
            pairs[f"random erasing, p = {p:g}, {size}"] = ours, partial(peer, x)
        mixer = K.RandomMixUpV2(data_keys=["input", "class"])
        cutter = K.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)

        def mixed(x=x, y=y):
            return mixup(x, y, torch.rand(len(x), generator=generator), torch.randperm(len(x), generator=generator))

        def cut(x=x, y=y):
            side = (torch.rand((), generator=generator).sqrt() * x.shape[-1]).int().item()
            boxes = centred_boxes(len(x), *x.shape[2:], side, side, generator)
            return cutmix(x, y, boxes, torch.randperm(len(x), generator=generator))

        pairs[f"mixup, {size}"] = mixed, partial(mixer, x, labels)
        pairs[f"CutMix, {size}"] = cut, partial(cutter, x, labels)
        for row, (one, other) in pairs.items():
            one(), other()
            rows.append(in_turn(row, partial(milliseconds, calls=10), one, other, turns))
    record("augmentation", ["ours / kornia's", "CPU ms", "peer's", "ratio"], rows, what=f"medians of {turns}, in turn, kornia {kornia.__version__}")


if __name__ == "__main__":
    main()
