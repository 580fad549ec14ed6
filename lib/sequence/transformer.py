"""The book's one transformer: causal or not; its mixer, feed-forward and position are arguments.

A mixer is called as `mixer(x, context, cache)` and returns the shape of x:
    x        (batch, length, width), normalised
    context  a `Context`: where the tokens stand and whom each may see, the same object for all layers
    cache    None, or this layer's dict, in which the mixer keeps whatever it needs of the tokens so far: it stores new
             tensors and never writes into those that it finds, so that a refused call leaves no trace
Values are assumed to be of moderate size: products of huge numbers overflow, which may end in NaN.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from lib.course.ranges import require_at_least, require_in, require_positive
from lib.course.shapes import Bool, Float, Int, Real, checked, checked_after_errors
from lib.course.tensors import kind, require_finite_entries, require_tokens, require_width
from lib.sequence.attention import attend, causal_mask, softmax_mask
from lib.sequence.position import Position


class Cache:
    """What a model keeps of the tokens it was fed: their positions, and for each layer a dict that its mixer fills."""

    @checked
    def __init__(self, depth: int):
        require_at_least("depth", depth, 0)
        self.positions: Tensor | None = None
        self.layers: list[dict[str, Tensor]] = [{} for _ in range(depth)]

    @property
    def length(self) -> int:
        """How many tokens it holds."""
        return 0 if self.positions is None else self.positions.shape[1]

    @checked_after_errors
    def keep(self, entries: slice | Tensor) -> None:
        """Forget all tokens but these entries, in this order: what *Medusa* does with guesses that were wrong.

        Only for mixers that keep one entry a token along dimension 2, as attention does; a state that sums up all tokens
        cannot forget one, and is refused.
        """
        for layer in self.layers:
            for name, held in layer.items():
                if held.ndim < 3 or held.shape[2] != self.length:
                    raise ValueError(f"{name} must hold {self.length} tokens along dimension 2, got {tuple(held.shape)}")
        if self.length:
            self.positions = self.positions[:, entries]
        self.layers = [{name: held[:, :, entries] for name, held in layer.items()} for layer in self.layers]

    @checked_after_errors
    def positions_with(self, new: Real[Tensor, "batch length"]) -> Tensor:
        """Its positions and then new ones; either may be shared by all sequences."""
        if self.positions is None:
            return new
        batch = max(len(self.positions), len(new))
        if not {len(self.positions), len(new)} <= {1, batch}:
            held = len(self.positions)
            raise ValueError(f"new must fit: the cache holds positions for a batch of {held}, got a batch of {len(new)}")
        return torch.cat([self.positions.expand(batch, -1), new.expand(batch, -1)], 1)


class Context:
    """What a call of the model tells all of its mixers; what layers would work out alike is worked out once.

    positions      (batch or 1, length), for the position object
    key_positions  (batch or 1, key), those of the cache's tokens first; the positions, if they are not given
    causal         whether a token may see only itself and what was fed before it
    allowed        None, or Bool (batch or 1, length, key), which then decides alone who sees whom
    """

    @checked
    def __init__(
        self,
        position: Position,
        positions: Tensor,
        *,
        causal: bool,
        key_positions: Tensor | None = None,
        allowed: Tensor | None = None,
    ):
        self.position, self.positions, self.causal, self.allowed = position, positions, causal, allowed
        self.key_positions = positions if key_positions is None else key_positions
        self._rotations: dict[torch.dtype, Callable | None] = {}
        self._mask: tuple[Tensor | None, bool] | None = None

    @checked_after_errors
    def rotate(self, x: Float[Tensor, "... heads length dim"]) -> Tensor:
        """Queries or keys with their positions put in; same shape."""
        if x.dtype not in self._rotations:
            self._rotations[x.dtype] = self.position.rotation(self.positions, x.dtype)
        rotation = self._rotations[x.dtype]
        return x if rotation is None else rotation(x)

    @checked_after_errors
    def mask(
        self, q: Float[Tensor, "batch heads query dim"], k: Float[Tensor, "batch heads key dim"]
    ) -> tuple[Tensor | None, bool]:
        """What `attend` adds to the scores of these queries and keys, and whether it takes them in causal order."""
        if self._mask is None:
            self._mask = self._new_mask(q, k)
        return self._mask

    def _new_mask(self, q, k):
        allowed, ordered = self.allowed, self.causal and self.allowed is None and q.shape[2] > 1
        bias = self.position.bias(self.positions, self.key_positions)
        if ordered and bias is None and q.shape[2] == k.shape[2]:
            return None, True
        if ordered:
            order = torch.arange(k.shape[2], device=q.device)
            allowed = causal_mask(order[-q.shape[2] :], order)[None]
        return softmax_mask(q, k, allowed, bias), False


@checked_after_errors
def extend(cache: dict[str, Tensor] | None, name: str, new: Tensor, dim: int) -> Tensor:
    """What a layer's cache holds under a name, with `new` appended along `dim` and stored; without a cache, `new`."""
    if cache is None:
        return new
    if name in cache:
        held, sizes, added = cache[name], list(cache[name].shape), list(new.shape)
        require_in("dim", dim, -new.ndim, new.ndim - 1)
        if len(held) != len(new):
            raise ValueError(f"new must fit: the cache holds {name} for a batch of {len(held)}, got a batch of {len(new)}")
        sizes[dim] = added[dim] = None
        if sizes != added:
            raise ValueError(f"new must fit along dim: the cache holds {name} of shape {kind(held)}, got {kind(new)}")
        new = torch.cat([held, new], dim)
    cache[name] = new
    return new


