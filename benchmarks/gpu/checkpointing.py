"""Memory and time of a training step with activations kept, forgotten, and forgotten in part.

    python benchmarks/gpu/checkpointing.py [--rounds 9]

The course's transformer with the blocks of GPT-2 medium (24 layers, width 1024, 16 heads), batches of 32 × 1024 tokens, BF16
throughout, fused attention; the vocabulary is 256, so that the head adds next to nothing. A step is forward, backward and
AdamW. "Extra memory" is the most that a step holds beyond parameters, gradients and moments. All gradients must be those of
the step that keeps everything. With attention written out, checkpointing it alone is what Korthikanti et al. call selective;
torch's selective policy keeps what matrix products and fused attention give, and computes the rest again.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from mixer import Mixer, flash, half, set_inner
from record import Stopwatch, arguments, attempt, device, extra_bytes, record, say
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint as torch_checkpoint
from torch.utils.checkpoint import create_selective_checkpoint_contexts

from lib.sequence.transformer import Context, Transformer
from lib.systems.checkpointing import checkpoint, checkpoint_sequential

KEPT = ("mm", "addmm", "bmm", "_scaled_dot_product_flash_attention", "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_efficient_attention", "_scaled_dot_product_flash_attention_for_cpu")  # fmt: skip


class Layer(nn.Module):
    """A block with its context: a function of the states alone."""

    def __init__(self, block: nn.Module, context: Context):
        super().__init__()
        self.block, self.context = block, context

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x, self.context)


def written_out(q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v


def written_out_forgotten(q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
    return torch_checkpoint(written_out, q, k, v, context, use_reentrant=False)


def selective(layer: nn.Module, x: Tensor) -> Tensor:
    kept = [getattr(torch.ops.aten, name).default for name in KEPT if hasattr(torch.ops.aten, name)]
    return torch_checkpoint(layer, x, use_reentrant=False, context_fn=partial(create_selective_checkpoint_contexts, kept))


def one_by_one(call: Callable, layers: list[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = call(layer, x)
    return x


def ways(depth: int) -> dict[str, tuple[Callable, Callable]]:
    """By name: the function of layers and states, and the attention within."""
    plain = partial(one_by_one, lambda layer, x: layer(x))
    torchs = partial(one_by_one, partial(torch_checkpoint, use_reentrant=False))
    root = round(math.sqrt(depth))
    return {
        "everything kept": (plain, flash),
        "every block forgotten (lib)": (partial(one_by_one, checkpoint), flash),
        "every block forgotten (torch)": (torchs, flash),
        f"√L: {root} segments (lib)": (lambda layers, x: checkpoint_sequential(layers, root, x), flash),
        "selective: products and attention kept (torch)": (partial(one_by_one, selective), flash),
        "attention written out, everything kept": (plain, written_out),
        "attention written out, its inside forgotten": (plain, written_out_forgotten),
    }


def main() -> None:
    chosen = arguments(__doc__)
    depth, width, heads, batch, length = (4, 32, 2, 2, 16) if chosen.small else (24, 1024, 16, 32, 1024)
    torch.manual_seed(0)
    model = Transformer(256, width, depth, mixer=partial(Mixer, heads=heads, inner=flash)).to(device(), half())
    context = Context(model.position, torch.arange(length, device=device())[None], causal=True)
    layers = [Layer(block, context) for block in model.blocks]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    tokens = torch.randint(256, (batch, length + 1), device=device())

    def gradients(way: Callable, inner: Callable) -> None:
        set_inner(model, inner)
        optimizer.zero_grad(set_to_none=False)
        x = way(layers, model.embedding(tokens[:, :-1]))
        cross_entropy(model.head(model.norm(x)).float().flatten(0, 1), tokens[:, 1:].flatten()).backward()

    def step(way: Callable, inner: Callable) -> None:
        gradients(way, inner)
        optimizer.step()

    steps = {name: partial(step, *way) for name, way in ways(depth).items()}
    steps["everything kept"]()  # makes gradients and moments
    off, wanted = {}, None
    for name, way in ways(depth).items():
        _, reason = attempt(gradients, *way)
        if not reason:
            found = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).float()
            wanted = found if wanted is None else wanted
            off[name] = float((found - wanted).norm() / wanted.norm())
    wanted = found = None
    held = {name: attempt(extra_bytes, function)[0] for name, function in steps.items()}
    times = Stopwatch(flush=False).in_turn(steps, chosen.rounds)
    base, rows = "everything kept", []
    for name, taken in times.items():
        if isinstance(taken, str):
            rows.append([name, *[None] * 5, taken])
            continue
        base = name if name.endswith("everything kept") else base
        gib, share = (held[name] / 2**30, held[name] / held[base]) if held[name] and held[base] else (None, None)
        rows.append([name, taken, taken / times[base], gib, share, off.get(name), "ok"])
        say(f"{name}: {taken:.1f} ms, {gib or 0:.2f} GiB")
    head = ["what is kept", "ms a step", "ratio", "extra GiB", "share", "gradients off by", "status"]
    settings = {"depth": depth, "width": width, "heads": heads, "batch": batch, "length": length, "dtype": str(half())}
    beside = (
        "Chen et al. report 30 % more running time for 48 GB made 7 GB, a residual network of 1,000 layers "
        "(https://arxiv.org/abs/1604.06174, abstract); one more forward pass is a third of the operations. Ratios and shares are "
        "to the last row above that keeps everything."
    )
    record("checkpointing", chosen, settings, {"training step": (head, rows)}, beside)


if __name__ == "__main__":
    main()
