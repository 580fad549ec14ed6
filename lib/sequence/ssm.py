"""State space models: HiPPO's matrices, discretisation, the scan of a linear recurrence, and Mamba's mixer.

In its modules, values are assumed to be of moderate size: products of huge numbers overflow, which may end in NaN.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu, softplus

from lib.course.ranges import require_at_least, require_positive
from lib.course.shapes import Float, Float64, checked, checked_after_errors
from lib.course.tensors import require_finite_result
from lib.sequence.position import Position
from lib.sequence.transformer import Context, require_states


@checked
def hippo_legs(states: int) -> tuple[Float64[Tensor, "{states} {states}"], Float64[Tensor, "{states}"]]:
    """A and B of dc/dt = (-A c + B u) / t, the Legendre coefficients of u over [0, t]. Source: arXiv 2008.07669, theorem 2.

    A is √(2n+1) √(2k+1) below the diagonal, n + 1 on it and 0 above; B is √(2n+1).
    """
    require_at_least("states", states, 1)
    roots = (2 * torch.arange(states, dtype=torch.float64) + 1).sqrt()
    diagonal = torch.diag(torch.arange(1.0, states + 1, dtype=torch.float64))
    return torch.outer(roots, roots).tril(-1) + diagonal, roots


@checked
def discretize(
    A: Float[Tensor, "states states"], B: Float[Tensor, "states"], step: float, method: Literal["bilinear", "zoh"]
) -> tuple[Float[Tensor, "states states"], Float[Tensor, "states"]]:
    """Ā and B̄ of h_t = Ā h_{t-1} + B̄ u_t, for dh/dt = A h + B u and steps of length `step`.

    "bilinear" takes the mean of both ends' slopes, with u_t for u; "zoh" is exact where u is constant within a step.
    A `ValueError` is raised if the result is not finite.
    """
    require_positive("step", step)
    identity = torch.eye(len(A), dtype=A.dtype, device=A.device)
    if method == "bilinear":
        try:
            both = torch.linalg.solve(identity - step / 2 * A, torch.cat([identity + step / 2 * A, step * B[:, None]], 1))
        except torch.linalg.LinAlgError as error:
            raise ValueError(f"step must be such that 2 / step is no eigenvalue of A, got {step}") from error
        require_finite_result(both, A=A, B=B)
        return both[:, :-1], both[:, -1]
    joined = torch.linalg.matrix_exp(step * pad(torch.cat([A, B[:, None]], 1), (0, 0, 0, 1)))
    require_finite_result(joined, A=A, B=B)
    return joined[:-1, :-1], joined[:-1, -1]


@checked
def linear_scan(
    a: Float[Tensor, "batch length *state"],
    b: Float[Tensor, "batch length *state"],
    initial: Float[Tensor, "batch *state"] | None = None,
) -> Float[Tensor, "batch length *state"]:
    """All states of h_t = a_t h_{t-1} + b_t, entry by entry, from `initial` or 0; differentiable.

    Backward is the same recurrence from the end, and keeps a and the states alone.
    """
    return _Scan.apply(a, b, torch.zeros_like(b[:, 0]) if initial is None else initial)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, initial):
        states = _recurrence(a, b, initial)
        ctx.save_for_backward(a, states, initial)
        return states

    @staticmethod
    def backward(ctx, d_states):
        a, states, initial = ctx.saved_tensors
        following = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], 1)
        d_b = _recurrence(following.flip(1), d_states.flip(1), torch.zeros_like(initial)).flip(1)
        previous = torch.cat([initial[:, None], states[:, :-1]], 1)
        return d_b * previous, d_b, a[:, 0] * d_b[:, 0]


def _recurrence(a, b, state):
    """√length chunks side by side, each from 0; then what each inherits from the one before it decays through it."""
    length = b.shape[1]
    chunk = max(math.isqrt(length), 1)
    states, whole = torch.empty_like(b), length - length % chunk
    a_in, b_in, within = (x[:, :whole].unflatten(1, (-1, chunk)) for x in (a, b, states))
    decay = torch.empty_like(a_in)
    last, product = torch.zeros_like(b_in[:, :, 0]), torch.ones_like(a_in[:, :, 0])
    for i in range(chunk):
        last = torch.addcmul(b_in[:, :, i], a_in[:, :, i], last, out=within[:, :, i])
        product = torch.mul(a_in[:, :, i], product, out=decay[:, :, i])
    for inner, factor in zip(within.unbind(1), decay.unbind(1), strict=True):
        state = inner.addcmul_(factor, state[:, None])[:, -1]
    for t in range(whole, length):
        state = torch.addcmul(b[:, t], a[:, t], state, out=states[:, t])
    return states


@checked
def selective_scan(
    x: Float[Tensor, "batch length channels"],
    delta: Float[Tensor, "batch length channels"],
    A: Float[Tensor, "channels states"],
    B: Float[Tensor, "batch length states"],
    C: Float[Tensor, "batch length states"],
    initial: Float[Tensor, "batch channels states"] | None = None,
) -> tuple[Float[Tensor, "batch length channels"], Float[Tensor, "batch channels states"]]:
    """C_t·h_t and the last state of h_t = e^{Δ_t A} h_{t-1} + Δ_t B_t x_t, in each channel.

    Source: arXiv 2312.00752, algorithm 2; the input's factor is ΔB, as in the authors' code, not its zero-order hold. A
    `ValueError` is raised if the result is not finite.
    """
    states = linear_scan((delta[..., None] * A).exp(), (delta * x)[..., None] * B[:, :, None], initial)
    given = dict(x=x, delta=delta, A=A, B=B, C=C) | ({} if initial is None else dict(initial=initial))
    return require_finite_result((states @ C[..., None])[..., 0], **given), states[:, -1]


class Mamba(nn.Module):
    """Mamba's block as a mixer: gate, short convolution, selective scan. Source: arXiv 2312.00752, section 3.4.

    With `selective` False, Δ, B and C are parameters that do not depend on the input: a time-invariant system in the same
    block. A model with it must be causal, and positions must not act on queries, keys or scores, which it does not have.
    """

    @checked
    def __init__(
        self, width: int, position: Position, *, states: int = 16, expand: int = 2, kernel: int = 4, selective: bool = True
    ):
        super().__init__()
        for name, size in (("width", width), ("states", states), ("expand", expand), ("kernel", kernel)):
            require_at_least(name, size, 1)
        if (type(position).rotation, type(position).bias) != (Position.rotation, Position.bias):
            raise ValueError(f"position must act on embeddings alone, got {type(position).__name__}")
        channels, rank = expand * width, math.ceil(width / 16)
        self.states, self.rank, self.selective = states, rank, selective
        self.into, self.out = nn.Linear(width, 2 * channels, bias=False), nn.Linear(channels, width, bias=False)
        self.convolution = nn.Conv1d(channels, channels, kernel, groups=channels)
        if selective:
            self.system = nn.Linear(channels, rank + 2 * states, bias=False)
            self.widen = nn.Linear(rank, channels, bias=False)
        else:
            self.system = nn.Parameter(torch.randn(2 * states) / math.sqrt(states))
        steps = 0.001 * 100 ** torch.rand(channels)
        self.delta = nn.Parameter(steps + (-torch.expm1(-steps)).log())  # before the softplus
        self.log_rates = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(channels, 1))
        self.skip = nn.Parameter(torch.ones(channels))

    @checked_after_errors
    def forward(
        self, x: Float[Tensor, "batch length width"], context: Context, cache: dict[str, Tensor] | None = None
    ) -> Float[Tensor, "batch length width"]:
        require_states(x, self.into.in_features)
        if not context.causal or context.allowed is not None:
            raise ValueError("a state space model must be causal, and takes no mask: allowed must be None")
        held = cache or {}
        x, gate = self.into(x).chunk(2, -1)
        kernel = self.convolution.kernel_size[0]
        before = held.get("inputs", x.new_zeros(len(x), kernel - 1, x.shape[2]))
        if len(before) != len(x):
            raise ValueError(f"x must have the cache's batch: the cache holds inputs for a batch of {len(before)}, got a batch of {len(x)}")
        inputs = torch.cat([before, x], 1)
        x = silu(self.convolution(inputs.mT).mT)
        delta, B, C = self._system(x)
        y, state = selective_scan(x, delta, -self.log_rates.exp(), B, C, held.get("state"))
        if cache is not None:
            cache |= {"state": state, "inputs": inputs[:, inputs.shape[1] - kernel + 1 :]}
        return self.out((y + self.skip * x) * silu(gate))

    def _system(self, x):
        """Δ, B and C at each place."""
        if not self.selective:
            B, C = self.system.expand(*x.shape[:2], -1).chunk(2, -1)
            return softplus(self.delta).expand_as(x), B, C
        low, B, C = self.system(x).split([self.rank, self.states, self.states], -1)
        return softplus(self.widen(low) + self.delta), B, C
