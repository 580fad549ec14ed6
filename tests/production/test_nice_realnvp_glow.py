"""What the chapter on coupling flows says of nflows, normflows and zuko, and what they have in common with lib."""

import math

import pytest
import torch
import zuko
from nflows.nn.nets import ResidualNet
from nflows.transforms import ActNorm as NflowsActNorm
from nflows.transforms import AffineCouplingTransform, OneByOneConvolution, SqueezeTransform
from normflows.flows import AffineCoupling, Invertible1x1Conv
from torch import nn
from torch.nn.functional import pixel_unshuffle
from zuko.transforms import MonotonicAffineTransform

from lib.generative.bijections import ActNorm, Coupling, InvertibleLinear

PAGE = "book/flows/nice-realnvp-glow.ipynb, section In production"
NFLOWS = f"nflows (0.14 on the page): mend the row in {PAGE}"
NORMFLOWS = f"normflows (1.7.3 on the page): mend the row in {PAGE}"
ZUKO = f"zuko {zuko.__version__} (1.6.0 on the page): mend the row in {PAGE}"


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nflows_coupling(net, d):
    """nflows' affine coupling of the first half to the second, with `net` as its network."""
    mask = torch.tensor([0] * (d - d // 2) + [1] * (d // 2))
    return AffineCouplingTransform(mask, lambda inputs, outputs: Plain(net))


class Plain(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, inputs, context=None):
        return self.net(inputs)


def test_nflows_coupling_only_contracts():
    mask = torch.tensor([0, 0, 1, 1])
    torch.manual_seed(0)
    layer = AffineCouplingTransform(mask, lambda i, o: ResidualNet(i, o, hidden_features=8)).double()
    for factor in (1.0, 100.0):
        log_det = layer(factor * randn(500, 4))[1]
        assert (log_det <= 2 * math.log(1.001) + 1e-9).all(), NFLOWS
    sure = nn.Linear(2, 4).double()
    nn.init.constant_(sure.bias, 50.0)  # as large a scale as there is
    assert nflows_coupling(sure, 4)(randn(500, 4))[1].max().item() == pytest.approx(2 * math.log(1.001), abs=1e-6), NFLOWS


def test_normflows_mixes_backwards():
    torch.manual_seed(0)
    for use_lu in (False, True):
        layer = Invertible1x1Conv(3, use_lu=use_lu).double()
        with torch.no_grad():
            (layer.log_S if use_lu else layer.W).mul_(1.3).add_(0.1)
            W = layer._assemble_W() if use_lu else layer.W
            x = randn(5, 3, 2, 4)
            z, log_det = layer(x)
            back, log_det_back = layer.inverse(x)
        want = 8 * torch.linalg.slogdet(W).logabsdet
        assert torch.allclose(z, torch.einsum("ij,njhw->nihw", torch.linalg.inv(W), x), rtol=0, atol=1e-12), NORMFLOWS
        assert torch.allclose(back, torch.einsum("ij,njhw->nihw", W, x), rtol=0, atol=1e-12), NORMFLOWS
        assert torch.allclose(log_det, -want, rtol=0, atol=1e-12), NORMFLOWS
        assert torch.allclose(log_det_back, want, rtol=0, atol=1e-12), NORMFLOWS


def test_nflows_cannot_undo_a_squeeze_by_three():
    x = randn(2, 1, 9, 9)
    z, _ = SqueezeTransform(3)(x)
    assert z.shape == (2, 9, 3, 3), NFLOWS
    with pytest.raises(ValueError, match="Invalid number of channel dimensions"):
        SqueezeTransform(3).inverse(z)
        pytest.fail(NFLOWS)
    assert torch.equal(SqueezeTransform(2).inverse(SqueezeTransform(2)(randn(2, 1, 8, 8))[0])[0], randn(2, 1, 8, 8))


def test_zuko_nice_is_affine():
    torch.manual_seed(0)
    x = 3 * randn(50, 4).float()
    log_det = zuko.flows.NICE(4)().transform.call_and_ladj(x)[1]
    assert (log_det.abs() > 1e-3).any() and log_det.std() > 1e-3, ZUKO
    raw = torch.tensor([1e9, -1e9])
    assert torch.allclose(MonotonicAffineTransform(torch.zeros(2), raw).scale, torch.tensor([1e3, 1e-3]), rtol=1e-5), ZUKO


def test_nflows_coupling_is_the_pages_with_another_scale():
    net, x = nn.Linear(3, 6).double(), randn(50, 6)
    shift, raw = net(x[:, :3]).chunk(2, 1)
    s = torch.log(torch.sigmoid(raw + 2) + 1e-3)
    z, log_det = nflows_coupling(net, 6)(x)
    assert torch.allclose(z, torch.cat([x[:, :3], x[:, 3:] * s.exp() + shift], 1), rtol=0, atol=1e-13)
    assert torch.allclose(log_det, s.sum(1), rtol=0, atol=1e-13)


def test_normflows_coupling_is_libs():
    net, x = nn.Linear(3, 6).double(), randn(50, 6)
    order = torch.tensor([1, 3, 5, 0, 2, 4])  # normflows has t and s in turn, lib first all s, then all t
    by_lib = Coupling(6, nn.Sequential(net, Take(order)), limit=math.inf)
    (kept, moved), log_det = AffineCoupling(net)([x[:, :3], x[:, 3:]])
    z, want = by_lib(x)
    assert torch.allclose(torch.cat([kept, moved], 1), z, rtol=0, atol=1e-13)
    assert torch.allclose(log_det, want, rtol=0, atol=1e-13)
    assert torch.allclose(torch.cat(AffineCoupling(net).inverse([kept, moved])[0], 1), by_lib.inverse(z)[0], rtol=0, atol=1e-12)


class Take(nn.Module):
    def __init__(self, order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x[:, self.order]


def test_zuko_coupling_is_libs():
    net, x = nn.Linear(3, 6).double(), randn(50, 6)
    raw, shift = net(x[:, :3]).chunk(2, 1)
    clipped = raw / (1 + (raw / math.log(1e-3)).abs())

    class Clip(nn.Module):
        def forward(self, kept):
            return torch.cat([clipped, shift], 1)

    mask = torch.tensor([True] * 3 + [False] * 3)
    layer = zuko.transforms.CouplingTransform(lambda kept: zuko.transforms.DependentTransform(MonotonicAffineTransform(shift, raw), 1), mask)
    z, log_det = layer.call_and_ladj(x)
    want, want_log_det = Coupling(6, Clip(), limit=math.inf)(x)
    assert torch.allclose(z, want, rtol=0, atol=1e-13)
    assert torch.allclose(log_det, want_log_det, rtol=0, atol=1e-12)


def test_one_by_one_convolutions_agree():
    torch.manual_seed(1)
    layer, ours, x = OneByOneConvolution(4, identity_init=False).double(), InvertibleLinear(4).double(), randn(5, 4, 3, 2)
    lower, upper = layer._create_lower_upper()
    with torch.no_grad():
        W = (lower @ upper)[:, layer.permutation._permutation.argsort()]
        z, log_det = layer(x)
        assert torch.allclose(z, torch.einsum("ij,njhw->nihw", W, x), rtol=0, atol=1e-13)
        assert torch.allclose(log_det, (6 * torch.linalg.slogdet(W).logabsdet).expand(5), rtol=0, atol=1e-12)
        z, log_det = ours(x)
        assert torch.allclose(z, torch.einsum("ij,njhw->nihw", ours.weight, x), rtol=0, atol=1e-13)
        assert torch.allclose(log_det, (6 * torch.linalg.slogdet(ours.weight).logabsdet).expand(5), rtol=0, atol=1e-12)


def test_nflows_actnorm_is_libs_but_for_the_deviation():
    x = 3 + 0.2 * randn(50, 3, 2, 4)
    theirs, ours = NflowsActNorm(3).double(), ActNorm(3).double()
    (z, log_det), (want, want_log_det) = theirs(x), ours(x)
    ratio = math.sqrt(399 / 400)  # nflows divides by N - 1
    assert torch.allclose(z, ratio * want, rtol=0, atol=1e-12)
    assert torch.allclose(log_det, want_log_det + 24 * math.log(ratio), rtol=0, atol=1e-11)


def test_squeezes_agree_with_torch():
    x = randn(2, 1, 8, 8)
    assert torch.equal(SqueezeTransform(2)(x)[0], pixel_unshuffle(x, 2))
