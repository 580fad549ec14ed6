"""Examples for `lib.foundations`."""

import numpy as np
import torch
from examples.values import law, normal, normal64

def _quadratic():
    return dict(matvec=lambda x: np.arange(1, 1 + len(x)) * x, b=np.array([1.0, -2.0]), tol=1e-8, maxiter=5)


EXAMPLES = {
    "derivatives.directional_derivative": lambda: dict(f=lambda x: x.square().sum(), x=normal(3), v=normal64(3).float()),
    "derivatives.direction_sweep": lambda: dict(f=lambda x: x.square().sum(), x=normal(2), count=4),
    "processes.count_events": lambda: dict(times=np.array([0.1, 0.2, 0.7]), edges=np.array([0.0, 0.5, 1.0])),
    "quadratics.steepest_descent": _quadratic,
    "quadratics.conjugate_gradient": _quadratic,
    "relaxations.concrete_log_density": lambda: dict(sample=law(2, 3), logits=normal64(2, 3)),
    "relaxations.soft_f1": lambda: dict(probabilities=law(4, dtype=torch.float32), labels=torch.tensor([0.0, 1.0, 1.0, 0.0])),
    "stochastic_approximation.robbins_monro": lambda: dict(
        noisy=lambda w, rng: w + rng.standard_normal(w.shape), start=np.zeros((3, 2)), step=lambda k: 1 / k, count=3
    ),
}
LONG = {"stochastic_approximation.robbins_monro": {"count"}}
EXEMPT = {"derivatives.jvp": "torch's own under its name, called by the functions of the module alone"}
