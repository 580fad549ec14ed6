import pytest
import torch

from lib.learning.adam import adam_state, adam_step


def loss(w):
    return (torch.sin(3 * w) + 0.1 * w**2).sum()


@pytest.mark.parametrize("decoupled, optimizer", [(True, torch.optim.AdamW), (False, torch.optim.Adam)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_300_steps_equal_torch(decoupled, optimizer, dtype, tolerance):
    start = torch.randn(20, dtype=dtype, generator=torch.Generator().manual_seed(0))
    q = torch.nn.Parameter(start.clone())
    theirs = optimizer([q], lr=1e-2, weight_decay=0.1)
    ours, state = start.clone(), adam_state(start)
    for _ in range(300):
        theirs.zero_grad()
        loss(q).backward()
        theirs.step()
        w = ours.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(w), w)
        ours, state = adam_step(ours, gradient, state, lr=1e-2, weight_decay=0.1, decoupled=decoupled)
    assert (ours - q).abs().max() < tolerance
    assert (ours - start).abs().max() > 0.1 and state.step == 300


def test_a_grid_of_models_steps_as_its_members_do():
    gradient = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    w = torch.ones(3, 5)
    rates, decays = torch.tensor([[0.1], [0.2], [0.3]]), torch.tensor([[0.0], [0.1], [0.5]])
    together, _ = adam_step(w, gradient, adam_state(w), lr=rates, weight_decay=decays)
    for i in range(3):
        alone, _ = adam_step(w[i], gradient[i], adam_state(w[i]), lr=rates[i].item(), weight_decay=decays[i].item())
        assert torch.allclose(together[i], alone, atol=1e-7)


@pytest.mark.parametrize("options", [dict(lr=0.0), dict(lr=0.1, weight_decay=-1.0), dict(lr=0.1, betas=(0.9, 1.0))])
def test_bad_settings_are_named(options):
    w = torch.ones(2)
    with pytest.raises(ValueError, match="expected lr > 0|betas must lie"):
        adam_step(w, w, adam_state(w), **options)
