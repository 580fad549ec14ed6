"""Masked diffusion on tokens: hide each with probability t, learn to fill what is hidden, and fill step by step.

On the clock of the book t = 0 is data and t = 1 hides everything. The mask is a token of its own. Sources: Sahoo et al.
2024, arXiv 2406.07524 (the loss, the two rules of its network); Nie et al. 2025, arXiv 2502.09992 (counts, remasking).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_in
from lib.course.shapes import Float, Int, Int64, checked
from lib.course.tensors import kind, per_row, require_finite_entries, require_tokens
from lib.generative.clock import in_clock, shown

ORDERS = ("random", "confidence")


@checked
def mask_tokens(
    tokens: Int[Tensor, "batch length"],
    t: float | Float[Tensor, "batch"],
    mask_token: int,
    generator: torch.Generator,
) -> Int64[Tensor, "batch length"]:
    """Each token hidden with probability t on its own; t is one number in [0, 1], or one for each row."""
    struck = torch.rand(tokens.shape, generator=generator, dtype=torch.float64) < per_row("t", in_clock(t), tokens)
    return torch.where(struck, mask_token, tokens.long())


@checked
def mask_count(
    tokens: Int[Tensor, "batch length"], counts: Int[Tensor, "batch"], mask_token: int, generator: torch.Generator
) -> Int64[Tensor, "batch length"]:
    """`counts` of each row's tokens hidden, all choices alike."""
    if counts.numel() and (counts.min() < 0 or counts.max() > tokens.shape[1]):
        raise ValueError(f"counts must lie in [0, {tokens.shape[1]}], got {counts.tolist()}")
    keys = torch.rand(tokens.shape, generator=generator, dtype=torch.float64)
    return torch.where(_first(keys, counts), mask_token, tokens.long())


@checked
def denoiser_log_probs(
    logits: Float[Tensor, "batch length vocabulary"], tokens: Int[Tensor, "batch length"], mask_token: int
) -> Float[Tensor, "batch length vocabulary"]:
    """log P(token i = v) under two rules: nothing is a mask in the end, and what is not masked stays what it is.

    `logits` have a column for each token, that of the mask among them.
    """
    _require_vocabulary(logits, tokens, mask_token)
    column = torch.arange(logits.shape[-1], device=logits.device)
    log_probs = logits.masked_fill(column == mask_token, -torch.inf).log_softmax(-1)
    known = torch.where(tokens[..., None] == column, 0.0, -torch.inf).to(logits.dtype)
    return torch.where((tokens == mask_token)[..., None], log_probs, known)


@checked
def masked_diffusion_loss(
    logits: Float[Tensor, "batch length vocabulary"],
    clean: Int[Tensor, "batch length"],
    masked: Int[Tensor, "batch length"],
    t: float | Float[Tensor, "batch"],
    mask_token: int,
) -> Float[Tensor, "batch"]:
    """-(1/t) Σ log P(clean token) over the masked places of each row, in nats.

    With `masked` from `mask_tokens` and t uniform in (0, 1] its mean is a bound on -log p(clean) from above.
    """
    _require_vocabulary(logits, clean, mask_token, "clean")
    times = in_clock(t)
    if not (times > 0).all():
        raise ValueError(f"t must be positive, for the loss is divided by it, got {shown(times)}")
    hidden = masked == mask_token
    if not torch.equal(masked[~hidden].long(), clean[~hidden].long()):
        raise ValueError("masked must hold the clean tokens, or the mask in their place")
    own = denoiser_log_probs(logits, masked, mask_token).gather(-1, clean.long()[..., None])[..., 0]
    summed = -torch.where(hidden, own, 0.0).sum(1)
    return summed / times.to(summed.dtype)


