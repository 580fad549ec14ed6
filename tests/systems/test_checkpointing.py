"""lib.systems.checkpointing against plain backward passes, torch's checkpointing and a dynamic programme."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential as torch_checkpoint_sequential

from lib.course.meters import saved_bytes
from lib.systems.checkpointing import checkpoint, checkpoint_sequential, fewest_forward_steps, most_steps


def layers(depth, width=6, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    return [nn.Sequential(nn.Linear(width, width), nn.Dropout(dropout), nn.Tanh()) for _ in range(depth)]


def gradients(run, stack, x, seed=7):
    for parameter in nn.ModuleList(stack).parameters():
        parameter.grad = None
    torch.manual_seed(seed)
    result = run(x)
    result.square().sum().backward()
    after = torch.rand(3)
    return result.detach(), after, [parameter.grad.clone() for parameter in nn.ModuleList(stack).parameters()]


def assert_same(got, want):
    for a, b in zip(got, want, strict=True):
        if isinstance(a, list):
            assert_same(a, b)
        else:
            assert torch.equal(a, b)


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("wanted", [False, True])
def test_gradients_are_those_of_the_plain_pass_to_the_last_bit(segments, dropout, wanted):
    """Dropout included, and whether or not the input wants a gradient; torch's generator ends where it would."""
    stack = layers(5, dropout=dropout)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), requires_grad=wanted)
    plain = gradients(lambda x: nn.Sequential(*stack)(x), stack, x)
    slope = x.grad.clone() if wanted else None
    x.grad = None
    assert_same(gradients(lambda x: checkpoint_sequential(stack, segments, x), stack, x), plain)
    if wanted:
        assert torch.equal(x.grad, slope)


def test_gradients_and_memory_are_those_of_torchs_version():
    stack, x = layers(8, width=32), torch.randn(16, 32, requires_grad=True)
    for segments in (2, 4, 8):
        theirs = lambda x: torch_checkpoint_sequential(nn.Sequential(*stack), segments, x, use_reentrant=False)
        ours = lambda x: checkpoint_sequential(stack, segments, x)
        assert_same(gradients(ours, stack, x)[2], gradients(theirs, stack, x)[2])
        assert saved_bytes(ours, x) == saved_bytes(theirs, x)


def test_gradients_by_autograd_grad_and_of_several_inputs():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(3.0))
            self.unused = nn.Parameter(torch.tensor(1.0))

        def forward(self, a, b):
            return self.weight * a.sin() * b

    module, a, b = Product(), torch.rand(4, requires_grad=True), torch.rand(4)
    got = torch.autograd.grad(checkpoint(module, a, b).sum(), [a, module.weight])
    want = torch.autograd.grad(module(a, b).sum(), [a, module.weight])
    assert_same(list(got), list(want))
    checkpoint(module, a, b).sum().backward()
    assert module.unused.grad is None


@pytest.mark.parametrize("snapshots", range(1, 6))
def test_the_closed_form_is_the_dynamic_programme(snapshots):
    """Store after m of the steps, reverse the rest with one snapshot less, then the first m with all again."""

    @cache
    def fewest(steps, s):
        if steps == 1:
            return 0
        if s == 1:
            return steps * (steps - 1) // 2
        return min(m + fewest(steps - m, s - 1) + fewest(m, s) for m in range(1, steps))

    for steps in range(1, 60):
        assert fewest_forward_steps(steps, snapshots) == fewest(steps, snapshots)


def test_within_their_reach_no_step_is_run_more_often_than_there_are_sweeps():
    for snapshots in range(1, 6):
        for sweeps in range(5):
            reach = most_steps(snapshots, sweeps)
            assert fewest_forward_steps(reach, snapshots) <= sweeps * reach
            longer = fewest_forward_steps(reach + 1, snapshots) - fewest_forward_steps(reach, snapshots)
            assert longer == sweeps + 1


def test_bad_input_is_named():
    stack, x = layers(3), torch.zeros(1, 6)
    cases = [
        (lambda: checkpoint_sequential(stack, 0, x), ValueError, "segments must be at least 1"),
        (lambda: checkpoint_sequential(stack, 4, x), ValueError, "segments must be at most the number of layers, 3"),
        (lambda: checkpoint(torch.sin, x), TypeError, "module must be a torch.nn.Module"),
        (lambda: checkpoint_sequential([nn.ReLU(), None], 1, torch.ones(2)), TypeError, "layers must be torch.nn.Modules, got NoneType"),
        (lambda: most_steps(0, 1), ValueError, "snapshots must be at least 1"),
        (lambda: most_steps(1, -1), ValueError, "sweeps must be at least 0"),
        (lambda: fewest_forward_steps(0, 1), ValueError, "steps must be at least 1"),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=message):
            call()
