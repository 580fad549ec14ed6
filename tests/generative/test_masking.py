"""lib.generative.masking and block_masks: exact on enumerated chains, and by frequencies."""

import math

import numpy as np
import pytest
import torch

from lib.generative.block_masks import block_causal_mask, block_diffusion_mask
from lib.generative.chains import MarkovChain, all_sequences
from lib.generative.masking import (
    denoiser_log_probs,
    fill,
    mask_count,
    mask_tokens,
    masked_diffusion_loss,
    reveal,
    unmask_step,
)
from lib.sequence.position import Rotary
from lib.sequence.transformer import Transformer


def generator(number=0):
    return torch.Generator().manual_seed(number)


@pytest.fixture
def chain():
    rows = torch.from_numpy(np.random.default_rng(4).dirichlet(np.ones(3), size=4))
    return MarkovChain(rows[0], rows[1:])


def logits_of(chain):
    """The chain's exact predictions as a network that gives the mask a column too."""

    def network(tokens):
        known = chain.conditionals(tokens).clamp(min=1e-300).log()
        return torch.cat([known, torch.full_like(known[..., :1], 5.0)], -1)

    return network


def test_tokens_are_hidden_with_probability_t():
    tokens = torch.zeros(4, 10_000, dtype=torch.int64)
    hidden = (mask_tokens(tokens, torch.tensor([0.0, 0.3, 0.9, 1.0]), 7, generator()) == 7).double().mean(1)
    assert hidden[0] == 0 and hidden[3] == 1
    assert abs(hidden[1].item() - 0.3) < 0.02 and abs(hidden[2].item() - 0.9) < 0.015


def test_a_count_is_hidden_all_choices_alike():
    tokens = torch.zeros(6000, 4, dtype=torch.int64)
    hidden = mask_count(tokens, torch.full((6000,), 2), 1, generator()) == 1
    assert (hidden.sum(1) == 2).all()
    pairs = hidden.long() @ torch.tensor([8, 4, 2, 1])
    values, counts = pairs.unique(return_counts=True)
    assert len(values) == 6 and ((counts / 6000 - 1 / 6).abs() < 4.5 * math.sqrt(5 / 36 / 6000)).all()
    ends = mask_count(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 3]), 1, generator())
    assert ends.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_the_denoiser_keeps_what_is_known_and_ends_without_masks():
    logits = torch.randn(2, 5, 4, generator=generator(), dtype=torch.float64)
    tokens = torch.tensor([[0, 3, 1, 3, 2], [3, 3, 3, 0, 0]])
    log_probs = denoiser_log_probs(logits, tokens, 3)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 5).double(), atol=1e-14, rtol=0)
    assert (log_probs[..., 3] == -torch.inf).all()
    for row, places in zip(tokens, log_probs, strict=True):
        for token, place, own in zip(row, places, logits[0], strict=True):
            if token != 3:
                assert place[token] == 0
    want = logits[0, 1, :3].log_softmax(-1)
    torch.testing.assert_close(log_probs[0, 1, :3], want, atol=1e-14, rtol=0)


def test_the_loss_of_exact_predictions_averages_to_the_entropy_of_a_sequence(chain):
    """For each sequence the bound, integrated over all masks, is its own -log p: nothing is lost but by the network."""
    length, network = 4, logits_of(chain)
    hidden = all_sequences(2, length).bool()
    counts = hidden.sum(1)
    # ∫ t^(m-1) (1-t)^(L-m) dt is what a mask of m places weighs, its 1/t included
    by_count = [0.0] + [math.factorial(m - 1) * math.factorial(length - m) / math.factorial(length) for m in range(1, 5)]
    weights = torch.tensor(by_count, dtype=torch.float64)[counts]
    for clean in all_sequences(3, length)[::7]:
        masked = torch.where(hidden, chain.mask_token, clean)
        loss = masked_diffusion_loss(network(masked), clean.expand_as(masked), masked, 1.0, chain.mask_token)
        assert (weights * loss).sum().item() == pytest.approx(-chain.log_prob(clean[None]).item(), abs=1e-12)


