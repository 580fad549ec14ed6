import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import special, stats
from sklearn.metrics import f1_score
from torch.distributions import RelaxedBernoulli, RelaxedOneHotCategorical
from torchmetrics.functional.classification import binary_f1_score, multiclass_accuracy

from lib.foundations import relaxations


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_gumbel_noise_has_its_distribution():
    draws = relaxations.gumbel((20_000,), generator(), torch.float64).numpy()
    assert stats.kstest(draws, stats.gumbel_r.cdf).pvalue > 1e-6


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_equals_torch_draw_for_draw(hard):
    logits = torch.randn(6, 4, generator=generator(1)).requires_grad_()
    torch.manual_seed(3)
    want = F.gumbel_softmax(logits, tau=0.7, hard=hard)
    got = relaxations.gumbel_softmax(logits, 0.7, generator(3), hard=hard)
    assert torch.equal(got.detach(), want.detach())
    weights = torch.arange(4.0)
    gradients = [torch.autograd.grad((x @ weights).sum(), logits)[0] for x in (got, want)]
    assert torch.allclose(*gradients, atol=1e-6) and gradients[0].abs().max() > 0.1


def test_concrete_density_equals_torch():
    logits = torch.randn(5, 4, dtype=torch.float64, generator=generator(2))
    sample = relaxations.gumbel_softmax(logits, 0.6, generator(4))
    temperature = torch.tensor(0.6, dtype=torch.float64)
    want = RelaxedOneHotCategorical(temperature, logits=logits).log_prob(sample)
    assert (relaxations.concrete_log_density(sample, logits, 0.6) - want).abs().max() < 1e-12
    pair = torch.tensor([[0.3, 0.7]], dtype=torch.float64)
    binary = RelaxedBernoulli(temperature, logits=torch.tensor(0.4, dtype=torch.float64))
    got = relaxations.concrete_log_density(pair, torch.tensor([[0.4, 0.0]], dtype=torch.float64), 0.6)
    assert got.item() == pytest.approx(binary.log_prob(pair[0, 0]).item(), abs=1e-12)


def test_smooth_maximum_and_argmax_agree_with_scipy():
    x = torch.randn(7, 5, dtype=torch.float64, generator=generator(5))
    assert np.allclose(relaxations.smooth_max(x, 3.0), special.logsumexp(3 * x.numpy(), axis=1) / 3, atol=1e-14)
    weights = special.softmax(3 * x.numpy(), axis=1)
    assert np.allclose(relaxations.soft_argmax(x, 3.0), weights @ np.arange(5), atol=1e-14)
    assert np.allclose(relaxations.soft_argmax(x, 1e6), x.argmax(1))


def test_scores_are_the_hard_ones_in_the_limit():
    logits, labels = torch.randn(50, 3, generator=generator(6)), torch.arange(50) % 3
    hard = multiclass_accuracy(logits, labels, num_classes=3, average="micro")
    assert relaxations.soft_accuracy(1e4 * logits, labels).item() == pytest.approx(hard.item())
    scores, truth = torch.randn(50, generator=generator(7)), (torch.arange(50) % 3 == 0).float()
    want = f1_score(truth, scores > 0)
    assert want == pytest.approx(binary_f1_score((scores > 0).int(), truth.int()).item())
    assert relaxations.soft_f1((1e6 * scores).sigmoid(), truth).item() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: relaxations.gumbel_softmax(torch.zeros(2, 3), 0.0, generator()), "temperature must be positive"),
        (lambda: relaxations.concrete_log_density(torch.full((1, 2), 0.5), torch.zeros(1, 2), -1.0), "temperature"),
        (lambda: relaxations.concrete_log_density(torch.ones(1, 2), torch.zeros(1, 2), 1.0), "sample must be positive"),
        (lambda: relaxations.smooth_max(torch.zeros(3), 0.0), "sharpness must be positive"),
        (lambda: relaxations.soft_accuracy(torch.zeros(2, 3), torch.tensor([0, 3])), "labels must lie in 0 … 2"),
        (lambda: relaxations.soft_f1(torch.tensor([1.5]), torch.ones(1)), "probabilities must lie"),
        (lambda: relaxations.soft_f1(torch.tensor([0.5]), torch.tensor([0.5])), "labels must be 0 or 1"),
        (lambda: relaxations.soft_f1(torch.zeros(2), torch.zeros(2)), "F1 is undefined"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
