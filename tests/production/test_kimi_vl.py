"""What the chapter on Kimi-VL says of torch's Muon and of transformers' Kimi K2.5 vision tower."""

import pytest
import torch
import transformers
from transformers.models.kimi_k25.configuration_kimi_k25 import Kimi_K25VisionConfig
from transformers.models.kimi_k25.modeling_kimi_k25 import Kimi_K25VisionModel, apply_rotary_pos_emb_vision

from lib.learning.muon import newton_schulz
from lib.sequence.position import Position, Rotation, rope_frequencies
from lib.sequence.transformer import MLP, Attention, Block, Context
from lib.systems.packing import document_mask

PAGE = "book/language-models/kimi-vl.ipynb, section In production"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
GRIDS = [(4, 6), (8, 4), (6, 6)]


def stepped(gradient, lr=1.0, weight_decay=0.0, start=0.0, **options):
    w = torch.nn.Parameter(torch.full_like(gradient, start))
    w.grad = gradient.clone()
    torch.optim.Muon([w], lr=lr, weight_decay=weight_decay, **options).step()
    return w.detach()


@pytest.mark.parametrize("size, value", [(64, 0.69), (2, 1.12)])
def test_an_orthogonal_gradient_does_not_stay_orthogonal(size, value):
    torch.manual_seed(0)
    step = stepped(torch.linalg.qr(torch.randn(size, size))[0])
    assert (torch.linalg.svdvals(step) - value).abs().max() < 0.02, TORCH


def test_bfloat16_costs_one_or_two_percent():
    g = torch.Generator().manual_seed(1)
    for shape in ((16, 64), (64, 16), (64, 64)):
        for _ in range(10):
            gradient = torch.randn(*shape, generator=g)
            want = newton_schulz(gradient)
            step = -stepped(gradient, adjust_lr_fn="match_rms_adamw") / (0.2 * max(shape) ** 0.5)
            assert 0.01 < (step - want).norm() / want.norm() < 0.025, TORCH


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (32, 32)])
def test_the_default_factor_is_not_the_one_that_matches_adamw(shape):
    gradient = torch.randn(*shape, generator=torch.Generator().manual_seed(2))
    ratio = stepped(gradient, adjust_lr_fn="match_rms_adamw").norm() / stepped(gradient).norm()
    rows, columns = shape
    assert abs(ratio / (0.2 * max(shape) ** 0.5 / max(1, rows / columns) ** 0.5) - 1) < 1e-5, TORCH
    assert abs(0.2 * 1024**0.5 - 6.4) < 1e-9


@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
def test_the_decay_is_on_and_knows_nothing_of_the_factor(adjust):
    assert torch.optim.Muon([torch.nn.Parameter(torch.eye(2))]).defaults["weight_decay"] == 0.1, TORCH
    gradient = torch.zeros(64, 64)
    decayed = stepped(gradient, lr=0.5, weight_decay=0.1, start=1.0, adjust_lr_fn=adjust)
    assert torch.allclose(decayed, torch.full((64, 64), 1 - 0.5 * 0.1)), TORCH


def test_matrices_only_but_any_matrix():
    torch.optim.Muon([torch.nn.Embedding(10, 4).weight])
    for parameter in (torch.nn.Conv2d(1, 1, 3).weight, torch.nn.Linear(2, 2).bias):
        with pytest.raises(ValueError, match="2D"):
            torch.optim.Muon([parameter])
            pytest.fail(TORCH)


def tower(width=32, depth=2, heads=2):
    torch.manual_seed(3)
    config = Kimi_K25VisionConfig(
        hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads, intermediate_size=4 * width, patch_size=4,
        pos_emb_height=8, pos_emb_width=8,
    )  # fmt: skip
    model = Kimi_K25VisionModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def run(model, pixels, grids):
    with torch.no_grad():
        return model(pixels, grid_thw=torch.tensor([[1, h, w] for h, w in grids]))


def pixels_of(grids):
    return torch.randn(sum(h * w for h, w in grids), 3, 4, 4, generator=torch.Generator().manual_seed(4))


def places(grids):
    return torch.cat([torch.cartesian_prod(torch.arange(h), torch.arange(w)) for h, w in grids])


