import pytest
import torch

from lib.sequence.attention import attention, causal_mask


def inputs(queries=5, keys=7, value=6):
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, queries, 4), (2, 3, keys, 4), (2, 3, keys, value)
    return [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]


def brute_force(q, k, v, allowed, bias):
    """Attention by its definition, one query at a time."""
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype)
    for b, h, i in torch.cartesian_prod(*map(torch.arange, q.shape[:3])):
        seen = allowed[b, i].nonzero()[:, 0]
        scores = torch.stack([q[b, h, i] @ k[b, h, j] / 2 + bias[b, h, i, j] for j in seen])
        weights = scores.exp() / scores.exp().sum()
        out[b, h, i] = weights @ v[b, h, seen]
    return out


@pytest.mark.parametrize("masked, biased", [(False, False), (True, False), (False, True), (True, True)])
def test_attention_is_its_definition(masked, biased):
    q, k, v = inputs()
    generator = torch.Generator().manual_seed(1)
    allowed = torch.rand(2, 5, 7, generator=generator) < 0.5
    allowed[:, :, 2] = True
    bias = torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=generator)
    got = attention(q, k, v, allowed=allowed if masked else None, bias=bias if biased else None)
    want = brute_force(q, k, v, allowed if masked else torch.ones_like(allowed), bias if biased else 0 * bias)
    assert want.abs().mean() > 0.2 and (got - want).abs().max() < 1e-14


def test_masks_and_biases_may_be_shared():
    q, k, v = inputs(5, 5)
    mask, bias = causal_mask(torch.arange(5), torch.arange(5))[None], torch.randn(1, 1, 5, 5, dtype=torch.float64)
    want = attention(q, k, v, allowed=mask.expand(2, 5, 5), bias=bias.expand(2, 3, 5, 5))
    assert torch.equal(attention(q, k, v, allowed=mask, bias=bias), want)


def test_causal_mask():
    assert causal_mask(torch.tensor([2, 3]), torch.arange(4)).tolist() == [[True, True, True, False], [True] * 4]
    assert torch.equal(causal_mask(torch.arange(6), torch.arange(6)), torch.ones(6, 6, dtype=torch.bool).tril())
    assert causal_mask(torch.zeros(2, 3), torch.ones(2, 4)).shape == (2, 3, 4)


def test_bad_input_is_named():
    q, k, v = inputs()
    nothing = torch.ones(2, 5, 7, dtype=torch.bool)
    nothing[1, 3] = False
    with pytest.raises(ValueError, match=r"allowed must leave every query a key, got none for \(batch, query\) = \(1, 3\)"):
        attention(q, k, v, allowed=nothing)
    with pytest.raises(TypeError, match="allowed"):
        attention(q, k, v, allowed=nothing.float())
    with pytest.raises(TypeError, match="allowed"):
        attention(q, k, v, allowed=nothing.mT)
    with pytest.raises(TypeError, match="bias"):
        attention(q, k, v, bias=torch.zeros(2, 2, 5, 7))
    with pytest.raises(TypeError, match="v"):
        attention(q, k, v[:, :, 1:])
