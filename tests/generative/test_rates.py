"""lib.generative.rates and score_entropy against scipy's expm, integration and enumeration."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from lib.generative.chains import MarkovChain, all_sequences
from lib.generative.rates import AbsorbingRates, UniformRates, reverse_rates
from lib.generative.score_entropy import absorbing_score, score_entropy

KINDS = (AbsorbingRates, UniformRates)
every_case = pytest.mark.parametrize("kind, number", [(kind, n) for kind in KINDS for n in range(5)])


def generator(number=0):
    return torch.Generator().manual_seed(number)


def random_case(kind, number):
    rng = np.random.default_rng(number)
    rates = kind(int(rng.integers(2, 7)))
    law = torch.from_numpy(rng.dirichlet(np.ones(rates.states)))
    return rates, law, float(rng.uniform(0.1, 2)), rng


@every_case
def test_the_exponential_is_scipys(kind, number):
    rates, _, noise, _ = random_case(kind, number)
    q = rates.matrix()
    torch.testing.assert_close(q.sum(0), torch.zeros(rates.states).double(), atol=1e-15, rtol=0)
    for sigma in (0.0, 1e-9, noise, 40.0):
        want = torch.from_numpy(expm(sigma * q.numpy()))
        torch.testing.assert_close(rates.transition(sigma), want, atol=2e-15, rtol=1e-12)
    torch.testing.assert_close(
        rates.transition(noise) @ rates.transition(0.3), rates.transition(noise + 0.3), atol=1e-14, rtol=0
    )


@every_case
def test_the_reverse_rates_lead_back(kind, number):
    """Integrated from p at noise σ̄ down to a quarter of it, they give p there."""
    rates, law, noise, _ = random_case(kind, number)
    q, early = rates.matrix(), noise / 4

    def slope(undone, p):
        now = rates.transition(noise - undone) @ law
        return (reverse_rates(q, now) @ torch.from_numpy(p)).numpy()

    start = (rates.transition(noise) @ law).numpy()
    end = solve_ivp(slope, (0, noise - early), start, rtol=1e-11, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(end, (rates.transition(early) @ law).numpy(), atol=1e-9)


def test_a_state_that_never_occurs_is_never_left():
    q, law = UniformRates(3).matrix(), torch.tensor([0.25, 0.75, 0.0]).double()
    back = reverse_rates(q, law)
    assert (back[:, 2] == 0).all()
    torch.testing.assert_close(back.sum(0), torch.zeros(3).double(), atol=1e-15, rtol=0)
    torch.testing.assert_close(back[1, 0].item(), 3 * q[0, 1].item())


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_the_unit_of_time_does_not_matter(unit):
    q, law = UniformRates(7).matrix(), torch.full((7,), 1 / 7, dtype=torch.float64)
    torch.testing.assert_close(reverse_rates(unit * q, law), unit * q, atol=0, rtol=1e-14)


@every_case
def test_corrupted_tokens_have_the_transitions_frequencies(kind, number):
    rates, _, noise, _ = random_case(kind, number)
    count = 20_000
    tokens = torch.arange(rates.states).expand(count, -1)
    moved = rates.corrupt(tokens, noise, generator(number))
    seen = torch.stack([(moved == y).double().mean(0) for y in range(rates.states)])
    want = rates.transition(noise)
    assert ((seen - want).abs() <= 4.5 * (want * (1 - want) / count).sqrt() + 1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_may_have_its_own_noise(kind):
    rates = kind(4)
    tokens = torch.randint(4, (3, 5000), generator=generator())
    moved = rates.corrupt(tokens, torch.tensor([0.0, 0.5, 50.0]), generator(1))
    kept = (moved == tokens).double().mean(1)
    assert kept[0] == 1
    assert abs(kept[1].item() - rates.transition(0.5)[0, 0].item()) < 0.03
    assert kept[2].item() == pytest.approx(rates.transition(50.0)[0, 0].item(), abs=0.03)


@pytest.mark.parametrize("number", range(5))
def test_score_entropy_is_least_at_the_ratio(number):
    rng = np.random.default_rng(number)
    ratio = torch.from_numpy(rng.gamma(1.0, size=50)).requires_grad_(False)
    ratio[0] = 0.0
    log_score = torch.from_numpy(rng.normal(size=50)).requires_grad_()
    loss = score_entropy(log_score, ratio)
    assert (loss >= 0).all()
    (slope,) = torch.autograd.grad(loss.sum(), log_score)
    torch.testing.assert_close(slope, (log_score.exp() - ratio).detach(), atol=1e-12, rtol=1e-12)
    positive = ratio[1:]
    torch.testing.assert_close(score_entropy(positive.log(), positive), torch.zeros(49).double(), atol=1e-13, rtol=0)


@pytest.mark.parametrize("noise", [0.1, 1.0, 4.0])
def test_the_absorbing_score_is_the_ratio_of_enumerated_probabilities(noise):
    rng = np.random.default_rng(3)
    rows = torch.from_numpy(rng.dirichlet(np.ones(3), size=4))
    chain, rates, length = MarkovChain(rows[0], rows[1:]), AbsorbingRates(3), 3
    clean, states = all_sequences(3, length), all_sequences(4, length)
    step, weights = rates.transition(noise), chain.log_prob(clean).exp()
    law = torch.stack([(weights * step[state, clean].prod(1)).sum() for state in states])
    scores = absorbing_score(chain.conditionals(states).log(), noise).exp()
    for state, p, score in zip(states, law, scores, strict=True):
        for place in range(length):
            if state[place] == rates.vocabulary:
                for value in range(3):
                    filled = state.clone()
                    filled[place] = value
                    want = law[(states == filled).all(1)] / p
                    assert score[place, value].item() == pytest.approx(want.item(), rel=1e-11)


def test_bad_input_is_named():
    for kind, least in ((AbsorbingRates, 1), (UniformRates, 2)):
        with pytest.raises(ValueError, match=f"vocabulary must be at least {least}"):
            kind(least - 1)
    rates = UniformRates(3)
    for noise in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="noise must be finite and not negative"):
            rates.transition(noise)
        with pytest.raises(ValueError, match="noise must be finite and not negative"):
            rates.corrupt(torch.tensor([[0, 1]]), noise, generator())
    with pytest.raises(ValueError, match="each in 0 … 2"):
        rates.corrupt(torch.tensor([[3]]), 0.1, generator())
    with pytest.raises(ValueError, match="tokens must be at least one"):
        rates.corrupt(torch.zeros(1, 0, dtype=torch.int64), 0.1, generator())
    with pytest.raises(TypeError, match="noise"):
        rates.corrupt(torch.tensor([[0, 1]]), torch.zeros(2), generator())
    law = torch.full((3,), 1 / 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="sum to zero in columns"):
        reverse_rates(torch.eye(3, dtype=torch.float64), law)
    for off, refused in ((0.9e-9, False), (1.1e-9, True)):
        nearly = torch.tensor([[0.0, 0, 0], [0, off, 0], [0, 0, 0]], dtype=torch.float64)
        with pytest.raises(ValueError, match="sum to zero in columns") if refused else nullcontext():
            reverse_rates(nearly, law)
    with pytest.raises(ValueError, match="law must not be negative and sum to one"):
        reverse_rates(rates.matrix(), 2 * law)
    with pytest.raises(ValueError, match="ratio must be finite"):
        score_entropy(torch.zeros(2), torch.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="ratio must be finite"):
        score_entropy(torch.zeros(2), torch.tensor([1.0, torch.inf]))
    with pytest.raises(ValueError, match="noise must be positive"):
        absorbing_score(torch.zeros(3), 0.0)
