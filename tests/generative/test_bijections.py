"""lib.generative.bijections: inverses and log-determinants by autograd's Jacobian, for random layers and inputs."""

import math

import pytest
import torch
from torch import nn

from lib.generative.bijections import ActNorm, Coupling, Flow, InvertibleLinear
from lib.generative.mixtures import GaussianMixture

SPACES = [(), (3,), (2, 3)]


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Conditioner(nn.Module):
    """Mixes channels and places, so that nothing about the Jacobian is diagonal by chance."""

    def __init__(self, before, after, places):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(before * places, 16), nn.Tanh(), nn.Linear(16, after * places))
        self.after = after

    def forward(self, x):
        return 2 * self.body(x.flatten(1)).reshape(len(x), self.after, *x.shape[2:])


def coupling(channels, space, affine, flipped, limit=2.0):
    kept = channels // 2 if flipped else channels - channels // 2
    network = Conditioner(kept, (1 + affine) * (channels - kept), math.prod(space))
    return Coupling(channels, network, affine, flipped, limit)


def actnorm(channels, space):
    layer = ActNorm(channels)
    layer(3 * torch.randn(50, channels, *space) + 1)
    return layer


def learned_linear(channels):
    """An InvertibleLinear away from its start, so that its log-determinant is not 0."""
    layer = InvertibleLinear(channels)
    for parameter in layer.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    return layer


def make(name, channels, space):
    layers = {
        "affine": lambda: coupling(channels, space, True, False),
        "affine flipped": lambda: coupling(channels, space, True, True),
        "affine unbounded": lambda: coupling(channels, space, True, False, math.inf),
        "additive": lambda: coupling(channels, space, False, False),
        "additive flipped": lambda: coupling(channels, space, False, True),
        "linear": lambda: learned_linear(channels),
        "actnorm": lambda: actnorm(channels, space),
    }
    if name == "flow":
        chosen = ("actnorm", "linear", "affine", "additive flipped")
        return Flow([layers[each]() for each in chosen])
    return layers[name]()


NAMES = ["affine", "affine flipped", "affine unbounded", "additive", "additive flipped", "linear", "actnorm", "flow"]
every_layer = pytest.mark.parametrize("name", NAMES)
every_space = pytest.mark.parametrize("space", SPACES, ids=str)


@every_layer
@every_space
@pytest.mark.parametrize("channels", [2, 3, 6])
def test_inverse_and_log_determinant_are_exact(name, space, channels):
    torch.manual_seed(10 * channels + len(space))
    layer, x = make(name, channels, space), torch.randn(4, channels, *space)
    z, log_det = layer(x)
    assert z.shape == x.shape and log_det.shape == (4,)
    back, minus = layer.inverse(z)
    torch.testing.assert_close(back, x, atol=1e-11, rtol=0)
    torch.testing.assert_close(minus, -log_det, atol=1e-12, rtol=1e-12)
    size = x[0].numel()
    for row in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda v: layer(v[None])[0][0], x[row]).reshape(size, size)
        torch.testing.assert_close(log_det[row], torch.linalg.slogdet(jacobian).logabsdet, atol=1e-11, rtol=1e-11)


@every_layer
def test_forward_undoes_inverse_too(name):
    torch.manual_seed(0)
    layer, z = make(name, 4, (2,)), torch.randn(5, 4, 2)
    torch.testing.assert_close(layer(layer.inverse(z)[0])[0], z, atol=1e-11, rtol=0)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_coupling_keeps_one_half_and_moves_the_other(flipped):
    torch.manual_seed(1)
    layer, x = coupling(5, (), True, flipped), torch.randn(3, 5)
    moved = layer(x)[0] != x
    assert moved.all(0).tolist() == ([True] * 3 + [False] * 2 if flipped else [False] * 3 + [True] * 2)


def test_additive_couplings_keep_volume():
    layer, x = coupling(4, (2,), False, False), torch.randn(3, 4, 2)
    assert layer(x)[1].tolist() == [0, 0, 0]


