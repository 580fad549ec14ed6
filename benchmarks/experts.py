"""A layer of experts against transformers' Mixtral block with its eager experts, on the same weights, one thread, in turn.

    python benchmarks/experts.py [--rounds 21]

Width 256, 512 hidden units, two experts for each token. Each row is the median of our CPU time over the median of the
peer's. Every third row is the experts' matrix products alone, with as many tokens for each: no block can be faster.
"""

from collections.abc import Callable

import torch
from bench import in_turn, milliseconds, record, rounds
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from lib.sequence.moe import MixtureOfExperts

WIDTH, HIDDEN, CHOSEN = 256, 512, 2


def blocks(experts: int) -> tuple[MixtureOfExperts, MixtralSparseMoeBlock]:
    """Ours and the peer's, which compute the same."""
    config = MixtralConfig(
        hidden_size=WIDTH, intermediate_size=HIDDEN, num_local_experts=experts, num_experts_per_tok=CHOSEN,
        experts_implementation="eager",
    )  # fmt: skip
    ours, theirs = MixtureOfExperts(WIDTH, HIDDEN, experts, CHOSEN), MixtralSparseMoeBlock(config)
    theirs.gate.weight.data = ours.router.weight.data
    theirs.experts.gate_up_proj.data = torch.cat([ours.gate.data, ours.up.data], 2).mT.contiguous()
    theirs.experts.down_proj.data = ours.down.data.mT.contiguous()
    return ours, theirs


def forward(block: torch.nn.Module, x: torch.Tensor) -> Callable:
    return torch.no_grad()(lambda: block(x))


def backward(block: torch.nn.Module, x: torch.Tensor) -> Callable:
    x = x.clone().requires_grad_()

    def once():
        x.grad = None
        block.zero_grad()
        block(x).sum().backward()

    return once


@torch.no_grad()
def products(block: MixtureOfExperts, tokens: int) -> None:
    """The three products of each expert for its share of the tokens, and nothing else."""
    share = torch.ones(tokens * CHOSEN // len(block.gate), WIDTH)
    hidden = torch.ones(len(share), HIDDEN)
    for gate, up, down in zip(block.gate, block.up, block.down, strict=True):
        share @ gate, share @ up, hidden @ down


def main() -> None:
    turns = rounds(21)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for experts in (8, 64):
        ours, theirs = blocks(experts)
        for tokens in (512, 1024, 2048):
            x = torch.randn(1, tokens, WIDTH)
            assert (ours(x) - theirs(x)).abs().max() < 1e-5
            size = f"{experts} experts, {tokens} tokens"
            pairs = {
                f"forward, {size}": (forward(ours, x), forward(theirs, x)),
                f"forward and backward, {size}": (backward(ours, x), backward(theirs, x)),
                f"products alone, {size} / forward": (lambda m=ours, t=tokens: products(m, t), forward(theirs, x)),
            }
            for row, (one, other) in pairs.items():
                one(), other()
                rows.append(in_turn(row, milliseconds, one, other, turns))
    record("experts", ["ours / transformers' Mixtral", "CPU ms", "peer's", "ratio"], rows, what=f"medians of {turns}, in turn")


if __name__ == "__main__":
    main()
