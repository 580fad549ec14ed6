"""What torch's random choices do where the chapter on reparameterization departs from them: one test for each row."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import OneHotCategoricalStraightThrough, RelaxedOneHotCategorical

VERSION = "2.13.0"
CHANGE = f"torch is {torch.__version__}, the page says {VERSION}: change 'In production' of reparameterization-gumbel, the row on "


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_a_normal_draw_has_no_gradient_for_its_mean_and_says_nothing():
    mu = torch.tensor(1.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(torch.normal(mu.expand(1000), 0.5).square().mean(), mu)
    assert gradient == 0, CHANGE + "torch.normal"
    (gradient,) = torch.autograd.grad(torch.distributions.Normal(mu, 0.5).rsample((1000,)).square().mean(), mu)
    assert gradient == pytest.approx(2, abs=0.2), CHANGE + "torch.normal"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_hard_draws_are_exactly_zero_and_one(dtype):
    hard = F.gumbel_softmax(torch.randn(100_000, 10, dtype=dtype), hard=True)
    assert hard.unique().tolist() == [0, 1], CHANGE + "F.gumbel_softmax(hard=True)"


def test_a_relaxed_choice_in_single_precision_has_draws_without_a_density():
    logits, tau = torch.randn(20, 1, 100), torch.tensor(0.1)
    law = RelaxedOneHotCategorical(tau, logits=logits, validate_args=False)
    draws = law.sample((1000,))
    lost = law.log_prob(draws).isnan()
    row = CHANGE + "RelaxedOneHotCategorical in float32"
    assert lost.float().mean() > 0.05 and torch.equal(lost, (draws == 0).any(-1)), row
    judge = RelaxedOneHotCategorical(tau, logits=logits[0], validate_args=True)  # torch.compile switches the default off
    with pytest.raises(ValueError, match="Simplex"):
        judge.log_prob(torch.full((100,), 0.0101))
    zero = torch.tensor([0.0] * 99 + [1.0])
    assert judge.log_prob(zero).isnan().all(), row
    wide = RelaxedOneHotCategorical(tau.double(), logits=logits.double())
    assert wide.log_prob(wide.sample((1000,))).isfinite().all(), row


def test_the_noise_of_a_relaxed_choice_is_cut_off(monkeypatch):
    law = RelaxedOneHotCategorical(torch.tensor(1.0), logits=torch.zeros(2))
    monkeypatch.setattr(torch, "rand", lambda shape, **options: torch.tensor([0.0, 1.0]))
    low, high = law.rsample().log()
    row = CHANGE + "RelaxedOneHotCategorical.rsample"
    assert (high - low).item() == pytest.approx(15.94 + 2.77, abs=0.05), row


def test_straight_through_choices_pass_on_the_gradient_of_the_probabilities():
    logits, weights = torch.randn(6, 4, requires_grad=True), torch.arange(4.0)
    drawn = OneHotCategoricalStraightThrough(logits=logits).rsample()
    gradients = [torch.autograd.grad((y @ weights).sum(), logits)[0] for y in (drawn, logits.softmax(-1))]
    assert torch.allclose(*gradients, atol=1e-6), CHANGE + "OneHotCategoricalStraightThrough"


def test_compiling_any_function_switches_off_the_checks_of_all_distributions():
    script = """
import torch
from torch.distributions import Exponential
refused = 0
for checked in (None, True):
    try:
        Exponential(torch.tensor(1.0), validate_args=checked).log_prob(torch.tensor(-5.0))
    except ValueError:
        refused += 1
torch.compile(abs)
print(refused, Exponential(torch.tensor(1.0)).log_prob(torch.tensor(-5.0)).item())
try:
    Exponential(torch.tensor(1.0), validate_args=True).log_prob(torch.tensor(-5.0))
except ValueError:
    print("refused")
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["2", "5.0", "refused"], CHANGE + "torch.compile"
