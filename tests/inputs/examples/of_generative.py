"""Examples for `lib.generative`."""

import torch
from examples.values import law, linear, module, normal, normal64, tokens
from torch import nn

from lib.generative.bijections import ActNorm, Coupling, Flow, InvertibleLinear
from lib.generative.chains import MarkovChain
from lib.generative.diffusion import Schedule
from lib.generative.mixtures import GaussianMixture
from lib.generative.networks import ResidualBlock, ResidualMLP
from lib.generative.paths import VP, RectifiedFlow
from lib.generative.rates import AbsorbingRates

MASK = 4


class _Halves(nn.Module):
    """A network for inputs of every shape."""

    def forward(self, kept):
        return torch.cat([0.5 * kept, -kept], 1)


def _coupling():
    return Coupling(4, _Halves())


def _act_norm():
    norm = ActNorm(4)
    norm(normal(5, 4))
    return norm


def _flow():
    return Flow([module(lambda: InvertibleLinear(4)), _coupling()])


def _values(make, name: str = "x"):
    return lambda: {"self": make(), name: normal(5, 4)}


def _chain():
    return MarkovChain(law(3), law(3, 3))


def _schedule():
    return Schedule(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))


def _mixture(dim: int = 2):
    return GaussianMixture(law(3), normal64(3, dim), normal64(3).abs() + 0.1)


def _of_mixture():
    return dict(self=_mixture(), x=normal64(5, 2), alpha=0.5, sigma=0.5)


def _log_prior(x):
    return -x[..., None].flatten(1).square().sum(1) / 2


def _field(x, t=0.0):
    return -x * (1 + t)


def _score(x, *t):
    return -x


def _times():
    return torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)


def _network(x, t):
    return 0.5 * x


def _masked():
    return torch.where(tokens(2, 3, below=2) == 0, MASK, tokens(2, 3, below=4))


def _rates():
    return AbsorbingRates(2).matrix()


def _of_path(**other):
    return lambda: dict(self=VP(), **{"t": 0.5, **other})


