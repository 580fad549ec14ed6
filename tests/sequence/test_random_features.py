"""Random features against the kernel and against performer-pytorch, and the directions' distribution."""

import math

import pytest
import torch
from performer_pytorch.performer_pytorch import softmax_kernel
from scipy import stats

from lib.sequence.random_features import gaussian_directions, positive_features, trigonometric_features


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=1, scale=0.4):
    return scale * torch.randn(shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("features_of", [positive_features, trigonometric_features])
@pytest.mark.parametrize("orthogonal", [False, True])
def test_features_estimate_the_kernel_without_bias(features_of, orthogonal):
    x, y, draws = normal(5), normal(5, seed=2), generator()
    estimates = []
    for _ in range(4000):
        w = gaussian_directions(8, 5, draws, orthogonal=orthogonal)
        estimates.append(features_of(x, w) @ features_of(y, w))
    estimates = torch.stack(estimates)
    error = estimates.std() / math.sqrt(len(estimates))
    assert (estimates.mean() - (x @ y).exp()).abs() < 5 * error and error < 0.02


def test_waves_are_cosines_and_then_sines():
    x, w = torch.tensor([[math.pi / 6, math.pi / 3]]).double(), torch.eye(2).double()
    waves = trigonometric_features(x, w) * math.sqrt(2) / x.square().sum().div(2).exp()
    torch.testing.assert_close(waves, torch.tensor([[0.75**0.5, 0.5, 0.5, 0.75**0.5]]).double())


def test_orthogonal_directions_are_haar_and_as_long_as_gaussian_ones():
    draws = generator()
    blocks = torch.stack([gaussian_directions(4, 4, draws, orthogonal=True) for _ in range(2000)])
    products = blocks @ blocks.mT
    assert (products - torch.diag_embed(products.diagonal(dim1=1, dim2=2))).abs().max() < 1e-13
    assert stats.kstest(products[:, 0, 0].numpy(), stats.chi2(4).cdf).pvalue > 1e-4
    for i in range(4):  # a QR without the signs makes some of them negative throughout
        assert stats.kstest(blocks[:, i, i].numpy(), stats.norm.cdf).pvalue > 1e-4


def test_more_features_than_dimensions_come_in_blocks():
    w = gaussian_directions(10, 4, generator(), orthogonal=True)
    products = (w @ w.T).fill_diagonal_(0).abs()
    assert w.shape == (10, 4) and products[:4, :4].max() < 1e-13 < 1e-3 < products[:4, 4:8].max()


def test_performer_pytorch_agrees_up_to_its_shifts():
    x, w = normal(1, 1, 7, 5), gaussian_directions(6, 5, generator())
    exponents = x @ w.T
    for is_query, shift in ((True, exponents.amax(-1)), (False, exponents.amax((-1, -2), keepdim=True)[..., 0])):
        want = softmax_kernel(x, projection_matrix=w, is_query=is_query, normalize_data=False, eps=0)
        assert (positive_features(x, w, shift=shift) - want).abs().max() < 1e-14


def test_shapes_and_counts_are_checked():
    with pytest.raises(ValueError, match="features must be at least 1, got 0"):
        gaussian_directions(0, 3, generator())
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        gaussian_directions(3, 0, generator())
    for features_of in (positive_features, trigonometric_features):
        with pytest.raises(TypeError, match="w"):
            features_of(normal(2, 5), normal(3, 4))
