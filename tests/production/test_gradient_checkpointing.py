"""What the chapter on gradient checkpointing says of torch's checkpointing."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
)
from torch.utils.flop_counter import FlopCounterMode

from lib.course.meters import saved_bytes
from lib.systems import checkpointing

PAGE = "book/systems/gradient-checkpointing.ipynb, section In production"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"


def messages(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [str(warning.message) for warning in caught]


def test_without_use_reentrant_it_warns_and_takes_the_reentrant_variant():
    x = torch.ones(2, 3, requires_grad=True)
    y, warned = messages(lambda: checkpoint(nn.Linear(3, 3), x))
    assert any("use_reentrant" in message for message in warned), TORCH
    assert "CheckpointFunction" in type(y.grad_fn).__name__, TORCH


def test_the_reentrant_variant_drops_gradients_when_no_input_wants_one():
    layer, x = nn.Linear(3, 3), torch.ones(2, 3)
    y, warned = messages(lambda: checkpoint(layer, x, use_reentrant=True))
    assert not y.requires_grad and any("Gradients will be None" in message for message in warned), TORCH
    assert checkpoint(layer, x, use_reentrant=False).requires_grad, TORCH


@pytest.mark.parametrize("which", ["own", "numpy", "global"])
def test_only_global_generators_are_restored(which):
    own, numpys = torch.Generator().manual_seed(0), np.random.default_rng(0)
    draw = {
        "own": lambda shape: torch.rand(shape, generator=own),
        "numpy": lambda shape: torch.from_numpy(numpys.random(tuple(shape))).float(),
        "global": torch.rand,
    }[which]
    x = torch.ones(1000, requires_grad=True)
    y = checkpoint(lambda h: h * (draw(h.shape) < 0.5), x, use_reentrant=False)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach()) is (which == "global"), TORCH


def test_batch_normalisation_moves_its_statistics_twice():
    layer, x = nn.BatchNorm1d(3), torch.randn(8, 3, requires_grad=True)
    checkpoint(layer, x, use_reentrant=False).sum().backward()
    assert layer.num_batches_tracked == 2, TORCH
    assert torch.allclose(layer.running_mean, (1 - 0.9**2) * x.detach().mean(0), atol=1e-6), TORCH


def test_the_second_run_stops_before_the_last_product():
    net, x = nn.Sequential(*[nn.Linear(8, 8, bias=False), nn.Tanh()] * 2, nn.Linear(8, 8, bias=False)), torch.ones(4, 8, requires_grad=True)
    product = 2 * 4 * 8 * 8
    for early, again in ((True, 2), (False, 3)):
        with FlopCounterMode(display=False) as counter:
            checkpoint(net, x, use_reentrant=False, early_stop=early).sum().backward()
        assert counter.get_total_flops() == (3 + 2 * 3 + again) * product, TORCH


@pytest.mark.parametrize("segments", [2, 4, 8])
def test_gradients_and_bytes_are_those_of_lib(segments):
    torch.manual_seed(0)
    net, x = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(8)]), torch.randn(4, 8, requires_grad=True)
    found = []
    for run in (lambda x: checkpoint_sequential(net, segments, x, use_reentrant=False), lambda x: checkpointing.checkpoint_sequential(net, segments, x)):
        found.append([*torch.autograd.grad(run(x).square().sum(), [x, *net.parameters()]), torch.tensor(saved_bytes(run, x))])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_selective_recomputation_by_torchs_policies_gives_the_same_gradients():
    class Core(nn.Module):
        def forward(self, q, k, v):
            return torch.softmax(q @ k.mT, -1) @ v

    q, k, v = (torch.randn(2, 6, 4, requires_grad=True) for _ in range(3))
    cheap = lambda context, operation, *args, **kwargs: CheckpointPolicy.PREFER_RECOMPUTE
    contexts = lambda: create_selective_checkpoint_contexts(cheap)
    theirs = checkpoint(Core(), q, k, v, use_reentrant=False, context_fn=contexts)
    ours = checkpointing.checkpoint(Core(), q, k, v)
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), [q, k, v]) for y in (theirs, ours)), strict=True):
        assert torch.equal(a, b)