@checked
def unmask_step(
    tokens: Int[Tensor, "batch length"],
    log_probs: Float[Tensor, "batch length vocabulary"],
    t: float,
    s: float,
    mask_token: int,
    generator: torch.Generator,
) -> Int64[Tensor, "batch length"]:
    """One step of the reverse chain from t to s < t: a masked place stays so with probability s/t, or else is drawn."""
    require_in("t", t, 0, 1, "(]")
    require_in("s", s, 0, t, "[)")
    drawn = _draw(log_probs, generator)
    stays = torch.rand(tokens.shape, generator=generator, dtype=torch.float64) < s / t
    return torch.where((tokens == mask_token) & ~stays, drawn, tokens.long())


@checked
def reveal(
    tokens: Int[Tensor, "batch length"],
    log_probs: Float[Tensor, "batch length vocabulary"],
    counts: Int[Tensor, "batch"],
    mask_token: int,
    generator: torch.Generator,
    *,
    order: str = "random",
    temperature: float = 1.0,
) -> Int64[Tensor, "batch length"]:
    """Each row's masked places filled by draws, of which `counts` are kept and the others masked again.

    `order` says which: any alike ("random"), or those whose token is most probable ("confidence"; the first on ties).
    At temperature 0 the most probable token is taken instead of drawn.
    """
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}")
    hidden = tokens == mask_token
    if (counts < 0).any() or (counts > hidden.sum(1)).any():
        raise ValueError(f"counts must lie between 0 and the masked places of each row, got {counts.tolist()}")
    filled = _draw(log_probs, generator, temperature)
    if order == "random":
        keys = torch.rand(tokens.shape, generator=generator, dtype=torch.float64)
    else:
        keys = -log_probs.double().gather(-1, filled[..., None])[..., 0]
    kept = _first(torch.where(hidden, keys, torch.inf), counts)
    return torch.where(kept, filled, tokens.long())


@torch.no_grad()
@checked
def fill(
    network: Callable,
    tokens: Int[Tensor, "batch length"],
    steps: int,
    mask_token: int,
    generator: torch.Generator,
    *,
    order: str = "random",
    temperature: float = 1.0,
) -> Int64[Tensor, "batch length"]:
    """All masked places filled in `steps` steps, as many in each as can be; tokens that are given stay.

    `network` maps tokens (batch, length) to logits (batch, length, vocabulary) with a column for the mask. A prompt, or
    a text with gaps, is filled like a sequence that is masked throughout.
    """
    require_at_least("steps", steps, 1)
    tokens = tokens.long()
    for left in range(steps, 0, -1):
        counts = -(-(tokens == mask_token).sum(1) // left)
        logits = network(tokens.clone())
        if not isinstance(logits, Tensor) or logits.shape[:-1] != tokens.shape:
            raise ValueError(f"network must return logits of shape {(*tokens.shape, 'vocabulary')}, got {kind(logits)}")
        if logits.isnan().any():
            raise ValueError("network must return logits that are numbers, got NaN")
        log_probs = denoiser_log_probs(logits, tokens, mask_token)
        tokens = reveal(tokens, log_probs, counts, mask_token, generator, order=order, temperature=temperature)
    return tokens


def _draw(log_probs, generator, temperature=1.0):
    """A token for each place, by its log-probabilities divided by the temperature; at 0, the most probable."""
    require_in("temperature", temperature, 0, torch.inf, "[)")
    if temperature == 0:
        return log_probs.argmax(-1)
    wide = log_probs.double()
    probs = (wide if temperature == 1 else wide / temperature).softmax(-1)
    require_finite_entries("log_probs", probs)
    return torch.multinomial(probs.flatten(0, -2), 1, replacement=True, generator=generator).view(probs.shape[:-1])


def _first(keys, counts):
    """Where the `counts` smallest keys of each row stand."""
    ranks = keys.argsort(dim=1, stable=True).argsort(dim=1)
    return ranks < counts[:, None]


def _require_vocabulary(logits, tokens, mask_token, name="tokens"):
    vocabulary = logits.shape[-1]
    if not 0 <= mask_token < vocabulary:
        raise ValueError(f"mask_token must be a column of logits, 0 … {vocabulary - 1}, got {mask_token}")
    require_tokens(tokens, vocabulary, name)
