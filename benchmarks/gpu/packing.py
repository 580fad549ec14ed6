"""Tokens a second and use of the GPU for documents padded, sorted and padded, and packed: forward and backward.

    python benchmarks/gpu/packing.py [--rounds 7]

Documents have log-normal lengths; each layout takes all of them once, in batches. The model has blocks of GPT-2 medium's size
(12 of them, width 1024, 16 heads), in BF16. Padded batches use fused causal attention, which needs no mask for padding that
stands last. "Rows" are packed first-fit decreasing, under the course's document mask or the same in flex attention; "end to
end" has no padding at all, and attention for variable lengths. Useful operations are those of real tokens: six for each
weight of the blocks, and 12 · width for each pair of tokens that see each other, in each layer; their rate over the dense
peak is the share.
"""

import inspect
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from mixer import Mixer, flash, half, set_inner
from record import PEAK, Stopwatch, arguments, device, extra_bytes, record, say
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

from lib.sequence.transformer import Context, Transformer
from lib.systems.packing import NO_LABEL, cumulative_lengths, document_mask, first_fit_decreasing, pack

FLEX = torch.compile(flex_attention, dynamic=False)


def shifted(document: Tensor) -> Tensor:
    """Its labels: the next tokens, and none for the last."""
    return torch.cat([document[1:], document.new_tensor([NO_LABEL])])


def padded(documents: list[Tensor], count: int) -> list[tuple]:
    """Batches of `count` documents as they come: tokens, labels, and the attention."""
    batches = []
    for i in range(0, len(documents), count):
        group = documents[i : i + count]
        labels = pad_sequence([shifted(document) for document in group], batch_first=True, padding_value=NO_LABEL)
        batches.append((pad_sequence(group, batch_first=True), labels, flash))
    return batches


def in_rows(documents: list[Tensor], capacity: int, rows: int, masked: Callable) -> list[tuple]:
    """Batches of `rows` rows, filled up with rows of padding at the end, so that one compiled kernel serves all."""
    packed = pack(documents, first_fit_decreasing([len(document) for document in documents], capacity), capacity)
    missing = -len(packed.tokens) % rows
    fields = zip((packed.tokens, packed.labels, packed.documents), (0, NO_LABEL, -1), strict=True)
    full = [torch.cat([x, torch.full((missing, capacity), value)]).to(device()) for x, value in fields]
    return [(tokens, labels, masked(number)) for tokens, labels, number in zip(*(x.split(rows) for x in full), strict=True)]


def by_flex(number: Tensor) -> Callable:
    def sees(b, h, i, j):
        return (i >= j) & (number[b, i] == number[b, j])

    mask = create_block_mask(sees, len(number), None, *[number.shape[1]] * 2, device=number.device)
    return lambda q, k, v, _: FLEX(q, k, v, block_mask=mask)


def by_mask(number: Tensor) -> Callable:
    mask = document_mask(number)[:, None]
    return lambda q, k, v, _: scaled_dot_product_attention(q, k, v, attn_mask=mask)


def variable(q: Tensor, k: Tensor, v: Tensor, context: Context, *, bounds: Tensor, longest: int) -> Tensor:
    """Attention within documents that stand end to end in one row; on a CPU one after the other."""
    if not q.is_cuda:
        pieces = zip(*(x.split(bounds.diff().tolist(), 2) for x in (q, k, v)), strict=True)
        return torch.cat([scaled_dot_product_attention(*piece, is_causal=True) for piece in pieces], 2)
    from torch.nn.attention.varlen import varlen_attn

    causal = {"window_size": (-1, 0)} if "window_size" in inspect.signature(varlen_attn).parameters else {"is_causal": True}
    q, k, v = (x[0].transpose(0, 1) for x in (q, k, v))
    return varlen_attn(q, k, v, bounds, bounds, longest, longest, **causal).transpose(0, 1)[None]


