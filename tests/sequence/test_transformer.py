import copy
import math
from functools import partial

import pytest
import torch
from torch import nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

from lib.course.meters import parameter_count
from lib.sequence.attention import causal_mask
from lib.sequence.gau import GAU
from lib.sequence.language import next_token_loss
from lib.sequence.linear_attention import LinearAttention
from lib.sequence.position import Learned, Position, Rotary, Sinusoidal
from lib.sequence.ssm import Mamba
from lib.sequence.transformer import MLP, Attention, Cache, Context, Transformer, extend

VOCABULARY, WIDTH, LENGTH = 11, 32, 12


class Distance(Position):
    """A score that falls with the distance, for the bias hook."""

    def bias(self, query_positions, key_positions):
        return -0.3 * (query_positions[:, None, :, None] - key_positions[:, None, None, :]).abs().double()


class Fixed(nn.Module):
    """What it gives depends on nothing."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    def forward(self, tokens):
        return self.given


class RunningMean(nn.Module):
    """A mixer with a state of its own: the mean of everything so far."""

    def __init__(self, width, position):
        super().__init__()

    def forward(self, x, context, cache):
        total = x.cumsum(1) + (cache["total"] if cache else 0)
        if cache is not None:
            cache["total"] = total[:, -1:]
        return total / (context.positions[..., None] + 1)


POSITIONS = {
    "none": Position,
    "learned": lambda: Learned(LENGTH, WIDTH),
    "sinusoidal": Sinusoidal,
    "rotary": lambda: Rotary(WIDTH // 4),
    "half": lambda: Rotary(WIDTH // 4, layout="half"),
    "bias": Distance,
}


def build(**options):
    torch.manual_seed(0)
    return Transformer(VOCABULARY, WIDTH, 2, **options).double()


class Poisoned(nn.Module):
    """A mixer that keeps something and then fails, once it is told to."""

    def __init__(self, width, position):
        super().__init__()
        self.fails = False

    def forward(self, x, context, cache):
        if cache is not None:
            cache["count"] = cache.get("count", torch.zeros(1)) + 1
        if self.fails:
            raise RuntimeError("the mixer fails")
        return x


def contents(cache):
    """A copy of everything that a cache holds."""
    return cache.length, cache.positions, [{name: value.clone() for name, value in layer.items()} for layer in cache.layers]


def same(one, other):
    layers = zip(one[2], other[2], strict=True)
    return one[0] == other[0] and one[1] is other[1] and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in layers
    )


def some_tokens(seed=0, batch=3):
    return torch.randint(VOCABULARY, (batch, LENGTH), generator=torch.Generator().manual_seed(seed))


def deviation(got, want):
    """The largest difference, after making sure that there is something to compare."""
    assert got.shape == want.shape and want.abs().mean() > 0.05
    return (got - want).abs().max().item()


@pytest.mark.parametrize("position", POSITIONS)
def test_later_tokens_change_nothing_earlier_in_a_causal_model_only(position):
    tokens = some_tokens()
    changed = torch.cat([tokens[:, :7], (tokens[:, 7:] + 1) % VOCABULARY], 1)
    for causal in (True, False):
        model = build(causal=causal, position=POSITIONS[position]())
        before, after = model(tokens), model(changed)
        assert torch.allclose(before[:, :7], after[:, :7], rtol=0, atol=1e-12) == causal
        assert (before[:, 7:] - after[:, 7:]).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_pieces_with_a_cache_give_the_logits_of_all_at_once(position, dtype, tolerance):
    model, tokens = build(position=POSITIONS[position]()).to(dtype), some_tokens()
    want, cache = model(tokens), model.new_cache()
    pieces = [model(piece, cache=cache) for piece in tokens.split([1, 5, 1, 3, 2], 1)]
    assert deviation(torch.cat(pieces, 1), want) < tolerance and cache.length == LENGTH


def test_a_cache_takes_pieces_with_and_without_positions_of_their_own():
    model, tokens = build(position=Rotary(8)), some_tokens()
    positions = torch.arange(LENGTH)[None]
    cache = model.new_cache()
    pieces = [model(tokens[:, :4], cache=cache), model(tokens[:, 4:], cache=cache, positions=positions[:, 4:].expand(3, -1))]
    assert deviation(torch.cat(pieces, 1), model(tokens)) < 1e-12


@pytest.mark.parametrize("position, relative", [("none", True), ("rotary", True), ("bias", True), ("sinusoidal", False)])
def test_shifted_positions_matter_to_absolute_encodings_only(position, relative):
    model, tokens = build(position=POSITIONS[position]()), some_tokens()
    shifted = model(tokens, positions=torch.arange(5, 5 + LENGTH)[None])
    assert torch.allclose(shifted, model(tokens), rtol=0, atol=1e-12) == relative


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary", "bias"])
def test_without_causal_order_only_positions_tell_the_order(position):
    tokens, order = some_tokens(), torch.randperm(LENGTH, generator=torch.Generator().manual_seed(1))
    blind, sighted = build(causal=False), build(causal=False, position=POSITIONS[position]())
    assert deviation(blind(tokens[:, order]), blind(tokens)[:, order]) < 1e-12
    assert deviation(sighted(tokens[:, order]), sighted(tokens)[:, order]) > 1e-3
    moved = sighted(tokens[:, order], positions=order[None])
    assert deviation(moved, sighted(tokens)[:, order]) < 1e-12


@pytest.mark.parametrize("position", ["rotary", "learned"])
def test_allowed_packs_two_documents_into_one_sequence(position):
    model, tokens = build(position=POSITIONS[position]()), some_tokens(batch=1)
    document = torch.tensor([0] * 5 + [1] * 7)
    allowed = (document[:, None] == document) & causal_mask(torch.arange(LENGTH), torch.arange(LENGTH))
    positions = torch.cat([torch.arange(5), torch.arange(7)])[None]
    want = torch.cat([model(tokens[:, :5]), model(tokens[:, 5:])], 1)
    assert deviation(model(tokens, allowed=allowed[None], positions=positions), want) < 1e-12
    assert deviation(model(tokens, positions=positions), want) > 1e-3


def test_allowed_replaces_the_causal_order_and_works_with_a_cache():
    model, tokens = build(position=Rotary(8)), some_tokens()
    everything = torch.ones(1, LENGTH, LENGTH, dtype=torch.bool)
    assert deviation(model(tokens, allowed=everything), build(position=Rotary(8), causal=False)(tokens)) < 1e-12
    branches = torch.ones(1, 4, LENGTH, dtype=torch.bool)  # after 8 tokens, two branches of two tokens each
    branches[0, :, 8:] = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]).bool()
    cache = model.new_cache()
    model(tokens[:, :8], cache=cache)
    got = model(tokens[:, 8:], positions=torch.tensor([[8, 9, 8, 9]]), allowed=branches, cache=cache)
    second = torch.cat([tokens[:, :8], tokens[:, 10:]], 1)
    want = torch.cat([model(tokens[:, :10])[:, 8:], model(second)[:, 8:]], 1)
    assert deviation(got, want) < 1e-12


def test_mixers_keep_their_own_state_and_may_replace_the_feed_forward():
    model, tokens = build(mixer=RunningMean, feed_forward=None), some_tokens()
    cache = model.new_cache()
    pieces = [model(piece, cache=cache) for piece in tokens.split([4, 1, 7], 1)]
    assert deviation(torch.cat(pieces, 1), model(tokens)) < 1e-12
    assert [set(layer) for layer in cache.layers] == [{"total"}] * 2
    assert parameter_count(model) == 2 * VOCABULARY * WIDTH + 2 * (2 + 1) * WIDTH


def test_parameters_are_twelve_width_squared_a_layer():
    norms = 2 * WIDTH
    assert parameter_count(Transformer(VOCABULARY, WIDTH, 1).blocks) == 12 * WIDTH**2 + 2 * norms
    narrow = Transformer(VOCABULARY, WIDTH, 1, mixer=partial(Attention, heads=2), feed_forward=partial(MLP, hidden=WIDTH))
    assert parameter_count(narrow.blocks) == 6 * WIDTH**2 + 2 * norms and narrow.blocks[0].mixer.heads == 2


def test_a_scale_of_ones_own_replaces_the_root_of_the_width():
    plain, scaled = build(), build(mixer=partial(Attention, scale=1.0))
    for block in plain.blocks:
        block.mixer.qkv.weight.data[:WIDTH] *= (WIDTH // 4) ** 0.5
    assert deviation(scaled(some_tokens()), plain(some_tokens())) < 1e-12
    with pytest.raises(ValueError, match="scale must be positive and finite, got 0"):
        Attention(WIDTH, Position(), scale=0)


def test_a_new_model_knows_nothing():
    torch.manual_seed(0)
    model = Transformer(64, 64, 2, position=Rotary(16))
    loss = next_token_loss(model, torch.randint(64, (24, 49)))
    assert loss.shape == () and abs(loss.item() - math.log(64)) < 0.1


@pytest.mark.parametrize("length", [LENGTH, 2])
def test_next_token_loss_is_the_mean_surprise(length):
    model, windows = build(position=Rotary(8)), some_tokens()[:, :length]
    windows[0, 1], windows[1, 1] = 0, VOCABULARY - 1
    chances = model(windows).softmax(-1).detach()
    surprise = [-math.log(chances[b, t, windows[b, t + 1]]) for b in range(3) for t in range(length - 1)]
    assert abs(next_token_loss(model, windows).item() - sum(surprise) / len(surprise)) < 1e-12


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 7, 1), (3, 4, 7), (2, 5, 7)])
def test_next_token_loss_refuses_logits_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"model must return logits of shape \(3, 5, 'vocabulary'\), got \(" + str(shape[0])):
        next_token_loss(Fixed(torch.zeros(shape)), torch.zeros(3, 6, dtype=torch.int64))


@pytest.mark.parametrize("token", [-1, 7])
def test_next_token_loss_refuses_a_last_token_without_a_logit(token):
    windows = torch.tensor([[0, 6, token]])
    with pytest.raises(ValueError, match="windows must hold tokens in 0 … 6"):
        next_token_loss(Fixed(torch.zeros(1, 2, 7)), windows)


def test_hidden_states_are_what_the_head_reads():
    model, tokens = build(position=Rotary(8)), some_tokens()
    hidden = model.hidden(tokens)
    assert hidden.shape == (3, LENGTH, WIDTH) and torch.equal(model.head(hidden), model(tokens))
    assert hidden.mean(-1).abs().max() < 1e-12


def copied(heads, layout, position=None):
    """An attention layer of ours whose weights are large enough for a comparison to mean something."""
    torch.manual_seed(0)
    layer = Attention(WIDTH, position or Rotary(WIDTH // heads, layout=layout), heads)
    for weight in layer.parameters():
        nn.init.normal_(weight, std=0.4)
    return layer


def context(layer, length=LENGTH, **options):
    """What a model of this one layer would tell it of tokens at positions 0, 1, …"""
    return Context(layer.position, torch.arange(length)[None], **options)


def test_attention_agrees_with_torch():
    ours = copied(4, "half", Position())
    theirs = nn.MultiheadAttention(WIDTH, 4, bias=False, batch_first=True)
    theirs.load_state_dict({"in_proj_weight": ours.qkv.weight, "out_proj.weight": ours.out.weight})
    x = torch.randn(2, LENGTH, WIDTH)
    hidden = ~causal_mask(torch.arange(LENGTH), torch.arange(LENGTH))
    for causal, mask in ((False, None), (True, hidden)):
        want = theirs.double()(x.double(), x.double(), x.double(), attn_mask=mask, need_weights=False)[0]
        assert deviation(ours.double()(x.double(), context(ours, causal=causal)), want) < 1e-12


def test_a_block_agrees_with_torch():
    ours = build().blocks[0]
    for weight in ours.parameters():
        nn.init.normal_(weight, std=0.4)
    for norm in (ours.mixer_norm, ours.feed_forward_norm):
        nn.init.zeros_(norm.bias)
    theirs = nn.TransformerEncoderLayer(
        WIDTH, 4, 4 * WIDTH, 0.0, activation="gelu", batch_first=True, norm_first=True, bias=False, dtype=torch.float64
    )
    order = [ours.mixer.qkv, ours.mixer.out, ours.feed_forward.up, ours.feed_forward.down, ours.mixer_norm]
    weights = [layer.weight for layer in (*order, ours.feed_forward_norm)]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights, strict=True)))
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    assert deviation(ours(x, context(ours.mixer, causal=False)), theirs(x)) < 1e-12


def test_attention_agrees_with_llama():
    ours = copied(4, "half")
    config = LlamaConfig(hidden_size=WIDTH, num_attention_heads=4, num_key_value_heads=4, attn_implementation="sdpa")
    theirs = LlamaAttention(config, 0)
    q, k, v = ours.qkv.weight.chunk(3)
    theirs.load_state_dict({"q_proj.weight": q, "k_proj.weight": k, "v_proj.weight": v, "o_proj.weight": ours.out.weight})
    x, positions = torch.randn(2, LENGTH, WIDTH), torch.arange(LENGTH)[None]
    want = theirs(x, LlamaRotaryEmbedding(config)(x, positions), None)[0]
    assert deviation(ours(x, context(ours, causal=True)), want) < 1e-5 * want.abs().max()
    other = copied(4, "interleaved")
    assert deviation(other(x, context(other, causal=True)), want) > 0.1


@pytest.mark.parametrize("shape", [(2, WIDTH, WIDTH - 1), (2, 5, 1)])
def test_layers_name_an_input_of_another_width(shape):
    attend, x = Attention(WIDTH, Position(), 4), torch.ones(shape)
    for call in (lambda: attend(x, Context(Position(), torch.arange(shape[1])[None], causal=True)), lambda: MLP(WIDTH)(x)):
        with pytest.raises(ValueError, match=rf"x must be of width {WIDTH}, got shape \(2, {shape[1]}, {shape[2]}\)"):
            call()


def test_a_cache_has_a_place_for_each_layer_and_may_have_none():
    assert Cache(0).layers == [] and Cache(2).layers == [{}, {}]
    with pytest.raises(ValueError, match="depth must be at least 0, got -1"):
        Cache(-1)


def test_bad_input_is_named():
    model, tokens = build(position=Rotary(8)), some_tokens()
    for token in (-1, 11):
        with pytest.raises(ValueError, match=rf"tokens must be at least one, each in 0 … 10, got tensor\(\[\[{token}\]\]\)"):
            model(torch.tensor([[token]]))
    with pytest.raises(ValueError, match="tokens must be at least one"):
        model(tokens[:, :0])
    with pytest.raises(TypeError, match="tokens"):
        model(tokens.float())
    with pytest.raises(TypeError, match="positions"):
        model(tokens, positions=torch.arange(LENGTH - 1)[None])
    with pytest.raises(TypeError, match="allowed"):
        model(tokens, allowed=torch.ones(1, LENGTH, LENGTH - 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="vocabulary, width and depth must be at least 1, got 11, 32 and 0"):
        Transformer(VOCABULARY, WIDTH, 0)
    with pytest.raises(ValueError, match="width must be a multiple of heads = 4, got 30"):
        Transformer(VOCABULARY, 30, 1)
    with pytest.raises(ValueError, match="windows must hold at least 2 tokens, got 1"):
        next_token_loss(model, tokens[:, :1])
    with pytest.raises(ValueError, match="angles must hold 4 pairs for x of dim 8, got 8"):
        build(position=Rotary(16))(tokens)
    cache = model.new_cache()
    model(tokens, cache=cache)
    with pytest.raises(ValueError, match="the cache holds keys for a batch of 3, got a batch of 2"):
        model(tokens[:2], cache=cache)


def test_extend_appends_to_what_is_stored():
    cache, piece = {}, torch.ones(2, 3)
    assert extend(None, "keys", piece, 1) is piece and extend(cache, "keys", piece, 1) is piece
    assert torch.equal(extend(cache, "keys", 2 * piece, 1), torch.cat([piece, 2 * piece], 1))
    assert cache["keys"].shape == (2, 6)


BAD_CALLS = {
    "another batch": lambda model, tokens: dict(tokens=tokens[:2]),
    "no such token": lambda model, tokens: dict(tokens=tokens + 9),
    "no tokens": lambda model, tokens: dict(tokens=tokens[:, :0]),
    "positions of another length": lambda model, tokens: dict(tokens=tokens, positions=torch.arange(3)[None]),
    "positions that are NaN": lambda model, tokens: dict(tokens=tokens, positions=torch.full((1, 2), torch.nan)),
    "no positions that were trained": lambda model, tokens: dict(tokens=tokens, positions=torch.full((1, 2), 99)),
    "allowed without the cache's keys": lambda model, tokens: dict(
        tokens=tokens, allowed=torch.ones(1, 2, 2, dtype=torch.bool)
    ),
    "nothing allowed": lambda model, tokens: dict(tokens=tokens, allowed=torch.zeros(1, 2, 7, dtype=torch.bool)),
}


@pytest.mark.parametrize("name", BAD_CALLS)
@pytest.mark.parametrize("fed", [0, 5])
def test_a_refused_call_leaves_the_cache_as_it_was(name, fed):
    model, tokens = build(position=Learned(LENGTH, WIDTH)), some_tokens()
    cache = model.new_cache()
    if fed:
        model(tokens[:, :fed], cache=cache)
    elif name in ("another batch", "allowed without the cache's keys"):
        return  # nothing is held that they could contradict
    before, want = contents(cache), model(tokens[:, : fed + 2])[:, fed:]
    with pytest.raises((ValueError, TypeError)):
        model(**BAD_CALLS[name](model, tokens[:, :2]), cache=cache)
    assert same(contents(cache), before)
    assert deviation(model(tokens[:, fed : fed + 2], cache=cache), want) < 1e-12


def test_a_mixer_that_fails_in_the_last_layer_leaves_no_trace_in_the_first():
    model, tokens = build(mixer=Poisoned), some_tokens()
    cache = model.new_cache()
    model(tokens, cache=cache)
    before = contents(cache)
    model.blocks[1].mixer.fails = True
    with pytest.raises(RuntimeError, match="the mixer fails"):
        model(tokens, cache=cache)
    assert same(contents(cache), before) and cache.layers[0]["count"] == 1


def test_an_attention_layer_that_refuses_leaves_its_cache_as_it_was():
    layer, x, cache = copied(4, "half").double(), torch.randn(2, 3, WIDTH).double(), {}
    layer(x, context(layer, 3, causal=True), cache)
    before = {name: value.clone() for name, value in cache.items()}
    with pytest.raises(TypeError, match="allowed"):
        layer(x, context(layer, 3, causal=True, allowed=torch.ones(1, 3, 3, dtype=torch.bool)), cache)
    assert cache.keys() == before.keys() and all(torch.equal(cache[name], before[name]) for name in before)


def test_extend_that_refuses_stores_nothing():
    cache = {"keys": torch.ones(2, 3, 4)}
    for new, message in (
        (torch.ones(1, 3, 4), "the cache holds keys for a batch of 2, got a batch of 1"),
        (torch.ones(2, 3, 5), r"the cache holds keys of shape \(2, 3, 4\), got \(2, 3, 5\)"),
        (torch.ones(2, 3), r"the cache holds keys of shape \(2, 3, 4\), got \(2, 3\)"),
    ):
        for dim in (1, -2):
            with pytest.raises(ValueError, match=message):
                extend(cache, "keys", new, dim)
    assert cache["keys"].shape == (2, 3, 4)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_cache_of_another_depth_is_refused(depth):
    model, other = build(), Transformer(VOCABULARY, WIDTH, depth)
    cache = other.new_cache()
    with pytest.raises(ValueError, match=f"cache must hold 2 layers, got {depth}"):
        model(some_tokens(), cache=cache)
    assert cache.length == 0 and cache.layers == [{}] * depth


def test_a_cache_of_other_heads_is_refused():
    model, other = build(), build(mixer=partial(Attention, heads=2))
    cache = other.new_cache()
    other(some_tokens(), cache=cache)
    with pytest.raises(ValueError, match=r"the cache holds keys of shape \(3, 2, 12, 16\), got \(3, 4, 12, 8\)"):
        model(some_tokens(), cache=cache)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32])
def test_tokens_and_positions_may_be_integers_of_any_size(dtype):
    torch.manual_seed(0)
    model, tokens = Transformer(1000, WIDTH, 1, position=Learned(1000, WIDTH)), some_tokens()
    positions = torch.arange(LENGTH)[None]
    assert torch.equal(model(tokens.to(dtype), positions=positions.to(dtype)), model(tokens))
    assert torch.equal(next_token_loss(model, tokens.to(dtype)), next_token_loss(model, tokens))


def test_positions_of_several_kinds_share_a_cache():
    """Whole ones in int64, fractions in bfloat16: 257 does not become 256."""
    model, tokens = build(position=Rotary(8)), some_tokens()
    positions = torch.tensor([[100.0, 100.5, 101.0, 101.5, 102, 103, 254, 255, 256, 257, 258, 259]])
    cache = model.new_cache()
    pieces = [
        model(tokens[:, :4], positions=positions[:, :4].bfloat16().float(), cache=cache),
        model(tokens[:, 4:6], positions=positions[:, 4:6].bfloat16(), cache=cache),
        model(tokens[:, 6:], positions=positions[:, 6:].long(), cache=cache),
    ]
    assert deviation(torch.cat(pieces, 1), model(tokens, positions=positions)) < 1e-12
    assert cache.positions[0].tolist() == positions[0].tolist()


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_models_in_half_precision_stay_near_the_exact_ones(position, dtype, tolerance):
    exact, tokens = build(position=POSITIONS[position]()), some_tokens()
    nn.init.normal_(exact.head.weight, std=0.2)
    rough = copy.deepcopy(exact).to(dtype)
    want = exact(tokens)
    assert rough(tokens).dtype == dtype and deviation(rough(tokens).double(), want) < tolerance * want.abs().max()
    loss = next_token_loss(rough, tokens)
    assert loss.dtype == torch.float32 and abs(loss.item() - next_token_loss(exact, tokens).item()) < 0.02


def test_the_loss_of_half_precision_logits_is_not_rounded():
    class Fixed(nn.Module):
        def forward(self, tokens):
            return logits[:, : tokens.shape[1]]

    logits = 3 * torch.randn(3, LENGTH, VOCABULARY, generator=torch.Generator().manual_seed(0)).bfloat16()
    got, tokens = next_token_loss(Fixed(), some_tokens()), some_tokens()
    logits = logits.double()
    assert abs(got.item() - next_token_loss(Fixed(), tokens).item()) < 1e-6


class Foreign(nn.Module):
    """A model that is any function of its tokens."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def test_a_model_may_overwrite_its_tokens_and_reuse_its_buffer():
    model, windows = build(), some_tokens()
    want, before = next_token_loss(model, windows), windows.clone()
    buffer = torch.empty(3, LENGTH - 1, VOCABULARY, dtype=torch.float64)

    def careless(tokens):
        buffer.copy_(model(tokens).detach())
        tokens.zero_()
        return buffer

    for _ in range(2):
        assert torch.equal(next_token_loss(Foreign(careless), windows), want.detach()) and torch.equal(windows, before)


