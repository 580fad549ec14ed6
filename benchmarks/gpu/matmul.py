"""Matrix products by format: TFLOP/s of n × n × n, and how far they are off.

    python benchmarks/gpu/matmul.py [--rounds 7]

FP8 is E4M3, its operands rounded beforehand; "tiles" are 1 × 128 for the left factor, and for the right one 128 × 128 (as
DeepSeek-V3 stores weights) or 1 × 128. "fast" adds in the matrix unit alone; the others move sums to FP32 registers now and
then. Errors are ‖C - AB‖ / ‖AB‖ with AB in float64: once for the numbers as they were drawn (*of all*), once for the numbers
after rounding, which leaves the error of multiplying and adding (*of the sums*). In an outlier's table one channel of A is F
times as large and meets zeros in B, so that the error is that of all other channels, as in the chapter on DeepSeek-V3.
"""

import torch
from record import PEAK, Stopwatch, arguments, attempt, device, record, say
from torch.nn.functional import ScalingType, scaled_mm

E4M3, LARGEST = torch.float8_e4m3fn, 448.0


def to_fp8(x: torch.Tensor, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x in E4M3 and what to multiply it by again, one scale for each tile of rows × columns: (tiles down, tiles across)."""
    tiles = x.unflatten(1, (-1, columns)).unflatten(0, (-1, rows))
    scales = tiles.abs().amax((1, 3), keepdim=True).float().clamp(min=1e-12) / LARGEST
    rounded = (tiles.float() / scales).clamp(-LARGEST, LARGEST).to(E4M3)
    return rounded.flatten(2).flatten(0, 1), scales[:, 0, :, 0]


def from_fp8(x: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    rows, columns = (size // count for size, count in zip(x.shape, scales.shape, strict=True))
    return x.double() * scales.double().repeat_interleave(rows, 0).repeat_interleave(columns, 1)


def fp8_formats(n: int) -> dict[str, tuple]:
    """By name: the tiles of the left and of the right factor, which is stored transposed, and whether sums are fast."""
    tile = min(128, n)
    return {
        "FP8, per tensor, fast": ((n, n), (n, n), True),
        "FP8, per tensor": ((n, n), (n, n), False),
        "FP8, per row, fast": ((1, n), (1, n), True),
        "FP8, per row": ((1, n), (1, n), False),
        "FP8, tiles 1 × 128 and 128 × 128": ((1, tile), (tile, tile), False),
        "FP8, tiles 1 × 128 and 1 × 128": ((1, tile), (1, tile), False),
    }


def fp8_product(a, scale_a, tile_a, b, scale_b, tile_b, fast, dtype):
    """A function that multiplies a bᵀ for FP8 a and b; the scales are laid out in memory as torch asks for."""
    n = len(a)
    if tile_a[1] == n:
        scales = {"scale_a": scale_a[0, 0], "scale_b": scale_b[0, 0]} if tile_a[0] == n else {"scale_a": scale_a, "scale_b": scale_b.t()}
        return lambda: torch._scaled_mm(a, b.t(), **scales, out_dtype=dtype, use_fast_accum=fast)
    slender, square = ScalingType.BlockWise1x128, ScalingType.BlockWise128x128
    scale_a = scale_a.t().contiguous().t()
    if tile_b[0] == 1:
        scale_b, kind = scale_b.t().contiguous().t(), slender
    else:
        scale_b, kind = scale_b.t(), square  # n is a multiple of 512, so that there is nothing to pad
    return lambda: scaled_mm(a, b.t(), scale_a, slender, scale_b, kind, output_dtype=dtype)


def plain_product(a, b, tf32=False, dtype=None):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    if dtype in (None, a.dtype):
        return a @ b.t()
    return torch.mm(a, b.t(), out_dtype=dtype) if a.is_cuda else a.to(dtype) @ b.to(dtype).t()


def ways(a: torch.Tensor, b: torch.Tensor, *, exact: bool) -> dict[str, tuple]:
    """By format: a function that multiplies a bᵀ, and the factors that it multiplies. `exact` asks for sums in FP32."""
    out = torch.float32 if exact else None
    made = {"FP32": (lambda: plain_product(a, b), a, b), "TF32": (lambda: plain_product(a, b, True), a, b)}
    for name, dtype in (("BF16", torch.bfloat16), ("FP16", torch.float16)):
        x, y = a.to(dtype), b.to(dtype)
        made[name] = (lambda x=x, y=y: plain_product(x, y, dtype=out)), x, y
    for name, (tile_a, tile_b, fast) in fp8_formats(len(a)).items():
        (x, u), (y, v) = to_fp8(a, *tile_a), to_fp8(b, *tile_b)
        made[name] = fp8_product(x, u, tile_a, y, v, tile_b, fast, out or torch.bfloat16), (x, u), (y, v)
    return made


def throughput(sizes: list[int], rounds: int) -> list[list]:
    rows, watch = [], Stopwatch()
    for n in sizes:
        a, b = (torch.randn(n, n, device=device()) for _ in range(2))
        functions = {name: function for name, (function, _, _) in ways(a, b, exact=False).items()}
        for name, taken in watch.in_turn(functions, rounds).items():
            if isinstance(taken, str):
                rows.append([name, n, None, None, None, taken])
                continue
            speed = 2e-9 * n**3 / taken
            rows.append([name, n, taken, speed, speed / PEAK[name[:4].strip(",")], "ok"])
            say(f"n = {n}, {name}: {speed:.4g} TFLOP/s")
    return rows


def errors(n: int, outlier: float) -> list[list]:
    """How far each format is off, one channel of A being `outlier` times as large."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, n, generator=generator).to(device()) for _ in range(2))
    if outlier > 1:
        a[:, n // 2] *= outlier
        b[:, n // 2] = 0
    wanted, rows = a.double() @ b.double().t(), []
    for name, (function, x, y) in ways(a, b, exact=True).items():
        came, reason = attempt(function)
        if reason:
            rows.append([name, None, None, reason])
            continue
        x, y = (from_fp8(*factor) if isinstance(factor, tuple) else factor.double() for factor in (x, y))
        rounded = x @ y.t()
        of_all, of_sums = (float((came.double() - true).norm() / true.norm()) for true in (wanted, rounded))
        rows.append([name, of_all, None if name == "TF32" else of_sums, "ok"])  # the unit itself rounds to TF32
    return rows


def main() -> None:
    chosen = arguments(__doc__)
    sizes = [64, 512] if chosen.small else [1024, 2048, 4096, 8192, 16384]
    n = 512 if chosen.small else 2048
    results = {"throughput": (["format", "n", "ms", "TFLOP/s", "share of peak", "status"], throughput(sizes, chosen.rounds))}
    for outlier in (1, 1e3, 1e5):
        title = f"relative error, n = {n}, " + (f"a channel {outlier:g} times as large" if outlier > 1 else "normal entries")
        results[title] = ["format", "of all", "of the sums", "status"], errors(n, outlier)
    beside = "Peaks: dense TFLOP/s of an H200, half of those that NVIDIA lists with sparsity (https://www.nvidia.com/en-us/data-center/h200/)."
    record("matmul", chosen, {"sizes": sizes, "peaks": PEAK, "error size": n}, results, beside)


if __name__ == "__main__":
    main()
