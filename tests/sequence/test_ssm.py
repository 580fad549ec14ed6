"""State space models against scipy, mambapy and transformers' Mamba, their gradients, and decoding with a state."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from mambapy.pscan import pscan
from scipy.signal import cont2discrete
from torch import nn
from transformers import MambaConfig, MambaModel

from lib.sequence.position import Learned, Position, Rotary
from lib.sequence.ssm import Mamba, discretize, hippo_legs, linear_scan, selective_scan
from lib.sequence.transformer import Context, Transformer

WIDTH = 32


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_legs_has_the_published_entries():
    A, B = hippo_legs(3)
    want = [[1, 0, 0], [3**0.5, 2, 0], [5**0.5, 15**0.5, 3]]
    assert torch.allclose(A, torch.tensor(want, dtype=torch.float64), rtol=0, atol=1e-15)
    assert torch.equal(B, torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64).sqrt())


@pytest.mark.parametrize("method", ["bilinear", "zoh"])
def test_discretisations_are_those_of_scipy(method):
    A, B = hippo_legs(8)
    want = cont2discrete((-A.numpy(), B.numpy()[:, None], np.ones((1, 8)), np.zeros((1, 1))), 0.1, method)
    got = discretize(-A, B, 0.1, method)
    assert np.abs(got[0] - want[0]).max() < 1e-14 and np.abs(got[1] - want[1][:, 0]).max() < 1e-14


def test_a_scan_is_its_recurrence_and_differentiates():
    a, b, initial = (normal(*shape, seed=i).requires_grad_() for i, shape in enumerate([(2, 7, 3), (2, 7, 3), (2, 3)]))
    state, states = initial, []
    for t in range(7):
        state = a[:, t] * state + b[:, t]
        states.append(state)
    assert (linear_scan(a, b, initial) - torch.stack(states, 1)).abs().max() < 1e-14
    assert torch.autograd.gradcheck(linear_scan, (a, b, initial))


@pytest.mark.parametrize("length", [1, 16, 33])
def test_mambapy_agrees(length):
    a, b = normal(2, length, 3, 4).sigmoid(), normal(2, length, 3, 4, seed=1)
    assert (linear_scan(a, b) - pscan(a, b)).abs().max() < 1e-13


def test_a_selective_scan_in_two_pieces_is_the_whole():
    x, delta = normal(2, 9, 3), normal(2, 9, 3, seed=1).exp()
    A, B, C = -normal(3, 4, seed=2).exp(), normal(2, 9, 4, seed=3), normal(2, 9, 4, seed=4)
    whole, last = selective_scan(x, delta, A, B, C)
    early, state = selective_scan(x[:, :4], delta[:, :4], A, B[:, :4], C[:, :4])
    late, end = selective_scan(x[:, 4:], delta[:, 4:], A, B[:, 4:], C[:, 4:], state)
    assert (torch.cat([early, late], 1) - whole).abs().max() < 1e-14 and (end - last).abs().max() < 1e-14


def test_the_mixer_agrees_with_transformers_mamba():
    torch.manual_seed(0)
    config = MambaConfig(hidden_size=WIDTH, num_hidden_layers=1, vocab_size=11, state_size=16)
    theirs = MambaModel(config).eval().layers[0].mixer
    for name, weight in theirs.named_parameters():
        if name != "A_log":
            nn.init.normal_(weight, std=0.4)  # with its own weights, outputs are close to 0
    names = {
        "into.weight": "in_proj.weight", "out.weight": "out_proj.weight", "convolution.weight": "conv1d.weight",
        "convolution.bias": "conv1d.bias", "system.weight": "x_proj.weight", "widen.weight": "dt_proj.weight",
        "delta": "dt_proj.bias", "log_rates": "A_log", "skip": "D",
    }  # fmt: skip
    ours = Mamba(WIDTH, Position())
    ours.load_state_dict({mine: theirs.get_parameter(other) for mine, other in names.items()})
    x = torch.randn(2, 12, WIDTH)
    want = theirs(x)
    got = ours(x, Context(Position(), torch.arange(12)[None], causal=True))
    assert want.abs().mean() > 1 and (got - want).abs().max() < 1e-5 * want.abs().max()


def build(**options):
    torch.manual_seed(0)
    return Transformer(11, WIDTH, 2, mixer=partial(Mamba, **options), feed_forward=None).double()


@pytest.mark.parametrize("selective, kernel", [(True, 4), (False, 4), (True, 1)])
def test_pieces_with_a_cache_give_the_logits_of_all_at_once(selective, kernel):
    model, tokens = build(selective=selective, kernel=kernel), torch.randint(11, (2, 14))
    want, cache = model(tokens), model.new_cache()
    pieces = [model(piece, cache=cache) for piece in tokens.split([1, 6, 1, 2, 4], 1)]
    assert want.abs().mean() > 0.05 and (torch.cat(pieces, 1) - want).abs().max() < 1e-12
    shapes = {name: tensor.shape for name, tensor in cache.layers[0].items()}
    assert shapes == {"state": (2, 64, 16), "inputs": (2, kernel - 1, 64)}


@pytest.mark.parametrize("selective", [True, False])
def test_later_tokens_change_nothing_earlier(selective):
    model, tokens = build(selective=selective, kernel=1), torch.randint(11, (2, 14))
    changed = torch.cat([tokens[:, :9], (tokens[:, 9:] + 1) % 11], 1)
    before, after = model(tokens), model(changed)
    assert (before[:, :9] - after[:, :9]).abs().max() < 1e-12 < 1e-3 < (before[:, 9:] - after[:, 9:]).abs().max()


def test_without_selection_the_layer_is_a_fixed_convolution_of_its_inputs():
    """What it makes of an impulse does not depend on where the impulse stands, before gate and nonlinearities."""
    layer = Mamba(WIDTH, Position(), selective=False).double()
    responses = []
    for place in (0, 5):
        x = torch.zeros(1, 20, 64, dtype=torch.float64)
        x[:, place] = 1
        delta, B, C = layer._system(x)
        y, _ = selective_scan(x, delta, -layer.log_rates.exp(), B.contiguous(), C.contiguous())
        responses.append(y[:, place : place + 15])
    assert (responses[0] - responses[1]).abs().max() < 1e-14


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: hippo_legs(0), "states must be at least 1, got 0"),
        (lambda: discretize(*hippo_legs(2), 0.0, "zoh"), "step must be positive and finite, got 0.0"),
        (lambda: Mamba(WIDTH, Position(), states=0), "states must be at least 1, got 0"),
        (lambda: Mamba(WIDTH, Position(), kernel=0), "kernel must be at least 1, got 0"),
        (lambda: Mamba(WIDTH, Rotary(8)), "position must act on embeddings alone, got Rotary"),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_a_scan_that_is_not_finite_is_refused():
    x, B = normal(1, 4, 2), normal(1, 4, 3)
    with pytest.raises(ValueError, match="must be smaller: the result overflows"):
        selective_scan(x, x.abs() + 1, torch.full((2, 3), 1e6).to(x), B, B)
    with pytest.raises(ValueError, match="delta must be finite"):
        selective_scan(x, x / 0, -torch.ones(2, 3).to(x), B, B)


def test_bad_shapes_and_methods_are_named():
    with pytest.raises(TypeError, match="method"):
        discretize(*hippo_legs(2), 0.1, "euler")
    with pytest.raises(TypeError, match="b"):
        linear_scan(normal(2, 5, 3), normal(2, 4, 3))


def test_a_model_refuses_masks_other_batches_and_no_order_without_a_trace(refuses_without_a_trace):
    refuses_without_a_trace(build(), "inputs")
    with pytest.raises(ValueError, match="must be causal"):
        Transformer(11, WIDTH, 1, mixer=Mamba, causal=False, position=Learned(9, WIDTH))(torch.randint(11, (2, 6)))
