"""What the chapter on state space models says of transformers and scipy, and where mambapy and they agree with lib."""

import numpy as np
import torch
import transformers
from mambapy.pscan import pscan
from scipy.signal import cont2discrete, dlsim
from torch import nn
from torch.nn.functional import silu, softplus
from transformers import Mamba2Config, Mamba2Model, MambaConfig, MambaModel

from lib.sequence.ssm import discretize, hippo_legs, linear_scan, selective_scan

PAGE = "book/attention/ssm-hippo-mamba.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
SCIPY = f"scipy (1.17.1 on the page): mend the row in {PAGE}"
MAMBAPY = "mambapy (1.2.0 when the chapter was written)"
SMALL = dict(hidden_size=32, num_hidden_layers=1, vocab_size=11, state_size=8)


def large(model):
    """The model with weights that matter: with its own, outputs are close to 0."""
    for name, weight in model.named_parameters():
        if "A_log" not in name:
            nn.init.normal_(weight, std=0.4)
    return model.eval()


def build(kind):
    torch.manual_seed(0)
    if kind == "Mamba":
        return large(MambaModel(MambaConfig(**SMALL)))
    return large(Mamba2Model(Mamba2Config(**SMALL, num_heads=8, head_dim=8, n_groups=1, chunk_size=4)))


@torch.no_grad()
def worst_of(model, pieces):
    """The largest deviation of the last token's output, fed in pieces with a cache, from all tokens at once."""
    tokens = torch.randint(11, (1, sum(pieces)), generator=torch.Generator().manual_seed(1))
    want, cache, start = model(tokens, use_cache=False)[0][:, -1], None, 0
    for piece in pieces:
        fed = tokens[:, start : start + piece]
        result = model(fed, cache_params=cache, use_cache=True)
        cache, start = result.cache_params, start + piece
    assert want.abs().mean() > 0.1
    return ((result[0][:, -1] - want).abs().max() / want.abs().max()).item()


@torch.no_grad()
def after_changed_state(piece):
    """The last output for further tokens after a cached beginning whose state was erased, and then made large."""
    model, tokens = build("Mamba"), torch.arange(10)[None]
    outputs = []
    for value in (0.0, 9.0):
        cache = model(tokens[:, :6], use_cache=True).cache_params
        cache.update_recurrent_state(torch.full_like(cache.get_recurrent_state(0, state_idx=0), value), 0)
        outputs.append(model(tokens[:, 6 : 6 + piece], cache_params=cache, use_cache=True)[0])
    return (outputs[0] - outputs[1]).abs().max()


def test_mamba_starts_a_later_chunk_from_nothing():
    assert worst_of(build("Mamba"), [6, 1, 1, 1]) < 1e-5, TRANSFORMERS
    assert worst_of(build("Mamba"), [6, 3]) > 1e-3, TRANSFORMERS
    assert after_changed_state(3) == 0 < 1e-2 < after_changed_state(1), TRANSFORMERS
    assert worst_of(build("Mamba2"), [6, 3]) < 1e-5, TRANSFORMERS


@torch.no_grad()
def test_mamba_has_step_times_b_without_the_hold():
    mixer, u = build("Mamba").layers[0].mixer, torch.randn(1, 12, 32, generator=torch.Generator().manual_seed(2))
    want = mixer(u)
    x, z = mixer.in_proj(u).chunk(2, -1)
    x = silu(mixer.conv1d(x.mT)[..., :12].mT)
    low, B, C = mixer.x_proj(x).split([mixer.time_step_rank, 8, 8], -1)
    delta, A = softplus(mixer.dt_proj(low)), -mixer.A_log.exp()
    y, _ = selective_scan(x, delta, A, B, C)
    held = linear_scan((delta[..., None] * A).exp(), ((delta[..., None] * A).expm1() / A) * B[:, :, None] * x[..., None])
    outputs = [mixer.out_proj((part + mixer.D * x) * silu(z)) for part in (y, (held @ C[..., None])[..., 0])]
    size = want.abs().max()
    assert want.abs().mean() > 1 and (outputs[0] - want).abs().max() < 1e-5 * size, TRANSFORMERS
    assert (outputs[1] - want).abs().max() > 0.01 * size, TRANSFORMERS


@torch.no_grad()
def test_mamba2_is_the_dual_form():
    mixer = build("Mamba2").layers[0].mixer
    u = torch.randn(1, 12, 32, generator=torch.Generator().manual_seed(3))
    want = mixer(u)
    gate, mixed, step = mixer.in_proj(u).split([64, 64 + 16, 8], -1)
    mixed = silu(mixer.conv1d(mixed.mT)[..., :12].mT)
    x, B, C = mixed[0, :, :64].unflatten(-1, (8, 8)), mixed[0, :, 64:72], mixed[0, :, 72:]
    delta = softplus(step + mixer.dt_bias)[0]
    sums = (delta * -mixer.A_log.exp()).cumsum(0)
    earlier = torch.ones(12, 12).tril().bool()[..., None]
    decay = (sums[:, None] - sums).where(earlier, -torch.inf).exp()
    y = torch.einsum("tsh,ts,shp->thp", decay, C @ B.T, x * delta[..., None]) + mixer.D[:, None] * x
    got = mixer.out_proj(mixer.norm(y.flatten(1)[None], gate))
    assert want.abs().mean() > 0.1 and (got - want).abs().max() < 1e-5 * want.abs().max(), TRANSFORMERS


def test_scipys_bilinear_changes_what_is_read_out():
    A, B = hippo_legs(6)
    C = np.arange(1.0, 7)[None]
    A_bar, B_bar, C_bar, D_bar, _ = cont2discrete((-A.numpy(), B.numpy()[:, None], C, np.zeros((1, 1))), 0.1, "bilinear")
    ours = discretize(-A, B, 0.1, "bilinear")
    assert np.abs(A_bar - ours[0].numpy()).max() < 1e-14 and np.abs(B_bar[:, 0] - ours[1].numpy()).max() < 1e-14, SCIPY
    assert np.abs(C_bar - C).max() > 0.1 and np.abs(D_bar).max() > 0.1, SCIPY


def test_scipys_simulation_is_one_step_late():
    A_bar, B_bar = (part.numpy() for part in discretize(-hippo_legs(4)[0], hippo_legs(4)[1], 0.1, "zoh"))
    C, u = np.ones((1, 4)), np.random.default_rng(0).normal(size=30)
    _, late, _ = dlsim((A_bar, B_bar[:, None], C, np.zeros((1, 1)), 1.0), u)
    state, outputs = np.zeros(4), []
    for value in u:
        state = A_bar @ state + B_bar * value
        outputs.append(C[0] @ state)
    assert late[0, 0] == 0 and np.abs(late[1:, 0] - outputs[:-1]).max() < 1e-13, SCIPY


def test_mambapys_scan_is_libs():
    a, b = torch.rand(1, 37, 3, 4, dtype=torch.float64), torch.randn(1, 37, 3, 4, dtype=torch.float64)
    assert (linear_scan(a, b) - pscan(a, b)).abs().max() < 1e-13, MAMBAPY
