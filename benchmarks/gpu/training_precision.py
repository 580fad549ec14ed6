"""A small transformer trained in six formats, from the same starts and on the same batches: losses and steps a second.

    python benchmarks/gpu/training_precision.py [--seeds 3] [--steps 2000] [--seconds 330]

The course's transformer (width 512, 8 layers of 8 heads, rotary) reads sequences that it never meets twice: each follows one
of 64 random Markov chains over 72 letters, and which one must be found out from the letters so far. In
"FP8" all products of the blocks' linear layers, forward and backward, take operands in FP8: activations and weights in E4M3,
gradients in E5M2 with one scale a tensor, or everything in E4M3 with one scale for each row along which sums run. The rest is
BF16; weights, gradients and AdamW's moments are FP32 in all formats. A step is captured as a CUDA graph. Gaps are relative:
of the mean training loss of the last tenth of the steps (DeepSeek-V3 compares training losses), and of the loss of other
sequences, which is computed in FP32. No seed begins that would not end within the seconds.
"""

import math
import time
from argparse import Namespace
from contextlib import nullcontext
from statistics import mean, median, stdev

import torch
from fp8 import FP8Linear, set_linear
from record import arguments, attempt, autocast, device, record, say
from torch import nn
from torch.nn.functional import cross_entropy

from lib.sequence.position import Rotary
from lib.sequence.transformer import Attention, Context, Transformer

FORMATS = ("FP32", "TF32", "BF16", "FP16, scaled loss", "FP8, per tensor, E5M2 gradients", "FP8, per row, E4M3")
FULL = Namespace(width=512, depth=8, head=64, batch=8, length=256, rate=5e-4)  # 2048 tokens: as many as keep graphs free of sorting
CHAINS, LETTERS = 64, 72
SMALL = Namespace(width=32, depth=2, head=16, batch=2, length=32, rate=5e-4)


def sequences(count: int, length: int, generator: torch.Generator, chains: int = CHAINS) -> torch.Tensor:
    """Letters (count, length), each row of one of the chains, whose tables are the same for every generator."""
    tables = (2 * torch.randn(chains, LETTERS, LETTERS, generator=torch.Generator().manual_seed(0))).softmax(-1).to(device())
    chain = torch.randint(chains, (count,), generator=generator, device=device())
    letters = [torch.randint(LETTERS, (count,), generator=generator, device=device())]
    for _ in range(length - 1):
        letters.append(torch.multinomial(tables[chain, letters[-1]], 1, generator=generator)[:, 0])
    return torch.stack(letters, 1)


def loss_of(model: Transformer, tokens: torch.Tensor, context: Context) -> torch.Tensor:
    """The mean loss of sequences. The blocks are called one by one, for `forward` looks at its tokens on the host."""
    x = model.embedding(tokens[:, :-1])
    for block in model.blocks:
        x = block(x, context)
    return cross_entropy(model.head(model.norm(x)).float().flatten(0, 1), tokens[:, 1:].flatten())


def train(form: str, seed: int, size: Namespace, batches: torch.Tensor, held: torch.Tensor, captured: bool) -> tuple:
    """The training loss of the last tenth, the held-out loss, and the steps a second, a median of tenths of the run."""
    steps, tenth, gpu = len(batches), max(1, len(batches) // 10), device().type == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = form == "TF32"
    torch.manual_seed(seed)
    heads = size.width // size.head
    model = Transformer(
        LETTERS, size.width, size.depth, position=Rotary(size.head), mixer=lambda *of: Attention(*of, heads=heads)
    ).to(device())  # fmt: skip
    if form.startswith("FP8"):
        set_linear(model.blocks, FP8Linear, "row" in form)
    context = Context(model.position, torch.arange(size.length, device=device())[None], causal=True)
    rate, loss, tokens = torch.zeros((), device=device()), torch.zeros((), device=device()), batches[0].clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True, capturable=gpu)
    scaler = torch.amp.GradScaler(device().type, enabled=gpu and form.startswith("FP16"))
    half = torch.float16 if form.startswith("FP16") else torch.bfloat16

    def step() -> None:
        optimizer.zero_grad()
        with nullcontext() if form in ("FP32", "TF32") else autocast(half):
            value = loss_of(model, tokens, context)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        loss.copy_(value.detach())

    rates = [size.rate * min(1, 20 * (i + 1) / steps) * (0.55 + 0.45 * math.cos(math.pi * i / steps)) for i in range(steps)]
    rates, seen, marks, run = torch.tensor(rates, device=device()), torch.zeros(steps, device=device()), [], step
    side = torch.cuda.Stream() if gpu else None
    for i in range(steps):
        tokens.copy_(batches[i])
        rate.copy_(rates[i])
        if captured and i == 3:
            optimizer.zero_grad()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()
            run = graph.replay
        if captured and i < 3:  # on a stream of their own, as graphs want the steps before them
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                step()
            torch.cuda.current_stream().wait_stream(side)
        else:
            run()
        seen[i].copy_(loss)
        if i and i % tenth == 0:
            if gpu:
                torch.cuda.synchronize()
            marks.append(time.perf_counter())
    set_linear(model.blocks, nn.Linear)
    torch.backends.cuda.matmul.allow_tf32 = False
    with torch.no_grad():
        held_out = mean(float(loss_of(model, part, context)) for part in held.split(size.batch))
    speed = median(tenth / (b - a) for a, b in zip(marks, marks[1:], strict=False))
    return float(seen[-tenth:].mean()), held_out, speed, "graph" if captured else "no graph"


