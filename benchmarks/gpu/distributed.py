"""Several GPUs of one machine: exchanges, data-parallel training, and experts that live on different GPUs.

    python benchmarks/gpu/distributed.py [--processes N] [--rounds 7]

Starts one process a GPU (all, if N is not given) under torchrun, with NCCL; `--small` on a CPU starts two, with gloo. Bandwidths of
exchanges are those of the slowest link that all must use: 2 (n - 1)/n of the bytes of an all-reduce pass it, (n - 1)/n of
an all-to-all's. Data-parallel training is the course's transformer (24 layers of width 1024, 16 heads, BF16, 8 × 1024 tokens
a GPU) under DistributedDataParallel, beside the same step without any exchange. The mixture has 64 experts of which a token
passes 8 (width 2048, 1024 hidden units, the course's routing and experts): every GPU holds all of them, or its share, as in
the chapter on mixtures. Gradients and outputs must agree with those of one process that has everything. *Times one GPU*
says how many single GPUs would do as much in the time, by what each of these does for itself in the same run. More
machines: `torchrun --nnodes 2 ... benchmarks/gpu/distributed.py` on each, with torchrun's own options of where to meet.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from mixer import Mixer, flash, half
from parallel_experts import Parallel
from record import Stopwatch, arguments, attempt, device, record, say
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from lib.sequence.moe import MixtureOfExperts
from lib.sequence.transformer import Context, Transformer


FULL = {"MiB": [1, 16, 256, 1024], "width": 1024, "depth": 24, "heads": 16, "batch": 8, "length": 1024,
        "expert width": 2048, "hidden": 1024, "experts": 64, "k": 8, "tokens": 16384}  # fmt: skip
SMALL = {"MiB": [1], "width": 32, "depth": 2, "heads": 2, "batch": 2, "length": 16,
         "expert width": 16, "hidden": 8, "experts": 8, "k": 2, "tokens": 32}  # fmt: skip
EXCHANGES = ["exchange", "MiB", "ms", "GB/s"]
TRAINING = ["step", "ms", "tokens/s of all", "times one GPU", "gradients off by"]
MIXTURE = ["experts", "weights a GPU", "ms", "tokens/s of all", "times one GPU", "outputs off by"]


def slowest(milliseconds: float) -> float:
    """The largest of all processes' times."""
    largest = torch.tensor(milliseconds, device=device())
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return float(largest)


def timed(functions: dict[str, Callable], rounds: int) -> dict[str, float]:
    return {name: slowest(taken) for name, taken in Stopwatch(flush=False).in_turn(functions, rounds).items()}


def exchanges(size: dict, rounds: int) -> list[list]:
    """Bandwidths of an all-reduce and an all-to-all of tensors of some MiB."""
    rows, world = [], dist.get_world_size()
    for mib in size["MiB"]:
        x = torch.randn((mib << 20) // half().itemsize, device=device()).to(half())
        functions = {"all-reduce": partial(dist.all_reduce, x), "all-to-all": partial(dist.all_to_all_single, torch.empty_like(x), x)}
        for name, taken in timed(functions, rounds).items():
            passed = (2 if name == "all-reduce" else 1) * (world - 1) / world * x.nbytes
            rows.append([name, x.nbytes / 2**20, taken, passed / taken / 1e6])
    return rows


def training(size: dict, rounds: int) -> list[list]:
    """A step with and without the exchange of gradients: milliseconds, tokens a second of all, and how far gradients are off."""
    torch.manual_seed(0)
    model = Transformer(256, size["width"], size["depth"], mixer=partial(Mixer, heads=size["heads"], inner=flash)).to(device(), half())
    torch.manual_seed(1 + dist.get_rank())
    tokens = torch.randint(256, (size["batch"], size["length"] + 1), device=device())
    joined = DistributedDataParallel(model)

    def gradients(of: nn.Module) -> None:
        model.zero_grad(set_to_none=False)
        cross_entropy(of(tokens[:, :-1]).float().flatten(0, 1), tokens[:, 1:].flatten()).backward()

    def all_of_them() -> Tensor:
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).float()

    gradients(model)
    mean = all_of_them() / dist.get_world_size()
    dist.all_reduce(mean)
    gradients(joined)
    off = float((all_of_them() - mean).norm() / mean.norm())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step(of: nn.Module) -> None:
        gradients(of)
        optimizer.step()

    times = timed({"joined": partial(step, joined), "alone": partial(step, model)}, rounds)
    world = dist.get_world_size()
    count = tokens[:, :-1].numel() * world
    return [
        ["each GPU for itself", times["alone"], 1e3 * count / times["alone"], None, None],
        ["data-parallel", times["joined"], 1e3 * count / times["joined"], world * times["alone"] / times["joined"], off],
    ]


def mixture(size: dict, rounds: int) -> list[list]:
    """Forward and backward of all experts here, and of shared-out ones."""
    torch.manual_seed(0)
    whole = MixtureOfExperts(size["expert width"], size["hidden"], size["experts"], size["k"]).to(device(), half())
    parallel = Parallel(whole)
    torch.manual_seed(1 + dist.get_rank())
    x = torch.randn(size["tokens"], size["expert width"], device=device()).to(half())
    with torch.no_grad():
        wanted, came = whole(x).float(), parallel(x).float()
    off = float((came - wanted).norm() / wanted.norm())

    def once(layer: nn.Module) -> None:
        layer(x.detach().requires_grad_()).sum().backward()

    times = timed({"all": partial(once, whole), "shared": partial(once, parallel)}, rounds)
    here, world = 3 * size["experts"] * size["hidden"] * size["expert width"], dist.get_world_size()
    count = size["tokens"] * world
    return [
        ["all on every GPU", here, times["all"], 1e3 * count / times["all"], None, None],
        ["shared out", here // world, times["shared"], 1e3 * count / times["shared"], world * times["all"] / times["shared"], off],
    ]


def main() -> None:
    chosen = arguments(__doc__, processes={"type": int, "default": torch.cuda.device_count() or 2})
    if "RANK" not in os.environ:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={chosen.processes}"]
        sys.exit(subprocess.run([*command, *sys.argv]).returncode)
    gpu = device().type == "cuda"
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(seconds=90))
    size, results = SMALL if chosen.small else FULL, {}
    parts = {"exchanges": (exchanges, EXCHANGES), "training step": (training, TRAINING), "mixture of experts, forward and backward": (mixture, MIXTURE)}
    for name, (part, head) in parts.items():
        rows, reason = attempt(part, size, chosen.rounds)
        results[name] = head, rows or [[reason, *[None] * (len(head) - 1)]]
        if dist.get_rank() == 0:
            say(f"{name}: {reason or 'done'}")
    if dist.get_rank() == 0:
        beside = (
            "The chapter on mixtures counts what the exchanges of experts send; an H200's NVLink is listed with 900 GB/s, both "
            "ways together (https://www.nvidia.com/en-us/data-center/h200/)."
        )
        settings = size | {"processes": dist.get_world_size(), "dtype": str(half())}
        record("distributed", chosen, settings, results, beside)
    dist.barrier()  # none leaves before the first has written
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
