"""Continuous-time Markov chains on one token: rate matrices, their exponentials, and the way back.

A column holds what leaves a state: dp/dσ̄ = Q p with Q[y, x] ≥ 0 the rate from x to y, so that columns sum to zero
(texts on Markov chains often write the transpose). σ̄, the summed noise, goes from 0, data, to ∞. Source: Lou et al.
2024, arXiv 2310.16834, sections 3 and 4.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_not_negative
from lib.course.shapes import Float, Float64, Int, Int64, checked
from lib.course.tensors import per_row, require_finite_entries, require_law, require_tokens

Noise = float | Float[Tensor, "batch"]


@dataclass(frozen=True)
class TokenRates:
    """What both kinds share: with probability 1 - e^-σ̄ a token is struck, and then replaced whatever it was.

    That makes Q = (law of the replacement in each column) - I, and Q² = -Q, so that exp(σ̄ Q) has a closed form.
    """

    vocabulary: int
    _least: ClassVar[int] = 1

    def __post_init__(self):
        require_at_least("vocabulary", self.vocabulary, self._least)

    @checked
    def matrix(self) -> Float64[Tensor, "states states"]:
        """Q."""
        return self._replacement_law()[:, None] - torch.eye(self.states, dtype=torch.float64)

    @checked
    def transition(self, noise: float) -> Float64[Tensor, "states states"]:
        """exp(σ̄ Q) = I + (1 - e^-σ̄) Q."""
        require_not_negative("noise", noise)
        return torch.eye(self.states, dtype=torch.float64) - math.expm1(-noise) * self.matrix()

    @checked
    def corrupt(
        self, tokens: Int[Tensor, "batch length"], noise: Noise, generator: torch.Generator
    ) -> Int64[Tensor, "batch length"]:
        """Each token moved by exp(σ̄ Q) on its own; σ̄ is one number, or one for each row."""
        require_tokens(tokens, self.states)
        noise = torch.as_tensor(noise, dtype=torch.float64)
        if not torch.all((noise >= 0) & (noise < torch.inf)):
            raise ValueError(f"noise must be finite and not negative, got {noise}")
        struck = -torch.expm1(-per_row("noise", noise, tokens))
        replaced = torch.rand(tokens.shape, generator=generator, dtype=torch.float64) < struck
        return torch.where(replaced, self._replacements(tokens.shape, generator), tokens.long())


class AbsorbingRates(TokenRates):
    """Each of the tokens 0 … vocabulary - 1 turns into the mask, the token `vocabulary`, at rate one, and stays there."""

    @property
    def states(self) -> int:
        """The tokens and the mask."""
        return self.vocabulary + 1

    def _replacement_law(self):
        return torch.eye(self.states, dtype=torch.float64)[-1]

    def _replacements(self, shape, generator):
        return torch.full(shape, self.vocabulary)


class UniformRates(TokenRates):
    """Each token 0 … vocabulary - 1 is drawn anew, from all alike, at rate one; this one's own value among them."""

    _least = 2

    @property
    def states(self) -> int:
        """The tokens: there is no mask."""
        return self.vocabulary

    def _replacement_law(self):
        return torch.full((self.states,), 1 / self.states, dtype=torch.float64)

    def _replacements(self, shape, generator):
        return torch.randint(self.states, shape, generator=generator)


@checked
def reverse_rates(
    rates: Float64[Tensor, "states states"], law: Float64[Tensor, "states"]
) -> Float64[Tensor, "states states"]:
    """The rates of the chain run backwards from a law p: Q̄[y, x] = p(y) / p(x) Q[x, y] for y ≠ x.

    Columns sum to zero again. A column of a state with p(x) = 0, which is never left, is zero. Rates that are negative
    off the diagonal or whose columns do not sum to zero, and laws that do not sum to one, raise a `ValueError`.
    """
    _require_rates(rates)
    require_law("law", law)
    ratios = torch.where(law > 0, law[:, None] / law, 0.0)
    back = ratios * rates.T
    back.fill_diagonal_(0.0)
    return back - back.sum(0).diag()


def _require_rates(rates):
    require_finite_entries("rates", rates)
    outside = rates - rates.diag().diag()
    if outside.min() < 0 or (rates.sum(0).abs() > 1e-9 * (1 + rates.abs().sum(0))).any():
        raise ValueError(f"rates must not be negative off the diagonal and sum to zero in columns, got {rates.tolist()}")
