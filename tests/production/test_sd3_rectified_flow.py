"""What the chapter on Stable Diffusion 3 says of diffusers, and what its own cells have in common with it."""

import json
import math
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from diffusers.models.attention import JointTransformerBlock
from diffusers.models.embeddings import PatchEmbed, get_2d_sincos_pos_embed
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3

from lib.generative.paths import Cosine, RectifiedFlow
from lib.generative.solvers import solve_ode
from lib.sequence.attention import attention

CHAPTER = Path(__file__).parents[2] / "book/diffusion/sd3-rectified-flow.ipynb"
CHANGE = f"diffusers is {diffusers.__version__}, the page says 0.42.1: change 'In production' of sd3-rectified-flow, the row on "
SAME = f"diffusers {diffusers.__version__} and the page differ: "


def from_page(*first_lines):
    """The names that the chapter's cells define, each cell known by a line of it."""
    names = {"torch": torch, "attention": attention, "generator": torch.Generator().manual_seed(0)}
    names |= {"silu": torch.nn.functional.silu, "gelu": torch.nn.functional.gelu}
    names |= {"layer_norm": torch.nn.functional.layer_norm, "sinusoidal": sinusoidal_by_halves}
    cells = ["".join(cell["source"]) for cell in json.loads(CHAPTER.read_text())["cells"] if cell["cell_type"] == "code"]
    for line in first_lines:
        (cell,) = [cell for cell in cells if line in cell.splitlines() and not cell.startswith("#@title")]
        functions = cell.split("\nprint(")[0].split("\nfor ")[0].split("\nstreams = ")[0]
        exec(functions, names)
    return names


def sinusoidal_by_halves(positions, width):
    """Sines, then cosines: diffusers' order of the channels, which is a permutation of lib's."""
    angles = positions.double()[:, None] / 10000 ** (torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def sigmas(shift, call=None):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    if call:
        scheduler.set_shift(call)
    scheduler.set_timesteps(4)
    return scheduler.sigmas.double()


def test_the_shift_is_applied_twice_at_the_low_end():
    shift_time = from_page("def shift_time(t, a):")["shift_time"]
    once = shift_time(torch.linspace(1, 1e-3, 4, dtype=torch.float64), 3)
    twice = shift_time(torch.linspace(1, shift_time(1e-3, 3), 4, dtype=torch.float64), 3)
    assert sigmas(3.0)[-2].item() == pytest.approx(0.0089, abs=5e-5), CHANGE + f"shift=3: {sigmas(3.0)}"
    assert (sigmas(3.0)[:-1] - twice).abs().max() < 1e-6, CHANGE + "shift=3: no longer shifted twice"
    assert once[-1].item() == pytest.approx(0.0030, abs=5e-5)
    assert (sigmas(1.0, 3.0)[:-1] - once).abs().max() < 1e-6, CHANGE + f"set_shift(3): {sigmas(1.0, 3.0)}"


def test_euler_steps_are_those_of_the_page():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(7)
    x = start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas):
        x = scheduler.step(torch.sin(3 * x) - sigma * x, t, x).prev_sample
    ours = solve_ode(lambda x, t: torch.sin(3 * x) - t * x, start, scheduler.sigmas.double(), "euler")
    assert (x - ours).abs().max() < 1e-5, SAME + "Euler steps"


def test_times_are_drawn_as_on_the_page_and_s_is_not_asked_about():
    page = from_page("def logit_normal(count, m, s):", "def bend(u, s):")
    seed = lambda: torch.Generator().manual_seed(1)
    theirs = compute_density_for_timestep_sampling("mode", 1000, mode_scale=1.29, generator=seed())
    assert torch.equal(theirs, page["bend"](torch.rand(1000, generator=seed()), 1.29)), CHANGE + "mode: other times"
    page["generator"].manual_seed(1)
    theirs = compute_density_for_timestep_sampling("logit_normal", 1000, logit_mean=0.5, logit_std=0.6, generator=seed())
    assert (theirs - page["logit_normal"](1000, 0.5, 0.6)).abs().max() < 1e-6, CHANGE + "logit_normal: other times"
    outside = compute_density_for_timestep_sampling("mode", 1000, mode_scale=-1.5, generator=seed())
    assert outside.max() > 1, CHANGE + f"mode_scale=-1.5: times up to {outside.max():.3f}"


