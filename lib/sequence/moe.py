"""Mixture of experts: who goes where, the experts that compute, and what keeps their loads even.

Sources: Lepikhin et al. 2020, arXiv 2006.16668 (GShard); Fedus et al. 2021, arXiv 2101.03961 (Switch); Zoph et al.
2022, arXiv 2202.08906 (the z-loss); Jiang et al. 2024, arXiv 2401.04088 (Mixtral); Wang et al. 2024, arXiv 2408.15664
(balance by a bias); DeepSeek-AI 2024, arXiv 2412.19437 (DeepSeek-V3).

In its modules, values are assumed to be of moderate size: products of huge numbers overflow, which may end in NaN.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, silu

from lib.course.ranges import require_at_least, require_not_negative, require_positive
from lib.course.shapes import Bool, Float, Int64, Real, checked, checked_after_errors
from lib.course.tensors import require_finite_entries, require_width, working_dtype


class Routing(NamedTuple):
    """What the outputs of each token's k experts are weighed by, and their numbers from 0, the best choice first."""

    weights: Float[Tensor, "*tokens k"]
    experts: Int64[Tensor, "*tokens k"]


@checked
def softmax_routing(
    logits: Float[Tensor, "*tokens experts"],
    k: int,
    bias: Float[Tensor, "experts"] | None = None,
    *,
    normalised: bool = True,
) -> Routing:
    """Mixtral's: the k largest probabilities over their sum, which is the softmax of the k logits.

    Without `normalised` the weights are the probabilities themselves, as in Switch: with k = 1 their quotient is always
    1 and teaches the router nothing. A bias is added to the probabilities for the choice alone. Weights of logits in
    half precision are float32, here and in `sigmoid_routing`. Source: arXiv 2401.04088, section 2.1.
    """
    _require_k(k, logits.shape[-1])
    logits = _finite_logits(logits)
    probabilities = logits.softmax(-1)
    experts = _biased(probabilities, bias).topk(k).indices
    weights = logits.gather(-1, experts).softmax(-1) if normalised else probabilities.gather(-1, experts)
    return Routing(weights, experts)


