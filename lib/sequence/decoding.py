"""Several tokens from one pass of a model: drafts that are checked all at once, in a row or as a tree.

Sources: Leviathan et al. 2023, arXiv 2211.17192, and Chen et al. 2023, arXiv 2302.01318 (speculative sampling); Cai et
al. 2024, arXiv 2401.10774 (Medusa: trees, typical acceptance). One sequence at a time; the model is causal, and its
mixers keep one entry a token, as attention does.
"""

import heapq
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lib.course.ranges import require_at_least, require_in, require_not_negative, require_positive
from lib.course.shapes import Bool, Float, Int, Int64, checked
from lib.course.tensors import kind, require_finite_entries, require_law, require_tokens
from lib.course.training import rewound_after_error
from lib.sequence.transformer import Transformer


class Generated(NamedTuple):
    """What was written, and how many tokens each pass of the model gave (the last pass may give more than was asked)."""

    tokens: Int64[Tensor, "length"]
    gained: list[int]


class Tree(NamedTuple):
    """Guesses that share their beginnings. Node 0 is the last known token; a parent stands before its children.

    parents  each node's parent; -1 for node 0
    ranks    which guess for its depth a node is, 0 the likeliest; 0 for node 0
    """

    parents: Int64[Tensor, "nodes"]
    ranks: Int64[Tensor, "nodes"]


@checked
def tree_mask(parents: Int[Tensor, "nodes"]) -> Bool[Tensor, "nodes nodes"]:
    """Row by row, whom a node may see: itself, its parent, its parent's parent, …: its own past and nothing beside it."""
    _require_tree(parents)
    mask = torch.eye(len(parents), dtype=torch.bool)
    for node, parent in enumerate(parents.tolist()[1:], 1):
        mask[node] |= mask[parent]
    return mask


@checked
def tree_depths(parents: Int[Tensor, "nodes"]) -> Int64[Tensor, "nodes"]:
    """How many steps each node is from node 0."""
    return tree_mask(parents).sum(1) - 1


@checked
def best_tree(acceptance: Float[Tensor, "depths ranks"], nodes: int) -> Tree:
    """The tree of `nodes` guesses, node 0 not counted, that is expected to give the most tokens a pass.

    `acceptance[d, r]` is how often guess r for depth d + 1 is right, given that all before it are; rows must not increase
    and sum to at most 1. A node is on the accepted path with the product of its path's entries, and one more token is
    expected for the sum of all products: so the largest products are taken, and no child has a larger one than its parent.
    """
    require_finite_entries("acceptance", acceptance)
    depths, ranks = acceptance.shape
    if not acceptance.numel() or acceptance.min() < 0 or (acceptance.sum(1) > 1 + 1e-6).any():
        raise ValueError(f"acceptance must hold rows of shares that sum to at most 1, got {acceptance.tolist()}")
    if (acceptance.diff(dim=1) > 0).any():
        raise ValueError(f"acceptance must not increase along a row, got {acceptance.tolist()}")
    most = sum(ranks**d for d in range(1, depths + 1))
    if not 1 <= nodes <= most:
        raise ValueError(f"nodes must lie in 1 … {most}, all guesses that there are, got {nodes}")
    shares = acceptance.tolist()
    parents, chosen, depth, products = [-1], [0], [0], [1.0]
    waiting = [(-shares[0][0], 0, 0)]  # minus a guess's product, its parent, its rank: the best comes out first
    while len(parents) <= nodes:
        product, parent, rank = heapq.heappop(waiting)
        parents.append(parent)
        chosen.append(rank)
        depth.append(depth[parent] + 1)
        products.append(-product)
        if rank + 1 < ranks:
            heapq.heappush(waiting, (-products[parent] * shares[depth[parent]][rank + 1], parent, rank + 1))
        if depth[-1] < depths:
            heapq.heappush(waiting, (-products[-1] * shares[depth[-1]][0], len(parents) - 1, 0))
    return Tree(torch.tensor(parents), torch.tensor(chosen))


