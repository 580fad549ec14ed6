"""lib.sequence.decoding against enumeration, plain decoding and transformers' speculative sampling."""

import itertools

import pytest
import torch
from scipy.stats import chisquare
from torch.nn.functional import one_hot
from transformers.generation.utils import _speculative_sampling as of_transformers

from lib.sequence.decoding import (
    Tree,
    accepted_path,
    best_tree,
    generate,
    generate_speculatively,
    generate_with_tree,
    speculative_sampling,
    tree_depths,
    tree_mask,
    typical_tokens,
)
from lib.sequence.linear_attention import LinearAttention
from lib.sequence.position import Learned, Rotary
from lib.sequence.transformer import Transformer

VOCABULARY = 12


def random_parents(seed, most=9):
    generator = torch.Generator().manual_seed(seed)
    nodes = int(torch.randint(1, most, (), generator=generator))
    later = [int(torch.randint(0, node, (), generator=generator)) for node in range(1, nodes)]
    return torch.tensor([-1, *later])


def ancestors(parents, node):
    while node >= 0:
        yield node
        node = int(parents[node])


def law(shape, seed, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).square().softmax(-1)


def model(seed, width=16, depth=2, position=None, vocabulary=VOCABULARY, **changes):
    torch.manual_seed(seed)
    made = Transformer(vocabulary, width, depth, position=position or Rotary(width // 4), **changes).eval()
    for parameter in made.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return made.requires_grad_(False)


PROMPT = torch.tensor([3, 1, 4, 1, 5])


@pytest.mark.parametrize("seed", range(12))
def test_a_node_sees_its_ancestors_and_stands_at_their_number(seed):
    parents = random_parents(seed)
    mask = tree_mask(parents)
    for node in range(len(parents)):
        assert mask[node].nonzero().flatten().tolist() == sorted(ancestors(parents, node))
    assert tree_depths(parents).tolist() == [len(list(ancestors(parents, node))) - 1 for node in range(len(parents))]


def most_expected(shares, nodes):
    """Over all sets of paths that hold with each path its beginning, by trying every one."""
    depths, ranks = shares.shape
    paths = [p for depth in range(1, depths + 1) for p in itertools.product(range(ranks), repeat=depth)]
    best = 0.0
    for chosen in itertools.combinations(paths, nodes):
        if all(len(p) == 1 or p[:-1] in chosen for p in chosen):
            best = max(best, sum(float(shares[range(len(p)), list(p)].prod()) for p in chosen))
    return best


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("depths", "ranks"), [(1, 3), (2, 3), (3, 2)])
def test_no_tree_of_as_many_nodes_is_expected_to_give_more(depths, ranks, seed):
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(depths, ranks, generator=generator, dtype=torch.float64).sort(1, descending=True).values / ranks
    if seed == 0:
        shares[-1, 1:] = 0
    for nodes in range(1, min(6, sum(ranks**d for d in range(1, depths + 1))) + 1):
        tree = best_tree(shares, nodes)
        assert len(tree.parents) == len(tree.ranks) == nodes + 1
        guesses = list(zip(tree.parents.tolist()[1:], tree.ranks.tolist()[1:], strict=True))
        assert len(set(guesses)) == nodes
        at = tree_depths(tree.parents) - 1
        products = [
            float(torch.stack([shares[at[n], tree.ranks[n]] for n in ancestors(tree.parents, node) if n]).prod())
            for node in range(1, nodes + 1)
        ]
        assert sum(products) == pytest.approx(most_expected(shares, nodes), abs=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_the_accepted_path_is_the_longest_that_the_model_agrees_with(seed):
    parents = random_parents(seed)
    generator = torch.Generator().manual_seed(100 + seed)
    tokens, wanted = (torch.randint(0, 3, (len(parents),), generator=generator) for _ in range(2))
    seen = set()
    for node in range(1, len(parents)):  # siblings hold different tokens, as the guesses of one head do
        while (int(parents[node]), int(tokens[node])) in seen:
            tokens[node] += 1
        seen.add((int(parents[node]), int(tokens[node])))
    paths = [list(ancestors(parents, node))[::-1] for node in range(len(parents))]
    agreed = [path for path in paths if all(tokens[node] == wanted[parents[node]] for node in path[1:])]
    assert accepted_path(tokens, parents, wanted).tolist() == max(agreed, key=len)


def test_a_drafted_token_that_both_models_hold_for_certain_is_kept():
    certain = one_hot(torch.tensor([2, 0, 1]), 3).double()
    new = speculative_sampling(torch.tensor([2, 0]), certain[:2], certain, torch.Generator())
    assert new.tolist() == [2, 0, 1]


def test_a_token_that_the_target_never_says_is_replaced_by_one_that_the_draft_says_too_seldom():
    target, draft = torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]), torch.tensor([[0.5, 0.5, 0.0]])
    new = [speculative_sampling(torch.tensor([0]), draft, target, torch.Generator().manual_seed(s)).tolist() for s in range(50)]
    assert new == [[2]] * 50


