"""Associative recall: pairs of a key and a value are shown, then one of the keys, and its value is asked for."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lib.course.ranges import require_at_least
from lib.course.shapes import Float, Int, checked
from lib.course.tensors import kind


@checked
def recall_episodes(
    batch: int, pairs: int, generator: torch.Generator, *, symbols: int = 32
) -> tuple[
    Int[Tensor, "{batch} {pairs}"], Int[Tensor, "{batch} {pairs}"], Int[Tensor, "{batch} 1"], Int[Tensor, "{batch}"]
]:
    """Keys and values (batch, pairs), the key asked for (batch, 1) and its value (batch,): int64, from 0 to symbols - 1.

    The keys of an episode differ from one another; its values are independent and uniform, and each key is as likely to
    be asked for. So there can be at most `symbols` pairs. Source of the task: arXiv 1610.06258, section 4.1.
    """
    require_at_least("batch", batch, 1)
    require_at_least("pairs", pairs, 1)
    if pairs > symbols:
        raise ValueError(f"pairs must be at most symbols = {symbols}, for keys differ, got {pairs}")
    keys = torch.rand(batch, symbols, generator=generator).argsort(1)[:, :pairs]
    values = torch.randint(symbols, (batch, pairs), generator=generator)
    asked = torch.randint(pairs, (batch, 1), generator=generator)
    return keys, values, keys.gather(1, asked), values.gather(1, asked)[:, 0]


class RecallHead(nn.Module):
    """One attention head that answers `recall_episodes`, each with logits of its value.

    `weigh` maps queries (batch, 1, features) and keys (batch, pairs, features) to weights (batch, 1, pairs), which need
    not sum to 1: the values' mean has their sum as denominator. Weights of another shape raise a `ValueError`. There are
    `symbols` keys and as many values, with embeddings of `width`; `features` is the width unless it is given.
    """

    @checked
    def __init__(
        self,
        weigh: Callable[[Tensor, Tensor], Tensor],
        *,
        symbols: int = 32,
        width: int = 32,
        features: int | None = None,
    ):
        super().__init__()
        features = width if features is None else features
        for name, size in (("symbols", symbols), ("width", width), ("features", features)):
            require_at_least(name, size, 1)
        self.weigh = weigh
        self.key, self.value = nn.Embedding(symbols, width), nn.Embedding(symbols, width)
        self.W_q, self.W_k = nn.Linear(width, features), nn.Linear(width, features)
        self.out = nn.Linear(width, symbols)

    @checked
    def forward(
        self, keys: Int[Tensor, "batch pairs"], values: Int[Tensor, "batch pairs"], asked: Int[Tensor, "batch 1"]
    ) -> Float[Tensor, "batch symbols"]:
        try:
            asked, keys, values = self.key(asked.long()), self.key(keys.long()), self.value(values.long())
        except IndexError:
            most = self.key.num_embeddings - 1
            raise ValueError(f"keys, values and asked must lie in 0 … {most}, got another symbol") from None
        weights = self.weigh(self.W_q(asked), self.W_k(keys))
        expected = (len(keys), 1, keys.shape[1])
        if kind(weights) != str(expected):
            raise ValueError(f"weigh must return weights of shape {expected}, got {kind(weights)}")
        return self.out(weights @ values / weights.sum(-1, keepdim=True))[:, 0]
