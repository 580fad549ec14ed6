"""Gaussian mixtures, and what is seen of them through noise: density, score, denoiser and posterior, all exact.

Data x_0 from Σ_k w_k N(μ_k, Σ_k) and noise z from N(0, I) give x = α x_0 + σ z, again a mixture: the means are α μ_k,
the covariances α² Σ_k + σ² I have the axes of Σ_k, so that no noise level needs a new decomposition. Each method below
takes this α and σ; without them it speaks of the data themselves. Both are one number for all, or one for each row of
x. Everything is computed in float64 and returned in the dtype of x, and can be differentiated with respect to x.
"""

import math

import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_not_negative
from lib.course.shapes import Float, Float64, checked
from lib.course.tensors import all_finite, per_row, require_finite_entries, require_law

LARGEST = 1e150
Factor = float | Float[Tensor, "*rows"]


class GaussianMixture:
    """Σ_k w_k N(μ_k, Σ_k) in R^d, from weights (k,), means (k, d) and covariances, all float64.

    `covariances` has the shape (k,) for multiples of the identity, (k, d) for diagonals, or (k, d, d). A variance may
    be 0: with equal weights and covariances 0, the mixture is a data set. Weights that are negative or do not sum to
    one, and covariances that are not symmetric and positive semidefinite, raise a `ValueError`.
    """

    @checked
    def __init__(
        self,
        weights: Float64[Tensor, "components"],
        means: Float64[Tensor, "components dim"],
        covariances: Float64[Tensor, "components *dims"],
    ):
        for name, values in (("means", means), ("covariances", covariances)):
            require_finite_entries(name, values)
        if not means.numel():
            raise ValueError(f"means must hold a component in at least one dimension, got shape {tuple(means.shape)}")
        require_law("weights", weights)
        variances, axes = _variances_and_axes(covariances, *means.shape)
        self._set(weights / weights.sum(), means.clone(), variances, axes)

    def _set(self, weights, means, variances, axes):
        """Variances (k, d) along the columns of axes (k, d, d), or along the coordinates where axes is None."""
        self.weights, self.means, self._variances, self._axes = weights, means, variances, axes
        return self

    def _like(self, weights, means, variances):
        return GaussianMixture.__new__(GaussianMixture)._set(weights, means, variances, self._axes)

    @property
    def dim(self) -> int:
        """d, the dimension of the space."""
        return self.means.shape[1]

    @property
    def covariances(self) -> Float64[Tensor, "components dim dim"]:
        """Σ_k, the covariance of each component."""
        if self._axes is None:
            return torch.diag_embed(self._variances)
        return self._axes * self._variances[:, None] @ self._axes.mT

    @property
    def mean(self) -> Float64[Tensor, "dim"]:
        """The mean of the whole mixture."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Float64[Tensor, "dim dim"]:
        """The covariance of the whole mixture: within the components and between them."""
        centred = self.means - self.mean
        return (self.weights[:, None, None] * (self.covariances + centred[:, :, None] * centred[:, None])).sum(0)

    @checked
    def log_density(
        self, x: Float[Tensor, "batch dim"], alpha: Factor = 1.0, sigma: Factor = 0.0
    ) -> Float[Tensor, "batch"]:
        """log p(x), in nats. A component with variance 0 has no density: sigma must then be positive."""
        logs, *_ = self._components(x, alpha, sigma)
        return logs.logsumexp(1).to(x.dtype)

    @checked
    def responsibilities(
        self, x: Float[Tensor, "batch dim"], alpha: Factor = 1.0, sigma: Factor = 0.0
    ) -> Float[Tensor, "batch components"]:
        """P(k | x), how probable each component is as the origin of x."""
        logs, *_ = self._components(x, alpha, sigma)
        return logs.softmax(1).to(x.dtype)

    @checked
    def score(
        self, x: Float[Tensor, "batch dim"], alpha: Factor = 1.0, sigma: Factor = 0.0
    ) -> Float[Tensor, "batch dim"]:
        """∇ log p(x) = -Σ_k P(k | x) (α² Σ_k + σ² I)⁻¹ (x - α μ_k). The expected noise is -σ times this."""
        logs, offsets, variances, _ = self._components(x, alpha, sigma)
        pulls = self._turned_back(offsets / variances)
        return -_mean_of(logs, pulls).to(x.dtype)

    @checked
    def denoise(
        self, x: Float[Tensor, "batch dim"], alpha: Factor = 1.0, sigma: Factor = 0.0
    ) -> Float[Tensor, "batch dim"]:
        """E[x_0 | x], by Bayes in each component: the best prediction of the data, in the mean square."""
        return self._expectation(x, alpha, sigma, 1.0, 0.0)

    @checked
    def expectation(
        self, x: Float[Tensor, "batch dim"], alpha: Factor, sigma: Factor, of_data: Factor, of_noise: Factor
    ) -> Float[Tensor, "batch dim"]:
        """E[a x_0 + b z | x] in one pass, with a = `of_data` and b = `of_noise`: a velocity, if they are α' and σ'."""
        return self._expectation(x, alpha, sigma, of_data, of_noise)

    @checked
    def posterior(self, x: Float[Tensor, "dim"], alpha: float = 1.0, sigma: float = 0.0) -> "GaussianMixture":
        """The law of x_0 given a single x (d,): again a mixture."""
        logs, offsets, variances, factor = self._components(x[None], alpha, sigma)
        means = self.means + self._turned_back(factor * self._variances / variances * offsets)[0]
        return self._like(logs.softmax(1)[0], means, self._variances * float(sigma) ** 2 / variances)

    @checked
    def push_forward(self, alpha: float, sigma: float) -> "GaussianMixture":
        """The law of α x_0 + σ z; neither may be negative."""
        require_not_negative("alpha", alpha)
        require_not_negative("sigma", sigma)
        return self._like(self.weights, alpha * self.means, alpha**2 * self._variances + sigma**2)

    @checked
    def project(self, direction: Float[Tensor, "dim"]) -> "GaussianMixture":
        """The law of direction · x, a mixture in one dimension; `direction` need not have length one."""
        require_finite_entries("direction", direction)
        if len(direction) != self.dim:
            raise ValueError(f"direction must have the mixture's dimension, {self.dim}, got shape {tuple(direction.shape)}")
        u = direction.double()
        along = u if self._axes is None else (self._axes.mT @ u)
        variances = (along.square() * self._variances).sum(1, keepdim=True)
        return GaussianMixture.__new__(GaussianMixture)._set(self.weights, (self.means @ u)[:, None], variances, None)

    @checked
    def cdf(self, x: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """P(X ≤ x), for a mixture in one dimension, such as `project` makes."""
        if self.dim != 1:
            raise ValueError(f"cdf is for one dimension (see project), got a mixture in {self.dim}")
        _require_spread(self._variances)
        scores = (x.double()[:, None] - self.means[:, 0]) / self._variances[:, 0].sqrt()
        return (torch.special.ndtr(scores) @ self.weights).to(x.dtype)

    @checked
    def sample(self, count: int, generator: torch.Generator) -> Float64[Tensor, "{count} dim"]:
        """Independent draws."""
        require_at_least("count", count, 1)
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        z = torch.randn(count, self.dim, generator=generator, dtype=torch.float64)
        steps = self._variances.sqrt()[chosen] * z
        return self.means[chosen] + (steps if self._axes is None else (self._axes[chosen] @ steps[..., None])[..., 0])

    def _expectation(self, x, alpha, sigma, a, b):
        logs, offsets, variances, factor = self._components(x, alpha, sigma)
        a, b, sigma = (_shaped(name, v, x) for name, v in (("of_data", a), ("of_noise", b), ("sigma", sigma)))
        slopes = (a * factor * self._variances + b * sigma) / variances
        return _mean_of(logs, a * self.means + self._turned_back(slopes * offsets)).to(x.dtype)

    def _components(self, x, alpha, sigma):
        """log(w_k p_k(x)) (n, k), x - α μ_k and variances along the components' axes (…, k, d), and α as a factor."""
        if x.shape[-1] != self.dim:
            raise ValueError(f"x must have the mixture's dimension, {self.dim}, got shape {tuple(x.shape)}")
        _require_moderate("x", x)
        alpha, sigma = _not_negative("alpha", alpha, x), _not_negative("sigma", sigma, x)
        variances = alpha**2 * self._variances + sigma**2
        _require_spread(variances)
        offsets = x.double()[:, None] - alpha * self.means
        if self._axes is not None:
            offsets = (offsets[:, :, None] @ self._axes)[:, :, 0]
        heights = self.weights.log() - (2 * math.pi * variances).log().sum(-1) / 2
        return heights - (offsets**2 / variances).sum(-1) / 2, offsets, variances, alpha

    def _turned_back(self, along):
        """From the components' axes to coordinates."""
        return along if self._axes is None else (self._axes @ along[..., None])[..., 0]