def test_equal_laws_refuse_nothing():
    laws = law((4, 7), seed=1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        tokens = torch.multinomial(laws[:3], 1, generator=generator)[:, 0]
        assert speculative_sampling(tokens, laws[:3], laws, generator)[:3].tolist() == tokens.tolist()


def test_pairs_of_tokens_have_the_laws_of_the_target():
    """The drafts do not depend on what came before, nor does the target: so the pairs' law is a product."""
    target, draft, generator = law((3, 4), 0), law((2, 4), 1), torch.Generator().manual_seed(2)
    draft[0, 3] = 0
    draft[0] /= draft[0].sum()
    counts = torch.zeros(4, 4, dtype=torch.float64)
    for _ in range(6000):
        tokens = torch.multinomial(draft, 1, generator=generator)[:, 0]
        new = speculative_sampling(tokens, draft, target, generator)
        second = new[1] if len(new) > 1 else torch.multinomial(target[1], 1, generator=generator)[0]
        counts[new[0], second] += 1
    expected = torch.outer(target[0], target[1]) * counts.sum()
    assert chisquare(counts.flatten(), expected.flatten()).pvalue > 1e-4
    of_the_draft = torch.outer(draft[0], target[1]).flatten() * counts.sum()
    assert (counts.flatten() - of_the_draft).abs().max() > 5 * counts.sum().sqrt()


def test_as_many_tokens_stay_as_with_transformers():
    target, draft, generator = law((1, 4, 6), 3), law((1, 3, 6), 4), torch.Generator().manual_seed(5)
    ours, theirs = [], []
    torch.manual_seed(6)
    for _ in range(3000):
        tokens = torch.multinomial(draft[0], 1, generator=generator)[:, 0]
        ours.append(len(speculative_sampling(tokens, draft[0], target[0], generator)) - 1)
        kept = of_transformers(tokens[None], draft.log(), 3, target.log())[1]
        theirs.append(int(kept))
    shares = [torch.tensor(kept).bincount(minlength=4) / len(kept) for kept in (ours, theirs)]
    assert (shares[0] - shares[1]).abs().max() < 5 * (2 * 0.25 / 3000) ** 0.5


@pytest.mark.parametrize("seed", range(5))
def test_typical_tokens_are_those_above_the_smaller_of_two_thresholds(seed):
    laws = law((3, 8), seed).pow(1 + 3 * seed)
    laws /= laws.sum(-1, keepdim=True)
    for row, passes in zip(laws, typical_tokens(laws, epsilon=0.1, delta=0.4), strict=True):
        entropy = -sum(float(p) * float(p.log()) for p in row if p > 0)
        threshold = min(0.1, 0.4 * torch.tensor(-entropy).exp().item())
        assert passes.tolist() == [float(p) > threshold for p in row]


def test_a_law_with_zeros_has_typical_tokens():
    assert typical_tokens(torch.tensor([1.0, 0.0, 0.0])).tolist() == [True, False, False]


@pytest.mark.parametrize("position", [Rotary(4), Learned(64, 16)], ids=["rotary", "learned"])
def test_the_likeliest_token_follows_each_time(position):
    made = model(0, position=position)
    tokens = PROMPT
    for _ in range(12):
        tokens = torch.cat([tokens, made(tokens[None])[0, -1:].argmax(-1)])
    assert generate(made, PROMPT, 12).tolist() == tokens.tolist()


def test_greedy_decoding_leaves_the_global_random_state_alone():
    made = model(1)
    torch.manual_seed(7)
    wanted = torch.rand(2)
    torch.manual_seed(7)
    generate(made, PROMPT, 3)
    generate_speculatively(made, made, PROMPT, 3, 2)
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize("ahead", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_a_draft_changes_no_greedy_text(ahead, seed):
    made = model(seed)
    wanted = generate(made, PROMPT, 17).tolist()
    for draft in (model(seed + 10, width=8, depth=1), made):
        written = generate_speculatively(made, draft, PROMPT, 17, ahead)
        assert written.tokens.tolist() == wanted
        assert all(1 <= gain <= ahead + 1 for gain in written.gained) and sum(written.gained[:-1]) < 17 <= sum(written.gained)
    assert set(written.gained) == {ahead + 1}


def test_a_draft_changes_no_law():
    made, draft = model(0, vocabulary=3), model(1, width=8, depth=1, vocabulary=3)
    prompt, generator = torch.tensor([0, 2]), torch.Generator().manual_seed(3)
    first = (made(prompt[None])[0, -1] / 0.8).softmax(-1)
    after = torch.stack([(made(torch.tensor([[0, 2, token]]))[0, -1] / 0.8).softmax(-1) for token in range(3)])
    expected = (first[:, None] * after).flatten()
    for ahead in (None, 1, 2):
        counts = torch.zeros(3, 3)
        for _ in range(500):
            if ahead is None:
                tokens = generate(made, prompt, 2, temperature=0.8, generator=generator)
            else:
                tokens = generate_speculatively(made, draft, prompt, 2, ahead, temperature=0.8, generator=generator).tokens
            counts[tokens[2], tokens[3]] += 1
        assert chisquare(counts.flatten(), expected / expected.sum() * 500, sum_check=False).pvalue > 1e-4


def of_heads(heads):
    return lambda states, tokens: heads @ states[-1]


def all_knowing(made, depths):
    return lambda states, tokens: one_hot(generate(made, tokens, depths)[-depths:], VOCABULARY).float()


CHAIN = Tree(torch.arange(-1, 3), torch.zeros(4, dtype=torch.int64))
BUSHY = best_tree(torch.tensor([[0.5, 0.2, 0.1], [0.4, 0.2, 0.1], [0.3, 0.2, 0.1]]), 12)


@pytest.mark.parametrize("tree", [CHAIN, BUSHY], ids=["chain", "bushy"])
@pytest.mark.parametrize("seed", range(3))
def test_a_tree_changes_no_greedy_text(tree, seed):
    made = model(seed)
    heads = torch.randn(3, VOCABULARY, 16, generator=torch.Generator().manual_seed(seed))
    wanted = generate(made, PROMPT, 17).tolist()
    gained = {}
    for name, propose in {"guesses": of_heads(heads), "knows": all_knowing(made, 3)}.items():
        written = generate_with_tree(made, propose, tree, PROMPT, 17)
        assert written.tokens.tolist() == wanted
        gained[name] = written.gained
    assert gained["knows"] == [1, 4, 4, 4, 4]
    assert max(gained["guesses"]) <= 4 and sum(gained["guesses"][:-1]) < 17 <= sum(gained["guesses"])


def test_a_proposal_sees_the_states_of_all_tokens_but_the_last():
    made, seen = model(4), []

    def propose(states, tokens):
        seen.append((states, tokens))
        return one_hot(generate(made, tokens, 3)[-3:], VOCABULARY).float()

    generate_with_tree(made, propose, BUSHY, PROMPT, 9)
    for states, tokens in seen:
        torch.testing.assert_close(states, made.hidden(tokens[None, :-1])[0])


def test_a_cache_forgets_what_it_does_not_keep():
    made, tokens = model(5), torch.tensor([[3, 1, 4, 1, 5, 9]])
    cache, cut = made.new_cache(), made.new_cache()
    made(tokens, cache=cache)
    cache.keep(slice(4))
    made(tokens[:, :4], cache=cut)
    torch.testing.assert_close(made(tokens[:, 4:], cache=cache), made(tokens[:, 4:], cache=cut))
    assert cache.length == cut.length == 6
    cache.keep(torch.tensor([0, 1]))
    other = made.new_cache()
    made(tokens[:, :2], cache=other)
    for kept, wanted in zip(cache.layers, other.layers, strict=True):
        for name in kept:
            torch.testing.assert_close(kept[name], wanted[name])
    assert cache.positions.tolist() == [[0, 1]]


def test_a_state_that_sums_up_all_tokens_cannot_forget():
    made = model(6, position=Learned(64, 16), mixer=LinearAttention)
    cache = made.new_cache()
    made(PROMPT[None], cache=cache)
    with pytest.raises(ValueError, match="must hold 5 tokens along dimension 2"):
        cache.keep(slice(3))
    with pytest.raises(ValueError, match="along dimension 2"):
        generate_speculatively(made, model(7), PROMPT, 9, 2)


def generator():
    return torch.Generator().manual_seed(0)


LAWS, DRAFTED = law((3, 4), 0), torch.tensor([0, 1])
BAD = {
    "a parent after its child": (lambda: tree_mask(torch.tensor([-1, 2, 0])), "got 2 as the parent of node 1"),
    "two roots": (lambda: tree_depths(torch.tensor([-1, -1])), "parents must stand before their children"),
    "no root": (lambda: tree_mask(torch.tensor([0, 0])), "parents must begin with -1"),
    "an empty tree": (lambda: tree_mask(torch.tensor([], dtype=torch.int64)), "parents must begin with -1"),
    "a path in a tree without a root": (lambda: accepted_path(*torch.tensor([[1], [0], [1]])), "must begin with -1"),
    "shares above one": (lambda: best_tree(torch.tensor([[0.7, 0.6]]), 1), "sum to at most 1"),
    "a negative share": (lambda: best_tree(torch.tensor([[0.5, -0.1]]), 1), "sum to at most 1"),
    "no shares": (lambda: best_tree(torch.zeros(0, 2), 1), "sum to at most 1"),
    "a share that is NaN": (lambda: best_tree(torch.tensor([[torch.nan]]), 1), "acceptance must be finite"),
    "a second guess that is better": (lambda: best_tree(torch.tensor([[0.1, 0.2]]), 1), "must not increase"),
    "more nodes than guesses": (lambda: best_tree(torch.tensor([[0.5, 0.2]]), 3), "nodes must lie in 1 … 2"),
    "no nodes": (lambda: best_tree(torch.tensor([[0.5, 0.2]]), 0), "nodes must lie in 1 … 2"),
    "no law": (lambda: speculative_sampling(DRAFTED, LAWS[:2], LAWS * 2, generator()), "target must not be negative"),
    "no draft's law": (lambda: speculative_sampling(DRAFTED, -LAWS[:2], LAWS, generator()), "draft must not be negative"),
    "a token that does not exist": (lambda: speculative_sampling(DRAFTED + 3, LAWS[:2], LAWS, generator()), "0 … 3"),
    "a threshold above one": (lambda: typical_tokens(LAWS, epsilon=1.5), r"epsilon must lie in \[0, 1\]"),
    "no threshold": (lambda: typical_tokens(LAWS, delta=0.0), "delta must be positive"),
    "typical tokens of no law": (lambda: typical_tokens(LAWS * 2), "law must not be negative"),
    "no prompt": (lambda: generate(model(0), torch.tensor([], dtype=torch.int64), 3), "prompt must hold at least one token"),
    "no tokens to write": (lambda: generate(model(0), PROMPT, 0), "count must be at least 1"),
    "a negative temperature": (lambda: generate(model(0), PROMPT, 1, temperature=-1.0), "temperature must be finite"),
    "draws without a generator": (lambda: generate(model(0), PROMPT, 1, temperature=1.0), "needs a generator"),
    "a draft of nothing": (lambda: generate_speculatively(model(0), model(1), PROMPT, 3, 0), "ahead must be at least 1"),
    "two vocabularies": (
        lambda: generate_speculatively(model(0), model(1, vocabulary=9), PROMPT, 3, 2),
        "share a vocabulary, got 12 and 9 tokens",
    ),
    "a tree without ranks": (
        lambda: generate_with_tree(model(0), all_knowing(model(0), 3), Tree(CHAIN.parents, CHAIN.ranks[:2]), PROMPT, 3),
        "tree.ranks must be one for each node",
    ),
    "too few depths proposed": (
        lambda: generate_with_tree(model(0), all_knowing(model(0), 2), CHAIN, PROMPT, 3),
        r"logits for 3 depths, over at least 1 tokens, got shape \(2, 12\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    call, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        call()


def test_after_an_error_the_generator_is_where_it_was():
    made, used = model(0, position=Learned(6, 16)), generator()
    with pytest.raises(ValueError, match="positions"):
        generate(made, PROMPT, 5, temperature=1.0, generator=used)
    assert torch.equal(used.get_state(), generator().get_state())
