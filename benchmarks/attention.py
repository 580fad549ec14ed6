"""Rotations, attention, decoding and training against public packages, on equal work, one thread, in turn.

    python benchmarks/attention.py [--rounds 9]

Each row is the median of our CPU time over the median of the peer's, and the most memory that either holds in a call. In
decoding, 48 tokens follow one another, one at a time; in training, a step is the loss, its gradients and AdamW's update.
"""

from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import flash_pytorch
import torch
from bench import record_beside, rounds
from mambapy.mamba import MambaBlock
from mambapy.mamba import MambaConfig as MambaPyConfig
from mambapy.pscan import pscan
from performer_pytorch.performer_pytorch import causal_linear_attention_noncuda
from rotary_embedding_torch import apply_rotary_emb
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers.models.mamba.modeling_mamba import mamba_selective_scan

from lib.sequence.attention import attention
from lib.sequence.gau import GAU
from lib.sequence.language import next_token_loss
from lib.sequence.linear_attention import elu_feature, linear_attention
from lib.sequence.position import Learned, Position, Rotary, Rotation, apply_rope, rope_angles
from lib.sequence.relative_bias import RelativeBias
from lib.sequence.ssm import linear_scan, selective_scan
from lib.sequence.transformer import Context, Transformer

VOCABULARY, LENGTH, HEADS = 96, 48, 4


def rotations() -> dict[str, tuple[Callable, Callable, int]]:
    """By row: ours, the peer's, and how many calls make one timing."""
    angles = rope_angles(torch.arange(2048), 64)
    repeated = angles.float().repeat_interleave(2, -1)
    rows = {}
    for dtype, name in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
        x = torch.randn(1, 8, 2048, 64).to(dtype)
        cos, sin = (torch.cat([f(angles)] * 2, -1)[None].to(dtype) for f in (torch.cos, torch.sin))
        anew = lambda x=x: apply_rope(x, angles)  # noqa: E731
        made, half = (partial(Rotation(angles, layout, dtype), x) for layout in ("interleaved", "half"))
        lucid = lambda x=x: apply_rotary_emb(repeated, x)  # noqa: E731
        tables = lambda x=x, cos=cos, sin=sin: apply_rotary_pos_emb(x, x[:, :0], cos, sin)  # noqa: E731
        rows[f"rotary, interleaved, {name}, cos and sin anew / rotary-embedding-torch, which takes them anew"] = anew, lucid, 2
        rows[f"rotary, interleaved, {name}, made once / rotary-embedding-torch"] = made, lucid, 2
        rows[f"rotary, interleaved, {name}, made once / transformers' tables"] = made, tables, 2
        rows[f"rotary, half layout, {name}, made once / transformers' tables"] = half, tables, 2
    one = torch.randn(1, 8, 1, 64)
    for layout in ("interleaved", "half"):
        rotation = Rotation(angles[-1:], layout, torch.float32)
        row = f"rotary, {layout}, one token, tables given / transformers"
        cos, sin = (torch.cat([f(angles[-1:])] * 2, -1)[None].float() for f in (torch.cos, torch.sin))
        rows[row] = lambda r=rotation: (r(one), r(one)), lambda c=cos, s=sin: apply_rotary_pos_emb(one, one, c, s), 500
    return rows


def attentions() -> dict[str, tuple[Callable, Callable, int]]:
    q, k, v = (torch.randn(1, 8, 2048, 64) for _ in range(3))
    theirs = lambda: scaled_dot_product_attention(q, k, v, is_causal=True)  # noqa: E731
    rows = {"causal attention, 2048 / torch's": (lambda: attention(q, k, v, causal=True), theirs, 1)}
    for length in (512, 2048, 8192):
        features = [elu_feature(torch.randn(1, 4, length, 32)) for _ in range(3)]
        rows[f"causal linear attention, {length} / performer-pytorch"] = (
            lambda x=features: linear_attention(*x, causal=True), lambda x=features: causal_linear_attention_noncuda(*x), 1
        )  # fmt: skip
        a, b = torch.rand(1, length, 64, 16), torch.randn(1, length, 64, 16)
        rows[f"scan of 64 × 16 states, {length} / mambapy"] = lambda a=a, b=b: linear_scan(a, b), lambda a=a, b=b: pscan(a, b), 1
    return rows


