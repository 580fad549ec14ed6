"""Ten methods with which a model with rotary positions reads more than its trained length: the course's attention, and settings."""

import math

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lib.sequence.extrapolation import by_parts, interpolated, ntk_base, yarn_magnitude
from lib.sequence.position import Rotary, rope_frequencies
from lib.sequence.transformer import Attention, Context, Transformer

BASE = 10_000.0


class Reader(Attention):
    """The course's attention layer, causal and fused in the dtype of its products, or with scores by distance.

    With a `window`, keys further away are hidden, or count as (9) of the chapter on length extrapolation says if there is
    a `leak` κ. Scores by distance are computed in float32, and multiplied by log n beyond a length `trained`.
    """

    window, leak, trained = None, None, None

    def forward(self, x: Tensor, context: Context, cache: None = None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.window is None:
            mixed = scaled_dot_product_attention(context.rotate(q), context.rotate(k), v, is_causal=True)
        else:
            with torch.autocast(x.device.type, enabled=False):
                mixed = self.by_distance(q, k, context).softmax(-1).matmul(v.float()).to(v.dtype)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def by_distance(self, q: Tensor, k: Tensor, context: Context) -> Tensor:
        """Scores (batch, heads, length, length), -∞ for keys that come later."""
        place = torch.arange(q.shape[2], device=q.device)
        m, apart = place.double(), place[:, None] - place
        scores = context.rotate(q).float() @ context.rotate(k).float().mT
        if self.leak is None:
            scores = scores.masked_fill(apart >= self.window, -math.inf)
        else:
            queries = context.position.rotation((self.window + (m - self.window) / self.leak)[None], q.dtype)(q)
            keys = context.position.rotation((m / self.leak)[None], k.dtype)(k)
            scores = torch.where(apart < self.window, scores, queries.float() @ keys.float().mT)
        if self.trained:
            scores = scores * ((place + 1).log() / math.log(self.trained)).clamp(min=1)[:, None]
        return (scores / q.shape[-1] ** 0.5).masked_fill(apart < 0, -math.inf)


def methods(head: int, trained: int, s: int) -> dict[str, tuple[Rotary, dict]]:
    """By name, the positions and the reader's settings with which to read s times the trained length."""
    plain, window, rope = rope_frequencies(head, BASE), trained // 2, Rotary(head, BASE)
    first_open = int((trained * plain >= 2 * math.pi).sum())  # (1): the first pair with less than a turn
    parts = by_parts(plain, float(s), float(trained))
    leak = math.ceil((s * trained - 1 - window) / (trained - 1 - window))  # (10)
    larger = s ** ((head - 2) / (2 * first_open))  # (6)
    return {
        "nothing": (rope, {}),
        "window": (rope, {"window": window}),
        "interpolation": (Rotary(head, frequencies=interpolated(plain, float(s))), {}),
        "another base": (Rotary(head, ntk_base(BASE, float(s), head)), {}),
        "base, larger factor": (Rotary(head, ntk_base(BASE, larger, head)), {}),
        "by parts": (Rotary(head, frequencies=parts), {}),
        "YaRN": (Rotary(head, frequencies=parts, magnitude=yarn_magnitude(float(s))), {}),
        "ReRoPE": (rope, {"window": window, "leak": math.inf}),
        "leaky ReRoPE": (rope, {"window": window, "leak": float(leak)}),
        "ReRoPE, log n": (rope, {"window": window, "leak": math.inf, "trained": trained}),
    }


def set_method(model: Transformer, position: Rotary, settings: dict) -> None:
    """Let a model whose mixers are readers read so, with the weights that it has."""
    model.position = position
    for block in model.blocks:
        for name in ("window", "leak", "trained"):
            setattr(block.mixer, name, settings.get(name))
