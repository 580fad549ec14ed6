"""Two kinds of texts without end: memory, of which the far past is all, and language, of which the near past is enough."""

import torch
from record import device
from torch import Tensor
from training_precision import sequences

CHAINS = 8


def periodic(
    count: int, length: int, periods: tuple[int, int], vocabulary: int, generator: torch.Generator, power: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Texts (count, length + 1) of a repeated random order, and which of the tokens after the first are known.

    Periods are uniform, or short ones come oftener with a power above 1.
    """
    order = torch.rand(count, vocabulary, generator=generator, device=device()).argsort(1)
    share = torch.rand(count, 1, generator=generator, device=device()) ** power
    period = periods[0] + (share * (periods[1] + 1 - periods[0])).long().clamp(max=periods[1] - periods[0])
    at = torch.arange(length + 1, device=device())
    return order.gather(1, at % period), at[1:] >= period


def language(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Texts (count, length + 1) of the chains, of which all tokens after the first count."""
    text = sequences(count, length + 1, generator, CHAINS)
    return text, torch.ones_like(text[:, 1:], dtype=torch.bool)