def forward(function: Callable, *arguments: torch.Tensor) -> Callable:
    return torch.no_grad()(partial(function, *arguments))


def backward(function: Callable, *arguments: torch.Tensor) -> Callable:
    """To the arguments, which are leaves, and to what else the function is made of."""

    def once():
        function(*arguments).sum().backward()

    return once


def mixers() -> dict[str, tuple[Callable, Callable, int]]:
    """A gated attention unit of each kind, both with T5's bias where the peer always has it, and Mamba's scan and block."""
    rows = {}
    for length in (512, 1024):
        x = torch.randn(1, length, 128)
        units = {
            "GAU, squared ReLU": (
                RelativeBias(1),
                GAU(128, Position(), dim=64, kernel="relu2"),
                flash_pytorch.GAU(dim=128, query_key_dim=64, causal=True, add_residual=False, norm_klass=nn.Identity),
            ),
            "GAU in chunks of 256": (
                Position(),
                GAU(128, Position(), dim=64, kernel="relu2", chunk=256),
                flash_pytorch.FLASH(dim=128, query_key_dim=64, group_size=256, causal=True, norm_klass=nn.Identity),
            ),
        }
        positions = torch.arange(length)[None]
        for name, (position, unit, peer) in units.items():

            def ours(x, position=position, unit=unit, positions=positions):
                return unit(x, Context(position, positions, causal=True))

            rows[f"{name}, {length} / FLASH-pytorch"] = forward(ours, x), forward(peer, x), 1
            rows[f"{name}, {length}, forward and backward / FLASH-pytorch"] = backward(ours, x), backward(peer, x), 1
    for length in (256, 2048):
        x, delta = torch.randn(1, length, 128), torch.rand(1, length, 128)
        A, B, C = -torch.rand(128, 16), torch.randn(1, length, 16), torch.randn(1, length, 16)
        block, skip = MambaBlock(MambaPyConfig(128, 1, expand_factor=1)), torch.zeros(128)
        parts = x.mT, delta.mT, A, B.mT, C.mT
        scan = lambda *parts: selective_scan(*parts)[0]  # noqa: E731
        peers = {
            "transformers' loop": (mamba_selective_scan, parts),
            "mambapy": (block.selective_scan, (x, delta, A, B, C, skip)),
            "mambapy's loop": (block.selective_scan_seq, (x, delta, A, B, C, skip)),
        }
        want = scan(x, delta, A, B, C)
        own = [part.clone().requires_grad_() for part in (x, delta, A, B, C)]
        for name, (peer, arguments) in peers.items():
            apart = (peer(*arguments) - (want.mT if peer is mamba_selective_scan else want)).abs().max()
            assert apart < 1e-3 * want.abs().max(), apart
            leaves = [part.clone().requires_grad_() for part in arguments]
            size = f"selective scan, 128 × 16 states, {length}"
            rows[f"{size} / {name}"] = forward(scan, x, delta, A, B, C), forward(peer, *arguments), 1
            if length == 256 or "loop" not in name:  # theirs takes seconds
                rows[f"{size}, forward and backward / {name}"] = backward(scan, *own), backward(peer, *leaves), 1
    return rows


