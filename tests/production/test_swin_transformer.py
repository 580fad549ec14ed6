"""What the chapter on shifted windows says of transformers' Swin and of torch."""

import pytest
import torch
import transformers
from torch import nn
from torch.nn.functional import pixel_unshuffle
from transformers import SwinConfig, SwinModel
from transformers.models.swin.modeling_swin import SwinLayer, SwinPatchMerging

PAGE = "book/vision/swin-transformer.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
TINY = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}


def random_model(**changes):
    torch.manual_seed(0)
    model = SwinModel(SwinConfig(**TINY | changes)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def output(model, pixels):
    image = torch.randn(1, 3, pixels, pixels, generator=torch.Generator().manual_seed(pixels))
    with torch.no_grad():
        return model(image).last_hidden_state


def test_a_small_image_switches_the_shift_off_for_later_ones():
    model = random_model()
    first, second = output(model, 32), output(model, 32)
    assert torch.equal(first, second)
    output(model, 16)
    assert (output(model, 32) - first).norm() > 1e-3 * first.norm(), TRANSFORMERS
    assert model.encoder.layers[1].blocks[1].shift_size == 0, TRANSFORMERS


@pytest.mark.parametrize(("pixels", "works"), [(30, 0), (64, 0), (112, 0), (192, 0), (196, 1), (224, 1), (240, 1)])
def test_which_sizes_of_images_the_published_shape_takes(pixels, works):
    """Windows of 7 in four stages after patches of 4, as in Swin-T, only thinner."""
    model = random_model(image_size=224, patch_size=4, depths=[2] * 4, num_heads=[2] * 4, window_size=7)
    if works:
        assert output(model, pixels).shape[2] == 128, TRANSFORMERS
        return
    with pytest.raises(RuntimeError, match="must match"):
        output(model, pixels)
    with pytest.raises(RuntimeError, match="must match"):
        output(model, 224)  # the layer has kept the small window


def test_forbidden_scores_get_100_less():
    layer = SwinLayer(SwinConfig(**TINY), 16, (8, 8), 2, shift_size=2).eval()
    mask = layer.get_attn_mask(8, 8, torch.float32, torch.device("cpu"))
    assert mask.unique().tolist() == [-100, 0] and mask[3, 0, 15] == -100, TRANSFORMERS
    attention = layer.attention
    attention.config._attn_implementation = "sdpa"
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        for layer in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
            nn.init.eye_(layer.weight)
    for size, low, high in ((1, 0, 1e-30), (90, 0, 1e-3), (150, 0.99, 1)):
        x = torch.zeros(4, 16, 16)  # in the last window, token 0 looks for what the opposite corner has
        x[3, 0, 0], x[3, 15, 0] = 0.01, size / 0.01 * 8**0.5  # their score is `size`, and others are next to 0
        x[3, 15, 1] = 1
        with torch.no_grad():
            heard = attention(x, mask)[0][3, 0, 1].item()
        assert low <= heard <= high, TRANSFORMERS


def test_padded_tokens_are_seen():
    layer = SwinLayer(SwinConfig(**TINY), 16, (5, 5), 2).eval()
    with torch.no_grad():
        for parameter in [*layer.attention.parameters(), *layer.mlp.parameters()]:
            parameter.zero_()
        nn.init.eye_(layer.attention.v_proj.weight), nn.init.eye_(layer.attention.o_proj.weight)
        x = torch.randn(1, 25, 16)
        got = layer(x, (5, 5))[0][0, 24] - x[0, 24]
    torch.testing.assert_close(got, layer.layernorm_before(x)[0, 24].detach() / 16, msg=TRANSFORMERS)  # 1 of 16, all alike


def test_a_fresh_model_does_not_use_its_bias_table():
    fresh = SwinModel(SwinConfig(**TINY)).eval()
    zero = ("relative_position_bias_table", "q_proj.bias", "k_proj.bias", "v_proj.bias", "fc1.bias")
    assert all(not p.any() for name, p in fresh.named_parameters() if name.endswith(zero)), TRANSFORMERS
    for model, same in ((fresh, True), (random_model(), False)):
        before = output(model, 32)
        for name, buffer in model.named_buffers():
            if name.endswith("relative_position_index"):
                buffer.copy_(buffer.flip(0))
        assert torch.equal(output(model, 32), before) == same, TRANSFORMERS


def test_orders_of_the_four_neighbours():
    places = torch.tensor([[0.0, 1.0], [10.0, 11.0]])  # ten times the row, and the column
    merge = SwinPatchMerging(1)
    merge.norm, merge.reduction = nn.Identity(), nn.Identity()
    assert merge(places.view(1, 4, 1), (2, 2)).flatten().tolist() == [0, 10, 1, 11], TRANSFORMERS
    assert pixel_unshuffle(places[None, None], 2).flatten().tolist() == [0, 1, 10, 11], TORCH
