"""The loss and the scores of CLIP against transformers, and classifiers made of texts by hand."""

import math

import pytest
import torch
from torch.nn.functional import linear, normalize
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from lib.vision.clip import zero_shot_weights
from lib.vision.contrastive import clip_loss, info_nce, similarity


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tiny_clip():
    torch.manual_seed(0)
    common = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    text = common | dict(vocab_size=50, max_position_embeddings=8, bos_token_id=48, eos_token_id=49)
    config = CLIPConfig(text_config=text, vision_config=common | dict(image_size=8, patch_size=4), projection_dim=8)
    return CLIPModel(config).double().eval()


@pytest.mark.parametrize("n", [1, 2, 7])
def test_loss_is_that_of_transformers_at_every_size(n):
    for seed in range(20):
        scores = 10 ** (seed % 4 - 1) * normal(n, n, seed=seed)
        assert abs(clip_loss(scores) - image_text_contrastive_loss(scores)) < 1e-13


def test_scores_and_loss_of_a_tiny_clip_model():
    model, generator = tiny_clip(), torch.Generator().manual_seed(1)
    tokens = torch.randint(48, (5, 6), generator=generator)
    tokens[:, 0], tokens[:, 4:] = 48, 49
    out = model(input_ids=tokens, pixel_values=normal(5, 3, 8, 8), return_loss=True)
    scores = similarity(out.image_embeds, out.text_embeds, math.exp(-model.logit_scale.item()))
    assert (scores - out.logits_per_image).abs().max() < 1e-12 and abs(clip_loss(scores) - out.loss) < 1e-12
    assert (out.logits_per_text - out.logits_per_image.T).abs().max() < 1e-14


def test_loss_is_symmetric_its_gradient_pulls_the_diagonal_and_constants_give_log_n():
    scores = normal(6, 6).requires_grad_()
    assert abs(clip_loss(scores) - clip_loss(scores.T)) < 1e-14
    assert abs(clip_loss(scores + 7) - clip_loss(scores)) < 1e-13
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert abs(clip_loss(scores[order][:, order]) - clip_loss(scores)) < 1e-14
    (gradient,) = torch.autograd.grad(clip_loss(scores), scores)
    both = scores.softmax(1) + scores.softmax(0) - 2 * torch.eye(6)
    assert (gradient - both / 12).abs().max() < 1e-15
    for n in (1, 2, 100):
        assert abs(clip_loss(torch.full((n, n), 3.0, dtype=torch.float64)) - math.log(n)) < 1e-13
    rows_alone = info_nce(scores + normal(6, 1), torch.arange(6))
    assert abs(rows_alone - info_nce(scores, torch.arange(6))) < 1e-13
    assert abs(clip_loss(scores + normal(6, 1)) - clip_loss(scores)) > 1e-3


@pytest.mark.parametrize("seed", range(10))
def test_the_same_caption_m_times_has_the_floor_log_m(seed):
    groups = torch.randint(4, (9,), generator=torch.Generator().manual_seed(seed))
    floor = torch.bincount(groups, minlength=4)[groups].double().log().mean()
    assert clip_loss(10 ** (seed % 3) * normal(9, 4, seed=seed)[:, groups]) >= floor - 1e-12
    assert abs(clip_loss(100 * (groups[:, None] == groups).double()) - floor) < 1e-12


def test_halves_are_computed_in_float32():
    half = normal(4, 4).half()
    assert clip_loss(half).dtype == torch.float32 and clip_loss(half) == clip_loss(half.float())


def test_loss_refuses_bad_scores():
    with pytest.raises(TypeError, match="scores"):
        clip_loss(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="scores must not be empty"):
        clip_loss(torch.zeros(0, 0))
    with pytest.raises(ValueError, match="scores must be finite"):
        clip_loss(torch.tensor([[0.0, math.nan], [0.0, 0.0]]))
    with pytest.raises(TypeError, match="scores"):
        clip_loss(torch.zeros(3, 3, dtype=torch.int64))