@checked
def sigmoid_routing(
    logits: Float[Tensor, "*tokens experts"],
    k: int,
    bias: Float[Tensor, "experts"] | None = None,
    *,
    groups: int = 1,
    top_groups: int = 1,
    scale: float = 1.0,
) -> Routing:
    """DeepSeek-V3's: the k largest of σ(logits) + bias, weighed by σ(logits) over the sum of these, times `scale`.

    The experts form `groups` of neighbours, of which `top_groups` can be chosen from: those whose two largest biased
    scores have the largest sums. Source: arXiv 2412.19437, section 2.1.2.
    """
    count = logits.shape[-1]
    require_positive("scale", scale)
    require_at_least("groups", groups, 1)
    if count % groups or groups > 1 and count < 2 * groups:
        raise ValueError(f"groups must divide {count} experts into groups of at least 2, got {groups}")
    if not 1 <= top_groups <= groups:
        raise ValueError(f"top_groups must lie in 1 … {groups}, the groups, got {top_groups}")
    _require_k(k, count // groups * top_groups)
    logits = _finite_logits(logits)
    biased = _biased(logits.sigmoid(), bias)
    if groups > 1:
        biased = biased.unflatten(-1, (groups, -1))
        best = biased.topk(2).values.sum(-1).topk(top_groups).indices
        left_out = torch.ones_like(biased[..., 0], dtype=torch.bool).scatter(-1, best, False)
        biased = biased.masked_fill(left_out[..., None], -torch.inf).flatten(-2)
    experts = biased.topk(k).indices
    return Routing(scale * logsigmoid(logits).gather(-1, experts).softmax(-1), experts)  # σ itself can be 0


def _require_k(k, experts):
    if not 1 <= k <= experts:
        raise ValueError(f"k must lie in 1 … {experts}, the experts to choose from, got {k}")


def _finite_logits(logits):
    """The logits in working precision."""
    require_finite_entries("logits", logits)
    return logits.to(working_dtype(logits.dtype))


def _biased(scores, bias):
    if bias is None:
        return scores
    require_finite_entries("bias", bias)
    return scores + bias


@checked
def expert_counts(experts: Int64[Tensor, "*batch tokens k"], count: int) -> Int64[Tensor, "*batch {count}"]:
    """How many tokens each of `count` experts is chosen by: its load."""
    require_at_least("count", count, 1)
    _require_experts(experts, count)
    chosen = experts.flatten(-2)
    return chosen.new_zeros(*chosen.shape[:-1], count).scatter_add(-1, chosen, torch.ones_like(chosen))


@checked
def within_capacity(experts: Int64[Tensor, "tokens k"], capacity: int) -> Bool[Tensor, "tokens k"]:
    """Whether a choice is among the first `capacity` of its expert, in the order of the tokens.

    All first choices come before all second ones, as in algorithm 1 of arXiv 2006.16668. A layer that drops the other
    choices has these weights times this.
    """
    require_at_least("capacity", capacity, 1)
    chosen, order = experts.T.flatten().sort(stable=True)
    places = torch.arange(len(chosen), device=chosen.device) - torch.searchsorted(chosen, chosen)
    kept = torch.empty_like(chosen, dtype=torch.bool).index_copy(0, order, places < capacity)
    return kept.view(experts.T.shape).T


@checked
def balance_loss(
    probabilities: Float[Tensor, "*batch tokens experts"], experts: Int64[Tensor, "*batch tokens k"]
) -> Float[Tensor, "*batch"]:
    """E Σᵢ fᵢ Pᵢ for E experts: fᵢ is expert i's share of all choices and has no gradient, Pᵢ its mean probability.

    It is 1 if f or P is uniform; transformers' f sums to k, and its loss is k times this. Each batch has its own loss,
    as DeepSeek-V3's sequences have. Source: arXiv 2101.03961, equations 4 to 6, without α.
    """
    if not experts.numel():
        raise ValueError(f"experts must hold at least one choice, got shape {tuple(experts.shape)}")
    probabilities = probabilities.to(working_dtype(probabilities.dtype))
    if not ((probabilities.sum(-1) - 1).abs() <= 0.01).all() or probabilities.min() < 0:
        raise ValueError("probabilities must not be negative and must sum to one over the experts")
    counts = expert_counts(experts, probabilities.shape[-1]).to(probabilities.dtype)
    return probabilities.shape[-1] * (counts / counts.sum(-1, keepdim=True) * probabilities.mean(-2)).sum(-1)


@checked
def router_z_loss(logits: Float[Tensor, "*tokens experts"]) -> Float[Tensor, ""]:
    """The mean over tokens of (log Σ exp(logits))²: it keeps logits small. Source: arXiv 2202.08906, equation 5."""
    if not logits.numel():
        raise ValueError(f"logits must be of at least one token and one expert, got shape {tuple(logits.shape)}")
    return _finite_logits(logits).logsumexp(-1).square().mean()


@checked
def maximal_violation(counts: Real[Tensor, "*batch experts"]) -> Float[Tensor, "*batch"]:
    """MaxVio: the largest load over the mean load, minus 1; 0 is balance. Source: arXiv 2408.15664."""
    loads = _require_loads(counts)
    return loads.amax(-1) / loads.mean(-1) - 1


@checked
def updated_bias(
    bias: Float[Tensor, "experts"], counts: Real[Tensor, "experts"], rate: float
) -> Float[Tensor, "experts"]:
    """bias + rate · sign(mean load - load): balance without a loss. Source: arXiv 2408.15664, algorithm 1."""
    require_not_negative("rate", rate)
    loads = _require_loads(counts)
    return bias + (rate * (loads.mean() - loads).sign()).to(bias.dtype)


def _require_loads(counts):
    """The counts in float64, if they are loads of which a mean can be taken."""
    loads = counts.double()
    require_finite_entries("counts", loads)
    if not loads.numel() or loads.min() < 0 or not (loads.sum(-1) > 0).all():
        raise ValueError(f"counts must not be negative, and not all be zero, got {counts.tolist()}")
    return loads


@checked
def sparse_mixture(
    x: Float[Tensor, "tokens width"],
    weights: Float[Tensor, "tokens k"],
    experts: Int64[Tensor, "tokens k"],
    gate: Float[Tensor, "experts width hidden"],
    up: Float[Tensor, "experts width hidden"],
    down: Float[Tensor, "experts hidden width"],
) -> Float[Tensor, "tokens width"]:
    """Σⱼ weightsⱼ (silu(x gate) ⊙ (x up)) down of the k experts of each token.

    Tokens are sorted by expert, and each expert that has some multiplies all of its own at once, in place
    where nothing has to be kept for gradients.
    """
    counts = expert_counts(experts, len(gate)).tolist()
    order = experts.flatten().argsort(stable=True)
    tokens = order // experts.shape[1]
    parts = x.index_select(0, tokens).split(counts)
    weights = weights.flatten().index_select(0, order)[:, None].split(counts)
    outputs = [
        (silu(part @ g, inplace=True).mul_(part @ u) @ d).mul_(weight)
        for part, weight, g, u, d in zip(parts, weights, gate, up, down, strict=True)
        if len(part)
    ]
    return torch.zeros_like(x).index_add_(0, tokens, torch.cat([x[:0], *outputs]))


def _require_experts(experts, count):
    if experts.numel() and (experts.min() < 0 or experts.max() >= count):
        raise ValueError(f"experts must lie in 0 … {count - 1}, got {experts.min()} to {experts.max()}")


class SwiGLU(nn.Module):
    """One expert on its own, a feed-forward: down (silu(gate x) ⊙ up x), with 3 width hidden parameters."""

    @checked
    def __init__(self, width: int, hidden: int):
        super().__init__()
        require_at_least("width", width, 1)
        require_at_least("hidden", hidden, 1)
        self.width = width
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    @checked_after_errors
    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        if x.shape[-1] != self.width:
            require_width("x", x, self.width)
        return self.down(silu(self.gate(x)) * self.up(x))


class MixtureOfExperts(nn.Module):
    """A feed-forward of `experts` SwiGLUs with `hidden` units each, of which every token passes k; it drops none.

    `routing` makes a `Routing` of (logits, k, bias): one of the functions above, with its other arguments bound by
    `partial`. The bias is a buffer; whoever trains assigns it the `updated_bias`. `shared` is the number of hidden
    units of one more expert, which all tokens pass. The logits, for the losses, are what `router` makes of the tokens.
    Parameters: (3 hidden + 1) width experts + 3 width shared.
    """

    @checked
    def __init__(
        self,
        width: int,
        hidden: int,
        experts: int,
        k: int,
        *,
        routing: Callable[..., Routing] = softmax_routing,
        shared: int = 0,
    ):
        super().__init__()
        for name, size in (("width", width), ("hidden", hidden), ("experts", experts)):
            require_at_least(name, size, 1)
        require_at_least("shared", shared, 0)
        _require_k(k, experts)
        self.width, self.k, self.routing = width, k, routing
        self.router = nn.Linear(width, experts, bias=False)
        self.gate = _uniform(experts, width, hidden)
        self.up = _uniform(experts, width, hidden)
        self.down = _uniform(experts, hidden, width)
        self.register_buffer("bias", torch.zeros(experts))
        self.shared = SwiGLU(width, shared) if shared else None

    @checked_after_errors
    def route(self, x: Float[Tensor, "... width"]) -> Routing:
        """The experts of each token and their weights, (…, k) each."""
        if x.shape[-1] != self.width:
            require_width("x", x, self.width)
        try:
            return self.routing(self.router(x), self.k, self.bias)
        except ValueError:
            require_finite_entries("x", x)
            raise

    @checked_after_errors
    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        if x.shape[-1] != self.width:
            require_width("x", x, self.width)
        tokens = x.reshape(-1, self.width)
        mixed = sparse_mixture(tokens, *self.route(tokens), self.gate, self.up, self.down).view(x.shape)
        return mixed if self.shared is None else mixed + self.shared(x)


def _uniform(experts, inputs, outputs):
    """A matrix for each expert, as `nn.Linear` begins with."""
    return nn.Parameter(torch.empty(experts, inputs, outputs).uniform_(-(inputs**-0.5), inputs**-0.5))
