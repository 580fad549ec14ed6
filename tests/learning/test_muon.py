import copy
import math

import pytest
import torch

from lib.course.training import fit
from lib.learning.adam import adam_state, adam_step
from lib.learning.muon import Muon, muon_state, muon_step, newton_schulz

SHAPES = [(1, 1), (1, 7), (5, 1), (4, 4), (16, 64), (64, 16), (33, 32)]


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def quintic(s, steps=5):
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", [1, 5, 8])
def test_singular_vectors_are_kept_and_singular_values_go_through_the_quintic(shape, steps):
    matrix = draw(*shape, seed=sum(shape))
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    want = u @ torch.diag(quintic(s / s.norm(), steps)) @ vt
    assert (newton_schulz(matrix, steps) - want).abs().max() < 1e-12


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("least, low, high", [(0.0015, 0.68, 1.21), (0.008, 0.68, 1.14)])
def test_five_steps_bring_all_but_the_smallest_near_one(dtype, tolerance, least, low, high):
    s = torch.logspace(0, math.log10(2 * least), 20, dtype=torch.float64)  # its norm is below 2
    u, v = (torch.linalg.qr(draw(20, 20, seed=seed))[0] for seed in (1, 2))
    got = torch.linalg.svdvals(newton_schulz((u * s @ v.mT).to(dtype)).double())
    assert low < got.min() + tolerance and got.max() - tolerance < high


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e12])
def test_the_scale_of_the_matrix_does_not_matter(factor):
    matrix = draw(6, 9)
    assert (newton_schulz(factor * matrix) - newton_schulz(matrix)).abs().max() < 1e-12


def test_batches_transposes_zeros_and_dtypes():
    batch = draw(3, 2, 8, 5)
    assert (newton_schulz(batch)[1, 1] - newton_schulz(batch[1, 1])).abs().max() < 1e-13
    assert (newton_schulz(batch.mT) - newton_schulz(batch).mT).abs().max() < 1e-13
    assert torch.equal(newton_schulz(torch.zeros(3, 4)), torch.zeros(3, 4))
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        got = newton_schulz(batch.to(dtype))
        assert got.dtype == dtype and (got.double() - newton_schulz(batch)).norm() / newton_schulz(batch).norm() < 0.06


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nesterov", [True, False])
def test_thirty_steps_equal_torchs_with_our_newton_schulz(shape, nesterov, monkeypatch):
    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", lambda g, coefficients, steps, eps: newton_schulz(g))
    q = torch.nn.Parameter(draw(*shape))
    theirs = torch.optim.Muon([q], lr=0.02, weight_decay=0.1, nesterov=nesterov, adjust_lr_fn="match_rms_adamw")
    w, state = q.detach().clone(), muon_state(q)
    for seed in range(30):
        q.grad = draw(*shape, seed=seed) + q.detach().sin()
        theirs.step()
        gradient = draw(*shape, seed=seed) + w.sin()
        w, state = muon_step(w, gradient, state, lr=0.02, weight_decay=0.1, nesterov=nesterov)
    assert (w - q).abs().max() < 1e-12 and (w - draw(*shape)).abs().max() > 0.01


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (33, 32), (64, 64)])
def test_torchs_own_newton_schulz_differs_by_bfloat16s_rounding(shape):
    matrix = draw(*shape, dtype=torch.float32)
    theirs = torch.optim._muon._zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
    wide = newton_schulz(matrix)
    assert 0.005 < (theirs - wide).norm() / wide.norm() < 0.03
    assert (theirs - newton_schulz(matrix.bfloat16()).float()).norm() / wide.norm() < 0.06


def test_without_a_gradient_and_a_decay_nothing_moves():
    w = draw(4, 6)
    assert torch.equal(muon_step(w, torch.zeros_like(w), muon_state(w), lr=0.1)[0], w)
    assert torch.equal(muon_step(w, torch.zeros_like(w), muon_state(w), lr=0.1, weight_decay=0.5)[0], 0.95 * w)


def model():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.Tanh(), torch.nn.LayerNorm(12), torch.nn.Linear(12, 6, bias=False))


def split(net):
    return [p for p in net.parameters() if p.ndim == 2], [p for p in net.parameters() if p.ndim != 2]