@checked
def ring_mixture(components: int, radius: float, deviation: float) -> GaussianMixture:
    """Equal Gaussians in the plane, evenly spaced on a circle around 0, the first on the axis to the right."""
    require_at_least("components", components, 1)
    require_not_negative("radius", radius)
    require_not_negative("deviation", deviation)
    angles = 2 * math.pi * torch.arange(components, dtype=torch.float64) / components
    ones = torch.ones_like(angles)
    return GaussianMixture(
        ones / components, radius * torch.stack([angles.cos(), angles.sin()], 1), deviation**2 * ones
    )


def two_humps() -> GaussianMixture:
    """0.3 N(-1.5, 0.2²) + 0.7 N(1, 0.3²) on a line: the smallest example of the chapters on flows and diffusion."""
    return GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=torch.float64),
        torch.tensor([[-1.5], [1.0]], dtype=torch.float64),
        torch.tensor([0.04, 0.09], dtype=torch.float64),
    )


def _variances_and_axes(covariances, components, dim):
    """Along which axes (k, d, d) the components vary by how much (k, d); coordinates are axes without a name."""
    shape = tuple(covariances.shape[1:])
    if shape not in ((), (dim,), (dim, dim)):
        raise ValueError(
            f"covariances must have the shape ({components},), ({components}, {dim}) or ({components}, {dim}, {dim}), "
            f"got {tuple(covariances.shape)}"
        )
    if len(shape) < 2:
        variances, axes = covariances.reshape(components, -1).expand(-1, dim).clone(), None
    else:
        size = covariances.abs().amax((1, 2), keepdim=True)
        if ((covariances - covariances.mT).abs() > 1e-12 * size).any():
            raise ValueError("covariances must be symmetric")
        variances, axes = torch.linalg.eigh(covariances)
        rounding = dim * 1e-14 * size[..., 0]
        variances = torch.where((variances < 0) & (variances >= -rounding), 0.0, variances)
    if variances.min() < 0:
        raise ValueError(f"covariances must be positive semidefinite, got a variance of {variances.min().item():g}")
    return variances, axes


