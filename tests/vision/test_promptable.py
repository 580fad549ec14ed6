"""lib.vision.promptable against transformers' SAM, kornia's losses, and plain loops."""

import math

import kornia
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import SamConfig, SamMaskDecoderConfig
from transformers.loss.loss_for_object_detection import dice_loss as peer_dice
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder

from lib.course.meters import parameter_count
from lib.vision.promptable import FourierEncoding, MaskDecoder, dice_loss, focal_loss, mask_iou, min_over_masks

SEEDS = range(12)


def normal(seed, *shape, dtype=torch.float64, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def masks(seed, *shape):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


def decoders(seed, C=32, heads=4, layers=2, extra=3, mlp=64, iou_hidden=16):
    """Transformers' decoder with noise for all weights, and ours with the same."""
    torch.manual_seed(seed)
    config = SamMaskDecoderConfig(
        hidden_size=C, num_attention_heads=heads, num_hidden_layers=layers, num_multimask_outputs=extra, mlp_dim=mlp,
        iou_head_hidden_dim=iou_hidden,
    )  # fmt: skip
    config._attn_implementation = "sdpa"  # the eager one rounds its softmax to float32
    theirs = SamMaskDecoder(config).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours = MaskDecoder(C, heads, layers, extra + 1, mlp, iou_hidden)
    ours.load_state_dict(theirs.state_dict())
    return ours.double(), theirs.double()


@pytest.mark.parametrize(
    "sizes", [{}, {"C": 16, "heads": 2, "layers": 1, "extra": 1}, {"C": 64, "heads": 8, "layers": 3, "mlp": 32}]
)
@pytest.mark.parametrize("prompts", [1, 3])
def test_decoder_is_transformers(sizes, prompts):
    ours, theirs = decoders(prompts, **sizes)
    C = ours.mask_tokens.embedding_dim
    image, pe, sparse, dense = normal(0, 2, C, 6, 5), normal(1, 1, C, 6, 5), normal(2, 2, prompts, C), normal(3, 1, C, 1, 1)
    with torch.no_grad():
        got, iou = ours(image, pe, sparse, dense)
        full = dense.expand(2, C, 6, 5)
        for several, kept in ((True, slice(1, None)), (False, slice(0, 1))):
            want, want_iou = theirs(image, pe.expand(2, -1, -1, -1), sparse[:, None], full, several)
            assert want.abs().max() > 0.1
            torch.testing.assert_close(got[:, kept], want[:, 0], atol=1e-12, rtol=1e-12)
            torch.testing.assert_close(iou[:, kept], want_iou[:, 0], atol=1e-12, rtol=1e-12)


def test_published_decoder_has_the_parameters_of_the_published():
    with torch.device("meta"):
        theirs = SamMaskDecoder(SamMaskDecoderConfig())
        assert parameter_count(MaskDecoder()) == parameter_count(theirs) == 4_058_340


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_prompts_does_not_matter_and_images_do_not_mix(seed):
    torch.manual_seed(seed)
    decoder = MaskDecoder(16, 2, 2, 3, 32, 8).double()
    image, pe, sparse, dense = normal(seed, 3, 16, 4, 6), normal(1, 1, 16, 4, 6), normal(2, 3, 4, 16), normal(3, 1, 16, 4, 6)
    both = decoder(image, pe, sparse, dense)
    shuffled = decoder(image, pe, sparse[:, torch.randperm(4)], dense)
    alone = decoder(image[1:2], pe, sparse[1:2], dense)
    for whole, moved, one in zip(both, shuffled, alone, strict=True):
        torch.testing.assert_close(whole, moved, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(whole[1:2], one, atol=1e-12, rtol=1e-12)


def test_decoder_without_prompts_in_half_precision_and_in_reverse():
    decoder = MaskDecoder(16, 2, 1, 2, 32, 8).bfloat16()
    found, iou = decoder(
        torch.ones(1, 16, 4, 4).bfloat16(), torch.zeros(1, 16, 4, 4).bfloat16(), torch.zeros(1, 0, 16).bfloat16(),
        torch.zeros(1, 16, 1, 1).bfloat16(),
    )  # fmt: skip
    assert found.shape == (1, 2, 16, 16) and iou.shape == (1, 2) and found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert decoder.mask_tokens.weight.grad is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_encoding_is_transformers(seed):
    torch.manual_seed(seed)
    config = SamConfig()
    config.vision_config.num_pos_feats = config.prompt_encoder_config.hidden_size // 2
    theirs = SamPromptEncoder(config).eval()
    ours = FourierEncoding(config.prompt_encoder_config.hidden_size)
    theirs.shared_embedding.positional_embedding.data = ours.frequencies
    for embedding in theirs.point_embed:
        nn.init.zeros_(embedding.weight)
    clicks = torch.randint(1024, (1, 2, 3, 2), generator=torch.Generator().manual_seed(seed)).float()
    with torch.no_grad():
        want = theirs._embed_points(clicks, torch.ones(1, 2, 3), pad=False)
    torch.testing.assert_close(ours((clicks + 0.5) / 1024), want, atol=1e-6, rtol=0)
    x = ours.grid(4, 8)
    torch.testing.assert_close(x[:, 1, 6], ours(torch.tensor([6.5 / 8, 1.5 / 4])))


def test_frequencies_are_normal_and_not_trained():
    torch.manual_seed(0)
    encoding = FourierEncoding(20_000, 3.0)
    assert not list(encoding.parameters()) and abs(encoding.frequencies.std().item() / 3 - 1) < 0.02
    vectors = encoding(torch.tensor([[0.5, 0.5], [0.4, 0.6]], dtype=torch.float16))
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.square().sum(-1), torch.full((2,), 1e4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_is_kornias_and_cross_entropy(seed, gamma):
    z, y = normal(seed, 3, 2, 5, 4, scale=3), masks(seed, 3, 5, 4)
    got = focal_loss(z, y, gamma)
    both = y[:, None].expand_as(z)
    want = kornia.losses.binary_focal_loss_with_logits(z, both, alpha=None, gamma=gamma, reduction="none")
    torch.testing.assert_close(got, want.mean((-2, -1)), atol=1e-10, rtol=1e-10)
    if gamma == 0:
        torch.testing.assert_close(got, binary_cross_entropy_with_logits(z, both, reduction="none").mean((-2, -1)))


@pytest.mark.parametrize("seed", SEEDS)
def test_dice_loss_is_transformers(seed):
    z, y = normal(seed, 3, 2, 5, 4, scale=3), masks(seed, 3, 5, 4)
    want = [peer_dice(z[b, k].view(1, -1), y[b].view(1, -1), 1) for b in range(3) for k in range(2)]
    torch.testing.assert_close(dice_loss(z, y).flatten(), torch.stack(want).flatten(), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_dice_of_sharp_masks_is_two_iou_over_one_and_iou(seed):
    z, y = 60 * normal(seed, 4, 3, 6, 5).sign(), masks(seed, 4, 6, 5)
    y[:, 0, 0], z[..., 0, 1] = 1, 60
    iou = mask_iou(z, y)
    for b in range(4):
        for k in range(3):
            a, t = (z[b, k] > 0).numpy(), (y[b] > 0).numpy()
            assert iou[b, k] == (a & t).sum() / (a | t).sum()
    torch.testing.assert_close(1 - dice_loss(z, y, 0), 2 * iou / (1 + iou), atol=1e-12, rtol=1e-12)


def test_iou_of_two_empty_masks_is_one():
    assert mask_iou(-torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2)).item() == 1


@pytest.mark.parametrize("loss", [focal_loss, dice_loss])
def test_losses_have_derivatives_take_any_target_and_stay_finite(loss):
    z, y = normal(0, 2, 3, 3, 3).requires_grad_(), masks(0, 2, 3, 3)
    torch.autograd.gradcheck(lambda z: loss(z, y), z)
    for kind in (torch.bool, torch.int64, torch.float32):
        if kind != torch.bool:
            torch.testing.assert_close(loss(z, y.to(kind)), loss(z, y))
    huge = (1e4 * normal(1, 2, 3, 3, 3, dtype=torch.float32)).requires_grad_()
    loss(huge, y).sum().backward()
    assert huge.grad.isfinite().all()
    half = normal(2, 2, 3, 3, 3).bfloat16()
    torch.testing.assert_close(loss(half, y), loss(half.float(), y))


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_best_mask_of_each_row_is_trained(seed):
    loss = normal(seed, 7, 4).requires_grad_()
    value = min_over_masks(loss)
    value.backward()
    assert math.isclose(value.item(), np.mean([min(row) for row in loss.tolist()]), rel_tol=1e-12)
    want = torch.zeros(7, 4, dtype=torch.float64)
    want[range(7), loss.argmin(1)] = 1 / 7
    assert torch.equal(loss.grad, want)


ONES = torch.ones(1, 8, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FourierEncoding(7), "C must be even, got 7"),
        (lambda: FourierEncoding(0), "C must be at least 2, got 0"),
        (lambda: FourierEncoding(8, 0.0), "scale must be positive and finite, got 0"),
        (lambda: FourierEncoding(8).grid(0, 4), "h must be at least 1, got 0"),
        (lambda: MaskDecoder(12, 2), "C must be a multiple of 8, got 12"),
        (lambda: MaskDecoder(16, 3), "heads must divide C / 2, got 3 heads for C = 16"),
        (lambda: MaskDecoder(16, 0), "heads must be at least 1, got 0"),
        (lambda: MaskDecoder(16, 2, 0), "layers must be at least 1, got 0"),
        (lambda: MaskDecoder(16, 2, masks=0), "masks must be at least 1, got 0"),
        (lambda: MaskDecoder(16, 2)(ONES, ONES, torch.ones(1, 1, 8), ONES), "image must have C = 16 channels, got 8"),
        (lambda: focal_loss(ONES, torch.ones(1, 2, 2), -1.0), "gamma must be finite and not negative, got -1"),
        (lambda: focal_loss(ONES, torch.full((1, 2, 2), 0.5)), "target must be 0 or 1 everywhere, got .* 0.5 to 0.5"),
        (lambda: focal_loss(ONES, torch.full((1, 2, 2), torch.nan)), "target must be 0 or 1 everywhere"),
        (lambda: focal_loss(torch.inf * ONES, torch.ones(1, 2, 2)), "logits must be finite"),
        (lambda: dice_loss(torch.ones(1, 0, 2, 2), torch.ones(1, 2, 2)), "logits must not be empty"),
        (lambda: dice_loss(ONES, torch.ones(1, 2, 2), -1.0), "smooth must be finite and not negative, got -1"),
        (lambda: dice_loss(-1e4 * ONES, torch.zeros(1, 2, 2), 0.0), "smooth must be positive where mask and target"),
        (lambda: min_over_masks(torch.zeros(2, 0)), r"loss must not be empty, got shape \(2, 0\)"),
        (lambda: min_over_masks(torch.full((2, 1), torch.nan)), "loss must be finite"),
        (lambda: mask_iou(torch.nan * ONES, torch.ones(1, 2, 2)), "logits must be finite"),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: FourierEncoding(8)(torch.zeros(4, 3)), "xy"),
        (lambda: FourierEncoding(8)(torch.zeros(4, 2, dtype=torch.int64)), "xy"),
        (lambda: MaskDecoder(8, 1)(ONES, ONES[0], torch.ones(1, 1, 8), ONES), "pe"),
        (lambda: MaskDecoder(8, 1)(ONES, ONES, torch.ones(1, 1, 4), ONES), "sparse"),
        (lambda: focal_loss(ONES, torch.ones(1, 2, 3)), "target"),
        (lambda: dice_loss(ONES, torch.ones(2, 2, 2)), "target"),
        (lambda: min_over_masks(torch.ones(3)), "loss"),
    ],
)
def test_wrong_shapes_and_dtypes_are_refused(call, argument):
    with pytest.raises(TypeError, match=argument):
        call()