@checked
def accepted_path(
    tokens: Int[Tensor, "nodes"], parents: Int[Tensor, "nodes"], wanted: Int[Tensor, "nodes"]
) -> Int64[Tensor, "path"]:
    """The longest path of nodes, node 0 first, on which each token is the one that the model wants after its parent.

    `wanted` is the model's own next token after each node. Of siblings that hold the same token the first is taken.
    """
    _require_tree(parents)
    return _accepted_path(tokens.tolist(), parents.tolist(), wanted.tolist())


@checked
def speculative_sampling(
    tokens: Int[Tensor, "ahead"],
    draft: Float[Tensor, "ahead vocabulary"],
    target: Float[Tensor, "ahead+1 vocabulary"],
    generator: torch.Generator,
) -> Int64[Tensor, "new"]:
    """The drafted tokens up to the first that is refused, and one more: together distributed as the target's own.

    `draft` holds the law that each of `tokens` was drawn from, q, and `target` the larger model's, p, for each of them and
    for the one after them. Token x stays with probability min(1, p(x)/q(x)); in the place of the first that does not
    comes one from (p − q)₊, normalised; after all of them one from the last p.
    """
    require_law("draft", draft)
    require_law("target", target)
    require_tokens(tokens, draft.shape[1])
    with rewound_after_error(generator):
        return _speculative_sampling(tokens.long(), draft, target, generator)


@checked
def typical_tokens(
    law: Float[Tensor, "... vocabulary"], epsilon: float = 0.09, delta: float = 0.3
) -> Bool[Tensor, "... vocabulary"]:
    """Which tokens typical acceptance lets pass: those with p > min(ε, δ e^{−H}), where H is the law's entropy in nats."""
    require_law("law", law)
    require_in("epsilon", epsilon, 0, 1)
    require_positive("delta", delta)
    entropy = torch.special.entr(law).sum(-1, keepdim=True)
    return law > (delta * (-entropy).exp()).clamp(max=epsilon)