def end_to_end(documents: list[Tensor], tokens: int) -> list[tuple]:
    """Documents one after the other, in batches of about `tokens` tokens."""
    groups = [[]]
    for document in documents:
        if groups[-1] and sum(map(len, groups[-1])) + len(document) > tokens:
            groups.append([])
        groups[-1].append(document)
    batches = []
    for group in groups:
        lengths = torch.tensor(list(map(len, group)))
        inner = partial(variable, bounds=cumulative_lengths(lengths).to(device()), longest=int(lengths.max()))
        batches.append((torch.cat(group)[None], torch.cat([shifted(document) for document in group])[None], inner))
    return batches


def main() -> None:
    chosen = arguments(__doc__)
    sizes = (2, 32, 2, 64, 16, 4, 4, 2) if chosen.small else (12, 1024, 16, 2048, 256, 32, 16, 5.5)
    depth, width, heads, capacity, count, group, rows, mean = sizes
    torch.manual_seed(0)
    model = Transformer(256, width, depth, mixer=partial(Mixer, heads=heads, inner=flash)).to(device(), half())
    lengths = np.random.default_rng(0).lognormal(mean, 1, count).astype(int).clip(2, capacity)
    documents = [torch.randint(256, (int(length),)) for length in lengths]
    layouts = {
        "padded to the longest of a batch": partial(padded, documents, group),
        "sorted by length, then padded": partial(padded, sorted(documents, key=len), group),
        "packed in rows, a mask for every pair": partial(in_rows, documents, capacity, rows, by_mask),
        "packed in rows, flex attention": partial(in_rows, documents, capacity, rows, by_flex),
        "packed end to end, variable lengths": partial(end_to_end, documents, rows * capacity),
    }
    batches = {}

    def once(name: str) -> None:
        if name not in batches:
            batches[name] = [(x.to(device()), y.to(device()), inner) for x, y, inner in layouts[name]()]
        model.zero_grad(set_to_none=False)
        for tokens, labels, inner in batches[name]:
            set_inner(model, inner)
            logits = model(tokens).float()
            cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=NO_LABEL, reduction="sum").backward()

    def gradient(name: str) -> Tensor:
        once(name)
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).float()

    times = Stopwatch(flush=False).in_turn({name: partial(once, name) for name in layouts}, chosen.rounds)
    weights = sum(parameter.numel() for parameter in model.blocks.parameters())
    pairs = float((lengths * (lengths + 1.0) / 2).sum())
    useful, real = 6.0 * weights * lengths.sum() + 12.0 * width * depth * pairs, int(lengths.sum())
    reference, table = gradient(next(iter(layouts))), []
    for name, taken in times.items():
        if isinstance(taken, str):
            table.append([name, *[None] * 6, taken])
            continue
        places = sum(tokens.numel() for tokens, _, _ in batches[name])
        held, off = extra_bytes(partial(once, name)), float((gradient(name) - reference).norm() / reference.norm())
        speed, share = 1e3 * real / taken, useful / taken / 1e9 / PEAK["BF16"]
        table.append([name, real / places, taken, speed, 100 * share, held and held / 2**30, off, "ok"])
        say(f"{name}: {speed:.4g} tokens/s, {100 * share:.3g} %")
    head = ["layout", "real places", "ms for all", "tokens/s", "share of peak %", "extra GiB", "gradient off by", "status"]
    settings = {"depth": depth, "width": width, "heads": heads, "documents": count, "tokens": real, "capacity": capacity}
    settings |= {"documents a padded batch": group, "rows a batch": rows, "log-normal": [mean, 1], "dtype": str(half())}
    beside = (
        "lmms-engine (https://github.com/EvolvingLMMs-Lab/lmms-engine, README): 35-40 % of the hardware's operations with packing, "
        "20-25 % without, fine-tuning Qwen2.5-VL; attention without padding 2-3 times as fast."
    )
    record("packing", chosen, settings, {"all documents once": (head, table)}, beside)


if __name__ == "__main__":
    main()
