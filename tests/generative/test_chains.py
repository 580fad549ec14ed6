"""lib.generative.chains against enumeration of every sequence."""

import math

import numpy as np
import pytest
import torch

from lib.generative.chains import MarkovChain, all_sequences


def generator(number=0):
    return torch.Generator().manual_seed(number)


def random_chain(number):
    rng = np.random.default_rng(number)
    states = int(rng.integers(1, 5))
    rows = torch.from_numpy(rng.dirichlet(0.7 * np.ones(states), size=states + 1))
    return MarkovChain(rows[0], rows[1:]), rng


def probability(chain, sequence):
    first, *rest = sequence.tolist()
    total = chain.initial[first].item()
    for token in rest:
        total *= chain.transition[first, token].item()
        first = token
    return total


@pytest.mark.parametrize("number", range(8))
def test_probabilities_are_products_and_sum_to_one(number):
    chain, rng = random_chain(number)
    sequences = all_sequences(chain.states, int(rng.integers(1, 6)))
    want = torch.tensor([probability(chain, sequence) for sequence in sequences], dtype=torch.float64)
    torch.testing.assert_close(chain.log_prob(sequences).exp(), want, atol=1e-14, rtol=1e-11)
    assert want.sum().item() == pytest.approx(1, abs=1e-12)
    assert chain.entropy(sequences.shape[1]) == pytest.approx(torch.special.entr(want).sum().item(), abs=1e-12)


@pytest.mark.parametrize("number", range(12))
def test_conditionals_and_partial_probabilities_are_sums_over_all_sequences(number):
    chain, rng = random_chain(number)
    length = int(rng.integers(1, 6))
    sequences = all_sequences(chain.states, length)
    weights = chain.log_prob(sequences).exp()
    tokens = chain.sample(6, length, generator(number))
    tokens[torch.from_numpy(rng.random(tokens.shape) < 0.6)] = chain.mask_token
    for row, got, log_prob in zip(tokens, chain.conditionals(tokens), chain.log_prob(tokens), strict=True):
        agrees = ((sequences == row) | (row == chain.mask_token)).all(1)
        total = weights[agrees].sum()
        assert log_prob.exp().item() == pytest.approx(total.item(), rel=1e-11)
        places = torch.stack([weights @ (agrees[:, None] & (sequences == v)).double() for v in range(chain.states)], 1)
        torch.testing.assert_close(got, places / total, atol=1e-13, rtol=1e-11)


def test_long_sequences_do_not_underflow():
    chain, _ = random_chain(5)
    tokens = chain.sample(2, 3000, generator())
    assert chain.log_prob(tokens).isfinite().all()
    tokens[:, ::2] = chain.mask_token
    conditionals = chain.conditionals(tokens)
    torch.testing.assert_close(conditionals.sum(-1), torch.ones(2, 3000).double(), atol=1e-12, rtol=0)


def test_rows_that_sum_to_one_but_for_rounding_are_scaled():
    """As float32 leaves them: the probabilities of all sequences still sum to one."""
    off = torch.tensor([[4e-7], [-4e-7], [3e-7], [0.0]], dtype=torch.float64)
    rows = torch.tensor([[0.1, 0.2, 0.7]] * 4, dtype=torch.float32).double() * (1 + off)
    chain = MarkovChain(rows[0], rows[1:])
    assert chain.log_prob(all_sequences(3, 4)).exp().sum().item() == pytest.approx(1, abs=1e-13)
    torch.testing.assert_close(chain.transition.sum(1), torch.ones(3, dtype=torch.float64), atol=1e-15, rtol=0)


def test_samples_have_the_chains_law():
    chain, _ = random_chain(3)
    sequences, count = all_sequences(chain.states, 3), 40_000
    drawn = chain.sample(count, 3, generator(7))
    seen = (drawn[:, None] == sequences).all(-1).double().mean(0)
    p = chain.log_prob(sequences).exp()
    assert ((seen - p).abs() <= 4.5 * (p * (1 - p) / count).sqrt() + 1e-12).all()


def test_an_impossible_sequence_has_probability_zero_and_no_conditionals():
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    chain = MarkovChain(half, torch.eye(2, dtype=torch.float64))
    assert chain.log_prob(torch.tensor([[0, 1]])).item() == -math.inf
    with pytest.raises(ValueError, match="tokens must be possible"):
        chain.conditionals(torch.tensor([[0, 2, 1]]))


@pytest.mark.parametrize(
    "initial, transition",
    [([0.5, 0.6], [[1, 0], [0, 1]]), ([1.5, -0.5], [[1, 0], [0, 1]]), ([1, 0], [[1, 0], [0, 0.9]]), ([], [])],
)
def test_a_law_that_is_none_is_refused(initial, transition):
    initial = torch.tensor(initial, dtype=torch.float64)
    transition = torch.tensor(transition, dtype=torch.float64).reshape(len(initial), len(initial))
    with pytest.raises(ValueError, match="must not be negative and sum to one"):
        MarkovChain(initial, transition)


def test_tokens_and_sizes_out_of_range_are_refused():
    chain, _ = random_chain(1)
    with pytest.raises(ValueError, match="tokens must be at least one"):
        chain.log_prob(torch.tensor([[chain.states + 1]]))
    with pytest.raises(ValueError, match="tokens must be at least one"):
        chain.conditionals(torch.tensor([[-1]]))
    for call in (lambda: chain.sample(0, 3, generator()), lambda: chain.sample(3, 0, generator()), lambda: chain.entropy(0)):
        with pytest.raises(ValueError, match="must be at least 1"):
            call()
    with pytest.raises(ValueError, match="at most 1000000"):
        all_sequences(10, 7)


def test_arguments_are_not_changed():
    chain, _ = random_chain(2)
    tokens = chain.sample(3, 4, generator())
    before = tokens.clone()
    chain.conditionals(tokens), chain.log_prob(tokens)
    assert torch.equal(tokens, before)