TEMPLATES, NAMES = ["{}", "a {}", "one {} more"], ["cat", "dog", "{} and 1", "cow"]


def encoder(scale=1.0, calls=None):
    """Texts to random rows, the same for the same text."""

    def encode(texts):
        if calls is not None:
            calls.append(list(texts))
        return torch.cat([scale * normal(1, 5, seed=sum(map(ord, text))) for text in texts])

    return encode


def test_weights_are_normalised_averaged_and_normalised():
    calls = []
    weights = zero_shot_weights(encoder(calls=calls), TEMPLATES, NAMES)
    assert calls == [[template.replace("{}", name) for name in NAMES] for template in TEMPLATES]
    for row, name in zip(weights, NAMES):
        mean = sum(normalize(encoder()([template.replace("{}", name)])[0], dim=0) for template in TEMPLATES)
        assert (row - mean / mean.norm()).abs().max() < 1e-14
    assert (weights.norm(dim=1) - 1).abs().max() < 1e-14 and not weights.requires_grad
    one = zero_shot_weights(encoder(), ["a {}"], NAMES)
    assert (one - normalize(encoder()([f"a {name}" for name in NAMES]))).abs().max() < 1e-14


def test_the_length_of_embeddings_does_not_count():
    for scale in (1e-200, 1e200):
        near = zero_shot_weights(encoder(scale), TEMPLATES, NAMES) - zero_shot_weights(encoder(), TEMPLATES, NAMES)
        assert near.abs().max() < 1e-14


def test_embeddings_may_have_entries_that_are_zero():
    weights = zero_shot_weights(lambda texts: torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, -2.0]]), ["{}"], ["ax", "be"])
    torch.testing.assert_close(weights, torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, -1.0]]))


def test_scores_of_named_classes_are_a_linear_layer():
    model = tiny_clip()

    def encode(texts):
        tokens = torch.tensor([[48, *(ord(letter) % 48 for letter in text[:6]), 49] for text in texts])
        return model.get_text_features(input_ids=tokens).pooler_output

    pixels = normal(5, 3, 8, 8)
    weights = zero_shot_weights(encode, ["the {}"], ["ax", "be", "co"])
    tokens = torch.tensor([[48, *(ord(letter) % 48 for letter in f"the {name}"), 49] for name in ("ax", "be", "co")])
    out = model(input_ids=tokens, pixel_values=pixels)
    scores = model.logit_scale.exp() * linear(out.image_embeds, weights)
    assert (scores - out.logits_per_image).abs().max() < 1e-12


def test_weights_refuse_bad_input():
    for templates, names, message in (
        ([], NAMES, "templates must be a list of at least one text"),
        ("a {}", NAMES, "templates must be a list of at least one text, got 'a {}'"),
        (TEMPLATES, [], "names must be a list"),
        (["a {} {}"], NAMES, "templates must hold {} once each, got 'a {} {}'"),
        (["a cat"], NAMES, "templates must hold {} once each, got 'a cat'"),
    ):
        with pytest.raises(ValueError, match=message):
            zero_shot_weights(encoder(), templates, names)
    for encode, message in (
        (lambda texts: torch.ones(2, 3), r"encode_text must return a row for each of 4 texts, got \(2, 3\)"),
        (lambda texts: torch.ones(4), r"got \(4,\)"),
        (lambda texts: None, "got NoneType"),
        (lambda texts: torch.full((4, 2), math.nan), "encode_text must be finite"),
        (lambda texts: torch.zeros(4, 2), "encode_text must have no row of zeros, got one at 0"),
        (lambda texts: torch.tensor([[1.0], [1.0], [0.0], [1.0]]), "encode_text must have no row of zeros, got one at 2"),
    ):
        with pytest.raises(ValueError, match=message):
            zero_shot_weights(encode, TEMPLATES, NAMES)
    signs = iter((1.0, -1.0))
    with pytest.raises(ValueError, match="the mean over the templates must have no row of zeros"):
        zero_shot_weights(lambda texts: torch.full((4, 2), next(signs)), ["{}", "a {}"], NAMES)
