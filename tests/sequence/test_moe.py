"""lib.sequence.moe against transformers' Mixtral and DeepSeek-V3, dense formulas and naive loops."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot, silu
from transformers import DeepseekV3Config, MixtralConfig
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func

from lib.course.meters import parameter_count
from lib.sequence.moe import (
    MixtureOfExperts,
    Routing,
    SwiGLU,
    balance_loss,
    expert_counts,
    maximal_violation,
    router_z_loss,
    sigmoid_routing,
    softmax_routing,
    sparse_mixture,
    updated_bias,
    within_capacity,
)
from lib.sequence.transformer import Transformer

SEEDS = range(12)


def normal(seed, *shape, dtype=torch.float64, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sizes(seed):
    """A number of tokens, of experts, and of experts chosen; also one of each."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 9))
    return int(rng.integers(1, 30)), count, int(rng.integers(1, count + 1))


def by_token(experts, weights):
    """Each token's experts in ascending order, and their weights in that order."""
    experts, order = experts.sort(-1)
    return experts, weights.gather(-1, order)


@pytest.mark.parametrize("seed", SEEDS)
def test_softmax_routing_takes_the_largest_probabilities(seed):
    tokens, count, k = sizes(seed)
    logits, bias = normal(seed, tokens, count, scale=3), normal(seed + 50, count)
    probabilities = logits.softmax(-1)
    for shift in (None, bias):
        routing = softmax_routing(logits, k, shift)
        plain = softmax_routing(logits, k, shift, normalised=False)
        for i, row in enumerate(probabilities):
            keys = row if shift is None else row + shift
            best = sorted(range(count), key=lambda e, keys=keys: -keys[e])[:k]
            assert routing.experts[i].tolist() == best == plain.experts[i].tolist()
            torch.testing.assert_close(routing.weights[i], row[best] / row[best].sum(), atol=1e-14, rtol=0)
            torch.testing.assert_close(plain.weights[i], row[best], atol=1e-14, rtol=0)


ROUTES = [
    softmax_routing,
    partial(softmax_routing, normalised=False),
    sigmoid_routing,
    partial(sigmoid_routing, groups=3, top_groups=2),
]


@pytest.mark.parametrize("route", ROUTES)
def test_batches_are_routed_token_by_token(route):
    logits = normal(0, 2, 3, 4, 6)
    batched, flat = route(logits, 3), route(logits.reshape(-1, 6), 3)
    assert torch.equal(batched.experts, flat.experts.view(2, 3, 4, 3))
    assert torch.equal(batched.weights, flat.weights.view(2, 3, 4, 3))
    one = route(logits[0, 0, 0], 3)
    assert torch.equal(one.experts, flat.experts[0]) and torch.equal(one.weights, flat.weights[0])


def best_groups(keys, groups, top_groups):
    """By trying every set of groups, the experts of the set whose sums of two best scores are the largest."""
    members = torch.arange(len(keys)).view(groups, -1).tolist()
    score = [sum(sorted((keys[e].item() for e in group), reverse=True)[:2]) for group in members]
    chosen = max(itertools.combinations(range(groups), top_groups), key=lambda some: sum(score[g] for g in some))
    return [e for g in chosen for e in members[g]]


GROUPS = [(1, 1, 6, 3), (1, 1, 1, 1), (2, 1, 2, 2), (4, 2, 3, 5), (3, 2, 2, 4), (4, 4, 2, 3)]


@pytest.mark.parametrize("groups, top_groups, size, k", GROUPS)
@pytest.mark.parametrize("seed", range(4))
def test_sigmoid_routing_takes_the_best_of_the_best_groups(groups, top_groups, size, k, seed):
    count = groups * size
    logits, bias = normal(seed, 20, count, scale=2), normal(seed + 50, count)
    scores = 1 / (1 + (-logits).exp())
    for shift in (None, bias):
        routing = sigmoid_routing(logits, k, shift, groups=groups, top_groups=top_groups, scale=2.5)
        for i, row in enumerate(scores):
            keys = row if shift is None else row + shift
            open_to = range(count) if groups == 1 else best_groups(keys, groups, top_groups)
            best = sorted(open_to, key=lambda e, keys=keys: -keys[e])[:k]
            assert routing.experts[i].tolist() == best
            torch.testing.assert_close(routing.weights[i], 2.5 * row[best] / row[best].sum(), atol=1e-14, rtol=0)


