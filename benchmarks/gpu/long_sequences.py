"""Time and memory of one mixing layer against the length: attention, linear attention, gated attention units and Mamba.

    python benchmarks/gpu/long_sequences.py [--rounds 7]

Forward and backward of one layer of width 1024 over one sequence, projections included, under BF16 autocast, as they are
launched from Python: short lengths measure launches. Attention (16 heads) is torch's fused kernel in the course's attention
layer; the others are the course's layers in plain torch. Exponents are slopes of log time and log memory between the two
longest lengths that ran; a layer overtakes attention where lines between the measured points, in logarithms, cross.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from record import Stopwatch, arguments, attempt, autocast, device, extra_bytes, record, say
from torch import nn

from lib.sequence.gau import GAU
from lib.sequence.linear_attention import LinearAttention
from lib.sequence.position import Position
from lib.sequence.ssm import Mamba
from lib.sequence.transformer import Attention, Context


def layers(width: int, heads: int, chunk: int) -> dict[str, Callable[[], nn.Module]]:
    nowhere = Position()
    return {
        "attention, fused": partial(Attention, width, nowhere, heads),
        "linear attention, chunks of 64": partial(LinearAttention, width, nowhere, heads),
        f"gated attention unit, mixed chunks of {chunk}": partial(GAU, width, nowhere, dim=128, kernel="relu2", chunk=chunk),
        "Mamba, 16 states": partial(Mamba, width, nowhere),
        "gated attention unit, softmax": partial(GAU, width, nowhere, dim=128),
        "gated attention unit, squared ReLU": partial(GAU, width, nowhere, dim=128, kernel="relu2"),
    }


def new_call(layer: nn.Module, width: int, length: int) -> Callable[[], None]:
    """Forward and backward over one sequence of this length."""
    x = torch.randn(1, length, width, device=device(), requires_grad=True)
    context = Context(Position(), torch.arange(length, device=device())[None], causal=True)
    weights = torch.randn(1, length, width, device=device())

    def once() -> None:
        x.grad = None
        layer.zero_grad(set_to_none=True)
        with autocast():
            y = layer(x, context)
        y.backward(weights.to(y.dtype))

    return once


def slope(points: list[tuple[int, float]]) -> float | None:
    """The exponent between the last two points (length, value)."""
    if len(points) < 2 or not points[-2][1] or not points[-1][1]:
        return None
    (a, u), (b, v) = points[-2:]
    return math.log(v / u) / math.log(b / a)


def crossing(ours: list[tuple[int, float]], others: list[tuple[int, float]]) -> str:
    """From which length on `ours` takes less than `others`, as far as both ran."""
    both = [(n, math.log(u / v)) for (n, u), (m, v) in zip(ours, others, strict=False) if n == m]
    if not both:
        return "neither ran"
    if all(ratio < 0 for _, ratio in both):
        return f"below {both[0][0]}"
    if both[-1][1] >= 0:
        return f"beyond {both[-1][0]}"
    (a, u), (b, v) = next(pair for pair in reversed(list(zip(both, both[1:], strict=False))) if pair[0][1] >= 0)
    return f"{a * (b / a) ** (u / (u - v)):.0f}"


def main() -> None:
    chosen = arguments(__doc__)
    width, heads, chunk = (32, 2, 16) if chosen.small else (1024, 16, 256)
    lengths = (64, 128) if chosen.small else (512, 2048, 8192, 32768, 65536)
    torch.manual_seed(0)
    watch, made = Stopwatch(flush=False), {name: make().to(device()) for name, make in layers(width, heads, chunk).items()}
    times, memory, rows = ({name: [] for name in made} for _ in range(3))
    for length in lengths:
        calls = {}
        for name, layer in made.items():
            call = new_call(layer, width, length)
            held, reason = attempt(lambda call=call: (call(), extra_bytes(call))[1])  # the first call also fills workspaces
            if reason:
                rows[name].append([name, length, None, None, None, reason])
                say(f"{length}, {name}: {reason}")
                continue
            memory[name].append((length, held))
            calls[name] = call
        for name, taken in watch.in_turn(calls, chosen.rounds, warm=1).items():
            if isinstance(taken, str):
                rows[name].append([name, length, None, None, None, taken])
                continue
            times[name].append((length, taken))
            held = memory[name][-1][1]
            rows[name].append([name, length, taken, 1e3 * taken / length, held and held / 2**30, "ok"])
            say(f"{length}, {name}: {taken:.3g} ms")
    attention = times["attention, fused"]
    fits = [
        [name, slope(times[name]), slope(memory[name]), times[name][-1][0] if times[name] else None, crossing(times[name], attention)]
        for name in made
    ]
    fits[0][-1] = "-"
    results = {
        "one layer, forward and backward": (["layer", "length", "ms", "µs a token", "extra GiB", "status"], sum(rows.values(), [])),
        "growth": (["layer", "exponent of time", "exponent of memory", "longest", "quicker than attention from"], fits),
    }
    settings = {"width": width, "heads": heads, "batch": 1, "lengths": lengths, "positions": "none"}
    beside = (
        "Counted: exponents tend to 2 for attention's time and to 1 for that of the others; fused attention's memory grows by 1, "
        "that of the two units that keep all pairs by 2. The course's layers are plain torch: fused kernels of theirs would be quicker."
    )
    record("long_sequences", chosen, settings, results, beside)


if __name__ == "__main__":
    main()
