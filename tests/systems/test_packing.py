"""lib.systems.packing against naive loops, every packing of small cases, and separate runs of the transformer."""

import numpy as np
import pytest
import torch

from lib.sequence.position import Learned, Rotary
from lib.sequence.transformer import Transformer
from lib.systems.packing import (
    NO_LABEL,
    cumulative_lengths,
    document_mask,
    first_fit,
    first_fit_decreasing,
    pack,
    pad,
    unpad,
)


def naive_first_fit(lengths, capacity, order):
    room, rows = [], []
    for i in order:
        for row, left in enumerate(room):
            if left >= lengths[i]:
                room[row] -= lengths[i]
                rows[row].append(i)
                break
        else:
            room.append(capacity - lengths[i])
            rows.append([i])
    return rows


def random_lengths(seed, most=60):
    rng = np.random.default_rng(seed)
    capacity = int(rng.integers(1, 40))
    return rng.integers(1, capacity + 1, size=int(rng.integers(1, most))).tolist(), capacity


@pytest.mark.parametrize("seed", range(40))
def test_rows_are_those_of_the_naive_loops(seed):
    lengths, capacity = random_lengths(seed)
    order = list(range(len(lengths)))
    assert first_fit(lengths, capacity) == naive_first_fit(lengths, capacity, order)
    longest_first = sorted(order, key=lambda i: -lengths[i])
    assert first_fit_decreasing(lengths, capacity) == naive_first_fit(lengths, capacity, longest_first)


def fewest_rows(lengths, capacity):
    """By trying every way to put the documents into rows."""
    best = len(lengths)

    def place(i, room):
        nonlocal best
        if len(room) >= best:
            return
        if i == len(lengths):
            best = len(room)
            return
        for row in range(len(room)):
            if room[row] >= lengths[i]:
                place(i + 1, (*room[:row], room[row] - lengths[i], *room[row + 1 :]))
        place(i + 1, (*room, capacity - lengths[i]))

    place(0, ())
    return best


@pytest.mark.parametrize("seed", range(25))
def test_no_more_rows_than_the_bounds_allow(seed):
    lengths, capacity = random_lengths(seed, most=10)
    fewest = fewest_rows(lengths, capacity)
    assert fewest <= len(first_fit(lengths, capacity)) <= 1.7 * fewest
    assert fewest <= len(first_fit_decreasing(lengths, capacity)) <= 11 / 9 * fewest + 6 / 9


def documents(seed=0, lengths=(3, 5, 2, 7, 1)):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(1, 9, (n,), generator=generator) for n in lengths]


def test_packed_rows_hold_the_documents_their_places_and_their_next_tokens():
    found = documents()
    rows = first_fit([len(d) for d in found], 8)
    packed = pack(found, rows, 8)
    assert rows == [[0, 1], [2, 4], [3]]
    for number, row in enumerate(rows):
        for place, i in enumerate(row):
            here = packed.documents[number] == place
            assert torch.equal(packed.tokens[number][here], found[i])
            assert packed.positions[number][here].tolist() == list(range(len(found[i])))
            assert packed.labels[number][here].tolist() == [*found[i][1:].tolist(), NO_LABEL]
        padding = packed.documents[number] == -1
        assert padding.sum() == 8 - sum(len(found[i]) for i in row)
        assert (packed.labels[number][padding] == NO_LABEL).all() and (packed.tokens[number][padding] == 0).all()


@pytest.mark.parametrize("position", [Rotary(4), Learned(16, 16)])
@pytest.mark.parametrize("causal", [True, False])
def test_documents_in_one_row_are_separate_runs(position, causal):
    """In the logits and in every gradient."""
    torch.manual_seed(0)
    model = Transformer(9, 16, 2, causal=causal, position=position).double()
    found = documents()
    packed = pack(found, first_fit([len(d) for d in found], 10), 10)
    allowed = document_mask(packed.documents, causal=causal)
    logits = model(packed.tokens, positions=packed.positions, allowed=allowed)
    kept = packed.documents >= 0
    together = torch.autograd.grad(logits[kept].square().sum(), list(model.parameters()))
    apart = [model(document[None])[0] for document in found]
    rows = first_fit([len(d) for d in found], 10)
    order = [i for row in rows for i in row]
    torch.testing.assert_close(logits[kept], torch.cat([apart[i] for i in order]), atol=1e-12, rtol=1e-12)
    separate = torch.autograd.grad(sum(x.square().sum() for x in apart), list(model.parameters()))
    for a, b in zip(together, separate, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-9)


def test_padding_is_taken_out_and_put_back():
    real = torch.tensor([[True, True, False], [True, False, False]])
    x = torch.randn(2, 3, 4)
    assert unpad(x, real).shape == (3, 4)
    torch.testing.assert_close(pad(unpad(x, real), real), x * real[..., None])
    assert torch.equal(unpad(pad(unpad(x, real), real), real), unpad(x, real))


def test_cumulative_lengths_are_int32():
    assert cumulative_lengths(torch.tensor([3, 1, 2])).tolist() == [0, 3, 4, 6]
    assert cumulative_lengths(torch.tensor([3])).dtype == torch.int32


def test_bad_input_is_named():
    found = documents()
    real = torch.ones(1, 2, dtype=torch.bool)
    cases = [
        (lambda: first_fit([3, 9], 8), "lengths must lie in 1 … 8, the capacity"),
        (lambda: first_fit([], 8), "lengths must be whole numbers"),
        (lambda: first_fit([1.5], 8), "lengths must be whole numbers"),
        (lambda: first_fit_decreasing([0], 8), "lengths must lie in"),
        (lambda: first_fit_decreasing([1], 0), "capacity must be at least 1"),
        (lambda: pack(found, [[0, 1, 2, 3]], 40), "rows must hold each of 5 documents once"),
        (lambda: pack(found, [[0, 1, 2, 3, 4]], 17), "capacity must hold the documents"),
        (lambda: pack([torch.zeros(0, dtype=torch.int64)], [[0]], 4), r"documents must have the shape \(length,\)"),
        (lambda: pack([torch.zeros(2, 3, dtype=torch.int64)], [[0]], 4), r"documents must have the shape \(length,\)"),
        (lambda: pack([torch.tensor(3)], [[0]], 4), r"documents must have the shape \(length,\)"),
        (lambda: pad(torch.zeros(3, 1), real), "tokens must be as many as real has True, 2"),
        (lambda: cumulative_lengths(torch.tensor([2, 0])), "lengths must be at least one number"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="rows must be sequences of indices, got int"):
        pack([torch.tensor([3])], [0], 4)
