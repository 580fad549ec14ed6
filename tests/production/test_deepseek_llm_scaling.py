"""What the chapter on scaling laws says of torch, transformers and scipy."""

import math
import types
import warnings

import numpy as np
import scipy
import torch
import transformers
from scipy.optimize import curve_fit
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

PAGE = "book/language-models/deepseek-llm-scaling.ipynb, section In production"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
SCIPY = f"scipy {scipy.__version__} (1.17.1 on the page): mend the row in {PAGE}"
LAYERS, WIDTH, HIDDEN, LENGTH, VOCABULARY = 2, 64, 170, 24, 50
LAW = (1.7, 400.0, 0.34, 410.0, 0.28)


def llama(attention="sdpa", layers=LAYERS, width=WIDTH, hidden=HIDDEN, heads=4, kv_heads=2, vocabulary=VOCABULARY, **options):
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, **options,
    )  # fmt: skip
    config._attn_implementation = attention
    return transformers.LlamaForCausalLM(config)


def matrices(model):
    """Weights of all matrices but the embedding."""
    return sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name)


def training_flops(model):
    ids = torch.randint(VOCABULARY, (2, LENGTH))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    return counter.get_total_flops() // ids.numel()


def test_a_tiny_llama_costs_what_the_formula_says():
    model = llama("eager")
    layer = 6 * (2 * WIDTH**2 + 2 * WIDTH**2 * 2 // 4 + 3 * WIDTH * HIDDEN) + 12 * WIDTH * LENGTH
    assert training_flops(model) == LAYERS * layer + 6 * VOCABULARY * WIDTH
    assert layer - 12 * WIDTH * LENGTH == 6 * (matrices(model) - VOCABULARY * WIDTH) // LAYERS


def test_published_models_have_the_sizes_of_their_names():
    with torch.device("meta"):
        small = llama(layers=30, width=4096, hidden=11008, heads=32, kv_heads=32, vocabulary=102400)
        large = llama(layers=95, width=8192, hidden=22016, heads=64, kv_heads=8, vocabulary=102400)
    assert math.isclose(small.num_parameters(), 6.9e9, rel_tol=0.01)
    assert math.isclose(large.num_parameters(), 67.4e9, rel_tol=0.01)


def test_flop_counter_misses_fused_attention_on_the_cpu():
    q = torch.randn(1, 2, 16, 8)
    with FlopCounterMode(display=False) as fused:
        scaled_dot_product_attention(q, q, q, is_causal=True)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as plain:
        scaled_dot_product_attention(q, q, q, is_causal=True)
    assert fused.get_total_flops() == 0, TORCH
    assert plain.get_total_flops() == 2 * 2 * 2 * 16 * 16 * 8, TORCH
    model = llama("sdpa")
    assert training_flops(model) == 6 * matrices(model), TORCH


def trainer_weights(model):
    """Six times the weights for each token: what the Trainer counts, divided by both."""
    inputs = {"input_ids": torch.zeros(2, LENGTH)}
    operations = transformers.Trainer.floating_point_ops(types.SimpleNamespace(model=model), inputs)
    assert operations % (6 * 2 * LENGTH) == 0, TRANSFORMERS
    return operations // (6 * 2 * LENGTH)


def test_trainer_counts_six_for_each_parameter_and_no_attention():
    free, tied = llama(), llama(tie_word_embeddings=True)
    layers = sum(p.numel() for p in free.model.layers.parameters() if p.ndim == 2)
    norms = sum(p.numel() for p in free.parameters() if p.ndim == 1)
    assert trainer_weights(free) == layers + VOCABULARY * WIDTH + norms, TRANSFORMERS
    assert trainer_weights(tied) == layers + norms, TRANSFORMERS


def rates(**options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [80, 90], **options)
    seen = []
    for _ in range(100):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_multi_step_divides_by_ten_unless_told_otherwise():
    assert np.allclose(np.array(rates())[[79, 80, 90]], [1, 0.1, 0.01]), TORCH
    assert np.allclose(np.array(rates(gamma=10**-0.5))[[79, 80, 90]], [1, 0.316, 0.1], atol=3e-4), TORCH


def surface(x, E, P, alpha, Q, beta):
    return E + P * x[0] ** -alpha + Q * x[1] ** -beta


def test_curve_fit_needs_a_start():
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(np.log([1e7, 1e8]), np.log([1e10, 1e11]), (60, 2))).T
    losses = surface(x, *LAW)
    with warnings.catch_warnings():
        warnings.simplefilter("error", scipy.optimize.OptimizeWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        stuck, covariance = curve_fit(surface, x, losses)
        found, _ = curve_fit(surface, x, losses, p0=(1, 100, 0.5, 100, 0.5))
    assert np.allclose(stuck, 1, atol=1e-6) and np.isfinite(covariance).all(), SCIPY
    assert np.allclose(found, LAW, rtol=1e-3), SCIPY
