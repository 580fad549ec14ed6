"""What the chapter on CLIP says of transformers and pytorch-metric-learning."""

import math

import pytorch_metric_learning
import torch
import transformers
from pytorch_metric_learning.losses import NTXentLoss
from torch.nn.functional import cross_entropy, logsigmoid, normalize
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

PAGE = "book/vision/clip.ipynb, section In production"
HF = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
PML = f"pytorch-metric-learning {pytorch_metric_learning.__version__} (2.9.0 on the page): mend the row in {PAGE}"
SMALL = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
TEXT = SMALL | dict(vocab_size=50, max_position_embeddings=8)
VISION = SMALL | dict(image_size=8, patch_size=4)


def tiny_clip(**text):
    torch.manual_seed(0)
    return CLIPModel(CLIPConfig(text_config=TEXT | text, vision_config=VISION, projection_dim=8)).double().eval()


def batch(n=5):
    """Tokens (n, 6) that begin with 48 and end with two times 49, and images."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, 48, (n, 6), generator=generator)
    tokens[:, 0], tokens[:, 4:] = 48, 49
    return dict(input_ids=tokens, pixel_values=torch.randn(n, 3, 8, 8, generator=generator, dtype=torch.float64))


def test_the_scale_is_not_cut_off_in_the_forward_pass():
    model = tiny_clip(bos_token_id=48, eos_token_id=49)
    before = model(**batch()).logits_per_image / model.logit_scale.exp()
    model.logit_scale.data.fill_(math.log(1000))
    assert torch.allclose(model(**batch()).logits_per_image, 1000 * before), HF
    assert model.config.logit_scale_init_value == 2.6592, HF


def test_with_a_small_vocabulary_the_default_end_token_makes_all_captions_alike():
    model = tiny_clip()
    assert model.config.text_config.eos_token_id == 49407, HF
    out = model(**batch(), return_loss=True)
    assert (out.text_embeds - out.text_embeds[0]).abs().max() == 0 and out.loss >= math.log(5) - 1e-12, HF
    apart = tiny_clip(bos_token_id=48, eos_token_id=49)(**batch()).text_embeds
    assert (apart[1:] - apart[0]).abs().amax(1).min() > 0.01


def test_an_end_token_with_number_two_means_the_highest_number():
    text = tiny_clip(bos_token_id=1, eos_token_id=2).text_model
    tokens = torch.tensor([[1, 30, 5, 2, 2], [1, 5, 7, 30, 2]])
    out = text(input_ids=tokens)
    assert torch.equal(out.pooler_output, out.last_hidden_state[[0, 1], [1, 3]]), HF


def test_the_first_end_token_is_read_and_what_follows_has_no_effect():
    text = tiny_clip(bos_token_id=48, eos_token_id=49).text_model
    tokens = torch.tensor([[48, 5, 49, 7, 49], [48, 5, 49, 9, 11]])
    out = text(input_ids=tokens)
    assert torch.equal(out.pooler_output, out.last_hidden_state[:, 2]), HF
    assert (out.pooler_output[0] - out.pooler_output[1]).abs().max() < 1e-14, HF


def test_a_fresh_siglip_model_starts_at_scale_one_and_bias_zero():
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)).double().eval()
    assert model.logit_scale == 0 and model.logit_bias == 0, HF
    out = model(**batch(8), return_loss=True)
    assert abs(out.loss / (8 * math.log(2)) - 1) < 0.1, HF
    sign = 2 * torch.eye(8) - 1
    assert torch.isclose(out.loss, -logsigmoid(sign * out.logits_per_image).sum() / 8), HF


def test_ntxent_loss_with_references_is_the_row_half():
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    labels = torch.arange(6)
    scores = normalize(images) @ normalize(texts).T / 0.07
    theirs = NTXentLoss(0.07)(images, labels, ref_emb=texts, ref_labels=labels.clone())
    assert torch.isclose(theirs, cross_entropy(scores, labels)), PML
    assert not torch.isclose(theirs, cross_entropy(scores.T, labels)), PML
    swapped = NTXentLoss(0.07)(texts, labels, ref_emb=images, ref_labels=labels.clone())
    assert torch.isclose((theirs + swapped) / 2, (cross_entropy(scores, labels) + cross_entropy(scores.T, labels)) / 2), PML