@checked_after_errors
def require_states(x: Float[Tensor, "batch length width"], width: int) -> None:
    """Refuse what a mixer gets if it is of another width, or holds no token."""
    require_width("x", x, width)
    if not x.shape[1]:
        raise ValueError(f"x must hold at least one token, got shape {kind(x)}")


class Attention(nn.Module):
    """Multi-head softmax attention, 4 width² parameters: the default mixer.

    `scale` is what scores are multiplied by, 1/√(width / heads) unless it is given.
    """

    @checked
    def __init__(self, width: int, position: Position, heads: int = 4, scale: float | None = None):
        super().__init__()
        require_at_least("width and heads", min(width, heads), 1)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads = {heads}, got {width}")
        if scale is not None:
            require_positive("scale", scale)
        self.width, self.heads, self.position, self.scale = width, heads, position, scale
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    @checked_after_errors
    def forward(
        self, x: Float[Tensor, "batch length width"], context: Context, cache: dict[str, Tensor] | None = None
    ) -> Float[Tensor, "batch length width"]:
        if x.shape[-1] != self.width or not x.shape[1]:
            require_states(x, self.width)
        parts = self.qkv(x).split(self.width, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)  # (batch, heads, length, dim)
        q, k = context.rotate(q), context.rotate(k)
        grown = None if cache is None else dict(cache)
        k, v = extend(grown, "keys", k, 2), extend(grown, "values", v, 2)
        mask, causal = context.mask(q, k)
        mixed = self.out(attend(q, k, v, mask, causal=causal, scale=self.scale).transpose(1, 2).flatten(2))
        if cache is not None:
            cache.update(grown)
        return mixed


class MLP(nn.Module):
    """The default feed-forward: W₂ gelu(W₁ x), with 4 width hidden units unless another number is given."""

    @checked
    def __init__(self, width: int, hidden: int | None = None):
        super().__init__()
        hidden, self.width = 4 * width if hidden is None else hidden, width
        require_at_least("width and hidden", min(width, hidden), 1)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    @checked_after_errors
    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        if x.shape[-1] != self.width:
            require_width("x", x, self.width)
        return self.down(gelu(self.up(x)))


