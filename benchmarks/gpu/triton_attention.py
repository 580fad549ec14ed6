"""Attention without its matrix, forward and backward, as Triton kernels for NVIDIA's Hopper (H100, H200).

The derivation is in the chapter flash-attention: an online softmax over blocks of keys, and a backward pass that makes
the probabilities again from each row's log-sum-exp. Logarithms are to base two here, because the hardware's are.
"""

import os
from typing import NamedTuple

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

LOG2_E = 1.4426950408889634
LN_2 = tl.constexpr(0.6931471805599453)


class Launch(NamedTuple):
    """How a kernel is cut: rows (queries) and columns (keys) of a block, warps, and loads that are under way at once."""

    rows: int
    columns: int
    warps: int
    stages: int


# By dim; the fastest of those tried on an H200.
FORWARD = {64: Launch(128, 64, 4, 3), 128: Launch(128, 128, 8, 3)}
BACKWARD_KEYS = {64: Launch(64, 64, 4, 2), 128: Launch(64, 128, 8, 3)}
BACKWARD_QUERIES = {64: Launch(128, 64, 8, 3), 128: Launch(128, 64, 8, 3)}


@triton.jit
def _read(acc, largest, total, q, K, V, scale, offset, row, begin, end,
          MASKED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Take the keys from begin to end into the running maximum, the running sum and the running output."""
    for column in tl.range(begin, end, COLUMNS):
        scores = tl.dot(q, K.load([offset + column, 0]).T)
        if MASKED:
            later = row + tl.arange(0, ROWS)[:, None] < column + tl.arange(0, COLUMNS)[None, :]
            scores = tl.where(later, float("-inf"), scores)
        new = tl.maximum(largest, tl.max(scores, 1) * scale)
        weights = tl.math.exp2(scores * scale - new[:, None])
        shrink = tl.math.exp2(largest - new)
        total = total * shrink + tl.sum(weights, 1)
        acc = tl.dot(weights.to(q.dtype), V.load([offset + column, 0]), acc * shrink[:, None])
        largest = new
    return acc, largest, total


@triton.jit
def _forward(Q, K, V, OUT, lse, scale, length,
             CAUSAL: tl.constexpr, DIM: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = (tl.num_programs(0) - 1 - tl.program_id(0)) * ROWS  # the last rows see the most keys, and begin first
    offset = tl.program_id(1) * length
    q = Q.load([offset + row, 0])
    largest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, DIM], tl.float32)
    whole = row if CAUSAL else length
    acc, largest, total = _read(acc, largest, total, q, K, V, scale, offset, row, 0, whole, False, ROWS, COLUMNS)
    if CAUSAL:
        acc, largest, total = _read(acc, largest, total, q, K, V, scale, offset, row, row, row + ROWS, True, ROWS, COLUMNS)
    OUT.store([offset + row, 0], (acc / total[:, None]).to(q.dtype))
    tl.store(lse + offset + row + tl.arange(0, ROWS), largest + tl.math.log2(total))


@triton.jit
def _row_sums(OUT, GRAD, delta, ROWS: tl.constexpr):
    """Each row's output times its gradient: what the softmax's Jacobian subtracts."""
    row = tl.program_id(0) * ROWS
    tl.store(delta + row + tl.arange(0, ROWS), tl.sum(OUT.load([row, 0]).to(tl.float32) * GRAD.load([row, 0]), 1))


@triton.jit
def _to_keys(dk, dv, k, v, Q, GRAD, lse, delta, scale, offset, column, begin, end,
             MASKED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Add what the queries from begin to end send to a block of keys and values; every matrix is transposed here."""
    for row in tl.range(begin, end, ROWS):
        q = Q.load([offset + row, 0])
        grad = GRAD.load([offset + row, 0])
        rows = offset + row + tl.arange(0, ROWS)
        scores = tl.dot(k, q.T)
        weights = tl.math.exp2(scores * scale - tl.load(lse + rows)[None, :])
        if MASKED:
            later = row + tl.arange(0, ROWS)[None, :] < column + tl.arange(0, COLUMNS)[:, None]
            weights = tl.where(later, 0.0, weights)
        dv = tl.dot(weights.to(q.dtype), grad, dv)
        dweights = tl.dot(v, grad.T)
        dscores = weights * (dweights - tl.load(delta + rows)[None, :])
        dk = tl.dot(dscores.to(q.dtype), q, dk)
    return dk, dv


@triton.jit
def _backward_keys(Q, K, V, GRAD, DK, DV, lse, delta, scale, length,
                   CAUSAL: tl.constexpr, DIM: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    column = tl.program_id(0) * COLUMNS
    offset = tl.program_id(1) * length
    k = K.load([offset + column, 0])
    v = V.load([offset + column, 0])
    dk = tl.zeros([COLUMNS, DIM], tl.float32)
    dv = tl.zeros([COLUMNS, DIM], tl.float32)
    whole = 0
    if CAUSAL:
        whole = column + COLUMNS
        dk, dv = _to_keys(dk, dv, k, v, Q, GRAD, lse, delta, scale, offset, column, column, whole, True, ROWS, COLUMNS)
    dk, dv = _to_keys(dk, dv, k, v, Q, GRAD, lse, delta, scale, offset, column, whole, length, False, ROWS, COLUMNS)
    DK.store([offset + column, 0], (dk * (scale * LN_2)).to(k.dtype))
    DV.store([offset + column, 0], dv.to(k.dtype))


@triton.jit
def _to_queries(dq, q, grad, lse, delta, K, V, scale, offset, row, begin, end,
                MASKED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Add what the keys from begin to end send back to a block of queries."""
    for column in tl.range(begin, end, COLUMNS):
        k = K.load([offset + column, 0])
        scores = tl.dot(q, k.T)
        weights = tl.math.exp2(scores * scale - lse[:, None])
        if MASKED:
            later = row + tl.arange(0, ROWS)[:, None] < column + tl.arange(0, COLUMNS)[None, :]
            weights = tl.where(later, 0.0, weights)
        dweights = tl.dot(grad, V.load([offset + column, 0]).T)
        dscores = weights * (dweights - delta[:, None])
        dq = tl.dot(dscores.to(q.dtype), k, dq)
    return dq


@triton.jit
def _backward_queries(Q, K, V, GRAD, DQ, lse, delta, scale, length,
                      CAUSAL: tl.constexpr, DIM: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = (tl.num_programs(0) - 1 - tl.program_id(0)) * ROWS
    offset = tl.program_id(1) * length
    q = Q.load([offset + row, 0])
    grad = GRAD.load([offset + row, 0])
    row_lse = tl.load(lse + offset + row + tl.arange(0, ROWS))
    row_delta = tl.load(delta + offset + row + tl.arange(0, ROWS))
    dq = tl.zeros([ROWS, DIM], tl.float32)
    whole = row if CAUSAL else length
    dq = _to_queries(dq, q, grad, row_lse, row_delta, K, V, scale, offset, row, 0, whole, False, ROWS, COLUMNS)
    if CAUSAL:
        dq = _to_queries(dq, q, grad, row_lse, row_delta, K, V, scale, offset, row, row, row + ROWS, True, ROWS, COLUMNS)
    DQ.store([offset + row, 0], (dq * (scale * LN_2)).to(q.dtype))


def _blocks(tensor: Tensor, rows: int) -> TensorDescriptor:
    """A tensor as (batch · head · time, dim), read or written in blocks of some rows by the copy engine."""
    flat = tensor.reshape(-1, tensor.shape[-1])
    return TensorDescriptor.from_tensor(flat, [rows, flat.shape[1]])


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        *_, length, dim = q.shape
        out, lse = torch.empty_like(q), q.new_empty(q.shape[:-1], dtype=torch.float32)
        sequences, settings = ctx.settings = lse.numel() // length, (LOG2_E / dim**0.5, length, causal, dim)
        rows, columns, warps, stages = FORWARD[dim]
        _forward[(length // rows, sequences)](
            _blocks(q, rows), _blocks(k, columns), _blocks(v, columns), _blocks(out, rows), lse,
            *settings, rows, columns, num_warps=warps, num_stages=stages)
        ctx.save_for_backward(q, k, v, out, lse)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        grad = grad.contiguous()
        sequences, settings = ctx.settings
        dq, dk, dv, delta = (torch.empty_like(tensor) for tensor in (q, k, v, lse))
        _row_sums[(lse.numel() // 128,)](_blocks(out, 128), _blocks(grad, 128), delta, 128)
        rows, columns, warps, stages = BACKWARD_KEYS[q.shape[-1]]
        _backward_keys[(q.shape[-2] // columns, sequences)](
            _blocks(q, rows), _blocks(k, columns), _blocks(v, columns), _blocks(grad, rows),
            _blocks(dk, columns), _blocks(dv, columns), lse, delta,
            *settings, rows, columns, num_warps=warps, num_stages=stages)
        rows, columns, warps, stages = BACKWARD_QUERIES[q.shape[-1]]
        _backward_queries[(q.shape[-2] // rows, sequences)](
            _blocks(q, rows), _blocks(k, columns), _blocks(v, columns), _blocks(grad, rows), _blocks(dq, rows), lse, delta,
            *settings, rows, columns, num_warps=warps, num_stages=stages)
        return dq, dk, dv, None


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """softmax(q kᵀ / √dim) v, all (batch, head, time, dim) and of one shape; time a multiple of 128, dim 64 or 128.

    Differentiable. Memory beside the inputs and the output: one float32 number a row (two in the backward pass).
    """
    if q.shape != k.shape or q.shape != v.shape or q.ndim != 4:
        shapes = [tuple(tensor.shape) for tensor in (q, k, v)]
        raise ValueError(f"q, k and v must have one shape (batch, head, time, dim); got {shapes}")
    if q.shape[-1] not in FORWARD or q.shape[-2] % 128:
        raise ValueError(f"dim must be 64 or 128 and time a multiple of 128; got dim {q.shape[-1]}, time {q.shape[-2]}")
    return _Attention.apply(q.contiguous(), k.contiguous(), v.contiguous(), causal)
