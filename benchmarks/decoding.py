"""Speculative and tree decoding against transformers' assisted generation: time a new token, one thread, in turn.

    python benchmarks/decoding.py [--rounds 9]

The peer is a GPT-NeoX with our transformer's weights, so that both write the same text, checked before a timing. The
draft is the model's first half, and the second half changes little: so that drafts are often right, as a trained one's
are. Tree decoding reads heads of its own, whose likeliest guess is made right for seven tokens of ten.
"""

import statistics
import time
from collections.abc import Callable

import torch
from bench import in_turn, record, rounds
from torch.nn.functional import one_hot
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from lib.sequence.decoding import best_tree, generate, generate_speculatively, generate_with_tree
from lib.sequence.position import Rotary
from lib.sequence.transformer import Transformer

VOCABULARY, HEADS, DEPTH, COUNT, AHEAD = 96, 4, 4, 48, 4
PROMPT = torch.arange(8)


def model_and_draft(width: int) -> tuple[Transformer, Transformer]:
    position = Rotary(width // HEADS, layout="half")
    model, draft = (Transformer(VOCABULARY, width, depth, position=position).eval() for depth in (DEPTH, DEPTH // 2))
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            layer = int(name.split(".")[1]) if name.startswith("blocks") else 0
            scale = 0.2 if layer >= DEPTH // 2 and name.endswith(("out.weight", "down.weight")) else 1.0
            torch.nn.init.normal_(weight, std=scale * weight.shape[1] ** -0.5)
    draft.load_state_dict({name: weight for name, weight in model.state_dict().items() if name in draft.state_dict()})
    return model, draft


def gpt_neox(ours: Transformer) -> GPTNeoXForCausalLM:
    width = ours.embedding.embedding_dim
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=len(ours.blocks), num_attention_heads=HEADS,
        intermediate_size=4 * width, max_position_embeddings=256, use_parallel_residual=False, attention_bias=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
        tie_word_embeddings=False, attn_implementation="sdpa", bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    peer = GPTNeoXForCausalLM(config).eval()
    weights = {"gpt_neox.embed_in.weight": ours.embedding.weight, "lm_head.weight": ours.head.weight}
    weights |= {f"gpt_neox.final_layer_norm.{name}": value for name, value in ours.norm.named_parameters()}
    for i, block in enumerate(ours.blocks):
        by_head = block.mixer.qkv.weight.unflatten(0, (3, HEADS, -1)).transpose(0, 1).flatten(0, 2)
        layer = {"attention.query_key_value.weight": by_head, "attention.dense.weight": block.mixer.out.weight}
        for ends, linear in (("dense_h_to_4h", block.feed_forward.up), ("dense_4h_to_h", block.feed_forward.down)):
            layer |= {f"mlp.{ends}.weight": linear.weight, f"mlp.{ends}.bias": torch.zeros(linear.out_features)}
        layer |= {f"input_layernorm.{name}": value for name, value in block.mixer_norm.named_parameters()}
        layer |= {f"post_attention_layernorm.{name}": value for name, value in block.feed_forward_norm.named_parameters()}
        weights |= {f"gpt_neox.layers.{i}.{name}": value for name, value in layer.items()}
    peer.load_state_dict(weights)
    return peer


def heads(text: torch.Tensor, width: int) -> Callable:
    """Guesses for the four tokens ahead: linear in the state, and then made right where the text's law allows it."""
    weight, right = torch.randn(AHEAD, VOCABULARY, width) / width**0.5, torch.rand(len(text) + AHEAD) < 0.7
    padded = torch.cat([text, text.new_zeros(AHEAD)])

    def propose(states, tokens):
        places = slice(len(tokens), len(tokens) + AHEAD)
        return weight @ states[-1] + 100 * one_hot(padded[places], VOCABULARY) * right[places, None]

    return propose


def rows(width: int) -> dict[str, tuple[Callable, Callable]]:
    """By row: ours and the peer's, each of which gives the whole text."""
    model, draft = model_and_draft(width)
    peer, peer_draft = gpt_neox(model), gpt_neox(draft)
    text = generate(model, PROMPT, COUNT)
    peer_draft.generation_config.num_assistant_tokens = AHEAD
    peer_draft.generation_config.num_assistant_tokens_schedule = "constant"
    peer_draft.generation_config.assistant_confidence_threshold = 0.0
    propose, tree = heads(text, width), best_tree(torch.tensor([[0.7, 0.1], [0.7, 0.1], [0.7, 0.1], [0.7, 0.1]]), 12)

    def plain():
        return peer.generate(PROMPT[None], max_new_tokens=COUNT, do_sample=False)[0]

    def assisted():
        return peer.generate(PROMPT[None], max_new_tokens=COUNT, do_sample=False, assistant_model=peer_draft)[0]

    made = {
        f"greedy decoding, width {width} / transformers": (lambda: generate(model, PROMPT, COUNT), plain),
        f"speculative decoding, {AHEAD} ahead, width {width} / assisted generation": (
            lambda: generate_speculatively(model, draft, PROMPT, COUNT, AHEAD).tokens, assisted
        ),
        f"tree of 12 guesses, width {width} / assisted generation": (
            lambda: generate_with_tree(model, propose, tree, PROMPT, COUNT).tokens, assisted
        ),
    }  # fmt: skip
    for name, pair in made.items():
        for write in pair:
            if not torch.equal(write(), text):
                raise RuntimeError(f"{name}: the texts differ")
    gained = (generate_speculatively(model, draft, PROMPT, COUNT, AHEAD), generate_with_tree(model, propose, tree, PROMPT, COUNT))
    print(f"width {width}: tokens a pass, draft and tree:", *(round(statistics.mean(one.gained), 2) for one in gained))
    return made


def milliseconds(write: Callable) -> float:
    begin = time.perf_counter()
    write()
    return 1e3 * (time.perf_counter() - begin) / COUNT


def main() -> None:
    turns = rounds(9)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        table = [in_turn(row, milliseconds, *pair, turns) for row, pair in (rows(64) | rows(512)).items()]
    record("decoding", ["ours / peer", "ms a token", "peer's", "ratio"], table, what=f"medians of {turns}, in turn")


if __name__ == "__main__":
    main()
