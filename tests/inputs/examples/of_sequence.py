"""Examples for `lib.sequence`."""

import torch
from examples.values import law, module, normal, normal64, tokens
from torch import nn

from lib.sequence.decoding import Tree
from lib.sequence.gau import GAU
from lib.sequence.linear_attention import LinearAttention
from lib.sequence.moe import MixtureOfExperts, SwiGLU
from lib.sequence.position import Learned, Position, Rotary, Rotation, Sinusoidal
from lib.sequence.recall import RecallHead
from lib.sequence.relative_bias import Alibi, RelativeBias
from lib.sequence.ssm import Mamba
from lib.sequence.transformer import MLP, Attention, Block, Cache, Context, Transformer

_PARENTS = torch.tensor([-1, 0, 0, 1])


def _transformer(width: int = 4):
    return module(lambda: Transformer(5, width, 1, position=Rotary(width // 2), mixer=lambda w, p: Attention(w, p, 2)))


def _context(length: int = 3):
    return Context(Position(), torch.arange(length)[None], causal=True)


class _Table(nn.Module):
    """A model that answers whatever the tokens are."""

    def forward(self, tokens):
        return normal(5, 5)[tokens.clamp(0, 4)]


def _mixer(make):
    return lambda: dict(self=module(make), x=normal(2, 3, 4), context=_context())


def _positions():
    return torch.arange(3)[None]


def _on_embeddings(make):
    return lambda: dict(self=module(make), x=normal(2, 3, 4), positions=_positions())


def _filled_cache():
    cache = Cache(1)
    cache.positions = _positions()
    cache.layers = [{"keys": normal(2, 2, 3, 2)}]
    return cache


def _four(*shape):
    return normal(*shape)


EXAMPLES = {
    "attention.attend": lambda: dict(q=normal(2, 3, 4, 2), k=normal(2, 3, 5, 2), v=normal(2, 3, 5, 3), mask=None),
    "attention.softmax_mask": lambda: dict(
        q=normal(2, 3, 4, 2), k=normal(2, 3, 5, 2), allowed=torch.ones(2, 4, 5, dtype=torch.bool), bias=normal(2, 3, 4, 5)
    ),
    "decoding.tree_mask": lambda: dict(parents=_PARENTS.clone()),
    "decoding.tree_depths": lambda: dict(parents=_PARENTS.clone()),
    "decoding.best_tree": lambda: dict(acceptance=torch.tensor([[0.6, 0.2], [0.5, 0.1]]), nodes=3),
    "decoding.accepted_path": lambda: dict(tokens=tokens(4), parents=_PARENTS.clone(), wanted=tokens(4)),
    "decoding.speculative_sampling": lambda: dict(tokens=tokens(2, below=3), draft=law(2, 3), target=law(3, 3)),
    "decoding.typical_tokens": lambda: dict(law=law(2, 3)),
    "decoding.generate": lambda: dict(model=_transformer(), prompt=tokens(3), count=2),
    "decoding.generate_speculatively": lambda: dict(model=_transformer(), draft=_transformer(), prompt=tokens(3), count=2, ahead=2),
    "decoding.generate_with_tree": lambda: dict(
        model=_transformer(), propose=lambda states, tokens: normal(2, 5), tree=Tree(_PARENTS.clone(), torch.tensor([0, 0, 1, 0])),
        prompt=tokens(3), count=2,
    ),
    "extrapolation.interpolated": lambda: dict(factor=2.0),
    "extrapolation.ntk_base": lambda: dict(base=10000.0, factor=2.0, dim=4),
    "extrapolation.dynamic_factor": lambda: dict(length=8, trained=4, factor=2.0),
    "extrapolation.by_parts": lambda: dict(frequencies=1 + normal64(3).abs(), factor=2.0, trained=4.0),
    "extrapolation.yarn_magnitude": lambda: dict(factor=2.0),
    "gau.GAU": lambda: dict(width=4, position=Position()),
    "gau.GAU.forward": _mixer(lambda: GAU(4, Position(), dim=2)),
    "language.next_token_loss": lambda: dict(model=_Table(), windows=tokens(2, 4)),
    "linear_attention.elu_feature": lambda: dict(x=normal(2, 3)),
    "linear_attention.with_ones": lambda: dict(v=normal(2, 3)),
    "linear_attention.ratio": lambda: dict(sums=normal(2, 3).abs() + 1),
    "linear_attention.causal_sums": lambda: dict(q=normal(2, 3, 4, 2), k=normal(2, 3, 4, 2), v=normal(2, 3, 4, 3), chunk=2),
    "linear_attention.LinearAttention": lambda: dict(width=4, position=Position()),
    "linear_attention.LinearAttention.forward": _mixer(lambda: LinearAttention(4, Position(), 2)),
    "moe.balance_loss": lambda: dict(probabilities=law(2, 3, 4), experts=tokens(2, 3, 2, below=4)),
    "moe.SwiGLU": lambda: dict(width=4, hidden=3),
    "moe.SwiGLU.forward": lambda: dict(self=module(lambda: SwiGLU(4, 3)), x=normal(2, 4)),
    "moe.MixtureOfExperts": lambda: dict(width=4, hidden=3, experts=3, k=2),
    "moe.MixtureOfExperts.route": lambda: dict(self=module(lambda: MixtureOfExperts(4, 3, 3, 2)), x=normal(2, 4)),
    "moe.MixtureOfExperts.forward": lambda: dict(self=module(lambda: MixtureOfExperts(4, 3, 3, 2)), x=normal(2, 4)),
    "position.apply_rope": lambda: dict(x=normal(2, 3, 4), angles=normal64(3, 2)),
    "position.Rotation": lambda: dict(angles=normal64(3, 2), layout="half", dtype=torch.float32),
    "position.Rotation.__call__": lambda: dict(self=Rotation(normal64(3, 2), "half", torch.float32), x=normal(2, 3, 4)),
    "position.StretchedRotation": lambda: dict(angles=normal64(3, 2), layout="half", dtype=torch.float32, magnitude=2.0),
    "position.Position.embed": _on_embeddings(Position),
    "position.Position.rotation": lambda: dict(self=Position(), positions=_positions()),
    "position.Position.bias": lambda: dict(self=Position(), query_positions=_positions(), key_positions=_positions()),
    "position.Sinusoidal.embed": _on_embeddings(Sinusoidal),
    "position.Learned": lambda: dict(longest=4, width=4),
    "position.Learned.embed": _on_embeddings(lambda: Learned(4, 4)),
    "position.Rotary": lambda: dict(head_dim=4),
    "position.Rotary.rotation": lambda: dict(self=Rotary(4), positions=_positions()),
    "recall.RecallHead": lambda: dict(weigh=lambda q, k: (q @ k.mT).softmax(-1)),
    "recall.RecallHead.forward": lambda: dict(
        self=module(lambda: RecallHead(lambda q, k: (q @ k.mT).softmax(-1), symbols=5, width=4)),
        keys=tokens(2, 3), values=tokens(2, 3), asked=tokens(2, 1),
    ),
    "relative_bias.Alibi.bias": lambda: dict(self=Alibi(2), query_positions=_positions(), key_positions=_positions()),
    "relative_bias.RelativeBias": lambda: dict(heads=2),
    "relative_bias.RelativeBias.bias": lambda: dict(
        self=module(lambda: RelativeBias(2)), query_positions=_positions(), key_positions=_positions()
    ),
    "ssm.discretize": lambda: dict(A=-torch.eye(3), B=normal(3), step=0.5, method="zoh"),
    "ssm.Mamba": lambda: dict(width=4, position=Position()),
    "ssm.Mamba.forward": _mixer(lambda: Mamba(4, Position(), states=2)),
    "transformer.Cache.keep": lambda: dict(self=_filled_cache(), entries=slice(2)),
    "transformer.Cache.positions_with": lambda: dict(self=_filled_cache(), new=_positions()),
    "transformer.Context": lambda: dict(position=Position(), positions=_positions(), causal=True),
    "transformer.Context.rotate": lambda: dict(
        self=Context(Rotary(4), _positions(), causal=True), x=normal(2, 2, 3, 4)
    ),
    "transformer.Context.mask": lambda: dict(self=_context(), q=normal(2, 2, 3, 4), k=normal(2, 2, 3, 4)),
    "transformer.extend": lambda: dict(cache={"keys": normal(2, 2, 3, 4)}, name="keys", new=normal(2, 2, 1, 4), dim=2),
    "transformer.require_states": lambda: dict(x=normal(2, 3, 4), width=4),
    "transformer.Attention": lambda: dict(width=4, position=Position()),
    "transformer.Attention.forward": _mixer(lambda: Attention(4, Position(), 2)),
    "transformer.MLP": lambda: dict(width=4),
    "transformer.MLP.forward": lambda: dict(self=module(lambda: MLP(4)), x=normal(2, 4)),
    "transformer.Block": lambda: dict(
        width=4, mixer=module(lambda: Attention(4, Position(), 2)), feed_forward=module(lambda: nn.Linear(4, 4))
    ),
    "transformer.Block.forward": _mixer(lambda: Block(4, Attention(4, Position(), 2), MLP(4))),
    "transformer.Transformer": lambda: dict(vocabulary=5, width=4, depth=1),
    "transformer.Transformer.new_cache": lambda: dict(self=_transformer()),
    "transformer.Transformer.hidden": lambda: dict(self=_transformer(), tokens=tokens(2, 3)),
    "transformer.Transformer.forward": lambda: dict(self=_transformer(), tokens=tokens(2, 3)),
}
CHANGES = {
    "transformer.Cache.keep": {"self"},
    "transformer.Context.rotate": {"self"},
    "transformer.Context.mask": {"self"},
    "transformer.extend": {"cache"},
    **{f"{name}.forward": {"context"} for name in (
        "gau.GAU", "linear_attention.LinearAttention", "ssm.Mamba", "transformer.Attention", "transformer.Block"
    )},
}
LONG = {
    "decoding.generate": {"count"},
    "decoding.generate_speculatively": {"count", "ahead"},
    "decoding.generate_with_tree": {"count"},
    "transformer.Cache": {"depth"},
    "transformer.Transformer": {"depth"},
}
_OVERFLOW = "products of huge numbers overflow, which the docstring leaves to the caller"
NAN = dict.fromkeys(
    (
        "attention.attend", "gau.GAU.forward", "linear_attention.causal_sums", "linear_attention.LinearAttention.forward",
        "moe.SwiGLU.forward", "moe.MixtureOfExperts.forward", "ssm.Mamba.forward", "transformer.Attention.forward",
        "transformer.MLP.forward", "transformer.Block.forward", "linear_attention.ratio", "linear_attention.with_ones",
    ),
    _OVERFLOW,
)
