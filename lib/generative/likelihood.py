"""The divergence of a vector field, and with it the likelihood of a continuous flow."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lib.course.ranges import require_at_least
from lib.course.shapes import Float, Float64, checked
from lib.course.tensors import kind, predict
from lib.generative.solvers import Field, Method, solve_ode

FEW = 4  # backward passes


@checked
def divergence(
    field: Callable[[Tensor], Tensor],
    x: Float[Tensor, "batch *shape"],
    probes: Float[Tensor, "probes batch *shape"] | None = None,
    differentiable: bool = False,
) -> tuple[Float[Tensor, "batch *shape"], Float[Tensor, "batch"]]:
    """field(x), and the trace of its Jacobian row by row: exact, or Hutchinson's mean of uᵀ J u over `probes`.

    What field makes of one row may not depend on another. The exact trace takes d backward passes and suits small
    d; a probe takes one. Their entries have mean 0, variance 1 and are independent: signs give the smaller variance, 2
    (‖S‖² - Σ S_ii²) for the symmetric part S of J, normal numbers 2 ‖S‖². Both results carry gradients, to x and to
    what the field is made of, only if `differentiable` says so.
    """
    return _divergence(lambda x, _: field(x), x, 0.0, *_probes_of(x, probes), differentiable)


@checked
def log_likelihood(
    field: Field,
    x: Float[Tensor, "batch *shape"],
    log_prior: Callable[[Tensor], Tensor],
    times: Float64[Tensor, "times"],
    method: Method = "rk4",
    probes: Float[Tensor, "probes batch *shape"] | None = None,
    differentiable: bool = False,
) -> Float[Tensor, "batch"]:
    """log p(x) in nats at times[0], where the law at times[-1] has the log density `log_prior` (batch, …) -> (batch,).

    log p(x_0) = log p_1(x_1) + ∫_0^1 ∇·v dt along dx/dt = v, state and integral by the same solver (arXiv 1806.07366,
    theorem 1). `probes` are kept for the whole way, as in arXiv 1810.01367: the estimate of log p is unbiased up to
    the solver's error. `differentiable` is as in `divergence`. A state that is not finite raises a `FloatingPointError`.
    """
    probes, weight = _probes_of(x, probes)

    def with_integral(joined, t):
        state = joined[:, :-1].reshape(x.shape)
        value, trace = _divergence(field, state, t, probes, weight, differentiable)
        return torch.cat([value[..., None].flatten(1), trace[:, None]], 1)

    with torch.set_grad_enabled(differentiable):
        joined = torch.cat([x[..., None].flatten(1), x.new_zeros(len(x), 1)], 1)
        joined = solve_ode(with_integral, joined, times, method)
        prior = log_prior(joined[:, :-1].reshape(x.shape))
    if not isinstance(prior, Tensor) or prior.shape != x.shape[:1]:
        raise ValueError(f"log_prior must return a number for each row, shape {tuple(x.shape[:1])}, got {kind(prior)}")
    return prior + joined[:, -1]


def _probes_of(x, probes):
    """The unit vectors of a row of x for all rows and the weight 1, or the given probes and the weight of a mean."""
    if probes is not None:
        require_at_least("number of probes", len(probes), 1)
        return probes, 1 / len(probes)
    size = math.prod(x.shape[1:])
    units = torch.eye(size, dtype=x.dtype).reshape(size, 1, *x.shape[1:])
    return units.expand(size, *x.shape).contiguous(), 1.0  # backward passes are quicker from what is stored in full


def _divergence(field, x, t, probes, weight, keep):
    with torch.enable_grad():
        x = x if keep and x.requires_grad else x.detach().requires_grad_()
        value = predict(field, x, t, "field")
        if not value.is_floating_point():
            raise TypeError(f"field must return floating-point numbers, got {value.dtype}")
        products = _vector_jacobian(value, x, probes, keep)
    trace = weight * (products * probes)[..., None].flatten(2).sum((0, 2))
    return (value, trace) if keep else (value.detach(), trace.detach())


def _vector_jacobian(value, x, probes, keep):
    """uᵀ J for each of the probes, one by one where they are few, which is quicker then."""
    if not value.requires_grad or not len(probes):
        return torch.zeros_like(probes)  # a constant field, or a point without dimensions
    options = dict(retain_graph=True, create_graph=keep, materialize_grads=True)
    if len(probes) > FEW:
        return torch.autograd.grad(value, x, probes, is_grads_batched=True, **options)[0]
    return torch.stack([torch.autograd.grad(value, x, probe, **options)[0] for probe in probes])