@pytest.mark.parametrize(
    "answer, came",
    [
        (lambda tokens: torch.zeros(3, VOCABULARY, LENGTH - 1), r"\(3, 11, 11\)"),
        (lambda tokens: torch.zeros(3, LENGTH, VOCABULARY), r"\(3, 12, 11\)"),
        (lambda tokens: torch.zeros(3 * (LENGTH - 1), VOCABULARY), r"\(33, 11\)"),
        (lambda tokens: torch.zeros(1, LENGTH - 1, VOCABULARY), r"\(1, 11, 11\)"),
    ],
)
def test_a_model_that_returns_another_shape_is_refused(answer, came):
    windows = some_tokens() if came != r"\(3, 11, 11\)" else some_tokens()[:, :-1]
    length = windows.shape[1] - 1
    with pytest.raises(ValueError, match=rf"model must return logits of shape \(3, {length}, 'vocabulary'\), got {came}"):
        next_token_loss(Foreign(answer), windows)


@pytest.mark.parametrize("token", [-100, -1, VOCABULARY])
def test_a_last_token_outside_the_vocabulary_is_refused(token):
    """Torch's cross-entropy leaves out targets of -100 in silence."""
    windows = some_tokens()
    windows[1, -1] = token
    with pytest.raises(ValueError, match=rf"windows must hold tokens in 0 … 10, got .*{token}"):
        next_token_loss(build(), windows)


