"""What the chapter on mixed precision says of torch."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, layer_norm

PAGE = "book/systems/mixed-precision.ipynb, section In production"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
HALF = torch.bfloat16


def test_an_overflow_in_e4m3_leaves_no_trace():
    x = torch.tensor([500.0, 1e9, math.inf])
    assert x.to(torch.float8_e4m3fn).float().tolist() == [448.0] * 3, TORCH
    assert x[1:].to(torch.float8_e5m2).float().isinf().all(), TORCH
    assert torch.tensor([math.nan]).to(torch.float8_e4m3fn).float().isnan().all(), TORCH


def test_float64_is_rounded_twice_on_its_way_to_float16():
    x = 1 + 2.0**-11 + 2.0**-40
    assert torch.tensor([x], dtype=torch.float64).half().item() == 1, TORCH
    assert float(np.float16(x)) == 1 + 2.0**-10


def test_adamw_does_not_decay_bfloat16_weights():
    start = torch.tensor([1.0, -0.3, 1.9921875, 3e-5]).to(HALF)
    for dtype, want in ((HALF, 1.0), (torch.float32, math.exp(-0.1))):
        weight = nn.Parameter(start.to(dtype))
        optimizer = torch.optim.AdamW([weight], lr=1e-3, weight_decay=0.1)
        for _ in range(1000):
            weight.grad = torch.zeros_like(weight)
            optimizer.step()
        rtol = 0 if dtype == HALF else 1e-3
        assert torch.allclose(weight.detach().float(), start.float() * want, rtol=rtol, atol=0), TORCH


def test_bfloat16_gradients_stop_at_256():
    embedding, tokens = nn.Embedding(4, 1, dtype=HALF), torch.zeros(1000, dtype=torch.int64)
    embedding(tokens).sum().backward()
    assert embedding.weight.grad[0].item() == 256, TORCH
    weight, ones = nn.Parameter(torch.zeros(1, dtype=HALF)), torch.ones(1000, dtype=HALF)
    for _ in range(1000):
        weight.sum().backward()
    assert weight.grad.item() == 256, TORCH
    assert torch.zeros(1, dtype=HALF).index_add_(0, tokens, ones).item() == 256, TORCH
    assert ones.sum().item() == 1000, TORCH


def test_cpu_autocast_leaves_softmax_and_layer_norm_low():
    with torch.autocast("cpu", dtype=HALF):
        low = nn.Linear(4, 4)(torch.ones(2, 4))
        assert low.dtype == low.softmax(1).dtype == layer_norm(low, (4,)).dtype == HALF, TORCH
        assert low.float().softmax(1).dtype == layer_norm(low.float(), (4,)).dtype == torch.float32, TORCH
        assert cross_entropy(low, torch.tensor([0, 1])).dtype == torch.float32, TORCH


def test_autocast_keeps_the_cast_weights_until_its_end():
    layer, x = nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    nn.init.ones_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    with torch.autocast("cpu", dtype=HALF):
        layer(x).sum().backward()
        optimizer.step()
        assert layer(x).item() == 1, TORCH
    assert layer(x).item() == 0, TORCH


def test_grad_scaler_skips_without_a_word():
    scaler, weight = torch.amp.GradScaler("cpu"), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    assert scaler.get_scale() == 2.0**16 and scaler.get_growth_interval() == 2000, TORCH
    scaler.scale(torch.ones(()))
    weight.grad = torch.tensor([math.inf])
    assert scaler.step(optimizer) is None and weight.item() == 1, TORCH
    scaler.update()
    assert scaler.get_scale() == 2.0**15, TORCH
    weight.grad = torch.tensor([2.0**15])
    assert scaler.step(optimizer) is None and math.isclose(weight.item(), 0.9, rel_tol=1e-6), TORCH
    scaler.update()
    assert scaler.get_scale() == 2.0**15, TORCH
