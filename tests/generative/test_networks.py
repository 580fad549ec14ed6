"""lib.generative.networks: shapes, dependence on both inputs, bad input."""

import pytest
import torch

from lib.course.meters import parameter_count
from lib.generative.networks import ResidualMLP, time_features


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ResidualMLP(dim=3, hidden=16, depth=2)


def test_time_features_are_sines_and_cosines_at_their_frequencies():
    features = time_features(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
    assert features.shape == (3, 64)
    assert torch.equal(features[0], torch.cat([torch.zeros(32), torch.ones(32)]).double())
    assert torch.allclose(features[:, :32] ** 2 + features[:, 32:] ** 2, torch.ones(3, 32, dtype=torch.float64))
    radians = torch.tensor([500.0, 0.05], dtype=torch.float64)
    assert torch.allclose(features[1, [0, 31]], radians.sin(), atol=1e-12)


def test_time_features_tell_a_thousand_steps_apart():
    features = time_features(torch.arange(1001) / 1000)
    nearest = torch.cdist(features, features).fill_diagonal_(9).min()
    assert nearest > 0.5


def test_network_keeps_shape_and_dtype_and_depends_on_x_and_time(network):
    x, time = torch.randn(5, 3), torch.linspace(0, 1, 5)
    out = network(x, time)
    assert out.shape == x.shape and out.dtype == x.dtype
    assert (network(x + 1, time) - out).abs().min() > 0
    assert (network(x, time.flip(0)) - out)[[0, 4]].abs().min() > 1e-3


def test_blocks_add_to_what_passes_through(network):
    x, time = torch.randn(5, 3), torch.rand(5)
    for block in network.blocks:
        torch.nn.init.zeros_(block.outer.weight)
        torch.nn.init.zeros_(block.outer.bias)
    assert torch.equal(network(x, time), network.leave(network.enter(x)))


def test_examples_do_not_mix(network):
    x, time = torch.randn(5, 3), torch.linspace(0, 1, 5)
    assert torch.allclose(network(x, time)[2:3], network(x[2:3], time[2:3]), atol=1e-6)


def test_every_parameter_gets_a_gradient(network):
    network(torch.randn(5, 3), torch.rand(5)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("name", ["dim", "hidden", "depth"])
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        ResidualMLP(**{"dim": 2, "hidden": 4, "depth": 1, name: 0})


def test_one_is_enough_of_every_size():
    network = ResidualMLP(dim=1, hidden=1, depth=1)
    assert network(torch.ones(2, 1), torch.ones(2)).shape == (2, 1)


@pytest.mark.parametrize("time", [-0.1, 1.5, float("nan")])
def test_time_must_lie_in_the_unit_interval(network, time):
    with pytest.raises(ValueError, match=r"time must lie in \[0, 1\]"):
        network(torch.zeros(1, 3), torch.tensor([time]))


def test_wrong_shapes(network):
    with pytest.raises(TypeError):
        network(torch.zeros(2, 3), torch.zeros(3))
    with pytest.raises(TypeError):
        network(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_time_features_of_every_precision_are_the_exact_ones_rounded(dtype):
    time = torch.linspace(0, 1, 300).to(dtype)
    features = time_features(time)
    assert features.dtype == dtype
    assert (features.double() - time_features(time.double())).abs().max() < torch.finfo(dtype).eps


def test_the_frequencies_fall_geometrically():
    small = torch.tensor([1e-6], dtype=torch.float64)
    want = 1e-6 * 1000 * 10_000 ** (-torch.arange(32, dtype=torch.float64) / 31)
    assert torch.allclose(time_features(small)[0, :32], want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_network_in_another_precision_takes_times_in_more(network, dtype):
    """In bfloat16 the network tells times apart that bfloat16 does not: 0.9990 and 0.9995 round to 1."""
    x, time = torch.ones(2, 3, dtype=dtype), torch.tensor([0.9990, 0.9995])
    out = network.to(dtype)(x, time)
    assert out.dtype == dtype and not torch.equal(out[0], out[1])
    assert torch.isfinite(network(x, time.to(dtype))).all()


@pytest.mark.parametrize(("dim", "hidden", "depth"), [(3, 16, 2), (64, 128, 2), (2, 8, 1), (2, 8, 5)])
def test_parameters_of_every_part_are_counted(dim, hidden, depth):
    block = 2 * hidden + 2 * (hidden + 1) * hidden
    time = (64 + 1) * hidden + (hidden + 1) * hidden
    ends = (dim + 1) * hidden + 2 * hidden + (hidden + 1) * dim
    network = ResidualMLP(dim, hidden, depth)
    assert len(network.blocks) == depth and parameter_count(network) == depth * block + time + ends


def test_the_network_of_the_diffusion_chapter_has_about_108_000_parameters():
    assert abs(parameter_count(ResidualMLP(64, hidden=128, depth=2)) - 108_000) < 500


def test_sizes_are_whole_numbers():
    with pytest.raises(TypeError, match="hidden"):
        ResidualMLP(dim=2, hidden=4.5, depth=1)


def test_the_network_is_its_definition():
    torch.manual_seed(1)
    network = ResidualMLP(dim=3, hidden=16, depth=3)
    x, time, silu = torch.randn(5, 3), torch.rand(5), torch.nn.functional.silu
    first, _, second = network.time
    embedded = second(silu(first(time_features(time))))
    state = network.enter(x)
    for block in network.blocks:
        state = state + block.outer(silu(block.inner(block.norm(state) + embedded)))
    norm, last = network.leave
    assert torch.equal(network(x, time), last(norm(state)))


def test_one_time_outside_the_unit_interval_is_enough():
    with pytest.raises(ValueError, match=r"time must lie in \[0, 1\], got 0.5 to 1.5"):
        time_features(torch.tensor([0.5, 1.5]))
