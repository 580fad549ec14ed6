"""Less memory for the backward pass, by forgetting activations and computing them again.

Sources: Chen et al. 2016, arXiv 1604.06174 (segments); Griewank & Walther 2000, ACM Trans. Math. Softw. 26(1), 19–45
(Revolve: the fewest steps for a given memory).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lib.course.ranges import require_at_least
from lib.course.shapes import checked, checked_after_errors


@checked_after_errors
def checkpoint(module: nn.Module, *inputs: Tensor) -> Tensor:
    """`module(*inputs)`, of which only the inputs are kept; the backward pass runs it once more.

    The module returns one tensor. Torch's global generator is set back for the second run, so that dropout drops the
    same units, and then to where it was. What else the module changes in a run, it changes twice.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, for its parameters get gradients too, got {module!r}")
    return _one_tensor("module", _Checkpoint.apply(module, len(inputs), *inputs, *module.parameters()))


@checked_after_errors
def checkpoint_sequential(layers: Sequence[nn.Module], segments: int, x: Tensor) -> Tensor:
    """The layers one after the other, in `segments` runs of nearly equal length; all but the last are checkpointed.

    The last run is the first that the backward pass needs, so that forgetting it would save nothing.
    """
    require_at_least("segments", segments, 1)
    for layer in layers:
        if not isinstance(layer, nn.Module):
            raise TypeError(f"layers must be torch.nn.Modules, got {type(layer).__name__}")
    if segments > len(layers):
        raise ValueError(f"segments must be at most the number of layers, {len(layers)}, got {segments}")
    ends = [len(layers) * i // segments for i in range(segments + 1)]
    for start, end in zip(ends[:-2], ends[1:-1], strict=True):
        x = checkpoint(nn.Sequential(*layers[start:end]), x)
    return _one_tensor("layers", nn.Sequential(*layers[ends[-2] :])(x))


@checked
def most_steps(snapshots: int, sweeps: int) -> int:
    """β(s, r) = C(s + r, s): how many steps can be reversed with s snapshots if none is run more than r times.

    The state at the start is one of the snapshots.
    """
    require_at_least("snapshots", snapshots, 1)
    require_at_least("sweeps", sweeps, 0)
    return math.comb(snapshots + sweeps, snapshots)


@checked
def fewest_forward_steps(steps: int, snapshots: int) -> int:
    """The least number of forward steps with which `steps` steps can be reversed from `snapshots` snapshots.

    Not counted are the steps that are run while they are reversed, one each. r l - C(s + r, r - 1) for l steps, with r
    the least number of sweeps that reach l.
    """
    require_at_least("steps", steps, 1)
    sweeps = 0
    while most_steps(snapshots, sweeps) < steps:
        sweeps += 1
    return sweeps * steps - (math.comb(snapshots + sweeps, sweeps - 1) if sweeps else 0)


def _one_tensor(name, result):
    if not isinstance(result, Tensor):
        raise ValueError(f"{name} must return one tensor, got {type(result).__name__}")
    return result


class _Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, module, count, *tensors):
        ctx.module, ctx.count, ctx.generator = module, count, torch.get_rng_state()
        ctx.save_for_backward(*tensors[:count])
        return module(*tensors[:count])

    @staticmethod
    def backward(ctx, gradient):
        needed = ctx.needs_input_grad[2:]
        kept = zip(ctx.saved_tensors, needed, strict=False)
        inputs = [x.detach().requires_grad_(wanted) for x, wanted in kept]
        tensors = [*inputs, *ctx.module.parameters()]
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.set_rng_state(ctx.generator)
            result = ctx.module(*inputs)
        wanted = [x for x, need in zip(tensors, needed, strict=True) if need]
        found = iter(torch.autograd.grad(result, wanted, gradient, allow_unused=True))
        return None, None, *[next(found) if need else None for need in needed]
