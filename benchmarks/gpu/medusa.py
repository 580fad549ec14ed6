"""How long one pass of a model of Llama-7B's shape takes for 1 … 256 nodes at once, and what Medusa could gain by that.

    python benchmarks/gpu/medusa.py [--rounds 9]

Random BF16 weights (32 layers, width 4096, 32 heads, 11008 hidden units, 32000 tokens), a cache of 512 or 4096 tokens, one
sequence. The n nodes are a tree, the best n - 1 guesses by the shares that the chapter on Medusa takes from the log of
Vicuna-7B's five heads, under its mask. A pass is replayed as a CUDA graph. Passes of trees include five heads (a layer
with SiLU and a skip, then 32000 logits) on every node, as Medusa's code has it; the pass that writes one token at a time does
not. Attention is torch's fused one or three plain products, whichever is quicker: with few queries a fused kernel may leave
most of the GPU idle. The speed-up is tokens a pass over time a pass, and leaves out the choice of guesses on the host.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial

import torch
from mixer import half
from record import BANDWIDTH, Stopwatch, arguments, attempt, device, record, say
from torch import Tensor
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from lib.sequence.decoding import Tree, best_tree, tree_depths, tree_mask

# Share of places where the wanted token is among a head's first 1, 2, … 5 guesses: assets/medusa_acc.csv, row "7b", of
# https://github.com/FasterDecoding/Medusa at commit e2a5d20; values of training, as the chapter says.
AMONG_FIRST = torch.tensor([
    [0.560, 0.672, 0.727, 0.760, 0.780],
    [0.316, 0.424, 0.485, 0.528, 0.562],
    [0.201, 0.288, 0.348, 0.383, 0.417],
    [0.147, 0.225, 0.274, 0.311, 0.340],
    [0.118, 0.187, 0.235, 0.272, 0.300],
], dtype=torch.float64)  # fmt: skip
SHARES = torch.cat([AMONG_FIRST[:, :1], AMONG_FIRST.diff(dim=1)], 1).sort(1, descending=True).values


def tree_of(nodes: int) -> Tree:
    return best_tree(SHARES, nodes - 1) if nodes > 1 else Tree(torch.tensor([-1]), torch.tensor([0]))


def tokens_per_pass(tree: Tree) -> float:
    """One, and for each guess the product of the shares on its path."""
    products = [1.0]
    for parent, depth, rank in zip(*(x.tolist()[1:] for x in (tree.parents, tree_depths(tree.parents), tree.ranks)), strict=True):
        products.append(products[parent] * float(SHARES[depth - 1, rank]))
    return sum(products)


def fused(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    return scaled_dot_product_attention(q[None], keys[None], values[None], attn_mask=mask)[0]


def written_out(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    scores = torch.baddbmm(mask.expand(len(q), -1, -1), q, keys.mT, alpha=1 / math.sqrt(q.shape[-1]))
    return scores.softmax(-1) @ values


class Llama:
    """Weights, and a pass over nodes that writes their keys and values behind those of the cache."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int, vocabulary: int):
        def weight(*shape: int) -> Tensor:
            return torch.empty(*shape, device=device(), dtype=half()).normal_(std=1 / math.sqrt(shape[-1]))

        self.heads, self.embedding, self.head = heads, weight(vocabulary, width), weight(vocabulary, width)
        shapes = (3 * width, width), (width, width), (2 * hidden, width), (width, hidden)
        self.layers = [[weight(*shape) for shape in shapes] for _ in range(depth)]
        self.guessing = [(weight(width, width), weight(vocabulary, width)) for _ in SHARES]

    def numbers(self, guess: bool) -> int:
        """Weights that a pass reads: all but the embedding."""
        parts = [*self.layers, [self.head], *(self.guessing if guess else [])]
        return sum(weight.numel() for part in parts for weight in part)

    def __call__(self, tokens: Tensor, turns: Tensor, mask: Tensor, cache: list, guess: bool, attend: Callable) -> list[Tensor]:
        """Wanted tokens (nodes,) and, with `guess`, five guesses by each head; the mask tells how long the cache is."""
        x, width, end = self.embedding[tokens], self.embedding.shape[1], mask.shape[1]
        new = slice(end - len(tokens), end)
        for (qkv, out, up, down), (keys, values) in zip(self.layers, cache, strict=True):
            three = linear(rms_norm(x, (width,)), qkv).view(len(tokens), 3, self.heads, -1).permute(1, 2, 0, 3)
            pairs = torch.view_as_complex(three[:2].float().unflatten(-1, (-1, 2)).contiguous())
            q, k = torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)
            keys[:, new], values[:, new] = k, three[2]
            mixed = attend(q, keys[:, :end], values[:, :end], mask)
            x = x + linear(mixed.transpose(0, 1).flatten(1), out)
            gate, value = linear(rms_norm(x, (width,)), up).chunk(2, -1)
            x = x + linear(silu(gate) * value, down)
        x = rms_norm(x, (width,))
        states = [(x + silu(linear(x, own)), logits) for own, logits in self.guessing if guess]
        return [linear(x, self.head).argmax(-1), *(linear(state, logits).topk(5).indices for state, logits in states)]


