"""The small networks that the generative chapters train.

In its modules, values are assumed to be of moderate size: products of huge numbers overflow, which may end in NaN.
"""

import torch
from torch import Tensor, nn

from lib.course.ranges import require_at_least
from lib.course.shapes import Float, checked, checked_after_errors
from lib.course.tensors import require_width

TIME_FEATURES = 64
FREQUENCIES = 1000 * torch.logspace(0, -4, TIME_FEATURES // 2, dtype=torch.float64)


@checked
def time_features(time: Float[Tensor, "batch"]) -> Float[Tensor, "batch features"]:
    """Sines and cosines of the time in [0, 1] at 32 frequencies, from 1000 down to 0.1 radians: shape (batch, 64).

    They are those of the transformer's positions, for the position 1000 · time (Ho et al. 2020, appendix B), computed in
    float64 and rounded to the dtype of `time`.
    """
    if not torch.all((time >= 0) & (time <= 1)):
        raise ValueError(f"time must lie in [0, 1], got {time.min().item():g} to {time.max().item():g}")
    angles = time.double()[:, None] * FREQUENCIES.to(time.device)
    return torch.cat([angles.sin(), angles.cos()], dim=1).to(time.dtype)


class ResidualMLP(nn.Module):
    """A vector field on R^dim that depends on time: x (batch, dim) and time (batch,) in [0, 1] to (batch, dim).

    `depth` residual blocks of width `hidden`, each told the time; it serves as noise predictor, score or velocity.
    Its weights come from torch's global generator. A time in more precision than x stays so until its features are known.
    """

    @checked
    def __init__(self, dim: int, hidden: int, depth: int):
        super().__init__()
        for name, value in dict(dim=dim, hidden=hidden, depth=depth).items():
            require_at_least(name, value, 1)
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.enter = nn.Linear(dim, hidden)
        self.blocks = nn.ModuleList(ResidualBlock(hidden) for _ in range(depth))
        self.leave = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, dim))

    @checked
    def forward(self, x: Float[Tensor, "batch dim"], time: Float[Tensor, "batch"]) -> Float[Tensor, "batch dim"]:
        require_width("x", x, self.enter.in_features)
        embedded = self.time(time_features(time).to(x.dtype))
        hidden = self.enter(x)
        for block in self.blocks:
            hidden = block(hidden, embedded)
        return self.leave(hidden)


class ResidualBlock(nn.Module):
    """h + W₂ silu(W₁ (norm(h) + e)), for a state h and a time embedding e, both (batch, hidden)."""

    @checked
    def __init__(self, hidden: int):
        super().__init__()
        require_at_least("hidden", hidden, 1)
        self.norm = nn.LayerNorm(hidden)
        self.inner = nn.Linear(hidden, hidden)
        self.outer = nn.Linear(hidden, hidden)

    @checked_after_errors
    def forward(
        self, state: Float[Tensor, "batch hidden"], embedded: Float[Tensor, "batch hidden"]
    ) -> Float[Tensor, "batch hidden"]:
        require_width("state", state, self.inner.in_features)
        return state + self.outer(nn.functional.silu(self.inner(self.norm(state) + embedded)))