class Block(nn.Module):
    """A mixer and, unless it is None, a feed-forward; each reads normalised states and adds to them (pre-norm)."""

    @checked
    def __init__(self, width: int, mixer: nn.Module, feed_forward: nn.Module | None):
        super().__init__()
        require_at_least("width", width, 1)
        self.mixer_norm, self.mixer = nn.LayerNorm(width), mixer
        self.feed_forward_norm = None if feed_forward is None else nn.LayerNorm(width)
        self.feed_forward = feed_forward

    @checked_after_errors
    def forward(
        self, x: Float[Tensor, "batch length width"], context: Context, cache: dict[str, Tensor] | None = None
    ) -> Float[Tensor, "batch length width"]:
        x = x + _same_shape("mixer", self.mixer(self.mixer_norm(x), context, cache), x)
        if self.feed_forward is None:
            return x
        return x + _same_shape("feed_forward", self.feed_forward(self.feed_forward_norm(x)), x)


class Transformer(nn.Module):
    """Tokens in, logits out.

    `mixer` makes a layer's mixer from (width, position), `feed_forward` its feed-forward from (width); None is none.
    One `position` object serves all layers; without it there is no position information. The head has weights of its
    own, small at first, so that an untrained model's loss is close to log(vocabulary). Other mixers come with *GAU and
    FLASH* and *State space models*, other feed-forwards with *Mixture of experts*, and a model that is not causal with
    *LLaDA*.
    """

    @checked
    def __init__(
        self,
        vocabulary: int,
        width: int,
        depth: int,
        *,
        causal: bool = True,
        position: Position | None = None,
        mixer: Callable[[int, Position], nn.Module] = Attention,
        feed_forward: Callable[[int], nn.Module] | None = MLP,
    ):
        super().__init__()
        if min(vocabulary, width, depth) < 1:
            raise ValueError(f"vocabulary, width and depth must be at least 1, got {vocabulary}, {width} and {depth}")
        self.causal, self.position = causal, position or Position()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(
            Block(width, mixer(width, self.position), feed_forward and feed_forward(width)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.head.weight, std=0.02)

    def new_cache(self) -> Cache:
        """An empty cache: a causal model that is fed piece by piece with it gives the logits of all tokens at once."""
        return Cache(len(self.blocks))

    @checked
    def hidden(
        self,
        tokens: Int[Tensor, "batch length"],
        *,
        positions: Real[Tensor, "#batch length"] | None = None,
        allowed: Bool[Tensor, "#batch length key"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch length width"]:
        """The normalised states that the head reads; *Medusa* puts heads of its own on them.

        `positions` default to 0, 1, …, counting the cache's tokens; `allowed` (True: may be seen) replaces the causal
        order, and its keys begin with the cache's (*Sequence packing* uses it). After an error the cache is what it
        was.
        """
        vocabulary, tokens = self.embedding.num_embeddings, tokens.long()
        require_tokens(tokens, vocabulary)
        depth, past = len(self.blocks), 0 if cache is None else cache.length
        if cache is not None and len(cache.layers) != depth:
            raise ValueError(f"cache must hold {depth} layers, got {len(cache.layers)}")
        if positions is None:
            positions = torch.arange(past, past + tokens.shape[1], device=tokens.device)[None]
        if positions.is_floating_point():
            require_finite_entries("positions", positions)
        positions = positions.double() if positions.is_floating_point() else positions.long()
        key_positions = positions if cache is None else cache.positions_with(positions)
        context = Context(self.position, positions, causal=self.causal, key_positions=key_positions, allowed=allowed)
        embedded = self.embedding(tokens)
        x = _same_shape("position.embed", self.position.embed(embedded, positions), embedded)
        layers = [None] * depth if cache is None else [dict(kept) for kept in cache.layers]
        for block, kept in zip(self.blocks, layers, strict=True):
            x = block(x, context, kept)
        x = self.norm(x)
        if cache is not None:
            cache.layers, cache.positions = layers, key_positions
        return x

    def forward(
        self,
        tokens: Int[Tensor, "batch length"],
        *,
        positions: Real[Tensor, "#batch length"] | None = None,
        allowed: Bool[Tensor, "#batch length key"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch length vocabulary"]:
        """Logits; the arguments are those of `hidden`."""
        return self.head(self.hidden(tokens, positions=positions, allowed=allowed, cache=cache))


def _same_shape(name, result, x):
    if not isinstance(result, Tensor) or result.shape != x.shape:
        raise ValueError(f"{name} must return the shape of x, {tuple(x.shape)}, got {kind(result)}")
    return result
