"""The bounds on tables whose information is known, InfoNCE against pytorch-metric-learning, NCE and JSD by hand."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss
from sklearn.feature_selection import mutual_info_regression
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from lib.vision.contrastive import donsker_varadhan, info_nce, jsd, nce, nwj, similarity

BOUNDS = [donsker_varadhan, nwj, jsd]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def table(seed):
    """A joint law (20,), the product of its marginals, and the mutual information."""
    p = (1.5 * normal(5, 4, seed=seed)).flatten().softmax(0).reshape(5, 4)
    q = p.sum(1, keepdim=True) * p.sum(0)
    return p.flatten(), q.flatten(), (p * (p / q).log()).sum()


def jensen_shannon(p, q):
    m = (p + q) / 2
    return ((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2


@pytest.mark.parametrize("seed", range(5))
def test_bounds_are_reached_at_their_optimum_and_nowhere_passed(seed):
    p, q, information = table(seed)
    best = (p / q).log()
    limits = {donsker_varadhan: information, nwj: information, jsd: 2 * jensen_shannon(p, q) - 2 * math.log(2)}
    for bound, shift in ((donsker_varadhan, -7.0), (donsker_varadhan, 0.0), (nwj, 1.0), (jsd, 0.0)):
        f = (best + shift).requires_grad_()
        value = bound(f, f, (p, q))
        (gradient,) = torch.autograd.grad(value, f)
        assert abs(value - limits[bound]) < 1e-13 and gradient.abs().max() < 1e-15
    for trial in range(200):
        f = best + normal(20, seed=1000 * seed + trial) * 10 ** (trial % 4 - 2)
        assert all(bound(f, f, (p, q)) <= limits[bound] + 1e-12 for bound in BOUNDS)


def test_without_weights_every_entry_weighs_the_same():
    joint, marginal = normal(7), normal(9, seed=1)
    weights = (torch.full((7,), 1 / 7, dtype=torch.float64), torch.full((9,), 1 / 9, dtype=torch.float64))
    for bound in BOUNDS:
        assert abs(bound(joint, marginal) - bound(joint, marginal, weights)) < 1e-14
        assert abs(bound(joint, marginal) - bound(joint.flip(0), marginal.roll(2))) < 1e-14
    assert abs(donsker_varadhan(joint, marginal) - (joint.mean() - marginal.exp().mean().log())) < 1e-14
    assert abs(nwj(joint, marginal) - (joint.mean() - (marginal - 1).exp().mean())) < 1e-14
    assert abs(nce(joint, marginal, 3.0, weights) - nce(joint, marginal, 3)) < 1e-14


def test_jsd_is_binary_cross_entropy_and_nce_with_one_draw():
    joint, marginal = normal(7), normal(9, seed=1)
    as_classes = -binary_cross_entropy_with_logits(joint, torch.ones_like(joint))
    as_classes -= binary_cross_entropy_with_logits(marginal, torch.zeros_like(marginal))
    assert abs(jsd(joint, marginal) - as_classes) < 1e-14 and jsd(joint, marginal) == nce(joint, marginal, 1)


@pytest.mark.parametrize("noise", [0.5, 1, 5, 40])
def test_nce_counts_noise_and_is_best_at_the_normalised_law(noise):
    p, q, _ = table(3)
    joint, marginal = normal(6), normal(4, seed=1)
    by_hand = torch.log(joint.exp() / (joint.exp() + noise)).mean() + noise * torch.log(noise / (marginal.exp() + noise)).mean()
    assert abs(nce(joint, marginal, noise) - by_hand) < 1e-12
    s = p.log().requires_grad_()
    (at_best,) = torch.autograd.grad(nce(s - q.log(), s - q.log(), noise, (p, q)), s)
    (shifted,) = torch.autograd.grad(nce(s + 0.5 - q.log(), s + 0.5 - q.log(), noise, (p, q)), s)
    assert at_best.abs().max() < 1e-14 and shifted.abs().max() > 1e-3


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_info_nce_is_ntxent_loss(temperature):
    a, b, labels = normal(9, 5), normal(9, 5, seed=1), torch.arange(9)
    scores = similarity(a, b, temperature)
    theirs = NTXentLoss(temperature)(a, labels, ref_emb=b, ref_labels=labels.clone())
    assert abs(info_nce(scores, labels) - theirs) < 1e-13
    both = torch.cat([a, b])  # SimCLR: the other view among all others
    scores = similarity(both, both, temperature)[~torch.eye(18, dtype=torch.bool)].reshape(18, 17)
    partner = torch.cat([torch.arange(9) + 8, torch.arange(9)])
    assert abs(info_nce(scores, partner) - NTXentLoss(temperature)(both, labels.repeat(2))) < 1e-13


def test_info_nce_at_any_position_and_size():
    scores, positions = normal(6, 3), torch.tensor([0, 2, 1, 1, 0, 2])
    by_hand = -torch.stack([scores[i].softmax(0)[j].log() for i, j in enumerate(positions)]).mean()
    assert abs(info_nce(scores, positions) - by_hand) < 1e-14
    assert abs(info_nce(scores + normal(6, 1), positions) - by_hand) < 1e-14  # a number for each row changes nothing
    assert info_nce(normal(5, 1), torch.zeros(5, dtype=torch.int64)) == 0
    assert info_nce(1e30 * torch.eye(4), torch.arange(4)) == 0
    assert info_nce(torch.zeros(4, 8), torch.arange(4)).item() == pytest.approx(math.log(8))


def test_gaussian_information_is_what_a_neighbour_estimate_finds():
    rho, n = 0.9, 4000
    x = normal(n)
    y = rho * x + math.sqrt(1 - rho**2) * normal(n, seed=1)
    shuffled = y.roll(1)

    def best(x, y):
        return -math.log(1 - rho**2) / 2 - (rho**2 * x**2 - 2 * rho * x * y + rho**2 * y**2) / (2 * (1 - rho**2))

    known = -math.log(1 - rho**2) / 2
    found = mutual_info_regression(x[:, None].numpy(), y.numpy(), random_state=0)[0]
    assert abs(found - known) < 0.06
    assert abs(donsker_varadhan(best(x, y), best(x, shuffled)) - known) < 0.1
    assert abs(nwj(best(x, y) + 1, best(x, shuffled) + 1) - known) < 0.2


def test_halves_are_computed_in_float32_and_large_scores_do_not_overflow():
    half = normal(6, dtype=torch.float32).half()
    for bound in BOUNDS:
        assert bound(half, half).dtype == torch.float32 and bound(half, half) == bound(half.float(), half.float())
    assert info_nce(half.reshape(2, 3), torch.tensor([0, 1])).dtype == torch.float32
    assert similarity(half.reshape(2, 3), half.reshape(2, 3)).dtype == torch.float32
    large = torch.tensor([1e4, -1e4])
    assert donsker_varadhan(large, large) == pytest.approx(-1e4 + math.log(2))
    assert jsd(large, large).item() == pytest.approx(-1e4)
    assert donsker_varadhan(half.double(), half).dtype == torch.float64


def test_similarity_is_the_cosine_at_every_length():
    a, b = normal(4, 3), normal(4, 3, seed=1)
    want = normalize(a) @ normalize(b).T
    for scale in (1e-200, 1.0, 1e200):
        assert (similarity(scale * a, b / scale) - want).abs().max() < 1e-14
    assert (similarity(a, b, 0.1) - 10 * want).abs().max() < 1e-13
    assert torch.equal(similarity(7 * torch.eye(3), torch.eye(3)), torch.eye(3))  # entries may be zero, rows may not


def test_weights_with_zeros_leave_pairs_out():
    p, q = torch.tensor([0.5, 0.0, 0.5]), torch.tensor([0.0, 0.25, 0.75])
    f = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert donsker_varadhan(f, f, (p, q)).item() == pytest.approx(2 - math.log(0.25 * math.e**2 + 0.75 * math.e**3))
    for bound in BOUNDS:
        (gradient,) = torch.autograd.grad(bound(f, f, (p, q)), f)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_refuse_bad_input(bound):
    f, law = torch.zeros(3), torch.full((3,), 1 / 3)
    with pytest.raises(ValueError, match="joint must hold at least one number"):
        bound(torch.zeros(0), f)
    with pytest.raises(ValueError, match="marginal must be finite"):
        bound(f, torch.tensor([0.0, math.nan]))
    with pytest.raises(ValueError, match="weights of marginal must not be negative and sum to one"):
        bound(f, f, (law, 2 * law))
    with pytest.raises(TypeError):
        bound(f, f, (law, law[:2]))
    with pytest.raises(TypeError, match="joint"):
        bound(torch.zeros(3, 1), f)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="overflows"):
        nwj(torch.zeros(2), torch.tensor([0.0, 1000.0]))
    with pytest.raises(ValueError, match="noise must be positive and finite, got 0"):
        nce(torch.zeros(2), torch.zeros(2), 0)
    with pytest.raises(ValueError, match=r"noise must lie in \(0, 3.4"):
        nce(torch.zeros(2), torch.zeros(2), 1e300)
    with pytest.raises(ValueError, match="one row for each pair, got 4 and 5 rows"):
        similarity(torch.ones(4, 3), torch.ones(5, 3))
    with pytest.raises(TypeError):
        similarity(torch.ones(4, 3), torch.ones(4, 2))
    with pytest.raises(ValueError, match="second must have no row of zeros, got one at 1"):
        similarity(torch.ones(2, 3), torch.tensor([[1.0, 0, 0], [0, 0, 0]]))
    with pytest.raises(ValueError, match="temperature must be positive and finite, got 0"):
        similarity(torch.ones(2, 3), torch.ones(2, 3), 0.0)
    with pytest.raises(ValueError, match="positions must lie in 0 … 2, got 0 … 3"):
        info_nce(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="positions must lie in 0 … 2, got -1 … 1"):
        info_nce(torch.zeros(2, 3), torch.tensor([-1, 1]))
    with pytest.raises(ValueError, match="scores must not be empty"):
        info_nce(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="scores must be finite"):
        info_nce(torch.tensor([[0.0, math.inf]]), torch.tensor([0]))
    with pytest.raises(TypeError, match="positions"):
        info_nce(torch.zeros(2, 3), torch.tensor([0, 1, 2]))
