import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import jvp
from torch.utils.checkpoint import checkpoint

from lib.course import meters


def test_calls_are_counted():
    double = meters.counted(lambda x: 2 * x)
    assert [double(1), double(x=2)] == [2, 4] and double.calls == 2


def test_parameters_are_counted():
    assert meters.parameter_count(torch.nn.Linear(3, 5)) == 20


def test_matmul_flops_count_a_multiply_add_as_two():
    assert meters.matmul_flops(torch.matmul, torch.ones(2, 3), torch.ones(3, 4)) == 2 * 2 * 3 * 4


def test_fused_attention_is_counted():
    q = torch.ones(1, 2, 5, 8)
    assert meters.matmul_flops(F.scaled_dot_product_attention, q, q, q) == 2 * (2 * 2 * 5 * 5 * 8)


M, V = torch.ones(3, 4), torch.ones(4)
PRODUCTS = {
    "matrix and vector": (lambda: M @ V, 2 * 3 * 4),
    "vector and matrix": (lambda: torch.ones(3) @ M, 2 * 3 * 4),
    "two vectors": (lambda: V @ V, 2 * 4),
    "vdot": (lambda: torch.vdot(V, V), 2 * 4),
    "added to a vector": (lambda: torch.addmv(torch.ones(3), M, V), 2 * 3 * 4),
    "in place": (lambda: torch.ones(3, 3).addmm_(M, M.T), 2 * 3 * 4 * 3),
    "into a tensor": (lambda: torch.mm(M, M.T, out=torch.ones(3, 3)), 2 * 3 * 4 * 3),
    "batch and vector": (lambda: torch.ones(5, 3, 4) @ V, 2 * 5 * 3 * 4),
    "outer": (lambda: torch.outer(V, V), 0),
    "inference mode": (torch.inference_mode()(lambda: F.linear(M, M)), 2 * 3 * 4 * 3),
    "convolution": (lambda: F.conv1d(torch.ones(1, 2, 5), torch.ones(3, 2, 2)), 2 * (3 * 4) * (2 * 2)),
    "recurrent layer": (
        torch.no_grad()(lambda: nn.LSTM(3, 4)(torch.ones(5, 2, 3))),
        5 * 2 * (2 * 16 * 3 + 2 * 16 * 4),
    ),
    "fused layer": (
        torch.no_grad()(lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()(torch.ones(2, 3, 8))),
        2 * 2 * (3 * (4 * 64 + 2 * 8 * 16) + 2 * 9 * 8),
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_product_is_counted(name):
    function, want = PRODUCTS[name]
    assert meters.matmul_flops(function) == want


def test_forward_mode_counts_the_products_that_have_a_tangent():
    w, x = torch.ones(3, 4), torch.ones(2, 3)
    one = 2 * 2 * 3 * 4
    assert meters.matmul_flops(lambda: jvp(lambda x: x @ w, (x,), (x,))) == 2 * one
    assert meters.matmul_flops(lambda: jvp(lambda w: x @ w, (w,), (w,))) == 2 * one
    assert meters.matmul_flops(lambda: jvp(torch.matmul, (x, w), (x, w))) == 3 * one
    assert meters.matmul_flops(lambda: jvp(lambda w: w @ V, (w,), (w,))) == 2 * (2 * 3 * 4)
    assert meters.matmul_flops(lambda: jvp(lambda x: x @ w @ w.T, (x,), (x,))) == 4 * one
    assert meters.elementwise_operations(lambda: jvp(lambda x: x @ w, (x,), (x,))) == 0
    assert meters.elementwise_operations(lambda: jvp(torch.matmul, (x, w), (x, w))) == 2 * 4
    v = torch.ones(10)
    assert meters.elementwise_operations(lambda: jvp(lambda x: x * v, (v,), (v,))) == 20
    assert meters.elementwise_operations(lambda: jvp(torch.mul, (v, v), (v, v))) == 40


def test_zeros_that_forward_mode_did_not_put_there_are_counted():
    x, zeros = torch.ones(2, 3), torch.zeros(()).expand(3, 4)
    assert meters.matmul_flops(lambda: x @ zeros) == 2 * 2 * 3 * 4
    assert meters.elementwise_operations(lambda: zeros * 2) == 12
    assert meters.elementwise_operations(lambda: jvp(lambda x: x * torch.tensor(0.0), (x,), (x,))) == 12


def test_forward_mode_under_the_meters_gives_the_right_tangent():
    w, x = torch.randn(3, 4), torch.randn(2, 3)
    got = []
    meters.matmul_flops(lambda: got.extend(jvp(lambda x: x @ w, (x,), (2 * x,))))
    assert torch.equal(got[0], x @ w) and torch.allclose(got[1], 2 * x @ w)


def test_elementwise_operations_count_single_numbers():
    x = torch.ones(2, 3)
    assert meters.elementwise_operations(lambda: -(x * x + x) / 2) == 4 * 6
    assert meters.elementwise_operations(lambda: 1 - x) == 6
    assert meters.elementwise_operations(lambda: (x @ x.T, x.reshape(6), x[0])) == 0


X, Y, SQUARE = torch.full((10,), 0.5), torch.full((10,), 0.25), torch.ones(2, 5)
ARITHMETIC = {
    "sum": (lambda: X.sum(), 9),
    "sums of rows": (lambda: SQUARE.sum(1, keepdim=True), 8),
    "sum of nothing": (lambda: torch.ones(0).sum(), 0),
    "mean": (lambda: X.mean(), 10),
    "means of columns": (lambda: SQUARE.mean(0), 10),
    "product": (lambda: X.prod(), 9),
    "variance": (lambda: X.var(), 40),
    "deviation": (lambda: X.std(), 40),
    "both": (lambda: torch.var_mean(X), 40),
    "cumsum": (lambda: X.cumsum(0), 9),
    "cumsum of rows": (lambda: SQUARE.cumsum(1), 8),
    "cumprod": (lambda: X.cumprod(0), 9),
    "trace": (lambda: torch.ones(3, 3).trace(), 2),
    "trace of one entry": (lambda: torch.ones(1, 1).trace(), 0),
    "trace of nothing": (lambda: torch.ones(0, 0).trace(), 0),
    "addcmul": (lambda: torch.addcmul(X, X, Y), 20),
    "addcmul with a factor": (lambda: torch.addcmul(X, X, Y, value=2), 30),
    "addcdiv": (lambda: torch.addcdiv(X, X, Y), 20),
    "lerp": (lambda: torch.lerp(X, Y, 0.3), 30),
    "addition with a factor": (lambda: torch.add(X, Y, alpha=2), 20),
    "subtraction with a factor": (lambda: torch.sub(X, Y, alpha=2), 20),
    "in place": (lambda: X.clone().add_(Y).mul_(2), 20),
    "reciprocal": (lambda: X.reciprocal(), 10),
    "one over root": (lambda: X.rsqrt(), 10),
    "square": (lambda: X.square(), 10),
    "second power": (lambda: X**2, 10),
    "third power": (lambda: X**3, 20),
    "minus first power": (lambda: X**-1, 10),
    "minus second power": (lambda: X**-2, 20),
    "first power": (lambda: X**1, 0),
    "power 0": (lambda: X**0, 0),
    "root": (lambda: X**0.5, 0),
    "power of two": (lambda: 2**X, 0),
    "norm": (lambda: X.norm(), 19),
    "norm of absolute values": (lambda: X.norm(p=1), 9),
    "largest absolute value": (lambda: X.norm(p=torch.inf), 0),
    "hypot": (lambda: torch.hypot(X, Y), 30),
    "remainder": (lambda: X % 0.3, 10),
    "softmax": (lambda: X.softmax(0), 29),
    "softmax of rows": (lambda: SQUARE.softmax(1), 28),
    "log softmax": (lambda: X.log_softmax(0), 29),
    "logsumexp": (lambda: X.logsumexp(0), 20),
    "mean squared error": (lambda: F.mse_loss(X, Y), 30),
    "sum of squared errors": (lambda: F.mse_loss(X, Y, reduction="sum"), 29),
    "squared errors": (lambda: F.mse_loss(X, Y, reduction="none"), 20),
    "outer product": (lambda: torch.outer(X, Y), 100),
    "layer with a bias": (lambda: F.linear(SQUARE, torch.ones(3, 5), torch.ones(3)), 6),
    "layer without a bias": (lambda: F.linear(SQUARE, torch.ones(3, 5)), 0),
    "convolution with a bias": (lambda: F.conv1d(X[None, None], Y[None, None, :2], torch.ones(1)), 9),
    "differences": (lambda: X.diff(), 9),
    "functions": (lambda: (X.exp(), X.sqrt(), X.sigmoid(), X.abs(), F.gelu(X)), 0),
    "comparisons": (lambda: (X.max(), X > Y, X.sort(), X.argmax(), X.clamp(0, 1), F.relu(X)), 0),
    "written into places": (lambda: X.clone().__setitem__(X > 0, 1.0), 0),
    "added to places": (lambda: X.clone().index_put_((torch.tensor([1, 1, 2]),), Y[0], accumulate=True), 3),
    "added by index": (lambda: X.index_add(0, torch.tensor([1, 1]), Y[:2]), 2),
    "scattered": (lambda: X.scatter_add(0, torch.tensor([1, 1]), Y), 2),
    "logic": (lambda: (X.isfinite(), (X > 0) * (X < 1), (X > 0).any()), 0),
    "how many": (lambda: (X > 0).sum(), 9),
    "copies": (lambda: (torch.cat([X, Y]), X[X > 0], X.double(), torch.stack([X, Y]), X.repeat(2)), 0),
    "new tensors": (lambda: (torch.zeros(3), torch.arange(5), torch.rand(4), torch.eye(3), torch.zeros_like(X)), 0),
    "inference mode": (torch.inference_mode()(lambda: F.linear(SQUARE, torch.ones(3, 5), torch.ones(3))), 6),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_each_operation_counts_what_it_does(name):
    function, want = ARITHMETIC[name]
    assert meters.elementwise_operations(function) == want


def test_backward_passes_are_counted():
    x = torch.ones(10, requires_grad=True)
    assert meters.elementwise_operations(lambda: (3 * x).sum().backward()) == 10 + 9 + 10
    assert meters.elementwise_operations(lambda: torch.autograd.grad(x.sigmoid().sum(), x)) == 9 + 30
    columns = torch.ones(2, 5, requires_grad=True)
    twice = lambda: columns[:, torch.tensor([1, 1])].sum()  # noqa: E731
    assert meters.elementwise_operations(lambda: torch.autograd.grad(twice(), columns)) == 3 + 4


@pytest.mark.parametrize(
    "function, name",
    [
        (lambda: F.layer_norm(SQUARE, (5,)), "native_layer_norm"),
        (lambda: torch.cdist(SQUARE, SQUARE), "_cdist_forward"),
        (lambda: torch._foreach_add([X], [Y]), "_foreach_add"),
        (lambda: F.avg_pool1d(X[None, None], 2), "avg_pool2d"),
        (lambda: F.cross_entropy(SQUARE, torch.tensor([1, 2])), "nll_loss_forward"),
    ],
)
def test_an_operation_without_a_count_is_refused_by_name(function, name):
    with pytest.raises(ValueError, match=f"elementwise_operations has no count for aten.{name}"):
        meters.elementwise_operations(function)


def test_complex_numbers_count_their_real_operations():
    z = torch.complex(X, Y)
    n = z.numel()
    for function, each in ((lambda: z * z, 6), (lambda: z + z, 2), (lambda: z - z, 2), (lambda: -z, 2)):
        assert meters.elementwise_operations(function) == each * n
    assert meters.elementwise_operations(lambda: torch.view_as_real(torch.complex(X, Y))) == 0


@pytest.mark.parametrize("function, name", [(lambda z: z / z, "div"), (lambda z: z * 2, "mul"), (lambda z: z * X, "mul")])
def test_other_operations_on_complex_numbers_are_refused(function, name):
    with pytest.raises(ValueError, match=f"no count for complex numbers in aten.{name}"):
        meters.elementwise_operations(function, torch.complex(X, Y))


def test_the_function_runs_as_it_would_without_a_meter():
    """Arguments by position and by name arrive, and what meters switch off is on again, after an error too."""
    got = []
    for meter in (meters.matmul_flops, meters.elementwise_operations, meters.saved_bytes, meters.saved_bytes_over_time):
        meter(lambda x, y: got.append(torch.add(x, y, alpha=2).sum(0, keepdim=True)), X, Y)
        with pytest.raises(ZeroDivisionError):
            meter(lambda: 1 / 0)
        assert torch.backends.mha.get_fastpath_enabled() and torch.backends.mkldnn.enabled
    assert all(torch.equal(value, (X + 2 * Y).sum(0, keepdim=True)) for value in got) and len(got) == 4


def test_saved_bytes_count_each_storage_once():
    x = torch.ones(10, dtype=torch.float64, requires_grad=True)
    assert meters.saved_bytes(lambda: (x * x).sum()) == 80
    assert meters.saved_bytes(lambda: x.exp().sin()) == 80  # sine keeps the tensor that exp keeps
    assert meters.saved_bytes(lambda: x.sin().exp()) == 160


def test_saved_bytes_count_what_is_dropped_and_what_has_no_memory():
    x = torch.ones(10, dtype=torch.float64, requires_grad=True)
    assert meters.saved_bytes(lambda: [x.exp().sum().item() for _ in range(3)]) == 240
    meta = torch.ones(10, dtype=torch.float64, device="meta", requires_grad=True)
    assert meters.saved_bytes(lambda: meta.exp().exp()) == 160


def ten_numbers(**options):
    return torch.ones(10, dtype=torch.float64, requires_grad=True, **options)


def test_saved_bytes_come_and_go():
    x = ten_numbers()
    assert meters.saved_bytes_over_time(lambda: x.sin().exp().sum().backward()) == [0, 80, 160, 80, 0]
    one_by_one = [0, 80, 160, 80, 0, 80, 160, 80, 0]
    assert meters.saved_bytes_over_time(lambda: [x.sin().exp().sum().backward() for _ in range(2)] and None) == one_by_one


def test_saved_bytes_of_what_is_returned_stay_to_the_end():
    x = ten_numbers()
    assert meters.saved_bytes_over_time(lambda x: x.sin().exp(), x) == [0, 80, 160]
    assert meters.saved_bytes_over_time(lambda: [x.sin().exp()].clear()) == [0, 80, 160, 80, 0]
    assert meters.saved_bytes_over_time(lambda: x.detach().exp()) == [0]


def test_a_storage_is_alive_until_its_last_holder_lets_it_go():
    x = ten_numbers()
    assert meters.saved_bytes_over_time(lambda: x.exp().sin().sum().backward()) == [0, 80, 0]  # sine keeps what exp keeps
    half = x[:5].detach().requires_grad_()  # saved are its exponential, then the storage of x, then all is let go
    assert meters.saved_bytes_over_time(lambda: (half.exp() * x[5:]).sum().backward()) == [0, 40, 120, 40, 0]


def test_what_is_left_out_does_not_count():
    layer, x = nn.Linear(10, 7, bias=False, dtype=torch.float64), ten_numbers()
    assert meters.saved_bytes_over_time(lambda: layer(x))[-1] == 80 + 7 * 80
    assert meters.saved_bytes_over_time(lambda: layer(x), besides=layer.parameters())[-1] == 80
    assert meters.saved_bytes_over_time(lambda: layer(x), besides=[x.view(2, 5), layer.weight.T]) == [0]


def test_saved_bytes_come_and_go_without_memory_too():
    meta = ten_numbers(device="meta")
    assert meters.saved_bytes_over_time(lambda: meta.exp().exp().sum().backward()) == [0, 80, 160, 80, 0]


@pytest.mark.parametrize("meter", [meters.saved_bytes, meters.saved_bytes_over_time])
def test_a_graph_that_was_measured_is_let_go(meter):
    outputs = []
    meter(lambda x: outputs.append(weakref.ref(x.exp())), ten_numbers())
    assert outputs[0]() is None


def test_saved_bytes_are_seen_where_a_checkpoint_makes_them_again():
    x = ten_numbers()
    def forgetful():
        return checkpoint(lambda x: x.sin().exp(), x, use_reentrant=True)

    assert meters.saved_bytes_over_time(forgetful) == [0, 80]
    assert meters.saved_bytes_over_time(lambda: forgetful().sum().backward()) == [0, 80, 160, 80, 0]


@pytest.mark.parametrize("seed", range(5))
def test_saved_bytes_over_time_end_where_saved_bytes_do_and_change_no_gradient(seed):
    torch.manual_seed(seed)
    net, x = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.5), nn.Linear(16, 3)), torch.randn(4, 8)
    assert meters.saved_bytes_over_time(net, x)[-1] == meters.saved_bytes(net, x)

    def gradient():
        torch.manual_seed(seed)
        net.zero_grad()
        net(x).square().sum().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    want, got = gradient(), []
    timeline = meters.saved_bytes_over_time(lambda: got.append(gradient()))
    assert torch.equal(got[0], want) and timeline[-1] == 0 and max(timeline) > 0
