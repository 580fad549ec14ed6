"""Examples for `lib.systems`."""

import torch
from examples.values import linear, normal, tokens

from lib.systems.precision import FORMATS, LossScaler


def _trained():
    model = linear(2, 3)
    model(torch.ones(1, 2)).sum().backward()
    return torch.optim.SGD(model.parameters(), lr=0.1)


def _real():
    return torch.tensor([[True, True, False], [True, False, False]])


EXAMPLES = {
    "checkpointing.checkpoint": lambda: dict(module=linear(2, 3), inputs=[normal(4, 2)]),
    "checkpointing.checkpoint_sequential": lambda: dict(layers=[linear(2, 2), linear(2, 2)], segments=2, x=normal(4, 2)),
    "packing.first_fit": lambda: dict(lengths=[3, 2, 4], capacity=5),
    "packing.first_fit_decreasing": lambda: dict(lengths=[3, 2, 4], capacity=5),
    "packing.pack": lambda: dict(documents=[tokens(3), tokens(2), tokens(4)], rows=[[0, 1], [2]], capacity=5),
    "packing.cumulative_lengths": lambda: dict(lengths=torch.tensor([3, 2, 4])),
    "packing.pad": lambda: dict(tokens=normal(3, 2), real=_real()),
    "packing.unpad": lambda: dict(x=normal(2, 3, 2), real=_real()),
    "precision.FloatFormat.decode": lambda: dict(self=FORMATS["float16"], codes=tokens(2, 3, below=2**15)),
    "precision.FloatFormat.round": lambda: dict(self=FORMATS["float16"]),
    "precision.FloatFormat.round_stochastically": lambda: dict(self=FORMATS["float16"]),
    "precision.FloatFormat": lambda: dict(name="float16", exponent_bits=5, mantissa_bits=10),
    "precision.float_format": lambda: dict(name="float16"),
    "precision.LossScaler.update": lambda: dict(self=LossScaler()),
    "precision.LossScaler.step": lambda: dict(self=LossScaler(), optimizer=_trained()),
}
EXEMPT = {"processes.on_processes": "each call starts processes, which takes seconds; tests/systems/test_processes.py tries it"}
CHANGES = {"precision.LossScaler": {"self", "optimizer"}}
LONG = {"checkpointing.fewest_forward_steps": {"steps", "snapshots"}, "checkpointing.most_steps": {"snapshots", "sweeps"}}
PASSED_ON = {"checkpointing.checkpoint": {"inputs"}, "checkpointing.checkpoint_sequential": {"x"}}