def test_the_weight_called_cosmap_is_the_density_of_the_cosine_path():
    u = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    t = RectifiedFlow().time_at(Cosine().noise_level(u))
    slope = math.pi / 2 * ((1 - t) ** 2 + t**2)  # dt/du of t/(1-t) = tan(πu/2)
    assert (compute_loss_weighting_for_sd3("cosmap", t) * slope - 1).abs().max() < 1e-12, SAME + "cosmap"


def test_the_block_is_that_of_the_page():
    torch.manual_seed(0)
    theirs = JointTransformerBlock(64, 4, 16, qk_norm="rms_norm").double()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if not name.startswith("attn.norm"):
                parameter.copy_(0.3 * torch.randn_like(parameter))
    page, weights = from_page("def rms_norm(x, eps=1e-6):", "def joint_block(streams, tokens, c):"), theirs.state_dict()
    picture, text = (page["Stream"](64, 4).double() for _ in range(2))

    def fill(layer, *names):
        layer.weight.data = torch.cat([weights[f"{name}.weight"] for name in names])
        layer.bias.data = torch.cat([weights[f"{name}.bias"] for name in names])

    for stream, norm, qkv, out, ff in (
        (picture, "norm1", ("to_q", "to_k", "to_v"), "to_out.0", "ff"),
        (text, "norm1_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out", "ff_context"),
    ):
        fill(stream.modulation, f"{norm}.linear")
        fill(stream.qkv, *(f"attn.{name}" for name in qkv))
        fill(stream.out, f"attn.{out}")
        fill(stream.up, f"{ff}.net.0.proj")
        fill(stream.down, f"{ff}.net.2")
    x, y, c = (torch.randn(2, *shape).double() for shape in ((9, 64), (5, 64), (64,)))
    with torch.no_grad():
        ours = page["joint_block"]([picture, text], [x, y], c)
        text_out, picture_out = theirs(x, y, c)
    largest = picture_out.abs().max()
    assert largest > 10, "the comparison needs outputs that are not small"
    gap = max((ours[0] - picture_out).abs().max(), (ours[1] - text_out).abs().max())
    assert gap < 1e-6 * largest, SAME + f"the MM-DiT block, by {gap:.2g} of {largest:.3g}"
    assert gap > 1e-12 * largest, CHANGE + "JointTransformerBlock: its RMSNorm now keeps float64"
    assert JointTransformerBlock(64, 4, 16).attn.norm_q is None, CHANGE + "JointTransformerBlock: normalised by default"


def test_positions_are_those_of_the_page_cut_from_the_middle():
    page = from_page("def place_2d(rows, columns, width):")
    whole = get_2d_sincos_pos_embed(16, 12, base_size=12)
    assert (whole - page["place_2d"](12, 12, 16)).abs().max() < 1e-6, SAME + "positions in two dimensions"
    embed = PatchEmbed(height=24, width=24, patch_size=2, in_channels=4, embed_dim=16, pos_embed_max_size=12)
    theirs = embed.cropped_pos_embed(6, 10)[0].double()  # in entries of the latent image: 3 · 5 patches
    assert (theirs - page["cut_from_the_middle"](3, 5, 16, 12)).abs().max() < 1e-5, CHANGE + "PatchEmbed: another cut"
    assert not torch.allclose(embed.cropped_pos_embed(6, 6)[0, 0], embed.cropped_pos_embed(24, 24)[0, 0]), CHANGE + "PatchEmbed"


def test_depth_sets_the_size():
    depth, width = 24, 64 * 24
    with torch.device("meta"):
        model = SD3Transformer2DModel(num_layers=depth, num_attention_heads=depth, caption_projection_dim=width, pos_embed_max_size=192)
    matrices = [p.numel() for block in model.transformer_blocks for p in block.parameters() if p.ndim == 2]
    spared = (1 + 8 + 4) * width**2  # the last block: neither text output nor feed-forward, and a third of the modulation is left
    assert sum(matrices) == 147_456 * depth**3 - spared, SAME + "entries of 24 blocks"