def summary(results: list, bf16: list, fp32: list) -> list:
    """Means over the seeds that ran: losses, relative gaps in percent to BF16 (± over seeds) and to FP32, and the speed."""
    whole = [result for result in results if result]
    if not whole:
        return [None] * 9 + ["failed"]
    row = [mean(result[column] for result in whole) for column in (0, 1)]
    for base in (bf16, fp32):
        for column in (0, 1):
            gaps = [100 * (one[column] / other[column] - 1) for one, other in zip(results, base, strict=True) if one and other]
            row.append(mean(gaps) if gaps else None)
            if base is bf16:
                row.append(stdev(gaps) if len(gaps) > 1 else None)
    return [*row, median(result[2] for result in whole), whole[0][3]]


def main() -> None:
    more = {"seeds": {"type": int, "default": 3}, "steps": {"type": int, "default": 2000}, "seconds": {"type": float, "default": 330.0}}
    chosen = arguments(__doc__, **more)
    size = SMALL if chosen.small else FULL
    if chosen.small:
        chosen.seeds, chosen.steps = 2, 12
    held = sequences(8 if chosen.small else 512, size.length + 1, torch.Generator(device()).manual_seed(1000))
    runs, begin = {form: [] for form in FORMATS}, time.perf_counter()
    for seed in range(chosen.seeds):
        if seed and (time.perf_counter() - begin) * (seed + 1) / seed > chosen.seconds:
            say(f"stopped after {seed} seeds")
            break
        fresh = sequences(chosen.steps * size.batch, size.length + 1, torch.Generator(device()).manual_seed(seed))
        batches = fresh.view(chosen.steps, size.batch, -1)
        for form in FORMATS:
            came, reason = attempt(train, form, seed, size, batches, held, device().type == "cuda")
            if reason and device().type == "cuda":
                say(f"  {form}, not captured: {reason}")
                came, reason = attempt(train, form, seed, size, batches, held, False)
            runs[form].append(came)
            say(f"seed {seed}, {form}: " + (reason or "training {:.4f}, held out {:.4f}, {:.1f} steps/s".format(*came)))
    rows = [[form, *summary(results, runs["BF16"], runs["FP32"])] for form, results in runs.items()]
    single = [[form, seed, *(result or (None,) * 4)] for form, results in runs.items() for seed, result in enumerate(results)]
    gaps = ["training gap to BF16 %", "±", "held-out gap to BF16 %", "± held out", "training gap to FP32 %", "held-out gap to FP32 %"]
    head = ["format", "training loss", "held-out loss", *gaps, "steps/s", "status"]
    results = {"losses and gaps, means over seeds": (head, rows), "each run": ([head[0], "seed", *head[1:3], *head[-2:]], single)}
    settings = vars(size) | {"steps": chosen.steps, "seeds done": len(runs["BF16"]), "held-out sequences": len(held)}
    beside = "DeepSeek-V3 (https://arxiv.org/abs/2412.19437, section 3.3): FP8 within 0.25 % of BF16, models of 16 and 230 billion weights."
    record("training_precision", chosen, settings, results, beside)


if __name__ == "__main__":
    main()