def llama(width: int) -> LlamaForCausalLM:
    """As many parameters a layer as ours: three matrices of 8/3 width, the hidden units rounded to eights."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=round(8 * width / 24) * 8, num_hidden_layers=2,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=256, attn_implementation="sdpa",
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def gpt2(width: int) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=256, n_embd=width, n_layer=2, n_head=HEADS, bos_token_id=0, eos_token_id=0,
        embd_pdrop=0, attn_pdrop=0, resid_pdrop=0, attn_implementation="sdpa",
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


class PlainGPT(nn.Module):
    """The small GPT that tutorials train: learned positions, pre-norm, four heads, a feed-forward of four widths."""

    def __init__(self, width: int, depth: int = 2):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(64, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({
                "norm_1": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width), "out": nn.Linear(width, width),
                "norm_2": nn.LayerNorm(width), "up": nn.Linear(width, 4 * width), "down": nn.Linear(4 * width, width),
            })
            for _ in range(depth)
        )  # fmt: skip
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, length = tokens.shape
        x = self.tokens(tokens) + self.places(torch.arange(length))
        for block in self.blocks:
            parts = block["qkv"](block["norm_1"](x)).split(x.shape[-1], -1)
            q, k, v = (part.view(batch, length, HEADS, -1).transpose(1, 2) for part in parts)
            mixed = scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
            x = x + block["out"](mixed)
            x = x + block["down"](nn.functional.gelu(block["up"](block["norm_2"](x))))
        return self.head(self.norm(x))


@torch.no_grad()
def decode_with(model, tokens: torch.Tensor) -> None:
    """Peers: one token at a time, with their cache."""
    past = None
    for token in tokens.split(1, 1):
        past = model(token, past_key_values=past, use_cache=True).past_key_values


@torch.no_grad()
def decode(model: Transformer, tokens: torch.Tensor) -> None:
    cache = model.new_cache()
    for token in tokens.split(1, 1):
        model(token, cache=cache)


@torch.no_grad()
def decode_without_cache(model: Transformer, tokens: torch.Tensor) -> None:
    for length in range(1, tokens.shape[1] + 1):
        model(tokens[:, :length])


def decoding() -> dict[str, tuple[Callable, Callable, int]]:
    tokens, rows = torch.randint(VOCABULARY, (1, LENGTH)), {}
    for width in (64, 256):
        ours, theirs = Transformer(VOCABULARY, width, 2, position=Rotary(width // HEADS)), llama(width)
        rows[f"cached decoding, rotary, width {width} / transformers' Llama"] = (
            lambda m=ours: decode(m, tokens), lambda m=theirs: decode_with(m, tokens), 1
        )  # fmt: skip
    learned, theirs = Transformer(VOCABULARY, 64, 2, position=Learned(256, 64)), gpt2(64)
    rows["cached decoding, learned positions, width 64 / transformers' GPT-2"] = (
        lambda: decode(learned, tokens), lambda: decode_with(theirs, tokens), 1
    )  # fmt: skip
    model = Transformer(VOCABULARY, 64, 2, position=Rotary(16))
    rows["cached decoding, width 64 / without a cache"] = (
        lambda: decode(model, tokens), lambda: decode_without_cache(model, tokens), 1
    )  # fmt: skip
    return rows


def step(model, loss: Callable) -> Callable:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def once():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return once


def training() -> dict[str, tuple[Callable, Callable, int]]:
    windows = torch.randint(VOCABULARY, (24, 65))

    def of_a_library(model):
        return model(windows[:, :-1], use_cache=False).logits

    def of_a_module(model):
        return model(windows[:, :-1])

    peers = {
        "transformers' Llama": (llama(64), Rotary(16), of_a_library),
        "transformers' GPT-2": (gpt2(64), Learned(64, 64), of_a_library),
        "a plain GPT in nanoGPT's form": (PlainGPT(64), Learned(64, 64), of_a_module),
    }
    rows = {}
    for name, (peer, position, logits_of) in peers.items():
        ours, theirs = Transformer(VOCABULARY, 64, 2, position=position), peer.train()

        def their_loss(model=theirs, logits_of=logits_of):
            return cross_entropy(logits_of(model).flatten(0, 1), windows[:, 1:].flatten())

        rows[f"training step, width 64 / {name}"] = step(ours, lambda m=ours: next_token_loss(m, windows)), step(theirs, their_loss), 1
    return rows


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cases = rotations() | attentions() | mixers() | decoding() | training()
    peers = f"FLASH-pytorch {version('FLASH-pytorch')}, mambapy {version('mambapy')}"
    record_beside("attention", ((row, *case) for row, case in cases.items()), rounds(9), peers)


if __name__ == "__main__":
    main()