def test_the_loss_is_divided_by_t_and_has_gradients():
    logits = torch.randn(3, 4, 5, generator=generator(), requires_grad=True)
    clean = torch.randint(4, (3, 4), generator=generator())
    masked = mask_tokens(clean, 0.6, 4, generator(1))
    t = torch.tensor([0.2, 0.5, 1.0])
    loss = masked_diffusion_loss(logits, clean, masked, t, 4)
    torch.testing.assert_close(loss * t, masked_diffusion_loss(logits, clean, masked, 1.0, 4))
    loss.sum().backward()
    known = masked != 4
    assert (logits.grad[known] == 0).all() and (logits.grad[~known][:, 4] == 0).all()
    assert logits.grad.isfinite().all() and (logits.grad[~known][:, :4] != 0).any()


def test_ancestral_steps_one_place_at_a_time_give_the_chains_law(chain):
    """In the limit of many steps; two hundred leave an error well under the noise of the frequencies."""
    count, length, network = 6000, 3, logits_of(chain)
    tokens, grid, g = torch.full((count, length), chain.mask_token), np.linspace(1, 0, 201), generator(2)
    for t, s in zip(grid[:-1], grid[1:], strict=True):
        if (tokens == chain.mask_token).any():
            log_probs = denoiser_log_probs(network(tokens), tokens, chain.mask_token)
            tokens = unmask_step(tokens, log_probs, float(t), float(s), chain.mask_token, g)
    assert (tokens != chain.mask_token).all()
    assert_has_law(tokens, chain, slack=0.003)


def test_filling_one_place_at_a_time_gives_the_chains_law(chain):
    tokens = torch.full((8000, 4), chain.mask_token)
    filled = fill(logits_of(chain), tokens, 4, chain.mask_token, generator(3))
    assert_has_law(filled, chain)


def assert_has_law(tokens, chain, slack=0.0):
    sequences = all_sequences(chain.states, tokens.shape[1])
    seen = (tokens[:, None] == sequences).all(-1).double().mean(0)
    p = chain.log_prob(sequences).exp()
    assert ((seen - p).abs() <= 4.5 * (p * (1 - p) / len(tokens)).sqrt() + slack + 1e-12).all()


def test_the_share_that_stays_masked_is_s_over_t():
    tokens, log_probs = torch.full((50, 400), 2), torch.zeros(50, 400, 3)
    log_probs[..., 2] = -torch.inf
    left = (unmask_step(tokens, log_probs, 0.8, 0.6, 2, generator()) == 2).double().mean().item()
    assert abs(left - 0.75) < 0.015
    assert (unmask_step(tokens, log_probs, 0.8, 0.0, 2, generator()) != 2).all()


@pytest.mark.parametrize("order", ["random", "confidence"])
@pytest.mark.parametrize("number", range(4))
def test_each_step_reveals_its_share_and_keeps_what_is_given(order, number):
    rng = np.random.default_rng(number)
    batch, length, vocabulary = 5, int(rng.integers(3, 12)), 6
    table = torch.from_numpy(rng.normal(size=(batch, length, vocabulary)))
    tokens = torch.from_numpy(rng.integers(0, 5, size=(batch, length)))
    hidden = torch.from_numpy(rng.random((batch, length)) < 0.7)
    tokens[hidden] = 5
    seen = []

    def network(now):
        seen.append((now == 5).sum(1))
        assert torch.equal(now[~hidden], tokens[~hidden])
        return table

    steps = int(rng.integers(1, length + 2))
    filled = fill(network, tokens, steps, 5, generator(number), order=order)
    assert (filled != 5).all() and torch.equal(filled[~hidden], tokens[~hidden]) and len(seen) == steps
    revealed = -torch.stack([*seen, torch.zeros_like(seen[0])]).diff(dim=0)
    assert (revealed.amax(0) - revealed.amin(0) <= 1).all() and (revealed.diff(dim=0) <= 0).all()


def test_the_most_confident_are_kept():
    log_probs = torch.tensor([[[0.6, 0.4, 0], [0.1, 0.9, 0], [0.5, 0.5, 0], [0.2, 0.8, 0]]]).log()
    tokens = torch.tensor([[2, 2, 0, 2]])
    got = reveal(tokens, log_probs, torch.tensor([2]), 2, generator(), order="confidence", temperature=0.0)
    assert got.tolist() == [[2, 1, 0, 1]]


def test_temperature_sharpens_the_draws():
    log_probs = torch.tensor([0.7, 0.3, 0.0]).log().expand(1, 20_000, 3)
    tokens, counts = torch.full((1, 20_000), 2), torch.tensor([20_000])
    share = [
        (reveal(tokens, log_probs, counts, 2, generator(), temperature=h) == 0).double().mean().item()
        for h in (0.0, 0.5, 1.0, 2.0)
    ]
    want = [1, 0.49 / 0.58, 0.7, 0.7**0.5 / (0.7**0.5 + 0.3**0.5)]
    assert share == pytest.approx(want, abs=0.015)