def angles_of(place, dim):
    theta = rope_frequencies(dim // 2)
    return torch.stack([place[..., 1:] * theta, place[..., :1] * theta], -1).flatten(-2)


def test_packed_images_are_encoded_as_if_alone():
    model, pixels = tower(), pixels_of(GRIDS)
    alone = [run(model, part, [grid]) for part, grid in zip(pixels.split([h * w for h, w in GRIDS]), GRIDS, strict=True)]
    packed = run(model, pixels, GRIDS)
    for name in ("last_hidden_state", "pooler_output"):
        apart = torch.cat([getattr(one, name) for one in alone])
        assert (getattr(packed, name) - apart).abs().max() < 1e-5 and apart.abs().max() > 0.5, TRANSFORMERS


class Axial(Position):
    def __init__(self, dim, layout):
        super().__init__()
        self.dim, self.layout = dim, layout

    def rotation(self, positions, dtype):
        return Rotation(angles_of(positions, self.dim)[:, None], self.layout, dtype)


def ours(model, pixels, grids, layout="half"):
    """The same tower from lib's parts: blocks under one mask, with the learned table resized by torch."""
    width, heads = model.config.hidden_size, model.config.num_attention_heads
    table = model.patch_embed.pos_emb.position_embeddings.detach()
    size = lambda h, w: torch.nn.functional.interpolate(table.permute(2, 0, 1)[None], (h, w), mode="bicubic", align_corners=False)
    learned = torch.cat([size(h, w)[0].flatten(1).T for h, w in grids])
    x = (model.patch_embed.proj(pixels).flatten(1) + learned)[None]
    image = torch.repeat_interleave(torch.arange(len(grids)), torch.tensor([h * w for h, w in grids]))
    position = Axial(width // heads, layout)
    context = Context(position, places(grids)[None], causal=False, allowed=document_mask(image[None], causal=False))
    for theirs in model.layers:
        block = Block(width, Attention(width, position, heads), MLP(width))
        mixer, feed = theirs.attn, theirs.mlp
        block.mixer_norm, block.feed_forward_norm = theirs.norm1, theirs.norm2
        block.mixer.qkv = torch.nn.Linear(width, 3 * width)
        block.mixer.qkv.weight.data = torch.cat([mixer.q_proj.weight, mixer.k_proj.weight, mixer.v_proj.weight])
        block.mixer.qkv.bias.data = torch.cat([mixer.q_proj.bias, mixer.k_proj.bias, mixer.v_proj.bias])
        block.mixer.out = mixer.proj
        block.feed_forward = torch.nn.Sequential(feed.fc1, feed.act, feed.fc2)
        x = block(x, context)
    return model.final_layernorm(x)[0]


def test_the_tower_is_libs_blocks_with_angles_in_the_half_layout():
    model, pixels = tower(), pixels_of(GRIDS)
    theirs = run(model, pixels, GRIDS).last_hidden_state
    with torch.no_grad():
        assert (ours(model, pixels, GRIDS) - theirs).abs().max() < 1e-4, TRANSFORMERS
        assert (ours(model, pixels, GRIDS, "interleaved") - theirs).abs().max() > 1e-2, TRANSFORMERS


def test_the_rotation_pairs_halves():
    model, place = tower(), places(GRIDS)
    cos, sin = model.rotary_emb(torch.zeros(1), place)
    q, k = torch.randn(2, len(place), 2, 16, generator=torch.Generator().manual_seed(5))
    turned, _ = apply_rotary_pos_emb_vision(q, k, cos, sin)
    assert (turned - Rotation(angles_of(place, 16)[:, None], "half", torch.float32)(q)).abs().max() < 1e-5, TRANSFORMERS


def test_the_merge_is_the_pages():
    result = run(tower(), pixels_of(GRIDS), GRIDS)
    parts = result.last_hidden_state.split([h * w for h, w in GRIDS])
    merged = [x.reshape(h // 2, 2, w // 2, 2, -1).transpose(1, 2).reshape(h * w // 4, -1) for x, (h, w) in zip(parts, GRIDS, strict=True)]
    assert torch.equal(result.pooler_output.flatten(1), torch.cat(merged)), TRANSFORMERS


@pytest.mark.parametrize("grid", [(3, 4), (4, 3)])
def test_odd_grids_fail_in_the_merge(grid):
    with pytest.raises(RuntimeError, match="shape"):
        run(tower(), pixels_of([grid]), [grid])
        pytest.fail(TRANSFORMERS)


def test_the_configuration_is_the_one_that_the_page_counts():
    config = Kimi_K25VisionConfig()
    typed = (config.hidden_size, config.num_hidden_layers, config.intermediate_size, config.patch_size, config.pos_emb_height)
    assert typed == (1152, 27, 4304, 14, 64), TRANSFORMERS
    with torch.device("meta"):
        assert sum(p.numel() for p in Kimi_K25VisionModel(config).parameters()) == 416_866_032, TRANSFORMERS


def test_kimi_vl_itself_is_missing():
    assert not [name for name in transformers.models.__all__ if "kimi_vl" in name.lower()], TRANSFORMERS