EXAMPLES = {
    "bijections.Coupling": lambda: dict(channels=4, network=linear(2, 4)),
    "bijections.Coupling.forward": _values(_coupling),
    "bijections.Coupling.inverse": _values(_coupling, "z"),
    "bijections.InvertibleLinear": lambda: dict(channels=4),
    "bijections.InvertibleLinear.forward": _values(lambda: module(lambda: InvertibleLinear(4))),
    "bijections.InvertibleLinear.inverse": _values(lambda: module(lambda: InvertibleLinear(4)), "z"),
    "bijections.ActNorm.forward": _values(lambda: ActNorm(4)),
    "bijections.ActNorm.inverse": _values(_act_norm, "z"),
    "bijections.Flow": lambda: dict(layers=[_coupling(), _act_norm()]),
    "bijections.Flow.forward": _values(_flow),
    "bijections.Flow.inverse": _values(_flow, "z"),
    "bijections.Flow.log_density": lambda: dict(self=_flow(), x=normal(5, 4), log_base=lambda z: -z.square().sum(1) / 2),
    "block_masks.block_causal_mask": lambda: dict(length=4, block=2),
    "block_masks.block_diffusion_mask": lambda: dict(length=4, block=2),
    "chains.MarkovChain": lambda: dict(initial=law(3), transition=law(3, 3)),
    "chains.MarkovChain.log_prob": lambda: dict(self=_chain(), tokens=tokens(2, 4, below=4)),
    "chains.MarkovChain.conditionals": lambda: dict(self=_chain(), tokens=tokens(2, 4, below=4)),
    "chains.MarkovChain.sample": lambda: dict(self=_chain(), count=2, length=3),
    "chains.MarkovChain.entropy": lambda: dict(self=_chain(), length=3),
    "clock.shown": lambda: dict(values=normal(3)),
    "clock.combine": lambda: dict(a=normal64(2), x=normal(2, 3), b=normal64(2), y=normal(2, 3)),
    "diffusion.Schedule": lambda: dict(betas=torch.tensor([0.1, 0.2], dtype=torch.float64)),
    "diffusion.linear_betas": lambda: dict(steps=50),
    "diffusion.add_noise": lambda: dict(schedule=_schedule(), x_0=normal(2, 3), t=2, noise=normal(2, 3)),
    "diffusion.ancestral_step": lambda: dict(schedule=_schedule(), x_t=normal(2, 3), t=2, noise=normal(2, 3)),
    "diffusion.sample": lambda: dict(schedule=_schedule(), network=_network, shape=(2, 3)),
    "diffusion.denoising_loss": lambda: dict(schedule=_schedule(), network=_network, x_0=normal(2, 3)),
    "likelihood.divergence": lambda: dict(field=lambda x: -x * x, x=normal64(2, 3)),
    "likelihood.log_likelihood": lambda: dict(
        field=lambda x, t: -x, x=normal64(2, 3), log_prior=_log_prior, times=_times()
    ),
    "masking.mask_tokens": lambda: dict(tokens=tokens(2, 3, below=4), t=0.5, mask_token=MASK),
    "masking.mask_count": lambda: dict(tokens=tokens(2, 3, below=4), counts=torch.tensor([1, 2]), mask_token=MASK),
    "masking.denoiser_log_probs": lambda: dict(logits=normal(2, 3, 5), tokens=_masked(), mask_token=MASK),
    "masking.masked_diffusion_loss": lambda: dict(
        logits=normal(2, 3, 5), clean=tokens(2, 3, below=4), masked=_masked(), t=0.5, mask_token=MASK
    ),
    "masking.unmask_step": lambda: dict(tokens=_masked(), log_probs=law(2, 3, 5).log(), t=0.5, s=0.25, mask_token=MASK),
    "masking.reveal": lambda: dict(
        tokens=torch.full((2, 3), MASK), log_probs=law(2, 3, 5).log(), counts=torch.tensor([1, 2]), mask_token=MASK
    ),
    "masking.fill": lambda: dict(network=lambda x: normal(*x.shape, 5), tokens=_masked(), steps=2, mask_token=MASK),
    "metrics.frechet_distance": lambda: dict(a=normal(5, 3), b=normal(6, 3)),
    "metrics.sliced_distance": lambda: dict(samples=normal(5, 2), mixture=_mixture(), directions=normal(3, 2)),
    "mixtures.GaussianMixture": lambda: dict(weights=law(3), means=normal64(3, 2), covariances=normal64(3).abs() + 0.1),
    "mixtures.GaussianMixture.log_density": _of_mixture,
    "mixtures.GaussianMixture.responsibilities": _of_mixture,
    "mixtures.GaussianMixture.score": _of_mixture,
    "mixtures.GaussianMixture.denoise": _of_mixture,
    "mixtures.GaussianMixture.expectation": lambda: dict(_of_mixture(), of_data=1.0, of_noise=0.5),
    "mixtures.GaussianMixture.posterior": lambda: dict(_of_mixture(), x=normal64(2)),
    "mixtures.GaussianMixture.push_forward": lambda: dict(self=_mixture(), alpha=0.5, sigma=0.5),
    "mixtures.GaussianMixture.project": lambda: dict(self=_mixture(), direction=normal64(2)),
    "mixtures.GaussianMixture.cdf": lambda: dict(self=_mixture(1)),
    "mixtures.GaussianMixture.sample": lambda: dict(self=_mixture(), count=3),
    "networks.ResidualMLP": lambda: dict(dim=2, hidden=4, depth=1),
    "networks.ResidualMLP.forward": lambda: dict(
        self=module(lambda: ResidualMLP(2, 4, 1)), x=normal(3, 2), time=law(3, dtype=torch.float32)
    ),
    "networks.ResidualBlock": lambda: dict(hidden=4),
    "networks.ResidualBlock.forward": lambda: dict(
        self=module(lambda: ResidualBlock(4)), state=normal(3, 4), embedded=normal(3, 4)
    ),
    **{
        f"paths.GaussianPath.{name}": _of_path()
        for name in ("alpha", "sigma", "alpha_rate", "sigma_rate", "noise_level", "log_snr", "drift", "diffusion")
    },
    "paths.GaussianPath.time_at": lambda: dict(self=VP(), noise_level=0.5),
    "paths.GaussianPath.add_noise": _of_path(x_0=normal(2, 3), noise=normal(2, 3)),
    "paths.GaussianPath.velocity": _of_path(x_0=normal(2, 3), noise=normal(2, 3)),
    "paths.VP.beta": _of_path(),
    "paths.VP": lambda: dict(beta_min=0.1, beta_max=20.0),
    "paths.VE": lambda: dict(sigma_min=0.01, sigma_max=50.0),
    "paths.EDM": lambda: dict(sigma_min=0.01, sigma_max=50.0, rho=7.0),
    "predictions.convert": lambda: dict(
        path=VP(), value=normal(2, 3), x_t=normal(2, 3), t=0.5, given="noise", wanted="data"
    ),
    "predictions.exact_flow": lambda: dict(path=RectifiedFlow(), mixture=_mixture()),
    "predictions.reverse_sde": lambda: dict(path=VP(), score=_score),
    "rates.TokenRates": lambda: dict(vocabulary=3),
    "rates.TokenRates.matrix": lambda: dict(self=AbsorbingRates(3)),
    "rates.TokenRates.transition": lambda: dict(self=AbsorbingRates(3)),
    "rates.TokenRates.corrupt": lambda: dict(self=AbsorbingRates(4), tokens=tokens(2, 3, below=4), noise=0.5),
    "rates.reverse_rates": lambda: dict(rates=_rates(), law=law(3)),
    "solvers.euler_step": lambda: dict(field=_field, x=normal(2, 3), t=0.0, to=0.5),
    "solvers.heun_step": lambda: dict(field=_field, x=normal(2, 3), t=0.0, to=0.5),
    "solvers.rk4_step": lambda: dict(field=_field, x=normal(2, 3), t=0.0, to=0.5),
    "solvers.ode_states": lambda: dict(field=_field, x=normal(2, 3), times=_times()),
    "solvers.solve_ode": lambda: dict(field=_field, x=normal(2, 3), times=_times()),
    "solvers.sde_states": lambda: dict(drift=_field, diffusion=lambda t: 1.0, x=normal(2, 3), times=_times()),
    "solvers.euler_maruyama": lambda: dict(drift=_field, diffusion=lambda t: 1.0, x=normal(2, 3), times=_times()),
    "solvers.langevin_states": lambda: dict(score=_score, x=normal(2, 3), step=0.1, steps=2),
    "solvers.langevin": lambda: dict(score=_score, x=normal(2, 3), step=0.1, steps=2),
    "solvers.langevin_correction": lambda: dict(score=normal(2, 3), x=normal(2, 3), ratio=0.1),
    "solvers.predictor_corrector": lambda: dict(
        predictor=lambda x, t, to: x * 0.9, score=_score, x=normal(2, 3), times=_times(), ratio=0.1
    ),
    "solvers.with_times": lambda: dict(network=_network),
}
EXEMPT = {"metrics.digit_features": "each call trains a classifier for a second; its one argument is a generator"}
CHANGES = {
    "bijections.ActNorm.forward": {"self"},
    "solvers.langevin_states": {"generator"},  # an error comes after states that have been given out
    "solvers.sde_states": {"generator"},
}
LONG = {
    "chains.MarkovChain.sample": {"length"},
    "chains.MarkovChain.entropy": {"length"},
    "masking.fill": {"steps"},
    "networks.ResidualMLP": {"depth"},
    "solvers.langevin": {"steps"},
    "solvers.langevin_states": {"steps"},
    "solvers.predictor_corrector": {"corrections"},
}
_OVERFLOW = "products of huge numbers overflow, which the docstring leaves to the caller"
NAN = {
    **{f"bijections.{name}": _OVERFLOW for name in (
        "Coupling.forward", "Coupling.inverse", "InvertibleLinear.forward", "InvertibleLinear.inverse", "Flow.forward",
        "Flow.inverse", "Flow.log_density", "ActNorm.forward", "ActNorm.inverse",
    )},
    "networks.ResidualMLP.forward": _OVERFLOW,
    "networks.ResidualBlock.forward": _OVERFLOW,
}
