"""Into displaced windows and back, against transformers' Swin, one thread, in turn.

    python benchmarks/windows.py [--rounds 21]

The first three resolutions of Swin-T at 224 pixels; the fourth is a single window. Ours takes displaced tokens straight to
their windows; the peer rolls the image along both axes, and then cuts it. Without a shift both only cut. Each row is the
median of our CPU time over the median of the peer's.
"""

from collections.abc import Callable

import torch
from bench import in_turn, milliseconds, record, rounds
from transformers.models.swin import modeling_swin

from lib.vision.windows import window_partition, window_reverse

M = 7
STAGES = ((56, 96), (28, 192), (14, 384))


def ours(x: torch.Tensor, shift: int) -> torch.Tensor:
    return window_reverse(window_partition(x, M, shift), M, *x.shape[1:3], shift)


def theirs(x: torch.Tensor, shift: int) -> torch.Tensor:
    """What `SwinLayer.forward` does with its tokens, without the attention in between."""
    rolled = torch.roll(x, (-shift, -shift), (1, 2)) if shift else x
    windows = modeling_swin.window_partition(rolled, M).view(-1, M * M, x.shape[3])
    back = modeling_swin.window_reverse(windows.view(-1, M, M, x.shape[3]), M, *x.shape[1:3])
    return torch.roll(back, (shift, shift), (1, 2)) if shift else back


def forward(way: Callable, x: torch.Tensor, shift: int) -> Callable:
    return torch.no_grad()(lambda: way(x, shift))


def backward(way: Callable, x: torch.Tensor, shift: int) -> Callable:
    x, weights = x.clone().requires_grad_(), torch.randn_like(x)

    def once():
        x.grad = None
        way(x, shift).backward(weights)

    return once


def main() -> None:
    turns = rounds(21)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for batch in (1, 8):
        for side, channels in STAGES:
            x = torch.randn(batch, side, side, channels)
            for shift in (M // 2, 0):
                assert torch.equal(ours(x, shift), theirs(x, shift))
                size = f"{batch} of {side} by {side}, {channels} channels, shift {shift}"
                for name, way in (("forward", forward), ("forward and backward", backward)):
                    one, other = way(ours, x, shift), way(theirs, x, shift)
                    one(), other()
                    rows.append(in_turn(f"{name}, {size}", milliseconds, one, other, turns))
    record("windows", ["ours / transformers' Swin", "CPU ms", "peer's", "ratio"], rows, what=f"medians of {turns}, in turn")


if __name__ == "__main__":
    main()
