"""Frequencies for longer texts: by hand, against transformers', and what is refused."""

import math

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from lib.sequence.extrapolation import by_parts, dynamic_factor, interpolated, ntk_base, yarn_magnitude
from lib.sequence.position import Rotary, apply_rope, rope_angles, rope_frequencies

DIM, BASE, TRAINED = 128, 1e4, 2048
PLAIN = rope_frequencies(DIM, BASE)


def theirs(rope_type, length=None, **parameters):
    rope = dict(rope_type=rope_type, rope_theta=BASE, **parameters)
    config = LlamaConfig(
        hidden_size=3 * DIM, num_attention_heads=3, head_dim=DIM, max_position_embeddings=TRAINED, rope_parameters=rope
    )
    return ROPE_INIT_FUNCTIONS[rope_type](config, "cpu", length)


def deviation(ours, want):
    assert ours.dtype == torch.float64 and ours.shape == want.shape
    return ((ours - want) / want).abs().max().item()


@pytest.mark.parametrize("factor", [1.0, 2.0, 8.0])
def test_linear_interpolation_is_transformers(factor):
    frequencies, scaling = theirs("linear", factor=factor)
    assert deviation(interpolated(PLAIN, factor), frequencies) < 3e-7 and scaling == 1


@pytest.mark.parametrize("length", [100, 2048, 2049, 5000, 16384])
@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_dynamic_interpolation_is_transformers(factor, length):
    frequencies, scaling = theirs("dynamic", length, factor=factor)
    ours = rope_frequencies(DIM, ntk_base(BASE, dynamic_factor(length, TRAINED, factor), DIM))
    assert deviation(ours, frequencies) < 1e-6 and scaling == 1


@pytest.mark.parametrize("slow, fast", [(1, 4), (0.5, 3), (2, 32)])
def test_by_parts_is_the_ramp_of_llama_3(slow, fast):
    frequencies, scaling = theirs(
        "llama3", factor=8.0, low_freq_factor=slow, high_freq_factor=fast, original_max_position_embeddings=TRAINED
    )
    assert deviation(by_parts(PLAIN, 8.0, TRAINED, slow, fast), frequencies) < 1e-6 and scaling == 1


@pytest.mark.parametrize("factor", [1.0, 1.5, 4.0, 40.0])
def test_magnitude_is_transformers_attention_factor(factor):
    assert abs(theirs("yarn", factor=factor, original_max_position_embeddings=TRAINED)[1] - yarn_magnitude(factor)) < 1e-15


@pytest.mark.parametrize("dim", [4, 16, 128])
@pytest.mark.parametrize("factor", [1.0, 3.0, 16.0])
def test_the_ntk_base_slows_the_slowest_pair_alone_by_the_factor(dim, factor):
    plain, ours = rope_frequencies(dim, BASE), rope_frequencies(dim, ntk_base(BASE, factor, dim))
    ratios = plain / ours
    assert ratios[0] == 1 and abs(ratios[-1] / factor - 1) < 1e-13
    assert torch.allclose(ratios.log(), torch.arange(dim // 2).double() / (dim / 2 - 1) * math.log(factor), atol=1e-13)


def test_by_parts_has_three_parts():
    turns = torch.tensor([100.0, 32.0, 16.5, 1.0, 0.3], dtype=torch.float64)
    want = torch.tensor([1, 1, 0.2 + 0.8 * 0.5, 0.2, 0.2], dtype=torch.float64)
    for ends in ((1, 32), ()):  # YaRN's ends are the defaults
        kept = by_parts(2 * math.pi * turns / 50, 5.0, 50, *ends) * 50 / (2 * math.pi) / turns
        assert torch.allclose(kept, want, rtol=1e-12)
    assert deviation(by_parts(PLAIN, 1.0, 50), PLAIN) < 1e-15


def test_a_factor_within_the_trained_length_is_one():
    assert dynamic_factor(1, 64, 4.0) == dynamic_factor(64, 64, 4.0) == 1 and dynamic_factor(128, 64, 4.0) == 5
    assert dynamic_factor(128, 64, 1) == 2


def test_frequencies_and_magnitude_go_into_the_rotation():
    g = torch.Generator().manual_seed(0)
    x, positions = torch.randn(2, 3, 9, 8, generator=g, dtype=torch.float64), torch.arange(40, 49)
    slower = rope_frequencies(8) / 4
    for layout in ("interleaved", "half"):
        plain = Rotary(8, layout=layout).rotation(positions[None], x.dtype)(x)
        assert torch.equal(plain, apply_rope(x, rope_angles(positions, 8), layout))
        ours = Rotary(8, layout=layout, frequencies=slower, magnitude=1.5).rotation(positions[None], x.dtype)(x)
        want = 1.5 * apply_rope(x, rope_angles(positions / 4, 8), layout)
        assert (ours - want).abs().max() < 1e-14 and want.abs().mean() > 0.3


def test_frequencies_are_kept_in_float64_and_out_of_the_weights():
    given = rope_frequencies(8) / 4
    position = Rotary(8, frequencies=given).to(torch.bfloat16)
    given.zero_()
    assert not position.state_dict() and torch.equal(position.frequencies, rope_frequencies(8) / 4)


def test_bad_input_is_named():
    for call, message in (
        (lambda: interpolated(PLAIN, 0.5), "factor must be at least 1, got 0.5"),
        (lambda: interpolated(-PLAIN, 2.0), "frequencies must be positive, got -1"),
        (lambda: interpolated(PLAIN * torch.nan, 2.0), "frequencies must be finite, got NaN or infinite entries"),
        (lambda: ntk_base(1e4, torch.inf, 8), "factor must be finite, got inf"),
        (lambda: ntk_base(0.0, 2.0, 8), "base must be positive and finite, got 0.0"),
        (lambda: ntk_base(1e4, 2.0, 2), "dim must be even and at least 4, got 2"),
        (lambda: ntk_base(1e4, 2.0, 7), "dim must be even and at least 4, got 7"),
        (lambda: dynamic_factor(0, 64, 2.0), "length must be at least 1, got 0"),
        (lambda: dynamic_factor(64, 0, 2.0), "trained must be at least 1, got 0"),
        (lambda: by_parts(PLAIN, 2.0, 0), "trained must be positive and finite, got 0"),
        (lambda: by_parts(PLAIN, 2.0, 64, 4, 4), "slow must not be negative and be below fast, got 4 and 4"),
        (lambda: by_parts(PLAIN, 2.0, 64, -1, 4), "slow must not be negative and be below fast, got -1 and 4"),
        (lambda: by_parts(PLAIN, 2.0, 64, 1, torch.inf), "fast must be finite, got inf"),
        (lambda: yarn_magnitude(0.0), "factor must be at least 1, got 0.0"),
        (lambda: Rotary(8, magnitude=0.0), "magnitude must be positive and finite, got 0.0"),
        (lambda: Rotary(8, frequencies=PLAIN), "frequencies must hold 4 pairs for head_dim 8, got 64"),
        (lambda: Rotary(8, frequencies=PLAIN[:4] * torch.inf), "frequencies must be finite, got NaN or infinite entries"),
        (lambda: rope_frequencies(7), "dim must be even and at least 2, got 7"),
        (lambda: rope_frequencies(8, 1), "base must be greater than 1, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="frequencies"):
        Rotary(8, frequencies=rope_frequencies(8).float())
