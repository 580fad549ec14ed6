import torch
import torch.nn.functional as F

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


def test_elementwise_operations_count_single_numbers():
    x = torch.ones(2, 3)
    assert meters.elementwise_operations(lambda: -(x * x + x) / 2) == 4 * 6
    assert meters.elementwise_operations(lambda: 1 - x) == 6
    assert meters.elementwise_operations(lambda: (x @ x.T, x.reshape(6), x[0])) == 0


def test_saved_bytes_count_each_storage_once():
    x = torch.ones(10, dtype=torch.float64, requires_grad=True)
    assert meters.saved_bytes(lambda: (x * x).sum()) == 80
    assert meters.saved_bytes(lambda: x.exp().sin()) == 80  # sine keeps the tensor that exp keeps
    assert meters.saved_bytes(lambda: x.sin().exp()) == 160