@torch.no_grad()
def new_pass(model: Llama, cache: list, past: int, nodes: int, guess: bool, attend: Callable) -> Callable:
    """A function that makes one pass over a tree of nodes: the replay of a graph on a GPU."""
    parents, head = tree_of(nodes).parents, model.embedding.shape[1] // model.heads
    start = past + -nodes % 16  # so that the tree ends where kernels like it
    seen = torch.cat([torch.ones(nodes, past), torch.zeros(nodes, start - past), tree_mask(parents)], 1)
    mask = torch.where(seen > 0, 0.0, -math.inf).to(device(), half())
    frequencies = 10000.0 ** (-torch.arange(0, head, 2) / head)
    turns = torch.exp(1j * (past + tree_depths(parents))[:, None] * frequencies).to(device(), torch.complex64)
    call = partial(model, torch.randint(len(model.embedding), (nodes,), device=device()), turns, mask, cache, guess, attend)
    if device().type == "cpu":
        return torch.no_grad()(call)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call(), call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = call()
    return lambda: (graph.replay(), kept, call)  # these own what the graph reads and writes


def main() -> None:
    chosen = arguments(__doc__)
    sizes = (32, 2, 2, 64, 64) if chosen.small else (4096, 32, 32, 11008, 32000)
    pasts, counts = ((16,), (1, 2, 5)) if chosen.small else ((512, 4096), (1, 2, 4, 8, 16, 32, 64, 128, 256))
    torch.manual_seed(0)
    model, watch, rows = Llama(*sizes), Stopwatch(flush=False), []
    for past in pasts:
        shape = (2, model.heads, past + counts[-1] + 16, sizes[0] // model.heads)
        cache = [tuple(torch.randn(shape, device=device(), dtype=half())) for _ in model.layers]
        cases = itertools.product([(1, False), *((nodes, True) for nodes in counts)], (fused, written_out))
        made = {case: attempt(new_pass, model, cache, past, *case[0], case[1]) for case in cases}
        taken = {case: reason for case, (_, reason) in made.items()}
        taken |= watch.in_turn({case: function for case, (function, _) in made.items() if function}, chosen.rounds)
        alone = None
        for nodes, guess in dict.fromkeys(case for case, _ in taken):
            both = [taken[(nodes, guess), attend] for attend in (fused, written_out)]
            best = min((value for value in both if isinstance(value, float)), default=math.nan)
            alone = alone or best
            read = 2 * (model.numbers(guess) + 2 * len(model.layers) * sizes[0] * (past + nodes)) / BANDWIDTH
            gain, ratio = tokens_per_pass(tree_of(nodes)), best / alone
            rows.append([past, nodes, guess, *both, 1e3 * read, ratio, gain, gain / ratio])
            say(f"cache of {past}, {nodes} nodes{', heads' if guess else ''}: {best:.3f} ms")
    head = ["cache", "nodes", "heads", "ms, fused", "ms, written out", "ms to read all", "time ratio", "tokens a pass", "speed-up"]
    settings = dict(zip(("width", "depth", "heads", "hidden", "vocabulary"), sizes, strict=True))
    settings |= {"bandwidth": BANDWIDTH, "dtype": str(half())}
    beside = (
        "Medusa (https://arxiv.org/abs/2401.10774v3, abstract): over 2.2 times with a frozen model, 2.3 to 2.8 times with one trained "
        "along; its README 2.2 to 3.6. Tokens a pass are what the log of training promises."
    )
    record("medusa", chosen, settings, {"one pass": (head, rows)}, beside)


if __name__ == "__main__":
    main()