def _mean_of(logs, values):
    """Values (n, k, d) averaged over the components with their responsibilities, of logs (n, k)."""
    return (logs.softmax(1)[:, None] @ values)[:, 0]


def _not_negative(name, factor, x):
    if not isinstance(factor, Tensor):
        require_not_negative(name, factor)
    elif factor.numel() and not (all_finite(factor) and factor.min() >= 0):
        low, high = factor.min().item(), factor.max().item()
        raise ValueError(f"{name} must be finite and not negative, got {low:g} to {high:g}")
    return _shaped(name, factor, x)


def _shaped(name, factor, x):
    """A factor that multiplies what is (n, k, d)."""
    if not isinstance(factor, Tensor):
        return factor
    factor = per_row(name, factor.double(), x)
    return factor[..., None] if factor.ndim else factor


def _require_moderate(name, values):
    """Refuse what is not finite, or so large that squares overflow; as quick as a look whether all is finite."""
    if values.numel():
        low, high = torch.aminmax(values.detach())
        if not -LARGEST < low.item() <= high.item() < LARGEST:
            require_finite_entries(name, values)
            raise ValueError(f"{name} must be below {LARGEST:g} in size, or squares overflow, got {low:g} to {high:g}")


def _require_spread(variances):
    if not (variances > 0).all():
        raise ValueError("sigma must be positive, for a component has variance 0 and without noise no density")
