"""What the three experiments on a GPU are built of: each computes what its chapter says."""

import math
from pathlib import Path

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from lib.generative.mixtures import ring_mixture
from lib.sequence.extrapolation import interpolated
from lib.sequence.position import Rotary, apply_rope, rope_frequencies
from lib.sequence.transformer import Attention, Context

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


def mixed(layer, x, position, **settings):
    """What a layer with these settings returns for x."""
    for name in ("window", "leak", "trained"):
        setattr(layer, name, settings.get(name))
    return layer(x, Context(position, torch.arange(x.shape[1])[None], causal=True)).detach()


def test_a_reader_is_the_courses_attention():
    from readers import BASE, Reader

    torch.manual_seed(0)
    position, x = Rotary(16, BASE), torch.randn(2, 40, 32)
    reader, plain = Reader(32, position, heads=2), Attention(32, position, heads=2)
    plain.load_state_dict(reader.state_dict())
    wanted = plain(x, Context(position, torch.arange(40)[None], causal=True)).detach()
    assert torch.allclose(mixed(reader, x, position), wanted, atol=1e-5)
    assert torch.allclose(mixed(reader, x, position, window=40, leak=2.0), wanted, atol=1e-5)
    slowed = Rotary(16, frequencies=interpolated(rope_frequencies(16, BASE), 4.0))
    assert torch.allclose(mixed(reader, x, position, window=0, leak=4.0), mixed(reader, x, slowed), atol=1e-5)
    assert not torch.allclose(mixed(reader, x, position, window=8, leak=4.0), wanted, atol=1e-3)


@pytest.mark.parametrize("leak", [None, 3.0, math.inf])
def test_scores_by_distance_are_those_of_single_pairs(leak):
    from readers import BASE, Reader

    torch.manual_seed(0)
    n, window, position = 12, 5, Rotary(16, BASE)
    reader = Reader(16, position, heads=1)
    reader.window, reader.leak, reader.trained = window, leak, 6
    q, k = torch.randn(2, 1, 1, n, 16)
    scores = reader.by_distance(q, k, Context(position, torch.arange(n)[None], causal=True))[0, 0]
    for i in range(n):
        for j in range(n):
            apart = i - j
            if apart < 0 or leak is None and apart >= window:
                assert scores[i, j] == -math.inf
                continue
            counted = apart if apart < window else window + (apart - window) / leak
            turned = apply_rope(q[0, 0, i], counted * rope_frequencies(16, BASE))
            sharper = max(1.0, math.log(i + 1) / math.log(6)) if i else 1.0
            assert scores[i, j] == pytest.approx(float(turned @ k[0, 0, j]) * sharper / 4, abs=1e-4)


def test_methods_have_the_factors_of_the_chapter():
    from readers import methods

    plain, read = rope_frequencies(16), methods(16, 64, 4)
    slowed = {name: plain / position.frequencies for name, (position, _) in read.items()}
    assert torch.allclose(slowed["interpolation"], torch.full_like(plain, 4.0))
    assert slowed["another base"][-1] == pytest.approx(4)
    assert slowed["base, larger factor"][3] == pytest.approx(4), "the first pair with less than a turn"
    assert read["leaky ReRoPE"][1] == {"window": 32, "leak": 8.0}
    assert read["YaRN"][0].magnitude == pytest.approx(1.1386, abs=1e-4)


def test_texts_repeat_themselves_and_their_known_tokens_begin_with_the_second_copy():
    from texts import periodic

    text, known = periodic(20, 60, (5, 9), 64, torch.Generator().manual_seed(0))
    for row, mask in zip(text, known, strict=True):
        period = next(p for p in range(1, 60) if torch.equal(row[p:], row[:-p]))
        assert 5 <= period <= 9 and len(row[:period].unique()) == period
        assert torch.equal(mask, torch.arange(1, 61) >= period)


@pytest.mark.parametrize("dim", [2, 64])
def test_an_auction_matches_nearly_as_well_as_the_best_order(dim):
    from matching import SLACK, match

    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 5, 64, dim, generator=generator)
    order, value = match(x, noise), x @ noise.mT
    assert torch.equal(order.sort(1).values, torch.arange(64).expand(5, 64)), "each noise is taken once"
    for one, taken in zip(value, order, strict=True):
        rows, best = linear_sum_assignment(-one.numpy())
        lost = one[rows, best].mean() - one[torch.arange(64), taken].mean()
        assert -1e-5 <= lost <= SLACK * value.std()


def test_networks_side_by_side_are_networks_alone():
    from stacked import Stack

    torch.manual_seed(0)
    net = Stack(2, 3, 4, 8, 2)
    x, t = torch.randn(3, 5, 4), torch.rand(3, 5)
    both = net(x.repeat(2, 1, 1), t.repeat(2, 1))
    assert torch.allclose(both[:3], both[3:]), "couplings start alike"
    net.weights[2].data[4] += 1
    changed = net(x.repeat(2, 1, 1), t.repeat(2, 1))
    assert [torch.equal(*pair) for pair in zip(changed, both, strict=True)] == [True] * 4 + [False, True]


def test_samplers_with_the_exact_denoiser_have_the_ratios_of_the_chapter():
    from walks import RATIOS, errors, ratio

    ring, counts = ring_mixture(8, 0.7, 0.07), (9, 18, 36, 72)
    z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = errors(lambda x, sigma: ring.denoise(x, 1.0, sigma), z, counts, 400)
    for name, *cases, bound in RATIOS:
        assert bound is None or ratio(found, *cases, counts) >= bound, name


def test_an_untrained_network_leaves_what_the_best_linear_guess_leaves():
    from edm_samplers import left_over
    from pictures import pictures
    from unet import UNet, denoiser, factors

    x = pictures(256, 0, 0.5)
    assert float(x.std()) == pytest.approx(0.5, rel=1e-5) and float(x.mean(0).abs().max()) < 1e-6
    noise, net = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)), UNet((8, 8, 8), 8)
    for sigma in (0.03, 0.5, 10.0):
        assert left_over(denoiser(net, "EDM"), x, noise, sigma) == pytest.approx(1, rel=0.02)
        for predicted in ("EDM", "noise", "data"):
            skip, out, _ = factors(predicted, torch.tensor([sigma]))
            assert ((x - skip * (x + sigma * noise)) / out).square().mean() == pytest.approx(1, rel=0.02), "the target's variance"
