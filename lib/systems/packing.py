"""Documents of many lengths in rows of one length: which go together, what may see what, and padding taken out.

Sources: Krell et al. 2021, arXiv 2107.02027 (packing); Johnson et al. 1974, SIAM J. Comput. 3(4), 299–325 (first fit).
"""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lib.course.ranges import require_whole
from lib.course.shapes import Bool, Float, Int, Int64, checked, checked_after_errors
from lib.course.tensors import kind

NO_LABEL = -100  # what torch's cross-entropy leaves out


class Packed(NamedTuple):
    """Rows of documents, each (rows, capacity).

    tokens     the documents one after the other, then padding (0)
    documents  which document of its row a token belongs to, from 0; -1 for padding
    positions  a token's place in its document, from 0; 0 for padding
    labels     the next token of the same document; NO_LABEL at its end and for padding
    """

    tokens: Int64[Tensor, "rows capacity"]
    documents: Int64[Tensor, "rows capacity"]
    positions: Int64[Tensor, "rows capacity"]
    labels: Int64[Tensor, "rows capacity"]


@checked_after_errors
def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Each document, in the order given, into the first row with room: the indices in each row."""
    lengths = _require_lengths(lengths, capacity)
    room, rows = np.full(len(lengths), capacity), [[] for _ in lengths]
    for i, length in enumerate(lengths):
        row = int((room >= length).argmax())
        room[row] -= length
        rows[row].append(i)
    return [row for row in rows if row]


@checked_after_errors
def first_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """`first_fit` of the documents from the longest to the shortest; of equal ones the earlier first.

    All documents of one length are placed at once: of the rows that have room, in order, each takes as many as fit.
    """
    lengths = _require_lengths(lengths, capacity)
    order = np.argsort(-lengths, kind="stable")
    sizes, counts = np.unique(-lengths, return_counts=True)
    room, row_of, used, begin = np.full(len(lengths), capacity), np.empty(len(lengths), dtype=np.int64), 0, 0
    for size, count in zip(-sizes, counts, strict=True):
        reach = used + -(-count // (capacity // size))  # rows in use, and those that would hold all of them
        roomy = np.flatnonzero(room[:reach] >= size)
        filled = np.minimum((room[roomy] // size).cumsum(), count)
        taken = np.diff(filled, prepend=0)
        room[roomy] -= taken * size
        row_of[begin : begin + count] = roomy.repeat(taken)
        used, begin = max(used, int(row_of[begin + count - 1]) + 1), begin + count
    by_row = np.argsort(row_of, kind="stable")
    return [row.tolist() for row in np.split(order[by_row], np.bincount(row_of).cumsum()[:-1])]


@checked_after_errors
def pack(documents: Sequence[Tensor], rows: Sequence[Sequence[int]], capacity: int) -> Packed:
    """The documents, tensors of tokens (length,), laid out in rows of indices as `first_fit` gives them."""
    require_whole("capacity", capacity, 1)
    for document in documents:
        if not isinstance(document, Tensor) or document.ndim != 1 or not len(document):
            raise ValueError(f"documents must have the shape (length,), at least 1, got {kind(document)}")
    for row in rows:
        if not isinstance(row, Iterable):
            raise TypeError(f"rows must be sequences of indices, got {type(row).__name__}")
    numbers = [i for row in rows for i in row]
    if not all(isinstance(i, Integral) for i in numbers) or sorted(numbers) != list(range(len(documents))):
        raise ValueError(f"rows must hold each of {len(documents)} documents once, got {[list(row) for row in rows]}")
    packed = Packed(*(torch.full((len(rows), capacity), value) for value in (0, -1, 0, NO_LABEL)))
    for number, row in enumerate(rows):
        start = 0
        for place, i in enumerate(row):
            document, end = documents[i], start + len(documents[i])
            if end > capacity:
                raise ValueError(f"capacity must hold the documents of each row, got {capacity} for {list(row)}")
            packed.tokens[number, start:end] = document
            packed.documents[number, start:end] = place
            packed.positions[number, start:end] = torch.arange(len(document))
            packed.labels[number, start : end - 1] = document[1:]
            start = end
    return packed


@checked
def document_mask(documents: Int[Tensor, "rows length"], *, causal: bool = True) -> Bool[Tensor, "rows length length"]:
    """True where a token may see another: one of its own document, and with `causal` not a later one.

    Padding (-1) sees the padding before it, and itself, so that every softmax has a term.
    """
    same = documents[:, :, None] == documents[:, None]
    return same.tril() if causal else same


@checked
def unpad(x: Float[Tensor, "batch length *rest"], real: Bool[Tensor, "batch length"]) -> Float[Tensor, "tokens *rest"]:
    """The rows of x that belong to real tokens, one after the other; `pad` puts them back."""
    return x[real]


@checked
def pad(tokens: Float[Tensor, "tokens *rest"], real: Bool[Tensor, "batch length"]) -> Float[Tensor, "batch length *rest"]:
    """The tokens at their places, zeros at the others: the inverse of `unpad`."""
    if len(tokens) != real.sum():
        raise ValueError(f"tokens must be as many as real has True, {real.sum().item()}, got {len(tokens)}")
    x = tokens.new_zeros(*real.shape, *tokens.shape[1:])
    x[real] = tokens
    return x


@checked
def cumulative_lengths(lengths: Int[Tensor, "documents"]) -> Tensor:
    """0, ℓ_1, ℓ_1 + ℓ_2, …: where documents that stand one after the other begin and end, int32 as kernels want it."""
    if not len(lengths) or lengths.min() < 1:
        raise ValueError(f"lengths must be at least one number, each at least 1, got {lengths.tolist()}")
    return torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]).int()


def _require_lengths(lengths, capacity):
    require_whole("capacity", capacity, 1)
    lengths = np.asarray(lengths)
    if lengths.ndim != 1 or not lengths.size or lengths.dtype.kind not in "iu":
        raise ValueError(f"lengths must be whole numbers in one row, at least one, got shape {lengths.shape}")
    if lengths.min() < 1 or lengths.max() > capacity:
        raise ValueError(f"lengths must lie in 1 … {capacity}, the capacity, got {lengths.min()} to {lengths.max()}")
    return lengths.astype(np.int64)
