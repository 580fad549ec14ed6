"""Markov chains as data: sequences whose law, and whose law given any of their tokens, are known exactly."""

import itertools

import torch
from torch import Tensor

from lib.course.ranges import require_at_least
from lib.course.shapes import Float64, Int, Int64, checked
from lib.course.tensors import require_law, require_tokens

MOST_SEQUENCES = 10**6


class MarkovChain:
    """A first token from `initial` (V,), each next one from the row of `transition` (V, V) of the one before it.

    Both are float64. Entries that are negative, and rows that do not sum to one, raise a `ValueError`. V, one more
    than the last token, stands for a token that is not known: a masked one.
    """

    @checked
    def __init__(self, initial: Float64[Tensor, "states"], transition: Float64[Tensor, "states states"]):
        for name, rows in (("initial", initial), ("transition", transition)):
            require_law(name, rows)
        self.initial = initial / initial.sum()
        self.transition = transition / transition.sum(1, keepdim=True)

    @property
    def states(self) -> int:
        """V, how many tokens there are."""
        return len(self.initial)

    @property
    def mask_token(self) -> int:
        """The token that stands for an unknown one, V."""
        return self.states

    @checked
    def log_prob(self, tokens: Int[Tensor, "batch length"]) -> Float64[Tensor, "batch"]:
        """log P(tokens) in nats; where some are masked, the probability of the others, summed over these."""
        _, totals = self._forward(self._evidence(tokens))
        return totals.log().sum(1)

    @checked
    def conditionals(self, tokens: Int[Tensor, "batch length"]) -> Float64[Tensor, "batch length states"]:
        """P(token i = v | the tokens that are not masked), at every place: the best prediction of what a mask hides.

        Worked out by the forward–backward recursion. Tokens that the chain cannot produce raise a `ValueError`.
        """
        evidence = self._evidence(tokens)
        forward, totals = self._forward(evidence)
        if (totals == 0).any():
            raise ValueError(f"tokens must be possible under the chain, got {tokens[(totals == 0).any(1)][0].tolist()}")
        after, behind = torch.ones_like(evidence[:, 0]), []
        for place in reversed(range(tokens.shape[1])):
            behind.append(after)
            after = (evidence[:, place] * after) @ self.transition.T
            after = after / after.sum(1, keepdim=True)
        joint = forward * torch.stack(behind[::-1], 1)
        return joint / joint.sum(-1, keepdim=True)

    @checked
    def sample(self, count: int, length: int, generator: torch.Generator) -> Int64[Tensor, "{count} {length}"]:
        """Independent sequences."""
        require_at_least("count", count, 1)
        require_at_least("length", length, 1)
        tokens = [torch.multinomial(self.initial.expand(count, -1), 1, generator=generator)]
        for _ in range(length - 1):
            tokens.append(torch.multinomial(self.transition[tokens[-1][:, 0]], 1, generator=generator))
        return torch.cat(tokens, 1)

    @checked
    def entropy(self, length: int) -> float:
        """-E log P of a sequence, in nats: the loss that no model can go below."""
        require_at_least("length", length, 1)
        surprise = torch.special.entr(self.transition).sum(1)
        law, total = self.initial, torch.special.entr(self.initial).sum()
        for _ in range(length - 1):
            total, law = total + law @ surprise, law @ self.transition
        return total.item()

    def _evidence(self, tokens):
        """What each token says of its place, (batch, length, states): one state, or all of them for a mask."""
        require_tokens(tokens, self.states + 1)
        return torch.eye(self.states + 1, self.states, dtype=torch.float64).index_fill(
            0, torch.tensor([self.states]), 1.0
        )[tokens.long()]

    def _forward(self, evidence):
        """P(state i | tokens up to i), and P(token i | tokens before i), (batch, length)."""
        ahead, states, totals = self.initial.expand(len(evidence), -1), [], []
        for place in range(evidence.shape[1]):
            joint = ahead * evidence[:, place]
            totals.append(joint.sum(1))
            states.append(joint / totals[-1].clamp(min=torch.finfo(torch.float64).tiny)[:, None])
            ahead = states[-1] @ self.transition
        return torch.stack(states, 1), torch.stack(totals, 1)


@checked
def all_sequences(states: int, length: int) -> Int64[Tensor, "sequences {length}"]:
    """Every sequence of that length over 0 … states - 1, in lexicographic order; at most a million."""
    require_at_least("states", states, 1)
    require_at_least("length", length, 1)
    if states > 1 and length > MOST_SEQUENCES or states**length > MOST_SEQUENCES:
        raise ValueError(f"states ** length must be at most {MOST_SEQUENCES}, got {states}^{length}")
    return torch.tensor(list(itertools.product(range(states), repeat=length)))