def test_the_scale_is_bounded_by_the_limit():
    class Huge(nn.Module):
        def forward(self, x):
            return torch.cat([torch.full_like(x, 1e6), torch.zeros_like(x)], 1)

    z, log_det = Coupling(2, Huge(), limit=1.5)(torch.ones(1, 2))
    assert log_det.item() == pytest.approx(1.5) and z[0, 1].item() == pytest.approx(math.exp(1.5))


def test_a_linear_layer_starts_as_a_rotation_and_is_its_weight():
    for seed in range(10):
        torch.manual_seed(seed)
        layer, x = InvertibleLinear(5), torch.randn(2, 5, 3)
        torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(5), atol=1e-13, rtol=0)
        assert layer(x)[1].abs().max() < 1e-12
        assert not layer.lower.triu().any() and not layer.upper.tril().any()  # what nothing learns from
        torch.testing.assert_close(layer(x)[0], nn.functional.conv1d(x, layer.weight[..., None]), atol=1e-13, rtol=0)


def test_actnorm_normalises_the_first_batch_and_no_other():
    torch.manual_seed(2)
    layer, first, second = ActNorm(3), 5 * torch.randn(40, 3, 2) + 2, torch.randn(40, 3, 2)
    z = layer(first)[0].movedim(1, 0).flatten(1)
    torch.testing.assert_close(z.mean(1), torch.zeros(3), atol=1e-12, rtol=0)
    torch.testing.assert_close(z.var(1, correction=0), torch.ones(3), atol=1e-12, rtol=0)
    before = layer.shift.clone()
    layer(second)
    assert torch.equal(layer.shift, before)
    copy = ActNorm(3)
    copy.load_state_dict(layer.state_dict())
    assert torch.equal(copy(second)[0], layer(second)[0])


def test_gradients_reach_every_parameter():
    torch.manual_seed(3)
    flow, x = make("flow", 4, (2,)), torch.randn(6, 4, 2)
    z, log_det = flow(x)
    (z.square().sum() / 2 - log_det.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in flow.parameters())


def test_the_density_of_a_flow_integrates_to_one():
    """On a grid in the plane, from a standard normal base."""
    torch.manual_seed(4)
    flow = make("flow", 2, ())
    base = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    ends = flow.inverse(6 * torch.randn(2000, 2))[0].detach()
    low, high = ends.min().item() - 1, ends.max().item() + 1
    line = torch.linspace(low, high, 1200)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        mass = flow.log_density(grid, base.log_density).exp().sum() * ((high - low) / 1199) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)


def test_bad_input_is_refused():
    x = torch.zeros(3, 4)
    with pytest.raises(ValueError, match="channels must be at least 2, got 1"):
        Coupling(1, nn.Identity())
    with pytest.raises(ValueError, match="limit must be positive, got 0"):
        Coupling(2, nn.Identity(), limit=0.0)
    with pytest.raises(ValueError, match=r"network must return the shape \(3, 4\), got \(3, 2\)"):
        Coupling(4, nn.Identity())(x)
    with pytest.raises(ValueError, match=r"network must return the shape \(3, 2\), got NoneType"):
        Coupling(4, Nothing(), affine=False)(x)
    for layer in (Coupling(6, nn.Identity(), affine=False), InvertibleLinear(6), ActNorm(6)):
        for call in (layer, layer.inverse):
            with pytest.raises(ValueError, match=r"must have 6 channels, got shape \(3, 4\)"):
                call(x)
    with pytest.raises(RuntimeError, match="ActNorm has no inverse before its first batch"):
        ActNorm(4).inverse(x)
    with pytest.raises(ValueError, match="x must vary in every channel of the first batch, got deviations"):
        ActNorm(4)(x)
    with pytest.raises(TypeError, match="layers must have forward and inverse, got Identity at 1"):
        Flow([ActNorm(2), nn.Identity()])
    with pytest.raises(ValueError, match="the number of layers must be at least 1, got 0"):
        Flow([])
    with pytest.raises(ValueError, match=r"log_base must return a number for each row, shape \(3,\), got \(\)"):
        Flow([InvertibleLinear(4)]).log_density(x, torch.sum)
    for layer in (InvertibleLinear(4), ActNorm(4), Flow([InvertibleLinear(4)])):
        with pytest.raises(TypeError, match="x"):
            layer(torch.zeros(4))


class Nothing(nn.Module):
    def forward(self, x):
        return None
