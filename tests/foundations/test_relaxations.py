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
    assert relaxations.gumbel((), generator()).shape == () and relaxations.gumbel((0, 3), generator()).shape == (0, 3)


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_equals_torch_draw_for_draw(hard):
    logits = torch.randn(6, 4, generator=generator(1)).requires_grad_()
    torch.manual_seed(3)
    want = F.gumbel_softmax(logits, tau=0.7, hard=hard)
    got = relaxations.gumbel_softmax(logits, 0.7, generator(3), hard=hard)
    assert torch.equal(got.detach(), want.detach()) if hard else (got - want).abs().max() < 1e-6
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
    want = f1_score(truth.numpy(), (scores > 0).numpy())
    assert want == pytest.approx(binary_f1_score((scores > 0).int(), truth.int()).item())
    assert relaxations.soft_f1((1e6 * scores).sigmoid(), truth).item() == pytest.approx(want, abs=1e-6)


half_and_more = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])


@half_and_more
@pytest.mark.parametrize("seed", [0, 20])
def test_gumbel_noise_is_finite_in_every_precision(dtype, seed):
    noise = relaxations.gumbel((100_000,), generator(seed), dtype)
    assert noise.dtype == dtype and noise.isfinite().all()
    assert stats.kstest(noise.double().numpy()[:2000], stats.gumbel_r.cdf).pvalue > 1e-6


@half_and_more
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("temperature", [5e-324, 1e-39, 1e-8, 1e-5])
def test_the_smallest_temperatures_give_the_winners_vertex(dtype, hard, temperature):
    logits = torch.tensor([[1.0, 2.0, -1.0]] * 50, dtype=dtype, requires_grad=True)
    sample = relaxations.gumbel_softmax(logits, temperature, generator(3), hard=hard)
    noise = relaxations.gumbel((50, 3), generator(3), max(dtype, torch.float32, key=lambda kind: torch.finfo(kind).bits))
    assert sample.dtype == dtype
    assert torch.equal(sample.detach(), F.one_hot((logits + noise).argmax(-1), 3).to(dtype))
    (gradient,) = torch.autograd.grad((sample * torch.arange(3)).sum(), logits)
    assert gradient.isfinite().all()


@half_and_more
def test_the_largest_temperatures_give_equal_parts_and_still_the_right_winner(dtype):
    logits = torch.tensor([[0.0, 0.0, 40.0]] * 20, dtype=dtype)
    for temperature in (1e39, 1e300):
        soft = relaxations.gumbel_softmax(logits, temperature, generator())
        assert torch.equal(soft, torch.full_like(soft, 1 / 3))
        hard = relaxations.gumbel_softmax(logits, temperature, generator(), hard=True)
        assert torch.equal(hard, F.one_hot(torch.full((20,), 2), 3).to(dtype))


def test_a_class_without_a_chance_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, 0.0]])
    for temperature in (1e-39, 1.0):
        assert relaxations.gumbel_softmax(logits, temperature, generator())[0, 0] == 0


@half_and_more
def test_the_density_of_ones_own_samples(dtype):
    logits = torch.tensor([0.3, -0.2, 0.1], dtype=dtype).expand(500, 3)
    sample = relaxations.gumbel_softmax(logits, 2.0, generator(8))
    got = relaxations.concrete_log_density(sample, logits, 2.0)
    want = relaxations.concrete_log_density(sample.double() / sample.double().sum(-1, keepdim=True), logits.double(), 2.0)
    assert got.dtype == dtype and (got - want).abs().max() < 20 * torch.finfo(dtype).eps


def test_the_density_at_the_ends_of_its_temperatures():
    """At the centre of the simplex with equal logits the density is Γ(n) τ^(n-1) n^n / n^n, whatever τ is."""
    for dtype in (torch.float16, torch.float32, torch.float64):
        for temperature in (1e-39, 1e-3, 1e30, 1e300):
            got = relaxations.concrete_log_density(torch.full((4,), 0.25, dtype=dtype), torch.zeros(4, dtype=dtype), temperature)
            want = special.gammaln(4) + 3 * np.log(temperature) - 4 * np.log(4) - 4 * np.log(0.25)
            assert got.item() == pytest.approx(want, rel=2 * torch.finfo(dtype).eps)


@half_and_more
@pytest.mark.parametrize("sharpness", [1e6, 1e39, 1e300, 1.7e308])
def test_the_sharpest_maximum_is_the_maximum(dtype, sharpness):
    x = torch.tensor([[1.0, 2.0], [-2.0, -3.0], [0.0, 1.0]], dtype=dtype, requires_grad=True)
    smooth, index = relaxations.smooth_max(x, sharpness), relaxations.soft_argmax(x, sharpness)
    assert smooth.dtype == index.dtype == dtype
    assert smooth.tolist() == [2, -2, 1] and index.tolist() == [1, 0, 1]
    (gradient,) = torch.autograd.grad(smooth.sum(), x)
    assert np.allclose(gradient.double(), [[0, 1], [1, 0], [0, 1]], rtol=0, atol=1e-15)
    large = torch.tensor([torch.finfo(dtype).max, -torch.finfo(dtype).max], dtype=dtype)
    assert relaxations.smooth_max(large, sharpness) == large[0] and relaxations.soft_argmax(large, sharpness) == 0


