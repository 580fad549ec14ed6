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


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked, biased", [(False, False), (True, False), (False, True), (True, True)])
def test_attention_is_its_definition(masked, biased, causal):
    keys = 5 if causal else 7
    q, k, v = inputs(keys=keys)
    generator = torch.Generator().manual_seed(1)
    allowed = torch.rand(2, 5, keys, generator=generator) < 0.5
    allowed[:, :, 0] = True
    bias = torch.randn(2, 3, 5, keys, dtype=torch.float64, generator=generator)
    got = attention(q, k, v, causal=causal, allowed=allowed if masked else None, bias=bias if biased else None)
    seen = allowed if masked else torch.ones_like(allowed)
    want = brute_force(q, k, v, seen.tril() if causal else seen, bias if biased else 0 * bias)
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


def test_a_bias_that_forbids_every_key_is_refused_as_allowed_is():
    q, k, v = inputs()
    forbidding = torch.zeros(1, 3, 5, 7, dtype=torch.float64)
    forbidding[0, 2, 4] = -torch.inf
    message = r"bias must leave every query an allowed key, got -inf for \(batch, head, query\) = \(0, 2, 4\)"
    with pytest.raises(ValueError, match=message):
        attention(q, k, v, bias=forbidding)
    allowed = torch.ones(2, 5, 7, dtype=torch.bool)
    allowed[1, 3, 1:] = False
    half = torch.zeros(2, 1, 5, 7)
    half[1, 0, 3, 0] = -torch.inf
    with pytest.raises(ValueError, match=r"bias must leave every query an allowed key.* = \(1, 0, 3\)"):
        attention(q, k, v, bias=half, allowed=allowed)
    with pytest.raises(ValueError, match="bias must leave every query an allowed key"):
        attention(q.float(), k.float(), v.float(), bias=torch.full((1, 1, 5, 7), -1e300, dtype=torch.float64))


def test_a_bias_of_minus_infinity_forbids_a_key():
    q, k, v = inputs()
    allowed = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(3)) < 0.5
    allowed[:, :, 2] = True
    bias = torch.where(allowed, 0.0, -torch.inf)[:, None]
    assert torch.equal(attention(q, k, v, bias=bias), attention(q, k, v, bias=torch.zeros_like(bias), allowed=allowed))
    assert (attention(q, k, v, bias=bias) - attention(q, k, v, allowed=allowed)).abs().max() < 1e-15


@pytest.mark.parametrize("masked", [False, True])
def test_no_keys_are_refused(masked):
    q, k, v = inputs(keys=0)
    allowed = torch.zeros(2, 5, 0, dtype=torch.bool) if masked else None
    with pytest.raises(ValueError, match=r"k must hold at least one key, got shape \(2, 3, 0, 4\)"):
        attention(q, k, v, allowed=allowed)


def test_no_queries_have_no_answers():
    q, k, v = inputs(queries=0)
    assert attention(q, k, v).shape == (2, 3, 0, 6)
    assert attention(q, k, v, bias=torch.zeros(1, 1, 0, 7)).shape == (2, 3, 0, 6)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_not_finite_is_named(place, wrong):
    arguments = inputs()
    arguments[place][1, 2, 0, 3] = wrong
    with pytest.raises(ValueError, match=f"{'qkv'[place]} must be finite, got NaN or infinite entries"):
        attention(*arguments)
    if wrong != -torch.inf:
        with pytest.raises(ValueError, match="bias must be finite or -inf, got NaN or [+]inf entries"):
            attention(*inputs(), bias=torch.full((1, 1, 5, 7), wrong))


def test_scores_that_overflow_are_refused_and_large_ones_are_not():
    q, k, v = (x.float() for x in inputs())
    for sign in (1, -1):
        with pytest.raises(ValueError, match="q and k must be smaller: their scores overflow torch.float32"):
            attention(1e25 * q.abs(), sign * 1e25 * k.abs(), v)
    largest = (q @ k.mT).argmax(-1)
    winners = torch.gather(v, 2, largest[..., None].expand(-1, -1, -1, 6))
    assert torch.equal(attention(1e15 * q, 1e15 * k, v), winners)
    apart = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    apart[0][..., 0], apart[1][..., 1] = 1e30, 1e30  # their product is 0
    assert torch.equal(attention(*apart, v[:1, :1, :1]), v[:1, :1, :1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [1, 100])
def test_every_precision_is_the_exact_result_rounded(dtype, size):
    q, k, v = (x.to(dtype) for x in inputs())
    q = q * size  # at 100, scores reach beyond what float16 holds
    bias = torch.randn(1, 3, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1e4 * (size > 1)
    got = attention(q, k, v, bias=bias)
    want = attention(q.double(), k.double(), v.double(), bias=bias)
    rounding = torch.finfo(dtype).eps * want.abs() + 1e-6 * size  # once in dtype, several times in float32
    assert got.dtype == dtype and ((got - want).abs() <= rounding).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_causal_mask_does_not_round_positions(dtype):
    assert not causal_mask(torch.tensor([2048]), torch.tensor([2049])).any()
    assert not causal_mask(torch.tensor([2048.0], dtype=dtype), torch.tensor([2049])).any()
    assert causal_mask(torch.tensor([2049]), torch.tensor([2048.0], dtype=dtype)).all()
    assert causal_mask(torch.tensor([3], dtype=torch.uint8), torch.tensor([2], dtype=torch.uint8)).all()


def test_positions_in_a_mask_must_be_finite():
    good, bad = torch.arange(2.0), torch.tensor([0.0, torch.nan])
    with pytest.raises(ValueError, match="query_positions must be finite"):
        causal_mask(bad, good)
    with pytest.raises(ValueError, match="key_positions must be finite"):
        causal_mask(good, bad)


def test_arguments_stay_as_they_were():
    arguments, bias, allowed = inputs(), torch.randn(1, 1, 5, 7), torch.ones(1, 5, 7, dtype=torch.bool)
    before = [x.clone() for x in (*arguments, bias, allowed)]
    attention(*arguments, bias=bias, allowed=allowed)
    assert all(torch.equal(a, b) for a, b in zip(before, (*arguments, bias, allowed), strict=True))
