"""What the mixers' tests share."""

from collections.abc import Callable

import pytest
import torch

from lib.sequence.transformer import Transformer


@pytest.fixture
def refuses_without_a_trace() -> Callable[[Transformer, str], None]:
    """A check that a causal model with a mixer that takes no masks refuses one, and another batch than its cache's.

    The cache, whose error names what is `held`, is afterwards what it was.
    """

    def check(model: Transformer, held: str) -> None:
        tokens, cache = torch.randint(11, (2, 6)), model.new_cache()
        model(tokens, cache=cache)
        before = [dict(layer) for layer in cache.layers]
        with pytest.raises(ValueError, match="allowed must be None"):
            model(tokens, allowed=torch.ones(1, 6, 12, dtype=torch.bool), cache=cache)
        with pytest.raises(ValueError, match=f"the cache holds {held} for a batch of 2, got a batch of 1"):
            model(tokens[:1], cache=cache)
        assert cache.length == 6
        for layer, kept in zip(cache.layers, before, strict=True):
            assert layer.keys() == kept.keys() and all(layer[name] is kept[name] for name in kept)

    return check