def test_no_windows_have_no_loss():
    with pytest.raises(ValueError, match="windows must hold at least one window, got none"):
        next_token_loss(build(), some_tokens()[:0])


def test_parts_that_return_another_shape_are_refused():
    narrow = lambda *_: Foreign(lambda x, *context: x[..., :1])  # noqa: E731

    class Squeezing(Position):
        def embed(self, x, positions):
            return x[:, :1]

    for options, name in (
        (dict(mixer=narrow), "mixer"),
        (dict(feed_forward=narrow), "feed_forward"),
        (dict(position=Squeezing()), "position.embed"),
    ):
        with pytest.raises(ValueError, match=rf"{name} must return the shape of x, \(3, 12, 32\), got"):
            build(**options)(some_tokens())


@pytest.mark.parametrize("shape", [(3, 4, 12, 11), (2, 4, 12, 12), (3, 12, 12)])
def test_a_position_whose_bias_has_another_shape_is_refused(shape):
    class Odd(Position):
        def bias(self, query_positions, key_positions):
            return torch.zeros(shape)

    with pytest.raises(TypeError, match="bias"):
        build(position=Odd())(some_tokens())


def test_a_bias_that_leaves_nothing_to_see_is_refused_in_a_model_too():
    class Blind(Position):
        def bias(self, query_positions, key_positions):
            return torch.full((1, 1, LENGTH, LENGTH), -torch.inf)

    with pytest.raises(ValueError, match="bias must leave every query an allowed key"):
        build(position=Blind())(some_tokens())


def test_positions_must_be_finite_whatever_they_are_for():
    for wrong in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="positions must be finite"):
            build()(some_tokens(), positions=torch.full((1, LENGTH), wrong))


@pytest.mark.parametrize("mixer", [Attention, GAU, LinearAttention, Mamba])
def test_a_mixer_wants_a_token(mixer):
    position, nothing = Position(), torch.zeros(2, 0, WIDTH)
    with pytest.raises(ValueError, match=rf"x must hold at least one token, got shape \(2, 0, {WIDTH}\)"):
        mixer(WIDTH, position)(nothing, Context(position, torch.zeros(1, 0), causal=True))


def test_sizes_of_parts_must_be_positive():
    with pytest.raises(ValueError, match="heads must be at least 1, got 0"):
        Attention(WIDTH, Position(), heads=0)
    with pytest.raises(ValueError, match="hidden must be at least 1, got 0"):
        MLP(WIDTH, hidden=0)


def test_two_tokens_are_enough_for_a_loss():
    model, windows = build(), some_tokens()[:, :2]
    chances = model(windows[:, :1]).softmax(-1)[:, 0]
    assert torch.allclose(next_token_loss(model, windows), -chances[torch.arange(3), windows[:, 1]].log().mean())
