"""Objectives that tell real pairs from shuffled ones: bounds of mutual information, and contrastive losses.

A critic gives every pair (x, y) a number f. `joint` holds it for pairs that were seen together, `marginal` for pairs of
an x and a y from different places. The bounds are to be made large, `info_nce` is a loss. All are in nats.

Sources: Donsker and Varadhan 1983; Nguyen, Wainwright and Jordan 2010, arXiv 0809.0853; Gutmann and Hyvärinen 2010 (NCE);
van den Oord et al. 2018, arXiv 1807.03748 (InfoNCE); Hjelm et al. 2019, arXiv 1808.06670 (Deep InfoMax); Radford et al. 2021 (CLIP).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from lib.course.ranges import require_in, require_positive
from lib.course.shapes import Float, Int64, checked
from lib.course.tensors import require_finite_entries, require_finite_result, require_law, working_dtype


@checked
def donsker_varadhan(
    joint: Float[Tensor, "n"],
    marginal: Float[Tensor, "m"],
    weights: tuple[Float[Tensor, "n"], Float[Tensor, "m"]] | None = None,
) -> Float[Tensor, ""]:
    """E[f(joint)] - log E[exp f(marginal)], at most the mutual information; equal to it at log p/q and a constant.

    `weights` are the probabilities of the entries of `joint` and `marginal` where these list all pairs: then the value
    is exact. Without them all entries weigh the same, and the logarithm of a mean over few entries is too small as a
    rule, so the value too large.
    """
    joint, marginal, log_p, log_q = _finite_and_weighed(joint, marginal, weights)
    value = log_p.exp() @ joint - (marginal + log_q).logsumexp(0)
    return require_finite_result(value, joint=joint, marginal=marginal)


@checked
def nwj(
    joint: Float[Tensor, "n"],
    marginal: Float[Tensor, "m"],
    weights: tuple[Float[Tensor, "n"], Float[Tensor, "m"]] | None = None,
) -> Float[Tensor, ""]:
    """E[f(joint)] - E[exp(f(marginal) - 1)], at most the mutual information; equal to it at log p/q + 1 alone.

    Nguyen, Wainwright and Jordan's bound. An f that makes the exponential overflow is refused.
    """
    joint, marginal, log_p, log_q = _finite_and_weighed(joint, marginal, weights)
    value = log_p.exp() @ joint - (marginal - 1 + log_q).exp().sum()
    return require_finite_result(value, joint=joint, marginal=marginal)


@checked
def jsd(
    joint: Float[Tensor, "n"],
    marginal: Float[Tensor, "m"],
    weights: tuple[Float[Tensor, "n"], Float[Tensor, "m"]] | None = None,
) -> Float[Tensor, ""]:
    """E[log σ(f(joint))] + E[log σ(-f(marginal))], at most 2 JS(p, q) - 2 log 2, at log p/q; JS is at most log 2.

    It is no estimate of the mutual information. Deep InfoMax's own code adds 2 log 2, so that its best value is 2 JS.
    """
    return nce(joint, marginal, 1.0, weights)


@checked
def nce(
    joint: Float[Tensor, "n"],
    marginal: Float[Tensor, "m"],
    noise: float,
    weights: tuple[Float[Tensor, "n"], Float[Tensor, "m"]] | None = None,
) -> Float[Tensor, ""]:
    """Noise-contrastive estimation: E[log σ(f(data) - log k)] + k E[log σ(log k - f(noise))], for k = `noise`.

    k draws of noise come with each of the data, `joint`; `marginal` holds f for noise. It is largest at f = log p/q for
    every k. With f = s - log q, the scores s become log p, of which nobody asked that it be normalised.
    """
    require_positive("noise", noise)
    joint, marginal, log_p, log_q = _finite_and_weighed(joint, marginal, weights)
    require_in("noise", noise, 0, torch.finfo(joint.dtype).max, "(]")
    shift = math.log(noise)
    return log_p.exp() @ logsigmoid(joint - shift) + noise * (log_q.exp() @ logsigmoid(shift - marginal))


@checked
def similarity(
    first: Float[Tensor, "n dim"], second: Float[Tensor, "m dim"], temperature: float = 1.0
) -> Float[Tensor, "n m"]:
    """Cosines of all rows of `first` with all rows of `second`, over the temperature: scores of n pairs for `info_nce`.

    Row i of both belongs to pair i, so that the right candidate of row i is in column i: the batches must be of equal
    length. Rows of zeros have no direction and are refused. Half precision is computed, and returned, in float32.
    """
    require_positive("temperature", temperature)
    if len(first) != len(second):
        raise ValueError(f"first and second must hold one row for each pair, got {len(first)} and {len(second)} rows")
    directions = []
    for name, batch in (("first", first), ("second", second)):
        require_finite_entries(name, batch)
        if not batch.any(1).all():
            raise ValueError(f"{name} must have no row of zeros, got one at {(~batch.any(1)).nonzero()[0].item()}")
        wide = batch.to(working_dtype(batch.dtype))
        directions.append(normalize(wide / wide.detach().abs().amax(1, keepdim=True), dim=1))
    return directions[0] @ directions[1].T / temperature


@checked
def info_nce(scores: Float[Tensor, "n k"], positions: Int64[Tensor, "n"]) -> Float[Tensor, ""]:
    """The mean of -log softmax(scores)[position]: the loss of finding the one right candidate among k, by its position.

    With one candidate from the joint law and k - 1 from the marginal, log k - loss is at most the mutual information,
    and at most log k. Half precision is computed, and returned, in float32.
    """
    if not scores.numel():
        raise ValueError(f"scores must not be empty, got shape {tuple(scores.shape)}")
    if positions.min() < 0 or positions.max() >= scores.shape[1]:
        came = f"{positions.min()} … {positions.max()}"
        raise ValueError(f"positions must lie in 0 … {scores.shape[1] - 1}, got {came}")
    require_finite_entries("scores", scores)
    return cross_entropy(scores.to(working_dtype(scores.dtype)), positions)


@checked
def clip_loss(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """`info_nce` for n images, whose right texts are on the diagonal, and for n texts, averaged: the loss of CLIP.

    `scores` are cosines times the scale, rows images and columns texts. Constant scores give log n. Source: Radford et
    al. 2021, arXiv 2103.00020, figure 3.
    """
    right = torch.arange(len(scores), device=scores.device)
    return (info_nce(scores, right) + info_nce(scores.T, right)) / 2


def _finite_and_weighed(joint, marginal, weights):
    """Both in one working precision, and the logarithms of their weights; refuses what is empty or not finite."""
    dtype = working_dtype(torch.promote_types(joint.dtype, marginal.dtype))
    for name, values in (("joint", joint), ("marginal", marginal)):
        if not len(values):
            raise ValueError(f"{name} must hold at least one number, got none")
        require_finite_entries(name, values)
    if weights is None:
        laws = [torch.full((len(values),), 1 / len(values), dtype=dtype) for values in (joint, marginal)]
    else:
        for name, law in zip(("weights of joint", "weights of marginal"), weights, strict=True):
            require_law(name, law)
        dtype = torch.promote_types(dtype, torch.promote_types(*(law.dtype for law in weights)))
        laws = [law.to(dtype) for law in weights]
    return joint.to(dtype), marginal.to(dtype), *(law.log() for law in laws)
