import math
from functools import partial

import pytest
import torch
from torch import nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

from lib.course.meters import parameter_count
from lib.sequence.attention import causal_mask
from lib.sequence.language import next_token_loss
from lib.sequence.position import Learned, Position, Rotary, Sinusoidal
from lib.sequence.transformer import MLP, Attention, Transformer, extend

VOCABULARY, WIDTH, LENGTH = 11, 32, 12


class Distance(Position):
    """A score that falls with the distance, for the bias hook."""

    def bias(self, query_positions, key_positions):
        return -0.3 * (query_positions[:, None, :, None] - key_positions[:, None, None, :]).abs().double()


class RunningMean(nn.Module):
    """A mixer with a state of its own: the mean of everything so far."""

    def __init__(self, width, position):
        super().__init__()

    def forward(self, x, *, positions, causal, allowed, cache):
        total = x.cumsum(1) + (cache["total"] if cache else 0)
        if cache is not None:
            cache["total"] = total[:, -1:]
        return total / (positions[..., None] + 1)


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


def test_a_new_model_knows_nothing():
    torch.manual_seed(0)
    model = Transformer(64, 64, 2, position=Rotary(16))
    loss = next_token_loss(model, torch.randint(64, (24, 49)))
    assert loss.shape == () and abs(loss.item() - math.log(64)) < 0.1


def test_next_token_loss_is_the_mean_surprise():
    model, windows = build(position=Rotary(8)), some_tokens()
    chances = model(windows).softmax(-1).detach()
    surprise = [-math.log(chances[b, t, windows[b, t + 1]]) for b in range(3) for t in range(LENGTH - 1)]
    assert abs(next_token_loss(model, windows).item() - sum(surprise) / len(surprise)) < 1e-12


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


def test_attention_agrees_with_torch():
    ours = copied(4, "half", Position())
    theirs = nn.MultiheadAttention(WIDTH, 4, bias=False, batch_first=True)
    theirs.load_state_dict({"in_proj_weight": ours.qkv.weight, "out_proj.weight": ours.out.weight})
    x, positions = torch.randn(2, LENGTH, WIDTH), torch.arange(LENGTH)[None]
    hidden = ~causal_mask(torch.arange(LENGTH), torch.arange(LENGTH))
    for causal, mask in ((False, None), (True, hidden)):
        want = theirs.double()(x.double(), x.double(), x.double(), attn_mask=mask, need_weights=False)[0]
        assert deviation(ours.double()(x.double(), positions=positions, causal=causal), want) < 1e-12


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
    got = ours(x, positions=torch.arange(LENGTH)[None], causal=False, allowed=None, cache=None)
    assert deviation(got, theirs(x)) < 1e-12


def test_attention_agrees_with_llama():
    ours = copied(4, "half")
    config = LlamaConfig(hidden_size=WIDTH, num_attention_heads=4, num_key_value_heads=4, attn_implementation="sdpa")
    theirs = LlamaAttention(config, 0)
    q, k, v = ours.qkv.weight.chunk(3)
    theirs.load_state_dict({"q_proj.weight": q, "k_proj.weight": k, "v_proj.weight": v, "o_proj.weight": ours.out.weight})
    x, positions = torch.randn(2, LENGTH, WIDTH), torch.arange(LENGTH)[None]
    want = theirs(x, LlamaRotaryEmbedding(config)(x, positions), None)[0]
    got = ours(x, positions=positions, causal=True)
    assert deviation(got, want) < 1e-5 * want.abs().max()
    assert deviation(copied(4, "interleaved")(x, positions=positions, causal=True), want) > 0.1


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
