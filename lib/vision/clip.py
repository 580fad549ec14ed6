"""Classes named in words: the texts' embeddings as the weights of a linear classifier of images.

Source: Radford et al. 2021, arXiv 2103.00020 (CLIP), section 3.1, and the authors' notebook on
prompts for ImageNet. The loss is `lib.vision.contrastive.clip_loss`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lib.course.shapes import Float, checked
from lib.course.tensors import kind, require_finite_entries


@checked
def zero_shot_weights(
    encode_text: Callable[[list[str]], Tensor], templates: Sequence[str], names: Sequence[str]
) -> Float[Tensor, "classes dim"]:
    """Rows of length one, by which a unit vector of an image is multiplied for the scores of the named classes.

    Each template is a text with one `{}` for the name. `encode_text` maps a list of texts to embeddings (texts, dim) of
    any length; it is called once for each template, without gradients. The embeddings of a class are normalised,
    averaged over the templates, and normalised again.
    """
    for label, texts in (("templates", templates), ("names", names)):
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"{label} must be a list of at least one text, got {texts!r}")
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"templates must hold {{}} once each, got {template!r}")
    with torch.no_grad():
        directions = [_directions(encode_text, [template.replace("{}", name) for name in names]) for template in templates]
        return _unit_rows("the mean over the templates", torch.stack(directions).mean(0))


def _directions(encode_text, texts):
    embeddings = encode_text(texts)
    if not isinstance(embeddings, Tensor) or embeddings.ndim != 2 or len(embeddings) != len(texts):
        raise ValueError(f"encode_text must return a row for each of {len(texts)} texts, got {kind(embeddings)}")
    require_finite_entries("encode_text", embeddings)
    return _unit_rows("encode_text", embeddings)


def _unit_rows(name, rows):
    if not rows.any(1).all():
        raise ValueError(f"{name} must have no row of zeros, got one at {(~rows.any(1)).nonzero()[0].item()}")
    return normalize(rows / rows.abs().amax(1, keepdim=True), dim=1)