@pytest.mark.parametrize("length, block", [(6, 1), (6, 2), (6, 3), (6, 6), (1, 1)])
def test_block_masks_are_their_sentences(length, block):
    noised, clean = block_diffusion_mask(length, block).split(length)
    causal = block_causal_mask(length, block)
    for i in range(length):
        for j in range(length):
            assert causal[i, j] == (j // block <= i // block)
            assert noised[i, j] == (j // block == i // block)
            assert noised[i, length + j] == (j // block < i // block)
            assert not clean[i, j] and clean[i, length + j] == causal[i, j]


@pytest.mark.parametrize("block", [1, 2, 4, 8])
def test_one_pass_over_noised_and_clean_tokens_equals_a_pass_for_each_block(block):
    torch.manual_seed(block)
    length, model = 8, Transformer(6, 16, 2, causal=False, position=Rotary(4)).double()
    clean = torch.randint(5, (3, length), generator=generator())
    noised = mask_tokens(clean, 0.5, 5, generator(1))
    positions = torch.arange(length).repeat(2)[None]
    together = model(
        torch.cat([noised, clean], 1), positions=positions, allowed=block_diffusion_mask(length, block)[None]
    )[:, :length]
    for start in range(0, length, block):
        end = start + block
        alone = model(torch.cat([clean[:, :start], noised[:, start:end]], 1), allowed=block_causal_mask(end, block)[None])
        torch.testing.assert_close(together[:, start:end], alone[:, start:], atol=1e-12, rtol=1e-12)


def test_bad_input_is_named():
    tokens, logits = torch.tensor([[0, 2]]), torch.zeros(1, 2, 3)
    g = generator()
    cases = [
        (lambda: mask_tokens(tokens, 1.1, 2, g), "t must lie in"),
        (lambda: mask_count(tokens.expand(2, -1), torch.tensor([0, 3]), 2, g), "counts must lie in"),
        (lambda: denoiser_log_probs(logits[:, :0], tokens[:, :0], 2), "tokens must be at least one"),
        (lambda: denoiser_log_probs(logits, tokens, 3), "mask_token must be a column"),
        (lambda: denoiser_log_probs(logits, tokens + 2, 2), "tokens must be at least one"),
        (lambda: masked_diffusion_loss(logits, tokens, tokens, 0.0, 2), "t must be positive"),
        (lambda: masked_diffusion_loss(logits, tokens, torch.tensor([[1, 2]]), 0.5, 2), "masked must hold the clean"),
        (lambda: unmask_step(tokens, logits, 0.5, 0.5, 2, g), "s must lie in"),
        (lambda: unmask_step(tokens, logits, 0.0, 0.0, 2, g), "t must lie in"),
        (lambda: reveal(tokens, logits, torch.tensor([2]), 2, g), "counts must lie between"),
        (lambda: reveal(tokens, logits, torch.tensor([1]), 2, g, order="left"), "order must be one of random, confidence"),
        (lambda: reveal(tokens, logits, torch.tensor([1]), 2, g, temperature=-1.0), "temperature must lie in"),
        (lambda: fill(lambda x: logits, tokens, 0, 2, g), "steps must be at least 1"),
        (lambda: fill(lambda x: logits[0], tokens, 1, 2, g), r"network must return logits of shape \(1, 2, 'vocabulary'\), got"),
        (lambda: fill(lambda x: logits / 0, tokens, 1, 2, g), "network must return logits that are numbers, got NaN"),
        (lambda: block_causal_mask(6, 4), "block must divide length"),
        (lambda: block_diffusion_mask(0, 1), "length must be at least 1"),
        (lambda: block_diffusion_mask(2, 0), "block must be at least 1"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_arguments_are_not_changed():
    tokens, logits = torch.tensor([[0, 2, 2]]), torch.zeros(1, 3, 3)
    before, logits_before = tokens.clone(), logits.clone()
    mask_tokens(tokens, 0.5, 2, generator()), denoiser_log_probs(logits, tokens, 2)
    reveal(tokens, logits, torch.tensor([1]), 2, generator())
    fill(lambda x: logits, tokens, 2, 2, generator()), fill(lambda x: logits + 0 * x.zero_().sum(), tokens, 2, 2, generator())
    assert torch.equal(tokens, before) and torch.equal(logits, logits_before)
