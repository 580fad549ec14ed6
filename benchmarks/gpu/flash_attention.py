"""Attention in bfloat16, forward and backward: our Triton kernels, eager, PyTorch's flash backend and cuDNN's, in one run.

    python benchmarks/gpu/flash_attention.py [--rounds 9]

16,384 tokens and 2,048 channels at every length, as the papers on flash attention count: 4 · time² · channels operations a
sequence forward, two and a half times as many backward, half of both where attention is causal. The kernels are in
triton_attention.py. Errors are ‖x - y‖ / ‖y‖ with y in float64 from the same bfloat16 numbers. Memory is the most that a
forward and a backward pass hold beyond the inputs and their gradient, for one sequence.
"""

import torch
from record import Stopwatch, arguments, attempt, device, extra_bytes, record, say
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from triton_attention import attention


def eager(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    """Softmax of the whole matrix of scores."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(-1) @ v


def of_torch(backend: SDPBackend):
    def call(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
        with sdpa_kernel(backend):
            return scaled_dot_product_attention(q, k, v, is_causal=causal)

    return call


METHODS = {"ours, Triton": attention, "eager": eager, "flash": of_torch(SDPBackend.FLASH_ATTENTION), "cuDNN": of_torch(SDPBackend.CUDNN_ATTENTION)}


def inputs(batch: int, heads: int, length: int, dim: int) -> tuple[list[Tensor], Tensor]:
    """q, k and v, that gradients are wanted of, and the gradient of the output."""
    generator = torch.Generator().manual_seed(length + dim)
    dtype = torch.bfloat16 if device().type == "cuda" else torch.float32
    *leaves, grad = (torch.randn(batch, heads, length, dim, generator=generator).to(device(), dtype) for _ in range(4))
    return [leaf.requires_grad_() for leaf in leaves], grad


def speed(channels: int, tokens: int, lengths: list[int], rounds: int) -> list[list]:
    rows, watch = [], Stopwatch()
    for dim, causal, length in ((dim, causal, length) for dim in (64, 128) for causal in (False, True) for length in lengths):
        leaves, grad = inputs(tokens // length, channels // dim, length, dim)
        forward = {name: lambda call=call: call(*leaves, causal=causal) for name, call in METHODS.items()}
        kept = {name: attempt(function)[0] for name, function in forward.items()}
        backward = {
            name: lambda out=out: torch.autograd.grad(out, leaves, grad, retain_graph=True)
            for name, out in kept.items() if out is not None
        }
        operations = 4 * tokens * length * channels * (0.5 if causal else 1)
        there, back = watch.in_turn(forward, rounds), watch.in_turn(backward, rounds)
        for name in METHODS:
            taken, returned = there[name], back.get(name)
            if isinstance(taken, str) or isinstance(returned, str | None):
                rows.append([dim, causal, length, name, None, None, None, None, str(returned or taken)])
                continue
            rate, rate_back = 1e-9 * operations / taken, 2.5e-9 * operations / returned
            rows.append([dim, causal, length, name, taken, rate, returned, rate_back, "ok"])
            say(f"dim {dim}, causal {causal}, {length}, {name}: {rate:.0f} forward, {rate_back:.0f} backward TFLOP/s")
    return rows


def both_passes(call, leaves: list[Tensor], grad: Tensor, *, causal: bool) -> list[Tensor]:
    """The output and the three gradients."""
    out = call(*leaves, causal=causal)
    return [out, *torch.autograd.grad(out, leaves, grad)]


def errors(length: int) -> list[list]:
    rows = []
    for dim, causal in ((dim, causal) for dim in (64, 128) for causal in (False, True)):
        leaves, grad = inputs(1, 4, length, dim)
        exact = both_passes(eager, [leaf.detach().double().requires_grad_() for leaf in leaves], grad.double(), causal=causal)
        for name, call in METHODS.items():
            came, reason = attempt(lambda call=call: both_passes(call, leaves, grad, causal=causal))  # noqa: B023
            off = [float((ours.double() - true).norm() / true.norm()) for ours, true in zip(came, exact, strict=True)] if came else [None] * 4
            rows.append([dim, causal, name, *off, reason or "ok"])
    return rows


def memory(heads: int, dim: int, lengths: list[int]) -> list[list]:
    rows = []
    for length in lengths:
        leaves, grad = inputs(1, heads, length, dim)
        for name, call in METHODS.items():
            held, reason = attempt(lambda call=call: extra_bytes(lambda: both_passes(call, leaves, grad, causal=True)))  # noqa: B023
            rows.append([length, name, held and held / 2**20, reason or "ok"])
    return rows


def main() -> None:
    chosen = arguments(__doc__)
    channels, tokens, lengths, size = (128, 256, [128, 256], 128) if chosen.small else (2048, 16384, [512, 1024, 2048, 4096, 8192, 16384], 4096)
    results = {
        "speed": (["dim", "causal", "length", "method", "forward ms", "TFLOP/s", "backward ms", "TFLOP/s", "status"], speed(channels, tokens, lengths, chosen.rounds)),
        f"relative error, length {size}": (["dim", "causal", "method", "out", "dq", "dk", "dv", "status"], errors(size)),
        "memory, causal, dim 128": (["length", "method", "MiB", "status"], memory(channels // 128, 128, lengths)),
    }
    beside = "FlashAttention-3 reports up to 740 TFLOP/s forward in FP16 on an H100 (https://arxiv.org/abs/2407.08608)."
    record("flash_attention", chosen, {"channels": channels, "tokens": tokens, "lengths": lengths}, results, beside)


if __name__ == "__main__":
    main()
