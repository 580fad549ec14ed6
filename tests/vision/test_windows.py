"""lib.vision.windows against transformers' Swin, masks on the whole image, and naive loops."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pixel_unshuffle, scaled_dot_product_attention
from transformers import SwinConfig, SwinForImageClassification, SwinModel
from transformers.models.swin import modeling_swin

from lib.course.meters import matmul_flops, parameter_count
from lib.vision.windows import (
    PatchMerging,
    SwinBlock,
    SwinTransformer,
    WindowAttention,
    relative_position_index,
    shifted_window_mask,
    window_partition,
    window_reverse,
)

SEEDS = range(12)
TINY = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}


def normal(seed, *shape, dtype=torch.float64, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def grid(seed):
    """A window, a shift, and an image of a few windows."""
    rng = np.random.default_rng(seed)
    M = int(rng.integers(1, 6))
    return M, int(rng.integers(M)), M * int(rng.integers(1, 4)), M * int(rng.integers(1, 4))


def pieces(height, width, M, shift):
    """For each token of the image, row by row, the piece of the displaced grid that it lies in."""
    i, j = np.divmod(np.arange(height * width), width)
    return torch.tensor(((i + M - shift) // M) * 1000 + (j + M - shift) // M)


@pytest.mark.parametrize("seed", SEEDS)
def test_partition_takes_each_token_from_where_the_loop_does(seed):
    M, shift, height, width = grid(seed)
    x = normal(seed, 2, height, width, 3)
    windows = window_partition(x, M, shift)
    number = 0
    for b in range(2):
        for top in range(0, height, M):
            for left in range(0, width, M):
                for i in range(M):
                    for j in range(M):
                        want = x[b, (top + i + shift) % height, (left + j + shift) % width]
                        assert torch.equal(windows[number, i * M + j], want)
                number += 1
    assert number == len(windows)
    assert torch.equal(window_reverse(windows, M, height, width, shift), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.int8])
def test_any_real_dtype_and_strided_images_are_partitioned(dtype):
    x = (10 * normal(0, 2, 3, 8, 6)).to(dtype).permute(0, 2, 3, 1)
    assert torch.equal(window_reverse(window_partition(x, 2, 1), 2, 8, 6, 1), x)
    theirs = modeling_swin.window_partition(x.contiguous(), 2).flatten(1, 2)
    assert torch.equal(window_partition(x, 2), theirs)
    assert torch.equal(window_reverse(theirs, 2, 8, 6), modeling_swin.window_reverse(theirs, 2, 8, 6))


def test_partition_has_all_derivatives():
    x = normal(1, 2, 4, 6, 2).requires_grad_()
    torch.autograd.gradcheck(lambda x: window_partition(x, 2, 1), x, check_forward_ad=True)
    torch.autograd.gradgradcheck(lambda x: window_partition(x, 2, 1).square(), x)
    windows = window_partition(x.detach(), 2, 1).requires_grad_()
    torch.autograd.gradcheck(lambda w: window_reverse(w, 2, 4, 6, 1), windows, check_forward_ad=True)
    each = torch.func.vmap(lambda x: window_partition(x[None], 2, 1))(x.detach())
    assert torch.equal(each.flatten(0, 1), window_partition(x.detach(), 2, 1))


def test_windows_that_were_first_made_in_inference_mode_can_be_trained_on():
    with torch.inference_mode():
        SwinBlock(4, 2, 5, 3)(torch.zeros(1, 15, 10, 4))
    x = torch.zeros(1, 15, 10, 4, requires_grad=True)
    SwinBlock(4, 2, 5, 3)(x).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_mask_allows_what_lies_in_one_piece_of_the_displaced_grid(seed):
    M, shift, height, width = grid(seed)
    where = window_partition(pieces(height, width, M, shift).view(1, height, width, 1), M, shift)[..., 0]
    mask = shifted_window_mask(height, width, M, shift)
    assert torch.equal(mask, where[:, :, None] == where[:, None])
    assert mask.diagonal(dim1=1, dim2=2).all() and torch.equal(mask, mask.mT)
    mask[:] = False
    assert shifted_window_mask(height, width, M, shift).any()


@pytest.mark.parametrize(("height", "width", "M", "shift"), [(8, 8, 4, 2), (12, 8, 4, 1), (14, 21, 7, 3)])
def test_mask_is_transformers(height, width, M, shift):
    layer = modeling_swin.SwinLayer(SwinConfig(**TINY | {"window_size": M}), 16, (height, width), 2, shift_size=shift)
    theirs = layer.get_attn_mask(height, width, torch.float32, torch.device("cpu"))
    assert torch.equal(shifted_window_mask(height, width, M, shift), theirs == 0)


@pytest.mark.parametrize("M", [1, 2, 3, 4, 7])
def test_index_is_transformers_and_one_for_each_offset(M):
    index = relative_position_index(M)
    theirs = modeling_swin.SwinRelativePositionBias(2, (M, M)).relative_position_index
    assert torch.equal(index.flatten(), theirs)
    offsets = {}
    for u in range(M * M):
        for v in range(M * M):
            offsets.setdefault((u // M - v // M, u % M - v % M), set()).add(int(index[u, v]))
    assert sorted(row for (row,) in offsets.values()) == list(range((2 * M - 1) ** 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_block_attends_as_under_a_mask_on_the_whole_image(seed):
    M, shift, height, width = grid(seed)
    torch.manual_seed(seed)
    block = SwinBlock(8, 2, M, shift).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = normal(seed, 2, height, width, 8)
    attention, flat = block.attention, block.norm1(x).flatten(1, 2)
    q, k, v = attention.qkv(flat).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    where = pieces(height, width, M, shift)
    i, j = torch.arange(height * width) // width, torch.arange(height * width) % width
    down, right = i[:, None] - i, j[:, None] - j
    same = where[:, None] == where
    index = (down.clamp(1 - M, M - 1) + M - 1) * (2 * M - 1) + right.clamp(1 - M, M - 1) + M - 1
    bias = attention.bias_table[index].permute(2, 0, 1).masked_fill(~same, -torch.inf)
    mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
    want = x + attention.out(mixed).view_as(x)
    want = want + block.fc2(nn.functional.gelu(block.fc1(block.norm2(want))))
    torch.testing.assert_close(block(x), want, atol=1e-11, rtol=1e-11)


def test_merging_is_a_convolution_of_normalised_neighbours():
    merge, x = PatchMerging(3).double(), normal(0, 2, 6, 8, 3)
    nn.init.normal_(merge.norm.weight), nn.init.normal_(merge.norm.bias)
    four = pixel_unshuffle(x.permute(0, 3, 1, 2), 2).unflatten(1, (3, 2, 2))  # batch, channel, row, column, …
    inputs = merge.norm(four.permute(0, 4, 5, 3, 2, 1).flatten(3))
    torch.testing.assert_close(merge(x), merge.reduction(inputs))
    merge.norm = nn.Identity()
    kernel = merge.reduction.weight.view(6, 2, 2, 3).permute(0, 3, 2, 1)  # output, column, row, channel
    torch.testing.assert_close(merge(x).permute(0, 3, 1, 2), conv2d(x.permute(0, 3, 1, 2), kernel, stride=2))


def ours_with_weights_of(theirs, config):
    """Our model with the weights of a `SwinModel`."""
    state = theirs.state_dict()
    model = SwinTransformer(
        config.image_size // config.patch_size, config.embed_dim, config.depths, config.num_heads,
        config.window_size, config.patch_size, 10,
    )  # fmt: skip
    mine = {
        "patches": "embeddings.patch_embeddings.projection",
        "norm_in": "embeddings.norm",
        "norm": "layernorm",
    }
    copied = {f"{a}.{kind}": state[f"{b}.{kind}"] for a, b in mine.items() for kind in ("weight", "bias")}
    names = {"norm1": "layernorm_before", "norm2": "layernorm_after"}
    names |= {"attention.out": "attention.o_proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
    place = 0
    for stage, depth in enumerate(config.depths):
        for block in range(depth):
            pre = f"encoder.layers.{stage}.blocks.{block}."
            for kind in ("weight", "bias"):
                for a, b in names.items():
                    copied[f"layers.{place}.{a}.{kind}"] = state[f"{pre}{b}.{kind}"]
                qkv = torch.cat([state[f"{pre}attention.{z}_proj.{kind}"] for z in "qkv"])
                copied[f"layers.{place}.attention.qkv.{kind}"] = qkv
            table = state[pre + "attention.relative_position_bias.relative_position_bias_table"]
            copied[f"layers.{place}.attention.bias_table"] = table
            place += 1
        if stage + 1 < len(config.depths):
            for name in ("norm.weight", "norm.bias", "reduction.weight"):
                copied[f"layers.{place}.{name}"] = state[f"encoder.layers.{stage}.downsample.{name}"]
            place += 1
    missing, unexpected = model.load_state_dict(copied, strict=False)
    assert not unexpected and all(name.startswith("head.") for name in missing)
    return model


@pytest.mark.parametrize("window", [2, 4, 8])
def test_model_is_transformers(window):
    """Every parameter is noise: transformers starts the bias tables and the biases of q, k, v and fc1 at zero."""
    config = SwinConfig(**TINY | {"window_size": window})
    torch.manual_seed(0)
    theirs = SwinModel(config).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    images = normal(0, 3, 3, 32, 32, dtype=torch.float32)
    with torch.no_grad():
        got, want = ours_with_weights_of(theirs, config).features(images), theirs(images).last_hidden_state
    assert want.abs().max() > 1
    torch.testing.assert_close(got.flatten(1, 2), want, atol=2e-5, rtol=1e-5)


def test_published_model_has_the_parameters_and_products_of_the_published():
    with torch.device("meta"):
        ours = SwinTransformer(56, 96, (2, 2, 6, 2), (3, 6, 12, 24), 7, 4, 1000)
        theirs = SwinForImageClassification(SwinConfig(num_labels=1000))
        flops = matmul_flops(ours, torch.zeros(1, 3, 224, 224))
    assert parameter_count(ours) == parameter_count(theirs) == 28_288_354
    assert [block.shift for block in ours.layers if isinstance(block, SwinBlock)] == [0, 3] * 5 + [0, 0]
    assert round(flops / 2e9, 1) == 4.5


def test_half_precision_is_computed_with_in_float32():
    block, x = SwinBlock(8, 2, 4, 2).bfloat16(), normal(0, 1, 8, 8, 8).bfloat16()
    assert block(x).dtype == torch.bfloat16
    torch.testing.assert_close(block(x).float(), block.float()(x.float()), atol=0.05, rtol=0.05)


def test_an_empty_batch_passes():
    assert SwinBlock(8, 2, 4, 2)(torch.zeros(0, 8, 8, 8)).shape == (0, 8, 8, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: window_partition(torch.zeros(1, 6, 8, 1), 4), "M must divide height and width, .* M = 4 for 6 by 8"),
        (lambda: window_partition(torch.zeros(1, 8, 6, 1), 4), "M must divide height and width, .* M = 4 for 8 by 6"),
        (lambda: window_partition(torch.zeros(1, 0, 8, 1), 4), "M must divide height and width, .* M = 4 for 0 by 8"),
        (lambda: window_partition(torch.zeros(1, 8, 8, 1), 0), "M must be at least 1, got 0"),
        (lambda: window_partition(torch.zeros(1, 8, 8, 1), 4, 4), r"shift must lie in \[0, 3\], got 4"),
        (lambda: window_partition(torch.zeros(1, 8, 8, 1), 4, -1), r"shift must lie in \[0, 3\], got -1"),
        (lambda: window_reverse(torch.zeros(3, 16, 1), 4, 8, 8), "multiple of 4 with 16 tokens .* got 3 with 16"),
        (lambda: window_reverse(torch.zeros(4, 9, 1), 4, 8, 8), "multiple of 4 with 16 tokens .* got 4 with 9"),
        (lambda: shifted_window_mask(8, 9, 4, 2), "M must divide height and width, .* M = 4 for 8 by 9"),
        (lambda: relative_position_index(0), "M must be at least 1, got 0"),
        (lambda: WindowAttention(8, 3, 4), "channels must be a multiple of heads = 3, got 8"),
        (lambda: WindowAttention(8, 0, 4), "heads must be at least 1, got 0"),
        (lambda: WindowAttention(8, 2, 4)(torch.zeros(4, 9, 8)), "windows of 16 tokens, got 9"),
        (lambda: WindowAttention(8, 2, 4)(torch.zeros(4, 16, 8), shifted_window_mask(12, 4, 4, 2)), "got 3 for 4"),
        (lambda: WindowAttention(8, 2, 2)(torch.zeros(1, 4, 8), torch.zeros(1, 4, 4, dtype=torch.bool)), "mask must leave"),
        (lambda: SwinBlock(8, 2, 4, 4), r"shift must lie in \[0, 3\], got 4"),
        (lambda: SwinBlock(8, 2, 4, 2)(torch.zeros(1, 8, 10, 8)), "M must divide height and width, .* M = 4 for 8 by 10"),
        (lambda: PatchMerging(4)(torch.zeros(1, 3, 4, 4)), "height and width must be even, got 3 and 4"),
        (lambda: PatchMerging(4)(torch.zeros(1, 4, 5, 4)), "height and width must be even, got 4 and 5"),
        (lambda: WindowAttention(0, 2, 4), "channels must be at least 1, got 0"),
        (lambda: WindowAttention(8, 2, 2)(torch.zeros(4, 4, 8), torch.ones(0, 4, 4).bool()), "mask must be for as many windows"),
        (lambda: SwinBlock(-1, 1, 4), "channels must be at least 1, got -1"),
        (lambda: SwinBlock(8, 2, 4, expansion=-1), "expansion must be at least 1, got -1"),
        (lambda: PatchMerging(-1), "channels must be at least 1, got -1"),
        (lambda: SwinTransformer(8, 8, (2,), (2,), -1, 4, 10), "M must be at least 1, got -1"),
        (lambda: SwinTransformer(8, 8, (2,), (2,), 4, 0, 10), "patch must be at least 1, got 0"),
        (lambda: SwinTransformer(8, 8, (2, -1), (2, 2), 4, 4, 10), "each number of depths must be at least 0, got -1"),
        (lambda: SwinTransformer(8, 8, (2, 2), (2,), 4, 4, 10), "heads must have a number for each of 2 stages, got 1"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: window_partition(torch.zeros(8, 8, 1), 4), "x"),
        (lambda: window_reverse(torch.zeros(4, 16), 4, 8, 8), "windows"),
        (lambda: WindowAttention(8, 2, 4)(torch.zeros(4, 16, 8), torch.zeros(4, 16, 16)), "mask"),
        (lambda: SwinBlock(8, 2, 4)(torch.zeros(1, 8, 8, 8, dtype=torch.int64)), "x"),
        (lambda: SwinTransformer(8, 8, (1,), (2,), 4, 4, 10)(torch.zeros(1, 1, 32, 32)), "images"),
    ],
)
def test_wrong_shapes_and_dtypes_are_refused(call, argument):
    with pytest.raises(TypeError, match=argument):
        call()
