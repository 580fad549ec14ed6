"""What the chapter on length extrapolation says of transformers, and its YaRN beside lib's ramp in turns."""

import math

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from lib.sequence.extrapolation import by_parts, interpolated, ntk_base, yarn_magnitude
from lib.sequence.position import rope_frequencies

PAGE = "book/attention/length-extrapolation.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
PLAIN, BASE, TRAINED, FACTOR = rope_frequencies(128), 1e4, 2048, 4.0


def theirs(rope_type, **parameters):
    rope = dict(rope_type=rope_type, rope_theta=BASE, factor=FACTOR, original_max_position_embeddings=TRAINED, **parameters)
    config = LlamaConfig(hidden_size=384, num_attention_heads=3, head_dim=128, max_position_embeddings=8192, rope_parameters=rope)
    frequencies, magnitude = ROPE_INIT_FUNCTIONS[rope_type](config, "cpu")
    return frequencies.double(), magnitude


def bounds():
    """The pairs, not rounded, that make 32 turns and 1 turn within the trained length."""
    return [64 * math.log(TRAINED / (2 * math.pi * turns), BASE) for turns in (32, 1)]


def by_index(low, high):
    """A ramp that is linear in the number of the pair."""
    kept = 1 - ((torch.arange(64) - low) / (high - low)).clamp(0, 1)
    return (1 - kept) * PLAIN / FACTOR + kept * PLAIN


def off(got, want):
    return ((got - want) / want).abs().max().item()


def test_yarns_ramp_is_linear_in_the_index_between_rounded_bounds():
    low, high = bounds()
    assert (math.floor(low), math.ceil(high)) == (16, 41), TRANSFORMERS
    assert off(by_index(16, 41), theirs("yarn")[0]) < 1e-6, TRANSFORMERS
    assert off(by_index(low, high), theirs("yarn", truncate=False)[0]) < 1e-6, TRANSFORMERS
    assert 0.08 < off(theirs("yarn")[0], theirs("yarn", truncate=False)[0]) < 0.1, TRANSFORMERS
    assert off(by_parts(PLAIN, FACTOR, TRAINED, 1, 32), theirs("yarn")[0]) > 0.4, TRANSFORMERS


def test_one_mscale_alone_is_ignored_and_two_equal_ones_switch_the_magnitude_off():
    want = yarn_magnitude(FACTOR)
    for parameters in ({}, {"mscale": 0.5}, {"mscale_all_dim": 0.5}):
        assert abs(theirs("yarn", **parameters)[1] - want) < 1e-12, TRANSFORMERS
    assert theirs("yarn", mscale=0.5, mscale_all_dim=0.5)[1] == 1, TRANSFORMERS
    assert theirs("yarn", attention_factor=1.5)[1] == 1.5, TRANSFORMERS
    assert round(want, 4) == 1.1386


def test_llama_3_is_the_ramp_in_turns_without_a_magnitude():
    frequencies, magnitude = theirs("llama3", low_freq_factor=1.0, high_freq_factor=4.0)
    assert off(by_parts(PLAIN, FACTOR, TRAINED, 1, 4), frequencies) < 1e-6 and magnitude == 1, TRANSFORMERS
    assert off(interpolated(PLAIN, FACTOR), theirs("linear")[0]) < 1e-6, TRANSFORMERS


def difference_of_decoding(rope_type):
    """Largest difference of logits, in their standard deviations, beyond the trained length: with a cache and at once."""
    torch.manual_seed(0)
    sizes = dict(vocab_size=50, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    rope = dict(rope_type=rope_type, rope_theta=BASE, factor=FACTOR)
    model = LlamaForCausalLM(LlamaConfig(**sizes, max_position_embeddings=32, rope_parameters=rope)).eval().double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
        tokens, cache, decoded = torch.randint(50, (1, 64)), None, []
        for place in range(64):
            step = model(tokens[:, place : place + 1], past_key_values=cache, use_cache=True)
            cache = step.past_key_values
            decoded.append(step.logits)
        at_once = model(tokens).logits
    return ((torch.cat(decoded, 1) - at_once)[0, 32:].abs().max() / at_once.std()).item()


def test_the_dynamic_base_grows_with_what_has_been_read():
    rope = dict(rope_type="dynamic", rope_theta=BASE, factor=FACTOR)
    config = LlamaConfig(head_dim=128, max_position_embeddings=TRAINED, rope_parameters=rope)
    for length, grown in ((100, 1), (TRAINED, 1), (2 * TRAINED, 5), (4 * TRAINED, 13)):
        frequencies, magnitude = ROPE_INIT_FUNCTIONS["dynamic"](config, "cpu", length)
        assert off(rope_frequencies(128, ntk_base(BASE, grown, 128)), frequencies.double()) < 1e-6, TRANSFORMERS
        assert magnitude == 1, TRANSFORMERS


def test_dynamic_frequencies_make_decoding_differ_from_reading_at_once():
    assert difference_of_decoding("linear") < 1e-9, TRANSFORMERS
    assert difference_of_decoding("dynamic") > 0.1, TRANSFORMERS
