"""What the chapter on the Performer says of performer-pytorch, and where the two agree."""

import math
from functools import partial

import performer_pytorch.performer_pytorch as performer
import torch
from performer_pytorch.performer_pytorch import (
    FastAttention,
    gaussian_orthogonal_random_matrix,
    linear_attention,
    softmax_kernel,
)

from lib.sequence import linear_attention as ours
from lib.sequence.random_features import gaussian_directions, positive_features

PAGE = "book/attention/performer.ipynb, section In production"
LIBRARY = f"performer-pytorch (1.1.4 on the page): mend the row in {PAGE}"


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def estimate(q, k, v, w, **options):
    features = [softmax_kernel(x, projection_matrix=w, is_query=query, **options) for x, query in ((q, True), (k, False))]
    return linear_attention(*features, v)


def test_directions_are_those_of_a_bare_qr():
    torch.manual_seed(0)
    first = torch.stack([gaussian_orthogonal_random_matrix(3, 3)[0] for _ in range(4000)]).double()
    assert first[:, 0].max() <= 0, LIBRARY
    x, y = torch.tensor([0.5, 0.2, -0.3]).double(), torch.tensor([0.3, -0.4, 0.1]).double()
    features = (first @ (x + y) - (x @ x + y @ y) / 2).exp()
    biased = 2 * torch.special.ndtr(-(x + y)[0]) * (x @ y).exp()
    error = features.std() / math.sqrt(len(features))
    assert (features.mean() - biased).abs() < 5 * error, LIBRARY
    assert (features.mean() - (x @ y).exp()).abs() > 20 * error, LIBRARY


def test_epsilon_turns_long_queries_and_keys_into_the_mean_of_the_values():
    q, k, v = normal(3, 1, 1, 64, 16)
    w = gaussian_directions(64, 16, torch.Generator().manual_seed(1), orthogonal=True)
    mean = v.mean(2, keepdim=True)
    assert (estimate(3 * q, 3 * k, v, w) - mean).abs().max() < 1e-3, LIBRARY
    assert (estimate(3 * q, 3 * k, v, w, eps=0) - mean).abs().max() > 1, LIBRARY


def test_a_later_key_changes_earlier_outputs_through_epsilon():
    q, k, v = normal(3, 1, 1, 64, 16)
    longer = k.clone()
    longer[..., -1, :] *= 6
    torch.manual_seed(0)
    attend = FastAttention(16, nb_features=64, causal=True).double()
    assert (attend(q, longer, v) - attend(q, k, v))[..., :-1, :].abs().max() > 0.1, LIBRARY


def test_eps_0_alone_does_not_keep_a_later_key_from_earlier_outputs(monkeypatch):
    q, k, v = normal(3, 1, 1, 64, 16)
    longer = k.clone()
    longer[..., -1, :] *= 6
    torch.manual_seed(0)
    attend = FastAttention(16, nb_features=64, causal=True).double()
    monkeypatch.setattr(performer, "softmax_kernel", partial(softmax_kernel, eps=0))
    assert (attend(q, longer, v) - attend(q, k, v))[..., :-1, :].abs().max() > 0.1, LIBRARY

    def without_the_other(fq, fk, v):
        sums = torch.einsum("...lm,...le->...lme", fk, v).cumsum(-3)
        return torch.einsum("...lm,...lme->...le", fq, sums) / (fq * fk.cumsum(-2)).sum(-1, keepdim=True)

    attend.causal_linear_fn = without_the_other
    assert (attend(q, longer, v) - attend(q, k, v))[..., :-1, :].abs().max() < 1e-12, LIBRARY


def test_without_epsilon_the_shifts_cancel_and_both_agree():
    q, k, v = normal(3, 2, 3, 40, 16)
    w = gaussian_directions(64, 16, torch.Generator().manual_seed(1), orthogonal=True)
    features = [positive_features(x / 16**0.25, w) for x in (q, k)]
    assert (estimate(q, k, v, w, eps=0) - ours.linear_attention(*features, v)).abs().max() < 1e-13, LIBRARY