def test_groups_are_judged_by_the_sum_of_their_two_best():
    logits = torch.tensor([[3.0, -3.0, -3.0, 1.0, 1.0, -3.0]])
    assert sorted(sigmoid_routing(logits, 2, groups=2).experts[0].tolist()) == [3, 4]
    assert sigmoid_routing(logits, 1, torch.tensor([5.0, 0, 0, 0, 0, 0]), groups=2).experts.tolist() == [[0]]


def test_weights_sum_to_one_where_every_sigmoid_is_zero():
    routing = sigmoid_routing(torch.full((1, 4), -200.0), 2, scale=2.0)
    assert torch.equal(routing.weights, torch.ones(1, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("route", [softmax_routing, sigmoid_routing])
def test_half_precision_is_routed_in_float32(dtype, route):
    logits = normal(0, 2, 5, 8, dtype=torch.float32).to(dtype)
    got, want = route(logits, 3), route(logits.float(), 3)
    assert got.weights.dtype == torch.float32 and got.weights.shape == (2, 5, 3)
    assert torch.equal(got.weights, want.weights) and torch.equal(got.experts, want.experts)


def test_a_bias_gets_no_gradient_and_the_logits_do():
    logits, bias = normal(1, 6, 5).requires_grad_(), normal(2, 5).requires_grad_()
    for route in (softmax_routing, sigmoid_routing):
        loss = (route(logits, 2, bias).weights * normal(3, 6, 2)).sum()
        of_logits, of_bias = torch.autograd.grad(loss, [logits, bias], allow_unused=True)
        assert of_bias is None and of_logits.abs().max() > 0.01


def test_one_expert_weighed_by_itself_teaches_the_router_only_without_normalising():
    logits = normal(1, 6, 5).requires_grad_()
    normalised = softmax_routing(logits, 1).weights
    assert torch.equal(normalised, torch.ones_like(normalised))
    assert torch.equal(torch.autograd.grad(normalised.sum(), logits)[0], torch.zeros_like(logits))
    plain = softmax_routing(logits, 1, normalised=False).weights
    assert torch.autograd.grad(plain.sum(), logits)[0].abs().max() > 0.01


def mixtral(width, hidden, count, k, dtype=torch.float64):
    """Transformers' block with its eager experts, and ours with its weights."""
    config = MixtralConfig(
        hidden_size=width, intermediate_size=hidden, num_local_experts=count, num_experts_per_tok=k,
        experts_implementation="eager",
    )  # fmt: skip
    theirs, ours = MixtralSparseMoeBlock(config).to(dtype), MixtureOfExperts(width, hidden, count, k).to(dtype)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    gate, up = theirs.experts.gate_up_proj.detach().chunk(2, 1)
    parts = {"gate": gate.mT, "up": up.mT, "down": theirs.experts.down_proj.mT}
    ours.load_state_dict({"router.weight": theirs.gate.weight, "bias": ours.bias, **parts})
    return theirs, ours


@pytest.mark.parametrize("seed", SEEDS)
def test_mixtral_agrees_in_values_and_gradients(seed):
    """Its router works in float32: so it lends its weights, in float64, and is compared with ours in float32."""
    tokens, count, k = sizes(seed)
    torch.manual_seed(seed)
    theirs, ours = mixtral(6, 5, count, k)
    x, towards = normal(seed, 2, tokens, 6).requires_grad_(), normal(seed + 50, 2, tokens, 6)
    logits, weights, experts = theirs.gate(x)
    routing = ours.route(x.flatten(0, 1))
    for a, b in zip(by_token(routing.experts, routing.weights), by_token(experts, weights), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0, check_dtype=False)
    ours.routing = lambda logits, k, bias: softmax_routing(logits.float(), k)
    want, got = theirs(x), ours(x)
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-6)
    parameters = [theirs.gate.weight, theirs.experts.gate_up_proj, theirs.experts.down_proj]
    of_x, *of_theirs = torch.autograd.grad((want * towards).sum(), [x, *parameters])
    mine = [x, ours.router.weight, ours.gate, ours.up, ours.down]
    got_x, router, gate, up, down = torch.autograd.grad((got * towards).sum(), mine)
    got_all = [got_x, router, torch.cat([gate, up], 2).mT, down.mT]
    for a, b in zip(got_all, [of_x, *of_theirs], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mixture_is_mixtrals_experts_with_the_same_routing(seed):
    tokens, count, k = sizes(seed)
    torch.manual_seed(seed)
    theirs, ours = mixtral(6, 5, count, k)
    x, routing = normal(seed, tokens, 6), softmax_routing(normal(seed + 50, tokens, count), k)
    got = sparse_mixture(x, *routing, ours.gate, ours.up, ours.down)
    torch.testing.assert_close(got, theirs.experts(x, routing.experts, routing.weights), atol=1e-13, rtol=1e-13)


def dense(x, weights, experts, gate, up, down):
    """Every expert of every token, in one einsum over the one-hot choices."""
    hidden = silu(torch.einsum("tw,ewh->teh", x, gate)) * torch.einsum("tw,ewh->teh", x, up)
    chosen = one_hot(experts, len(gate)).to(x.dtype)
    return torch.einsum("tke,tk,teh,ehw->tw", chosen, weights, hidden, down)


def mixture_inputs(seed, grad=False):
    """Random choices too: experts without a token, and one expert several times, are among them."""
    tokens, count, k = sizes(seed)
    experts = torch.randint(count, (tokens, k), generator=torch.Generator().manual_seed(seed))
    shapes = (tokens, 4), (tokens, k), (count, 4, 3), (count, 4, 3), (count, 3, 4)
    x, weights, *matrices = (normal(seed + 10 * i, *shape).requires_grad_(grad) for i, shape in enumerate(shapes))
    return x, weights, experts, *matrices


@pytest.mark.parametrize("seed", SEEDS)
def test_sorted_dispatch_is_the_dense_einsum(seed):
    inputs = mixture_inputs(seed, grad=True)
    got, want = sparse_mixture(*inputs), dense(*inputs)
    torch.testing.assert_close(got, want, atol=1e-12, rtol=1e-12)
    towards, leaves = normal(seed + 90, *got.shape), [leaf for leaf in inputs if leaf.requires_grad]
    for a, b in zip(*(torch.autograd.grad((y * towards).sum(), leaves) for y in (got, want)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)


def test_gradients_are_those_of_differences():
    x, weights, experts, *matrices = mixture_inputs(2, grad=True)
    few = x[:3].detach().requires_grad_(), weights[:3].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w, *m: sparse_mixture(x, w, experts[:3], *m), (*few, *matrices))


def test_no_tokens_give_none_and_pass_a_gradient_of_zeros():
    x, weights, experts, *matrices = mixture_inputs(2)
    x = x[:0].requires_grad_()
    mixed = sparse_mixture(x, weights[:0], experts[:0], *matrices)
    assert mixed.shape == x.shape
    mixed.sum().backward()
    assert x.grad.shape == x.shape
    assert torch.equal(MixtureOfExperts(4, 3, 5, 2)(torch.zeros(2, 0, 4)), torch.zeros(2, 0, 4))


@pytest.mark.parametrize("groups, top_groups, count, k", [(1, 1, 4, 2), (2, 1, 8, 3), (4, 2, 12, 5), (4, 3, 8, 6)])
@pytest.mark.parametrize("seed", range(3))
def test_deepseek_v3_agrees(groups, top_groups, count, k, seed):
    """In float64, with its own weights, which it works out in float32; these are compared with ours in float32."""
    torch.manual_seed(seed)
    config = DeepseekV3Config(
        hidden_size=6, moe_intermediate_size=5, n_routed_experts=count, num_experts_per_tok=k, n_group=groups,
        topk_group=top_groups, n_shared_experts=2, routed_scaling_factor=2.5, norm_topk_prob=True, hidden_act="silu",
        experts_implementation="eager",
    )  # fmt: skip
    theirs = DeepseekV3MoE(config).double()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    theirs.gate.e_score_correction_bias.normal_(std=0.3)
    routing = partial(sigmoid_routing, groups=groups, top_groups=top_groups, scale=2.5)
    ours = MixtureOfExperts(6, 5, count, k, routing=routing, shared=10).double()
    gate, up = theirs.experts.gate_up_proj.detach().chunk(2, 1)
    parts = {"gate": gate.mT, "up": up.mT, "down": theirs.experts.down_proj.mT}
    for name in ("gate", "up", "down"):
        parts[f"shared.{name}.weight"] = getattr(theirs.shared_experts, f"{name}_proj").weight
    ours.load_state_dict({"router.weight": theirs.gate.weight, "bias": theirs.gate.e_score_correction_bias, **parts})
    x = normal(seed, 2, 30, 6)
    logits, weights, experts = theirs.gate(x)
    single = routing(logits, k, ours.bias.float())
    for a, b in zip(by_token(single.experts, single.weights), by_token(experts, weights), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0, check_dtype=False)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    ours.routing = lambda *_: Routing(weights.double(), experts)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("shared", [0, 7])
def test_it_is_a_feed_forward_of_the_transformer(shared):
    torch.manual_seed(0)
    experts = partial(MixtureOfExperts, hidden=8, experts=4, k=2, shared=shared)
    model, tokens = Transformer(11, 16, 2, feed_forward=experts), torch.randint(11, (2, 9))
    block = model.blocks[0].feed_forward
    assert parameter_count(block) == (3 * 8 + 1) * 16 * 4 + 3 * 16 * shared
    cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())
    x = torch.randn(2, 9, 16)
    assert block.route(x).weights.shape == block.route(x).experts.shape == (2, 9, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (block(x) - block.float()(x)).abs().max() < 0.02
    assert block.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_an_untrained_expert_has_the_spread_of_a_linear_layer():
    torch.manual_seed(0)
    moe = MixtureOfExperts(50, 20, 30, 1)
    for matrices, inputs in ((moe.gate, 50), (moe.up, 50), (moe.down, 20)):
        assert matrices.abs().max() <= inputs**-0.5
        assert abs(matrices.std().item() * (3 * inputs) ** 0.5 - 1) < 0.02 and abs(matrices.mean()) < 0.01


def test_one_expert_is_a_swiglu():
    moe, dense_one = MixtureOfExperts(4, 6, 1, 1), SwiGLU(4, 6)
    for name in ("gate", "up", "down"):
        getattr(dense_one, name).weight.data = getattr(moe, name).data[0].T
    x = torch.randn(3, 2, 4)
    torch.testing.assert_close(moe(x), dense_one(x))
    assert parameter_count(dense_one) == 3 * 4 * 6


def test_the_bias_moves_the_choice_and_is_saved_but_not_trained():
    torch.manual_seed(0)
    moe, x = MixtureOfExperts(4, 3, 5, 2), torch.randn(20, 4)
    moe.bias = torch.tensor([0.0, 0.0, 2.0, 0.0, 0.0])
    assert (moe.route(x).experts == 2).any(-1).all()
    assert "bias" in moe.state_dict() and "bias" not in dict(moe.named_parameters())


@pytest.mark.parametrize("seed", SEEDS)
def test_counts_and_capacity_are_those_of_naive_loops(seed):
    tokens, count, k = sizes(seed)
    experts = torch.randint(count, (2, tokens, k), generator=torch.Generator().manual_seed(seed))
    counts = expert_counts(experts, count)
    assert counts.tolist() == [[(row == e).sum().item() for e in range(count)] for row in experts]
    assert torch.equal(expert_counts(experts[0], count), counts[0])
    for capacity in (1, 2, 3, tokens * k):
        taken, kept = [0] * count, torch.zeros(tokens, k, dtype=torch.bool)
        for choice in range(k):
            for token in range(tokens):
                expert = experts[0, token, choice]
                kept[token, choice] = taken[expert] < capacity
                taken[expert] += 1
        assert torch.equal(within_capacity(experts[0], capacity), kept)


@pytest.mark.parametrize("seed", SEEDS)
def test_transformers_balance_loss_is_k_times_ours(seed):
    """It counts in float32; layers are pooled before f and P are multiplied, as one batch of all their tokens."""
    tokens, count, k = sizes(seed)
    layers = [normal(seed + i, tokens, count, dtype=torch.float32, scale=2) for i in range(3)]
    logits = torch.stack(layers).double()
    probabilities, experts = logits.softmax(-1), softmax_routing(logits, k).experts
    for i, layer in enumerate(layers):
        want = load_balancing_loss_func((layer,), count, k).double()
        torch.testing.assert_close(k * balance_loss(probabilities, experts)[i], want, atol=1e-5, rtol=0)
    pooled = balance_loss(probabilities.flatten(0, 1), experts.flatten(0, 1))
    want = load_balancing_loss_func(tuple(layers), count, k).double()
    torch.testing.assert_close(k * pooled, want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_balance_loss_is_its_formula_and_its_shares_have_no_gradient(seed):
    tokens, count, k = sizes(seed)
    logits = normal(seed, tokens, count).requires_grad_()
    probabilities, experts = logits.softmax(-1), softmax_routing(logits, k).experts
    f = [(experts == e).sum().item() / (tokens * k) for e in range(count)]
    want = count * sum(f[e] * sum(row[e] for row in probabilities) / tokens for e in range(count))
    loss = balance_loss(probabilities, experts)
    torch.testing.assert_close(loss, want, atol=1e-14, rtol=1e-14)
    got, naive = (torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (loss, want))
    torch.testing.assert_close(got, naive, atol=1e-14, rtol=0)


@pytest.mark.parametrize("count, k", [(4, 1), (4, 2), (6, 3), (5, 5)])
def test_the_balance_loss_is_one_when_either_half_is_uniform(count, k):
    even = (torch.arange(count)[:, None] + torch.arange(k)) % count
    uniform = torch.full((count, count), 1 / count, dtype=torch.float64)
    some = normal(0, count, count).softmax(-1)
    uneven = torch.zeros(count, k, dtype=torch.int64)
    for probabilities, experts in ((some, even), (uniform, uneven), (uniform, even)):
        assert abs(balance_loss(probabilities, experts) - 1) < 1e-14
    assert abs(balance_loss(one_hot(uneven[:, 0], count).double(), uneven) - count) < 1e-14


def test_the_balance_loss_of_half_precision_is_computed_in_float32():
    probabilities = normal(0, 300, 8, dtype=torch.float32).softmax(-1).bfloat16()
    experts = torch.randint(8, (300, 2))
    got = balance_loss(probabilities, experts)
    assert got.dtype == torch.float32 and abs(got - balance_loss(probabilities.double(), experts)) < 1e-5


@pytest.mark.parametrize("seed", SEEDS)
def test_the_z_loss_is_its_formula_and_its_gradient_2_lse_p(seed):
    tokens, count, _ = sizes(seed)
    logits = normal(seed, 3, tokens, count, scale=3).requires_grad_()
    sums = logits.detach().exp().sum(-1).log()
    loss = router_z_loss(logits)
    torch.testing.assert_close(loss, sums.square().mean(), atol=1e-13, rtol=1e-13)
    want = 2 * sums[..., None] * logits.detach().softmax(-1) / sums.numel()
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], want, atol=1e-14, rtol=0)


def test_the_z_loss_of_half_precision_is_computed_in_float32():
    logits = normal(0, 300, 8, dtype=torch.float32).bfloat16()
    got = router_z_loss(logits)
    assert got.dtype == torch.float32 and abs(got - router_z_loss(logits.double())) < 1e-5


def test_maximal_violation_is_the_excess_of_the_busiest():
    counts = torch.tensor([[4, 4, 4, 4], [16, 0, 0, 0], [6, 2, 5, 3]])
    assert maximal_violation(counts).tolist() == [0, 3, 0.5]
    assert maximal_violation(counts[2].float()).item() == 0.5


def test_a_bias_rises_where_the_load_is_below_the_mean():
    bias = torch.tensor([0.5, 0.0, -1.0, 0.25], dtype=torch.float64)
    moved = updated_bias(bias, torch.tensor([6, 2, 4, 4]), 0.1)
    assert torch.equal(moved, bias + 0.1 * torch.tensor([-1.0, 1.0, 0.0, 0.0], dtype=torch.float64))
    assert updated_bias(bias.float(), torch.tensor([1, 2, 3, 4]), 0.1).dtype == torch.float32
    assert torch.equal(updated_bias(bias, torch.tensor([1, 2, 3, 4]), 0.0), bias)


@pytest.mark.parametrize("seed", range(4))
def test_bias_alone_balances_a_router_that_does_not_learn(seed):
    logits, bias, before = normal(seed, 400, 8) + normal(seed + 50, 8), torch.zeros(8).double(), None
    for step in range(400):
        counts = expert_counts(sigmoid_routing(logits, 2, bias).experts, 8)
        before = maximal_violation(counts).item() if step == 0 else before
        bias = updated_bias(bias, counts, 0.003)
    assert before > 0.5 and maximal_violation(counts) < 0.1


def test_bad_input_is_named():
    logits, few = torch.zeros(3, 4), torch.tensor([[0, 1], [3, 2]])
    nan, law = torch.full((3, 4), torch.nan), torch.full((2, 4), 0.25)
    matrices = torch.zeros(3, 2, 5), torch.zeros(3, 2, 5), torch.zeros(3, 5, 2)
    cases = [
        (lambda: softmax_routing(logits, 5), "k must lie in 1 … 4, the experts to choose from, got 5"),
        (lambda: softmax_routing(logits, 0), "k must lie in"),
        (lambda: softmax_routing(nan, 2), "logits must be finite"),
        (lambda: softmax_routing(logits, 2, nan[0]), "bias must be finite"),
        (lambda: sigmoid_routing(nan, 2), "logits must be finite"),
        (lambda: sigmoid_routing(logits, 0), "k must lie in"),
        (lambda: sigmoid_routing(logits, 3, groups=2), "k must lie in 1 … 2, the experts to choose from, got 3"),
        (lambda: sigmoid_routing(logits, 1, groups=3), "groups must divide 4 experts into groups of at least 2, got 3"),
        (lambda: sigmoid_routing(logits, 1, groups=4), "groups must divide 4 experts into groups of at least 2"),
        (lambda: sigmoid_routing(logits, 1, groups=0), "groups must be at least 1"),
        (lambda: sigmoid_routing(logits, 1, groups=2, top_groups=3), "top_groups must lie in 1 … 2, the groups, got 3"),
        (lambda: sigmoid_routing(logits, 1, groups=2, top_groups=0), "top_groups must lie in 1 … 2"),
        (lambda: sigmoid_routing(logits, 1, scale=0.0), "scale must be positive"),
        (lambda: expert_counts(few, 3), "experts must lie in 0 … 2, got 0 to 3"),
        (lambda: expert_counts(few - 1, 4), "experts must lie in 0 … 3, got -1 to 2"),
        (lambda: expert_counts(few, 0), "count must be at least 1"),
        (lambda: within_capacity(few, 0), "capacity must be at least 1"),
        (lambda: balance_loss(logits[:2], few), "probabilities must not be negative and must sum to one"),
        (lambda: balance_loss(torch.tensor([[1.5, -0.5, 0, 0]] * 2), few), "probabilities must not be negative"),
        (lambda: balance_loss(nan[:2], few), "probabilities must not be negative and must sum to one"),
        (lambda: balance_loss(law[:0], few[:0]), "experts must hold at least one choice"),
        (lambda: balance_loss(law, few[:, :0]), "experts must hold at least one choice"),
        (lambda: balance_loss(law[:, :2] * 2, few), "experts must lie in 0 … 1"),
        (lambda: router_z_loss(nan), "logits must be finite"),
        (lambda: router_z_loss(logits[:0]), "logits must be of at least one token"),
        (lambda: maximal_violation(torch.zeros(3)), "counts must not be negative, and not all be zero"),
        (lambda: maximal_violation(torch.tensor([3, -1])), "counts must not be negative"),
        (lambda: maximal_violation(torch.zeros(0)), "counts must not be negative, and not all be zero"),
        (lambda: maximal_violation(torch.tensor([[1, 2], [0, 0]])), "counts must not be negative, and not all be zero"),
        (lambda: maximal_violation(nan), "counts must be finite"),
        (lambda: updated_bias(torch.zeros(4), nan[0], 0.1), "counts must be finite"),
        (lambda: updated_bias(torch.zeros(2), torch.ones(2), -0.1), "rate must be finite and not negative"),
        (lambda: sparse_mixture(law[:, :2], law[:, :2], few, *matrices), "experts must lie in 0 … 2, got 0 to 3"),
        (lambda: MixtureOfExperts(4, 3, 2, 3), "k must lie in 1 … 2, the experts to choose from, got 3"),
        (lambda: MixtureOfExperts(4, 3, 2, 0), "k must lie in 1 … 2"),
        (lambda: MixtureOfExperts(0, 3, 2, 1), "width must be at least 1"),
        (lambda: MixtureOfExperts(4, 0, 2, 1), "hidden must be at least 1"),
        (lambda: MixtureOfExperts(4, 3, 0, 1), "experts must be at least 1"),
        (lambda: MixtureOfExperts(4, 3, 2, 1, shared=-1), "shared must be at least 0"),
        (lambda: SwiGLU(4, 0), "hidden must be at least 1"),
        (lambda: SwiGLU(0, 4), "width must be at least 1"),
        (lambda: SwiGLU(4, 3)(torch.ones(2, 4, 6)), r"x must be of width 4, got shape \(2, 4, 6\)"),
        (lambda: MixtureOfExperts(4, 3, 2, 1)(torch.ones(2, 4, 6)), r"x must be of width 4, got shape \(2, 4, 6\)"),
        (lambda: MixtureOfExperts(4, 3, 2, 1)(torch.ones(8)), r"x must be of width 4, got shape \(8,\)"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
    for call in (lambda: softmax_routing(few, 1), lambda: expert_counts(logits, 4), lambda: within_capacity(few[0], 1)):
        with pytest.raises(TypeError):
            call()
