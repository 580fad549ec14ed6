"""The Triton kernels of benchmarks/gpu, run block by block on the CPU by Triton's interpreter."""

import sys
from pathlib import Path

import pytest
import torch

GPU = Path(__file__).parents[2] / "benchmarks" / "gpu"


@pytest.fixture(scope="module")
def kernels():
    sys.path.insert(0, str(GPU))
    import triton_attention

    yield triton_attention
    sys.path.remove(str(GPU))


def exact(q, k, v, *, causal):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(-1) @ v


@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("causal", [False, True])
def test_output_and_gradients_are_those_of_the_whole_matrix(kernels, dim, causal):
    torch.manual_seed(dim)
    q, k, v, grad = 2 * torch.randn(4, 1, 2, 384, dim)
    leaves = [leaf.clone().requires_grad_() for leaf in (q, k, v)]
    out = kernels.attention(*leaves, causal=causal)
    doubles = [leaf.double().requires_grad_() for leaf in (q, k, v)]
    wanted = exact(*doubles, causal=causal)
    pairs = zip((out, *torch.autograd.grad(out, leaves, grad)), (wanted, *torch.autograd.grad(wanted, doubles, grad.double())), strict=True)
    for came, true in pairs:
        assert (came.double() - true).norm() < 2e-6 * true.norm()


def test_large_scores_do_not_overflow(kernels):
    """Scores of a few hundred, whose exponentials float32 does not hold; a last bit of such a score is 3e-5."""
    q, k, v = 10 * torch.randn(3, 1, 1, 128, 64, generator=torch.Generator().manual_seed(0))
    wanted = exact(q.double(), k.double(), v.double(), causal=False)
    assert (kernels.attention(q, k, v) - wanted).abs().max() < 1e-2


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 1, 128, 64), (1, 1, 256, 64), (1, 1, 128, 64)], "one shape"),
        ([(128, 64)] * 3, "batch, head, time, dim"),
        ([(1, 1, 100, 64)] * 3, "multiple of 128"),
        ([(1, 1, 128, 80)] * 3, "64 or 128"),
    ],
)
def test_shapes_that_the_kernels_cannot_cut_are_refused(kernels, shapes, message):
    with pytest.raises(ValueError, match=message):
        kernels.attention(*(torch.zeros(shape) for shape in shapes))


def test_the_kernels_stay_readable():
    assert len((GPU / "triton_attention.py").read_text().splitlines()) <= 200