def test_small_gaps_count_at_a_large_sharpness():
    x = torch.tensor([0.0, 1e-38])
    assert relaxations.soft_argmax(x, 1e38).item() == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-6)
    assert relaxations.smooth_max(torch.tensor([-torch.inf, 3.0]), 2.0) == 3
    assert relaxations.smooth_max(torch.tensor([-torch.inf, -torch.inf]), 2.0) == -torch.inf
    assert relaxations.smooth_max(torch.tensor([torch.inf, 3.0]), 2.0) == torch.inf


def test_indices_are_counted_in_full_in_half_precision():
    x = torch.zeros(4001, dtype=torch.bfloat16)
    assert relaxations.soft_argmax(x, 1.0) == torch.tensor(2000.0).bfloat16()


@half_and_more
def test_scores_of_many_examples(dtype):
    ones = torch.ones(100_000, dtype=dtype)
    assert relaxations.soft_f1(ones, ones) == 1
    assert relaxations.soft_f1(0.5 * ones, ones).item() == pytest.approx(2 / 3, rel=2 * torch.finfo(dtype).eps)
    tiny = torch.full((4,), torch.finfo(dtype).tiny * torch.finfo(dtype).eps, dtype=dtype)
    assert relaxations.soft_f1(tiny, torch.tensor([1, 0, 0, 0], dtype=dtype)) <= tiny[0] * 2
    logits = torch.tensor([[0.0, 1.0]], dtype=dtype).expand(100_000, 2)
    accuracy = relaxations.soft_accuracy(logits, torch.ones(100_000, dtype=torch.int64))
    assert accuracy.dtype == dtype and accuracy.item() == pytest.approx(special.expit(1), rel=2 * torch.finfo(dtype).eps)


def test_a_refused_sample_draws_nothing():
    source = generator()
    before = source.get_state()
    for logits, temperature in [(torch.zeros(2, 3), np.nan), (torch.zeros(2, 0), 1.0)]:
        with pytest.raises(ValueError):
            relaxations.gumbel_softmax(logits, temperature, source)
    with pytest.raises(TypeError, match="dtype must be a floating-point type, got torch.int64"):
        relaxations.gumbel((3,), source, torch.int64)
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: relaxations.gumbel_softmax(torch.zeros(2, 3), 0.0, generator()), "temperature must be positive"),
        (lambda: relaxations.concrete_log_density(torch.full((1, 2), 0.5), torch.zeros(1, 2), -1.0), "temperature"),
        (lambda: relaxations.concrete_log_density(torch.ones(1, 2), torch.zeros(1, 2), 1.0), "sample must be positive"),
        (lambda: relaxations.gumbel_softmax(torch.zeros(2, 0), 1.0, generator()), "the number of classes of logits must be at least 1"),
        (lambda: relaxations.smooth_max(torch.zeros(3), 0.0), "sharpness must be positive"),
        (lambda: relaxations.smooth_max(torch.zeros(2, 0), 1.0), "the length of x must be at least 1, got 0"),
        (lambda: relaxations.soft_argmax(torch.zeros(0), 1.0), "the length of x must be at least 1, got 0"),
        (lambda: relaxations.soft_accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)), "the number of labels"),
        (lambda: relaxations.soft_f1(torch.zeros(0), torch.zeros(0)), "F1 is undefined"),
        (lambda: relaxations.soft_f1(torch.tensor([np.nan]), torch.ones(1)), "probabilities must lie"),
        (lambda: relaxations.concrete_log_density(torch.tensor([0.0, 1.0]), torch.zeros(2), 1.0), "sample must be positive"),
        (lambda: relaxations.concrete_log_density(torch.zeros(2, 0), torch.zeros(2, 0), 1.0), "the number of classes of sample"),
        (lambda: relaxations.concrete_log_density(torch.tensor([0.4, 0.7]), torch.zeros(2), 1.0), "sum to 1 .*1.1"),
        (lambda: relaxations.soft_accuracy(torch.zeros(2, 3), torch.tensor([0, 3])), "labels must lie in 0 … 2"),
        (lambda: relaxations.soft_f1(torch.tensor([1.5]), torch.ones(1)), "probabilities must lie"),
        (lambda: relaxations.soft_f1(torch.tensor([0.5]), torch.tensor([0.5])), "labels must be 0 or 1"),
        (lambda: relaxations.soft_f1(torch.zeros(2), torch.zeros(2)), "F1 is undefined"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
