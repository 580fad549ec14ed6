"""Muon: momentum whose singular values Newton–Schulz brings near one; one step at a time, and for a whole model."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_in, require_not_negative, require_positive
from lib.course.shapes import Float, checked, checked_after_errors
from lib.course.tensors import kind, require_finite_entries, working_dtype
from lib.learning.adam import AdamState, adam_state, adam_step

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SMALLEST_NORM = 1e-7  # a smaller norm is taken for this one, as in torch
ADAM_RMS = 0.2  # root mean square of an AdamW step over its rate, which Muon's steps are given


class MuonState(NamedTuple):
    """The moving average of the gradients, of the parameters' shape and at least in float32."""

    mean: Tensor


@checked
def newton_schulz(matrix: Float[Tensor, "*batch rows columns"], steps: int = 5) -> Float[Tensor, "*batch rows columns"]:
    """The matrix with its singular vectors kept and its singular values brought near one, in its own dtype.

    The matrix is divided by its Frobenius norm; each step then replaces a singular value s by
    3.4445 s - 4.7750 s³ + 2.0315 s⁵. Five steps bring those of at least 0.0015 of the norm into 0.68 … 1.21; smaller ones
    grow by at most 3.4445⁵ ≈ 485. Of a tall matrix the transpose is worked on, whose Gram matrix is smaller. Raises
    `ValueError` for entries that are not finite, for a norm that overflows the dtype and for less than one step.
    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
    """
    return _newton_schulz("matrix", matrix, steps)


def _newton_schulz(name, matrix, steps=5):
    require_at_least("steps", steps, 1)
    require_finite_entries(name, matrix)
    a, b, c = COEFFICIENTS
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    norm = torch.linalg.matrix_norm(x, keepdim=True)
    if not norm.detach().isfinite().all():
        raise ValueError(f"{name} must be smaller: its norm overflows {matrix.dtype}")
    x = x / norm.clamp(min=SMALLEST_NORM)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


@checked
def muon_state(parameters: Float[Tensor, "rows columns"]) -> MuonState:
    """The state before the first step."""
    return MuonState(torch.zeros_like(parameters, dtype=working_dtype(parameters.dtype)))


@checked
def muon_step(
    parameters: Float[Tensor, "rows columns"],
    gradient: Float[Tensor, "rows columns"],
    state: MuonState,
    *,
    lr: float,
    momentum: float = 0.95,
    weight_decay: float = 0.0,
    nesterov: bool = True,
) -> tuple[Float[Tensor, "rows columns"], MuonState]:
    """One matrix and its state after one step, as torch's Muon with `adjust_lr_fn="match_rms_adamw"` has it.

    The decay multiplies by 1 - lr · weight_decay; the step is lr · 0.2 √max(rows, columns) times the average of the
    gradients after `newton_schulz`, which makes its root mean square about 0.2 lr where the matrix has full rank. Torch
    works in bfloat16 there, this function in the parameters' dtype, at least float32. Raises `ValueError` for settings
    out of range, a gradient that is not finite and the state of another shape.
    Sources: Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv 2502.16982.
    """
    require_positive("lr", lr)
    require_in("momentum", momentum, 0, 1, "[)")
    require_not_negative("weight_decay", weight_decay)
    require_finite_entries("gradient", gradient)
    if kind(state.mean) != kind(parameters):
        raise ValueError(f"state must be of shape {kind(parameters)}, got {kind(state.mean)}")
    wide, given = working_dtype(parameters.dtype), parameters.dtype
    gradient = gradient.to(wide)
    mean = torch.lerp(state.mean.to(wide), gradient, 1 - momentum)
    ahead = torch.lerp(gradient, mean, momentum) if nesterov else mean
    size = lr * ADAM_RMS * max(parameters.shape) ** 0.5
    stepped = parameters.to(wide) * (1 - lr * weight_decay) - size * _newton_schulz("gradient and state", ahead)
    return stepped.to(given), MuonState(mean)


class Muon(torch.optim.Optimizer):
    """`muon_step` for a model's matrices, `adam_step` for its other parameters, with one rate and one decay for all.

    `matrices` are the weights of hidden layers; embeddings, the head, biases and gains belong to `others`, as in
    arXiv 2502.16982, whose code also gives AdamW the betas (0.9, 0.95). A parameter without a gradient stays as it is.
    """

    @checked_after_errors
    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[Tensor] = (),
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.95),
    ):
        matrices, others = list(matrices), list(others)
        require_positive("lr", lr)
        for name, parameters in (("matrices", matrices), ("others", others)):
            for parameter in parameters:
                if not isinstance(parameter, Tensor) or not parameter.is_leaf:
                    raise TypeError(f"{name} must be parameters, got {kind(parameter)}")
        for matrix in matrices:
            if matrix.ndim != 2:
                raise ValueError(f"matrices must have two dimensions, got shape {tuple(matrix.shape)}")
        if not matrices:
            raise ValueError("matrices must be at least one: AdamW alone is torch.optim.AdamW")
        groups = [{"params": matrices, "momentum": momentum}, {"params": others, "betas": betas}]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        """One step of all parameters; the closure's value, if there is one."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)
        return loss

    def _step(self, parameter, group):
        state, rates = self.state[parameter], {"lr": group["lr"], "weight_decay": group["weight_decay"]}
        if "momentum" in group:
            kept = MuonState(state["mean"]) if state else muon_state(parameter)
            new, kept = muon_step(parameter, parameter.grad, kept, momentum=group["momentum"], **rates)
        else:
            kept = AdamState(**state) if state else adam_state(parameter)
            new, kept = adam_step(parameter, parameter.grad, kept, betas=group["betas"], **rates)
        parameter.copy_(new)
        state.update(kept._asdict())