def test_the_optimizer_takes_the_two_kinds_of_steps():
    net, x = model(), draw(40, 6, dtype=torch.float32)
    optimizer = Muon(*split(net), lr=0.01, weight_decay=0.1)
    ours = [p.detach().clone() for p in net.parameters()]
    states = [muon_state(p) if p.ndim == 2 else adam_state(p) for p in ours]
    for _ in range(5):
        optimizer.zero_grad()
        (net(x) - x).square().mean().backward()
        for i, parameter in enumerate(net.parameters()):
            settings = dict(lr=0.01, weight_decay=0.1)
            if parameter.ndim == 2:
                ours[i], states[i] = muon_step(ours[i], parameter.grad, states[i], **settings)
            else:
                ours[i], states[i] = adam_step(ours[i], parameter.grad, states[i], betas=(0.9, 0.95), **settings)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, net.parameters(), strict=True))


def test_it_fits_is_restored_after_an_error_and_goes_on_from_its_state():
    net, x = model(), draw(40, 6, dtype=torch.float32)
    optimizer = Muon(*split(net), lr=0.02)
    losses = fit(optimizer, lambda: (net(x) - x).square().mean(), 60)
    assert losses[-1] < 0.5 * losses[0]
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(FloatingPointError):
        fit(optimizer, lambda: net(x).sum() * torch.nan, 3)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    twin = copy.deepcopy(net)
    other = Muon(*split(twin), lr=0.02)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for m, o in ((net, optimizer), (twin, other)):
        fit(o, lambda: (m(x) - x).square().mean(), 3)  # noqa: B023
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))


def test_a_closure_is_called_and_a_parameter_without_a_gradient_stays():
    w, idle = torch.nn.Parameter(torch.eye(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = Muon([w], [idle], lr=0.1)

    def closure():
        loss = w.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 2 and torch.equal(idle, torch.ones(2)) and not torch.equal(w, torch.eye(2))


def test_half_precision_steps_in_single_precision():
    w = draw(4, 6, dtype=torch.float32).bfloat16()
    new, state = muon_step(w, w, muon_state(w), lr=0.01)
    wide, _ = muon_step(w.float(), w.float(), muon_state(w.float()), lr=0.01)
    assert new.dtype == torch.bfloat16 and state.mean.dtype == torch.float32 and torch.equal(new, wide.bfloat16())


@pytest.mark.parametrize(
    "options, error, words",
    [
        (dict(lr=-0.1), ValueError, "lr must be positive and finite, got -0.1"),
        (dict(lr=float("inf")), ValueError, "lr must be positive and finite, got inf"),
        (dict(lr=True), TypeError, "lr must be a number, got True"),
        (dict(lr=0.1, momentum=1.0), ValueError, r"momentum must lie in \[0, 1\), got 1.0"),
        (dict(lr=0.1, weight_decay=-1.0), ValueError, "weight_decay must be finite and not negative, got -1.0"),
    ],
)
def test_bad_settings_are_named(options, error, words):
    w = torch.eye(2)
    with pytest.raises(error, match=words):
        muon_step(w, w, muon_state(w), **options)


def test_bad_matrices_are_named():
    w = torch.eye(2)
    with pytest.raises(TypeError, match="matrix"):
        newton_schulz(torch.ones(3))
    with pytest.raises(TypeError, match="matrix"):
        newton_schulz(torch.ones(3, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="matrix must be finite"):
        newton_schulz(torch.tensor([[1.0, torch.nan]]))
    with pytest.raises(ValueError, match="matrix must be smaller: its norm overflows torch.float32"):
        newton_schulz(torch.full((2, 2), 3e38))
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        newton_schulz(w, 0)
    with pytest.raises(ValueError, match="gradient must be finite"):
        muon_step(w, w * torch.inf, muon_state(w), lr=0.1)
    with pytest.raises(ValueError, match=r"state must be of shape \(2, 2\), got \(1, 1\)"):
        muon_step(w, w, muon_state(w[:1, :1]), lr=0.1)
    with pytest.raises(ValueError, match=r"matrices must have two dimensions, got shape \(2,\)"):
        Muon([torch.ones(2)], lr=0.1)
    with pytest.raises(ValueError, match="lr must be positive and finite, got -1"):
        Muon([w], lr=-1.0)
    with pytest.raises(ValueError, match="matrices must be at least one"):
        Muon([], [w], lr=0.1)
