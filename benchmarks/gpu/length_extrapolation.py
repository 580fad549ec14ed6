"""A transformer trained on 512 tokens reads 1,024 to 8,192 in ten ways, without further training: what it finds far back.

    python benchmarks/gpu/length_extrapolation.py [--seeds 3] [--steps 5000] [--seconds 400]

The experiment of the chapter on length extrapolation with a model 300 times as large (width 512, 4 layers of 8 heads with
feed-forwards, base 10,000; logits are products of a linear map with the embeddings), eight times the trained length, and a
second kind of text. Half of the training texts are *memory*, as there: a random order of 4 to 384 of 4,096 tokens, repeated,
of which the tokens after the first period count; short periods come oftener, the less so the longer it trains. The other
half is *language*: each text follows one of 8 random Markov chains over 72 letters, and all tokens count. Read at s times
the length, *near* periods have 4 to 192 tokens, *far* ones 3/8 to 1/2 of the whole text, so that at 16 times the copies
stand 3,072 to 4,096 tokens back. *Found* is the share of known tokens with the highest logit. Factors are s, YaRN's ramp
goes from 1 to 32 turns, windows are half of the trained length, and the leak is the least whole one that stays in range.
Training and reading are in BF16, but scores by distance and logits in TF32. All methods read the same texts with the same
weights. No seed begins that would not end within the seconds.
"""

import math
import time
from argparse import Namespace
from statistics import mean, stdev

import torch
from readers import BASE, Reader, methods, set_method
from record import arguments, attempt, autocast, device, record, say
from texts import CHAINS, language, periodic
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lib.sequence.position import Rotary
from lib.sequence.transformer import Transformer

FULL = Namespace(width=512, depth=4, head=64, vocabulary=4096, length=512, batch=32, rate=1e-3, times=(2, 4, 8, 16), texts=8)
SMALL = Namespace(width=32, depth=2, head=16, vocabulary=80, length=32, batch=4, rate=3e-3, times=(2, 4), texts=2)
# Found near by and far away in the chapter's run: 49,536 weights, trained on 64 tokens, read at 4 times the length.
CHAPTER = {
    "nothing": (0.734, 0.210), "window": (0.996, 0.003), "interpolation": (0.137, 0.038), "another base": (0.808, 0.382),
    "base, larger factor": (0.990, 0.857), "by parts": (0.972, 0.844), "YaRN": (0.977, 0.879), "ReRoPE": (0.996, 0.961),
    "leaky ReRoPE": (0.995, 0.749), "ReRoPE, log n": (0.996, 0.965),
}  # fmt: skip


