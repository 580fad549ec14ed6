"""What the chapter on normalizing flows says of normflows, zuko and torch."""

import math

import normflows
import pytest
import torch
import zuko
from normflows.flows import Planar, Radial
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

PAGE = "book/flows/normalizing-flows.ipynb, section In production"
NORMFLOWS = f"normflows (1.7.3 on the page): mend the row in {PAGE}"
ZUKO = f"zuko {zuko.__version__} (1.6.0 on the page): mend the row in {PAGE}"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"


def planar_layer(product):
    """A layer whose w·u is `product`, in float32."""
    layer = Planar((2,))
    with torch.no_grad():
        layer.w.copy_(torch.tensor([[10.0, 0.0]]))
        layer.u.copy_(torch.tensor([[product / 10, 0.0]]))
    return layer


def test_a_planar_layer_overflows():
    z = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    for product, finite in ((88.7, True), (88.8, False)):
        moved, log_volume = planar_layer(product)(z)
        for good in (moved.isfinite().all(1), log_volume.isfinite()):
            assert bool((good == finite).all()), NORMFLOWS
    assert torch.nn.functional.softplus(torch.tensor(89.0)).isfinite()


@pytest.mark.parametrize("layer", [Planar, Radial])
def test_layers_have_no_inverse(layer):
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(2), [layer((2,))])
    assert flow.sample(3)[0].shape == (3, 2)
    for density in (flow.log_prob, flow.forward_kld):
        with pytest.raises(NotImplementedError):
            density(torch.zeros(1, 2))
            pytest.fail(NORMFLOWS)


def test_only_the_tanh_layer_lacks_its_inverse():
    torch.manual_seed(0)
    layer, z = Planar((2,), act="leaky_relu"), torch.randn(20, 2)
    assert torch.allclose(layer.inverse(layer(z)[0])[0], z, atol=1e-5), NORMFLOWS


@pytest.mark.parametrize("name", ["NAF", "UNAF", "SOSPF"])
def test_bisection_stops_at_ten(name):
    torch.manual_seed(0)
    transform = getattr(zuko.flows, name)(2)().transform
    sent = torch.tensor([[12.0, 12.0], [-12.0, -12.0], [30.0, -30.0], [3.0, -3.0]])
    back = transform.inv(transform(sent)).detach()
    assert torch.allclose(back, sent.clamp(-10, 10), rtol=0, atol=1e-3), ZUKO


def test_a_saturated_sample_has_no_density():
    torch.manual_seed(0)
    law = TransformedDistribution(Normal(torch.tensor(0.0), torch.tensor(5.0)), [TanhTransform()])
    sample = law.sample((1000,))
    saturated = sample.abs() == 1
    assert saturated.any() and law.log_prob(sample)[saturated].isnan().all(), TORCH
    law = TransformedDistribution(Normal(torch.tensor(0.0), torch.tensor(5.0)), [TanhTransform(cache_size=1)])
    assert law.log_prob(law.sample((1000,))).isfinite().all(), TORCH


@pytest.mark.parametrize("dim", [2, 5])
def test_normflows_planar_is_the_pages(dim):
    torch.manual_seed(dim)
    layer, z = Planar((dim,)).double(), torch.randn(50, dim, dtype=torch.float64)
    with torch.no_grad():
        layer.b.normal_()
        (u,), (w,), b = layer.u, layer.w, layer.b
        u_hat = u + (torch.logaddexp(w @ u, torch.zeros(()).double()) - 1 - w @ u) * w / (w @ w)
        t = torch.tanh(z @ w + b)
        moved, log_volume = layer(z)
    assert torch.allclose(moved, z + torch.outer(t, u_hat), rtol=0, atol=1e-13)
    assert torch.allclose(log_volume, torch.log(1 + (1 - t**2) * (w @ u_hat)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dim", [2, 5])
def test_normflows_radial_is_the_pages(dim):
    torch.manual_seed(dim)
    layer, z = Radial((dim,)).double(), torch.randn(50, dim, dtype=torch.float64)
    with torch.no_grad():
        alpha, raw, offset = layer.alpha.abs(), layer.beta, z - layer.z_0
        beta = torch.log1p(raw.exp()) - alpha
        h = 1 / (alpha + offset.norm(dim=1))
        moved, log_volume = layer(z)
    assert torch.allclose(moved, z + (beta * h)[:, None] * offset, rtol=0, atol=1e-13)
    assert torch.allclose(log_volume, (dim - 1) * torch.log(1 + beta * h) + torch.log(1 + alpha * beta * h**2), rtol=0, atol=1e-13)


def test_torch_agrees_with_the_change_of_variables():
    x = torch.tanh(1 + torch.linspace(-3, 3, 61, dtype=torch.float64) / 2)
    law = TransformedDistribution(Normal(torch.tensor(1.0).double(), torch.tensor(0.5).double()), [TanhTransform()])
    z = torch.atanh(x)
    want = -((z - 1) ** 2) / 0.5 - math.log(0.5 * math.sqrt(2 * math.pi)) - torch.log(1 - x**2)
    assert torch.allclose(law.log_prob(x), want, rtol=0, atol=1e-10)
