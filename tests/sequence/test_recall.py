"""The recall task's episodes, and its head against sums over pairs and a head that is solved by hand."""

import math

import pytest
import torch

from lib.sequence.recall import RecallHead, recall_episodes


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def by_softmax(q, k):
    return (q @ k.mT).softmax(-1)


@pytest.mark.parametrize("pairs, symbols", [(1, 1), (1, 7), (5, 7), (7, 7), (16, 32)])
def test_keys_differ_and_the_answer_is_the_value_of_the_key_asked_for(pairs, symbols):
    keys, values, asked, answers = recall_episodes(200, pairs, generator(), symbols=symbols)
    assert keys.dtype == values.dtype == asked.dtype == answers.dtype == torch.int64
    for row_of_keys, row_of_values, key, answer in zip(keys.tolist(), values.tolist(), asked[:, 0].tolist(), answers):
        assert len(set(row_of_keys)) == pairs
        assert dict(zip(row_of_keys, row_of_values))[key] == answer
    for part in (keys, values, asked):
        assert 0 <= part.min() and part.max() < symbols


def test_keys_values_places_and_answers_are_uniform():
    keys, values, asked, answers = recall_episodes(40_000, 3, generator(), symbols=5)
    places = (keys == asked).int().argmax(1)
    for drawn, size in ((keys[:, 0], 5), (keys[:, 2], 5), (values[:, 1], 5), (asked[:, 0], 5), (answers, 5), (places, 3)):
        shares = drawn.bincount(minlength=size) / len(drawn)
        assert (shares - 1 / size).abs().max() < 5 * math.sqrt(0.25 / len(drawn))
    together = (5 * keys[:, 0] + values[:, 0]).bincount(minlength=25) / len(keys)
    assert (together - 1 / 25).abs().max() < 5 * math.sqrt(0.04 / len(keys))


def test_there_are_as_many_symbols_as_a_head_knows():
    keys, values, _, _ = recall_episodes(50, 32, generator())
    assert torch.equal(keys.sort(1).values, torch.arange(32).expand(50, 32))
    assert values.max() + 1 == 32 == RecallHead(by_softmax).key.num_embeddings


def test_a_generator_decides_them():
    first, again, other = (recall_episodes(8, 4, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[0], other[0])
    draws = generator(1)
    recall_episodes(8, 4, draws)
    assert not torch.equal(first[0], recall_episodes(8, 4, draws)[0])


@pytest.mark.parametrize("features", [None, 3])
def test_the_head_is_a_weighted_mean_of_values(features):
    torch.manual_seed(0)
    head = RecallHead(lambda q, k: (q @ k.mT).exp(), symbols=9, width=6, features=features).double()
    keys, values, asked, _ = recall_episodes(4, 5, generator(), symbols=9)
    got = head(keys, values, asked)
    assert got.shape == (4, 9) and head.W_q.out_features == head.W_k.out_features == (features or 6)
    for b in range(4):
        query = head.W_q(head.key.weight[asked[b, 0]])
        weights = [(query @ head.W_k(head.key.weight[key])).exp() for key in keys[b]]
        mean = sum(w * head.value.weight[value] for w, value in zip(weights, values[b])) / sum(weights)
        assert (got[b] - head.out(mean)).abs().max() < 1e-12


def test_the_order_of_pairs_and_the_scale_of_weights_do_not_matter():
    torch.manual_seed(0)
    head = RecallHead(by_softmax).double()
    keys, values, asked, _ = recall_episodes(6, 10, generator())
    order = torch.randperm(10, generator=generator())
    want = head(keys, values, asked)
    assert (head(keys[:, order], values[:, order], asked) - want).abs().max() < 1e-12
    head.weigh = lambda q, k: 7 * by_softmax(q, k)
    assert (head(keys, values, asked) - want).abs().max() < 1e-12


def test_a_head_with_a_key_for_each_dimension_knows_every_answer():
    head = RecallHead(by_softmax, symbols=8, width=8)
    with torch.no_grad():
        for part in (head.key, head.value, head.W_k, head.out):
            part.weight.copy_(torch.eye(8))
        head.W_q.weight.copy_(50 * torch.eye(8))
        for layer in (head.W_q, head.W_k, head.out):
            layer.bias.zero_()
        keys, values, asked, answers = recall_episodes(100, 8, generator(), symbols=8)
        assert (head(keys, values, asked).argmax(1) == answers).all()
        wrong = head(keys.roll(1, 1), values, asked).argmax(1)
    assert (wrong == answers).double().mean() < 0.5


def test_counts_shapes_and_weights_are_checked():
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        recall_episodes(0, 3, generator())
    with pytest.raises(ValueError, match="pairs must be at least 1, got 0"):
        recall_episodes(2, 0, generator())
    with pytest.raises(ValueError, match="pairs must be at most symbols = 4, for keys differ, got 5"):
        recall_episodes(2, 5, generator(), symbols=4)
    with pytest.raises(TypeError, match="generator"):
        recall_episodes(2, 3, 0)
    for name in ("symbols", "width", "features"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            RecallHead(by_softmax, **{name: 0})
    head = RecallHead(lambda q, k: q @ k.mT @ k)
    with pytest.raises(ValueError, match=r"weigh must return weights of shape \(2, 1, 3\), got \(2, 1, 32\)"):
        head(*recall_episodes(2, 3, generator())[:3])