def judge(model: Transformer, text: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """For each known token its loss in nats, and whether it has the highest logit."""
    with autocast():
        states = model.hidden(text[:, :-1])
    logits = model.head(states[known].float()) @ model.embedding.weight.mT / states.shape[-1] ** 0.5
    wanted = text[:, 1:][known]
    return cross_entropy(logits, wanted, reduction="none"), logits.argmax(-1) == wanted


@torch.no_grad()
def read(model: Transformer, method: tuple[Rotary, dict], text: Tensor, known: Tensor) -> tuple[float, float]:
    """Mean nats and the share found, a few texts at a time."""
    set_method(model, *method)
    rows = max(1, 2**13 // text.shape[1])
    parts = [judge(model, *pair) for pair in zip(text.split(rows), known.split(rows), strict=True)]
    return tuple(float(torch.cat(values).float().mean()) for values in zip(*parts, strict=True))


def train(size: Namespace, steps: int, generator: torch.Generator) -> Transformer:
    heads, half = size.width // size.head, size.batch // 2
    rope, mixer = Rotary(size.head, BASE), lambda *of: Reader(*of, heads=heads)
    model = Transformer(size.vocabulary, size.width, size.depth, position=rope, mixer=mixer).to(device())
    model.head = nn.Linear(size.width, size.width, bias=False).to(device())  # to embeddings, not to all tokens
    texts, all_known = (part.view(steps, half, -1) for part in language(steps * half, size.length, generator))
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for i in range(steps):
        power = 3 - 2 * i / steps
        text, known = periodic(half, size.length, (4, 3 * size.length // 4), size.vocabulary, generator, power)
        nats, hit = judge(model, torch.cat([text, texts[i]]), torch.cat([known, all_known[i]]))
        loss = nats.mean()
        optimizer.param_groups[0]["lr"] = size.rate * min(1, 20 * (i + 1) / steps) * (0.55 + 0.45 * math.cos(math.pi * i / steps))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if not i % max(1, steps // 10):
            say(f"  step {i}: {loss.item():.3f} nats, {hit[: known.sum()].float().mean().item():.3f} of memory found")
    return model


def run(size: Namespace, seed: int, steps: int) -> tuple[list, dict]:
    """Of one seed: [found, nats of memory, of language, seconds] at the trained length; by (method, times) [near, far, nats]."""
    torch.manual_seed(seed)
    generator, begin = torch.Generator(device()).manual_seed(seed), time.perf_counter()
    model = train(size, steps, generator)
    taken, longest, came = time.perf_counter() - begin, size.length, {}

    def memory(length: int, low: int, high: int) -> tuple[Tensor, Tensor]:
        return periodic(size.texts, length, (low, high), size.vocabulary, generator)

    plain = methods(size.head, size.length, 2)["nothing"]
    nats, found = read(model, plain, *memory(longest, 4, 3 * longest // 4))
    trained = [found, nats, read(model, plain, *language(4 * size.texts, longest, generator))[0], taken]
    say(f"seed {seed}, trained length: {found:.3f} found, {nats:.3f} nats, language {trained[2]:.3f} nats, {taken:.0f} s")
    for s in size.times:
        length = s * size.length
        kinds = memory(length, 4, 3 * size.length // 8), memory(length, 3 * length // 8, length // 2), language(size.texts, length, generator)
        for name, method in methods(size.head, size.length, s).items():
            done, reason = attempt(lambda method=method, kinds=kinds: [read(model, method, *kind) for kind in kinds])
            came[name, s] = [done[0][1], done[1][1], done[2][0]] if done else [None] * 3
            say(f"  {s} times, {name}: " + (reason or "near {:.3f}, far {:.3f}, language {:.3f} nats".format(*came[name, s])))
    return trained, came


def main() -> None:
    more = {"seeds": {"type": int, "default": 3}, "steps": {"type": int, "default": 5000}, "seconds": {"type": float, "default": 400.0}}
    chosen = arguments(__doc__, **more)
    size = SMALL if chosen.small else FULL
    if chosen.small:
        chosen.seeds, chosen.steps = 2, 10
    torch.backends.cuda.matmul.allow_tf32 = True
    runs, begin = [], time.perf_counter()
    for seed in range(chosen.seeds):
        if seed and (time.perf_counter() - begin) * (seed + 1) / seed > chosen.seconds:
            say(f"stopped after {seed} seeds")
            break
        runs.append(run(size, seed, chosen.steps))

    def over_seeds(name: str, s: int) -> list:
        columns = [[value for value in column if value is not None] for column in zip(*(came[name, s] for _, came in runs), strict=True)]
        return [figure for column in columns for figure in (mean(column) if column else None, stdev(column) if len(column) > 1 else None)]

    rows = [[name, s, *over_seeds(name, s), *(CHAPTER[name] if s == 4 else (None, None))] for s in size.times for name in CHAPTER]
    single = [[name, s, seed, *figures] for seed, (_, came) in enumerate(runs) for (name, s), figures in came.items()]
    figures = ["near: found", "far: found", "language: nats"]
    head = ["method", "times the length", *(name for figure in figures for name in (figure, f"± {figure}")), "chapter: near", "chapter: far"]
    seeds = [[i, *trained] for i, (trained, _) in enumerate(runs)]
    results = {
        "what is found, means over seeds": (head, rows),
        "at the trained length": (["seed", "found", "nats", "language: nats", "s of training"], seeds),
        "each seed": (["method", "times the length", "seed", *figures], single),
    }
    settings = vars(size) | {"base": BASE, "chains": CHAINS, "steps": chosen.steps, "seeds done": len(runs)}
    beside = (
        "Su (https://kexue.fm/archives/9708): 100 million weights, 512 tokens read as 4,096 without repetition, share of right next "
        "tokens: 49.41 % at 512; 23.16 % with nothing, 13.54 % interpolation, 48.48 % ReRoPE with a window of 256."
    )
    record("length_extrapolation", chosen, settings, results, beside)


if __name__ == "__main__":
    main()