@torch.no_grad()
@checked
def generate(
    model: Transformer,
    prompt: Int[Tensor, "length"],
    count: int,
    *,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Int64[Tensor, "{count}+length"]:
    """The prompt and `count` tokens more, one a pass; temperature 0 takes the likeliest, any other needs a generator."""
    generator = _require_task(model, prompt, count, temperature, generator)
    tokens, cache = prompt.long(), model.new_cache()
    with rewound_after_error(generator):
        for _ in range(count):
            logits = model(tokens[None, cache.length :], cache=cache)[0, -1]
            tokens = torch.cat([tokens, _draw(_law(logits, temperature), generator)])
    return tokens


@torch.no_grad()
@checked
def generate_speculatively(
    model: Transformer,
    draft: Transformer,
    prompt: Int[Tensor, "length"],
    count: int,
    ahead: int,
    *,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Generated:
    """As `generate`, and with the same law: a smaller model drafts `ahead` tokens, one pass of the model checks them."""
    generator = _require_task(model, prompt, count, temperature, generator)
    require_at_least("ahead", ahead, 1)
    if model.head.out_features != draft.head.out_features:
        sizes = f"{model.head.out_features} and {draft.head.out_features}"
        raise ValueError(f"model and draft must share a vocabulary, got {sizes} tokens")
    tokens, cache, draft_cache, gained = prompt.long(), model.new_cache(), draft.new_cache(), []
    with rewound_after_error(generator):
        while len(tokens) < len(prompt) + count:
            drafted, laws = tokens, []
            for _ in range(ahead):
                logits = draft(drafted[None, draft_cache.length :], cache=draft_cache)[0, -1]
                laws.append(_law(logits, temperature))
                drafted = torch.cat([drafted, _draw(laws[-1], generator)])
            logits = model(drafted[None, cache.length :], cache=cache)[0, -ahead - 1 :]
            new = _speculative_sampling(drafted[-ahead:], torch.stack(laws), _law(logits, temperature), generator)
            tokens = torch.cat([tokens, new])
            gained.append(len(new))
            cache.keep(slice(len(tokens) - 1))
            draft_cache.keep(slice(len(tokens) - 1))
    return Generated(tokens[: len(prompt) + count], gained)


@torch.no_grad()
@checked
def generate_with_tree(
    model: Transformer,
    propose: Callable[[Tensor, Tensor], Tensor],
    tree: Tree,
    prompt: Int[Tensor, "length"],
    count: int,
) -> Generated:
    """As `generate` at temperature 0, and with the same text: one pass of the model checks a whole tree of guesses.

    `propose(states, tokens)` gives logits (depths, vocabulary) for the tokens after the last one of `tokens` (length,);
    `states` (length - 1, width) are what the model's head read at all tokens but that. Medusa's heads read the last state.
    """
    _require_task(model, prompt, count, 0.0, None)
    depths, mask, parents = tree_depths(tree.parents), tree_mask(tree.parents), tree.parents.tolist()
    if kind(tree.ranks) != kind(depths) or tree.ranks.dtype != torch.int64 or tree.ranks.min() < 0:
        raise ValueError(f"tree.ranks must be one for each node, int64, none negative, got {tree.ranks}")
    deepest, most = int(depths.max()), int(tree.ranks.max()) + 1
    cache, gained = model.new_cache(), [1]
    states = model.hidden(prompt[None].long(), cache=cache)[0]
    tokens = torch.cat([prompt.long(), model.head(states[-1:]).argmax(-1)])
    while len(tokens) < len(prompt) + count:
        past = cache.length
        guesses = _guesses(propose(states.clone(), tokens.clone()), deepest, most)
        nodes = torch.cat([tokens[-1:], guesses[depths[1:] - 1, tree.ranks[1:]]])
        allowed = torch.cat([torch.ones(len(nodes), past, dtype=torch.bool), mask], 1)[None]
        new_states = model.hidden(nodes[None], positions=(past + depths)[None], allowed=allowed, cache=cache)[0]
        wanted = model.head(new_states).argmax(-1)
        path = _accepted_path(nodes.tolist(), parents, wanted.tolist())
        tokens = torch.cat([tokens, nodes[path[1:]], wanted[path[-1:]]])
        states = torch.cat([states, new_states[path]])
        gained.append(len(path))
        cache.keep(torch.cat([torch.arange(past), past + path]))
    return Generated(tokens[: len(prompt) + count], gained)


def _accepted_path(tokens, parents, wanted):
    path = [0]
    for node in range(1, len(parents)):
        if parents[node] == path[-1] and tokens[node] == wanted[path[-1]]:
            path.append(node)
    return torch.tensor(path)


def _speculative_sampling(tokens, draft, target, generator):
    for i, token in enumerate(tokens):
        p, q = target[i], draft[i]
        if torch.rand((), generator=generator, dtype=q.dtype) * q[token] >= p[token]:
            rest = (p - q).clamp(min=0)
            return torch.cat([tokens[:i], _draw(rest if rest.any() else p, generator)])
    return torch.cat([tokens, _draw(target[-1], generator)])


def _law(logits, temperature):
    if temperature:
        return (logits / temperature).softmax(-1)
    return one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)


def _draw(law, generator):
    return torch.multinomial(law, 1, generator=generator)


def _guesses(logits, deepest, most):
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) < deepest or logits.shape[1] < most:
        came = kind(logits)
        raise ValueError(f"propose must return logits for {deepest} depths, over at least {most} tokens, got shape {came}")
    return logits.topk(most).indices


def _require_tree(parents):
    if not len(parents) or parents[0] != -1:
        raise ValueError(f"parents must begin with -1, which node 0 has, got {parents.tolist()}")
    for node, parent in enumerate(parents.tolist()[1:], 1):
        if not 0 <= parent < node:
            raise ValueError(f"parents must stand before their children, got {parent} as the parent of node {node}")


def _require_task(model, prompt, count, temperature, generator):
    if not len(prompt):
        raise ValueError("prompt must hold at least one token, got none")
    require_tokens(prompt, model.embedding.num_embeddings, "prompt")
    require_at_least("count", count, 1)
    require_not_negative("temperature", temperature)
    if temperature and generator is None:
        raise ValueError(f"temperature {temperature} draws tokens and needs a generator, got None")
    return torch.Generator() if generator is None else generator
