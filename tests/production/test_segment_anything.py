"""What the chapter on promptable segmentation says of transformers' SAM and of its losses."""

import pytest
import torch
import transformers
from torch import nn
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig
from transformers.loss.loss_for_object_detection import sigmoid_focal_loss
from transformers.models.sam.image_processing_pil_sam import _compute_stability_score
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder, SamVisionEncoder

from lib.course.meters import matmul_flops, parameter_count
from lib.vision.promptable import FourierEncoding, MaskDecoder, focal_loss

PAGE = "book/vision/segment-anything.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
COST = "mend the section on cost in book/vision/segment-anything.ipynb"


def tiny_model():
    """The published prompts and frequencies, with an encoder of one layer."""
    torch.manual_seed(0)
    vision = SamVisionConfig(num_hidden_layers=1, global_attn_indexes=[0])
    return SamModel(SamConfig(vision_config=vision.to_dict(), mask_decoder_config={"mlp_dim": 16})).eval()


def test_a_fresh_model_has_frequencies_of_384_and_trains_them():
    matrix = tiny_model().shared_image_embedding.positional_embedding
    assert abs(matrix.std().item() / 384 - 1) < 0.2, TRANSFORMERS
    assert isinstance(matrix, nn.Parameter) and matrix.requires_grad, TRANSFORMERS


def test_clicks_a_pixel_apart_are_strangers_in_a_fresh_model():
    encoder = tiny_model().prompt_encoder
    for embedding in encoder.point_embed:
        nn.init.zeros_(embedding.weight)
    clicks = torch.stack([torch.arange(100.0, 400.0), torch.full((300,), 200.0)], -1).view(1, 300, 1, 2)
    vectors = encoder._embed_points(clicks, torch.ones(1, 300, 1), pad=False)[0, :, 0]
    neighbours = nn.functional.cosine_similarity(vectors[:-1], vectors[1:])
    assert neighbours.mean().abs() < 0.25, TRANSFORMERS
    torch.manual_seed(0)
    ours = FourierEncoding(256)((clicks[0, :, 0] + 0.5) / 1024)
    assert nn.functional.cosine_similarity(ours[:-1], ours[1:]).min() > 0.9998


def prompt_encoder():
    torch.manual_seed(0)
    config = SamConfig(prompt_encoder_config=SamPromptEncoderConfig().to_dict())
    return SamPromptEncoder(config).eval()


def test_points_are_moved_by_half_a_pixel_and_a_lone_one_gets_a_companion():
    encoder = prompt_encoder()
    points, labels, box = torch.tensor([[[[10.0, 20.0]]]]), torch.ones(1, 1, 1), torch.tensor([[[1.0, 2.0, 30.0, 40.0]]])
    sparse, _ = encoder(points, labels, None, None)
    assert sparse.shape[2] == 2, TRANSFORMERS
    assert torch.equal(sparse[0, 0, 1], encoder.not_a_point_embed.weight[0]), TRANSFORMERS
    with_box, _ = encoder(points, labels, box, None)
    assert with_box.shape[2] == 3, TRANSFORMERS
    want = encoder.shared_embedding(points + 0.5, (1024, 1024))[0, 0, 0] + encoder.point_embed[1].weight[0]
    torch.testing.assert_close(sparse[0, 0, 0], want, msg=TRANSFORMERS)
    corners = encoder.shared_embedding(box.view(1, 1, 2, 2) + 0.5, (1024, 1024))[0, 0]
    corners = corners + torch.cat([encoder.point_embed[n].weight for n in (2, 3)])
    torch.testing.assert_close(with_box[0, 0, 1:], corners, msg=TRANSFORMERS)


def decoders(implementation):
    torch.manual_seed(0)
    config = SamMaskDecoderConfig(hidden_size=32, mlp_dim=64, num_attention_heads=4, iou_head_hidden_dim=16)
    config._attn_implementation = implementation
    theirs = SamMaskDecoder(config).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours = MaskDecoder(32, 4, 2, 4, 64, 16)
    ours.load_state_dict(theirs.state_dict())
    x, pe, prompts = torch.randn(1, 32, 6, 5).double(), torch.randn(1, 32, 6, 5).double(), torch.randn(1, 2, 32).double()
    dense = torch.zeros(1, 32, 6, 5).double()
    with torch.no_grad():
        mine, _ = ours.double()(x, pe, prompts, dense)
        found = {several: theirs.double()(x, pe, prompts[:, None], dense, several)[0][:, 0] for several in (True, False)}
    return mine, found


def test_several_masks_are_the_last_three_and_one_is_the_first():
    mine, found = decoders("sdpa")
    torch.testing.assert_close(found[True], mine[:, 1:], atol=1e-12, rtol=1e-12, msg=TRANSFORMERS)
    torch.testing.assert_close(found[False], mine[:, :1], atol=1e-12, rtol=1e-12, msg=TRANSFORMERS)


def test_eager_attention_rounds_its_weights_to_float32():
    mine, found = decoders("eager")
    off = (found[True] - mine[:, 1:]).abs().max().item()
    assert 1e-10 < off < 1e-6, TRANSFORMERS


def test_the_stability_of_an_empty_mask_is_not_a_number():
    score = _compute_stability_score(torch.full((1, 4, 4), -9.0), 0.0, 1)
    assert score.isnan().all() and not (score > 0.95).any(), TRANSFORMERS


def test_focal_loss_weighs_pixels_of_the_mask_by_a_quarter():
    z, m = torch.randn(1, 1, 4, 6), (torch.rand(1, 4, 6) < 0.4).float()
    theirs = {alpha: sigmoid_focal_loss(z.view(1, -1), m.view(1, -1), 1, alpha=alpha) for alpha in (0.25, -1)}
    torch.testing.assert_close(theirs[-1], focal_loss(z, m)[0, 0], msg=TRANSFORMERS)
    default = sigmoid_focal_loss(z.view(1, -1), m.view(1, -1), 1)
    assert torch.equal(default, theirs[0.25]), TRANSFORMERS
    inside = sigmoid_focal_loss(z.view(1, -1), torch.ones(1, 24), 1)
    torch.testing.assert_close(inside, focal_loss(z, torch.ones(1, 4, 6))[0, 0] / 4, msg=TRANSFORMERS)
    outside = sigmoid_focal_loss(z.view(1, -1), torch.zeros(1, 24), 1)
    torch.testing.assert_close(outside, focal_loss(z, torch.zeros(1, 4, 6))[0, 0] * 3 / 4, msg=TRANSFORMERS)


@pytest.mark.filterwarnings("ignore")
def test_the_published_encoder_costs_what_the_page_says():
    config = SamVisionConfig(hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, global_attn_indexes=[7, 15, 23, 31])
    with torch.device("meta"):
        encoder, decoder = SamVisionEncoder(config), MaskDecoder()
        E = matmul_flops(lambda image: encoder(image).last_hidden_state, torch.zeros(1, 3, 1024, 1024)) // 2
        cells = torch.zeros(1, 256, 64, 64)
        D = matmul_flops(decoder, cells, cells, torch.zeros(1, 2, 256), torch.zeros(1, 256, 1, 1)) // 2
    assert round(parameter_count(encoder) / 1e6) == 637, COST
    assert round(E / 1e10) == 298 and round(D / 1e7) == 181 and round(E / D / 10) == 165, COST
