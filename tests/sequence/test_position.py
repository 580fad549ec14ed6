import numpy as np
import pytest
import torch
from rotary_embedding_torch import RotaryEmbedding
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.roformer.modeling_roformer import RoFormerSelfAttention, RoFormerSinusoidalPositionalEmbedding

from lib.sequence.position import (
    Learned,
    Position,
    Rotary,
    Sinusoidal,
    apply_rope,
    half_layout_permutation,
    rope_angles,
    sinusoidal,
)

LAYOUTS = ["interleaved", "half"]
N, DIM = 12, 16


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def deviation(got, want):
    """The largest difference, after making sure that there is something to compare."""
    assert got.shape == want.shape and want.abs().mean() > 0.3
    return (got - want).abs().max().item()


def test_angles_follow_their_definition():
    angles = rope_angles(torch.tensor([[0, 3], [7, 100_000]]), 8, 500.0)
    want = [[[m * 500.0 ** (-2 * i / 8) for i in range(4)] for m in row] for row in [[0, 3], [7, 100_000]]]
    assert angles.dtype == torch.float64 and torch.allclose(angles, torch.tensor(want, dtype=torch.float64), rtol=1e-14)
    assert torch.equal(rope_angles(torch.tensor([0.5]), 8), rope_angles(torch.tensor([1]), 8) / 2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotation_is_that_of_complex_numbers(layout):
    x, angles = normal(N, DIM, dtype=torch.float64), rope_angles(torch.arange(N), DIM)
    first, second = (x[:, 0::2], x[:, 1::2]) if layout == "interleaved" else x.chunk(2, 1)
    turned = torch.complex(first, second) * torch.exp(1j * angles)
    got = apply_rope(x, angles, layout)
    first, second = (got[:, 0::2], got[:, 1::2]) if layout == "interleaved" else got.chunk(2, 1)
    assert deviation(first, turned.real) < 1e-14 and deviation(second, turned.imag) < 1e-14


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_depend_on_the_distance_alone(layout):
    q, k = normal(2, N, DIM, dtype=torch.float64)
    scores = []
    for shift in (0, 5, -40, 100_000):
        angles = rope_angles(torch.arange(N) + shift, DIM)
        scores.append(apply_rope(q, angles, layout) @ apply_rope(k, angles, layout).T)
    assert all(deviation(other, scores[0]) < 1e-9 for other in scores[1:])
    moved = rope_angles(torch.arange(N) + 1, DIM)
    assert deviation(apply_rope(q, moved, layout) @ apply_rope(k, angles, layout).T, scores[0]) > 0.1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotation_is_orthogonal_and_inverted_by_the_negative_angle(layout):
    x, angles = normal(3, N, DIM, dtype=torch.float64), rope_angles(torch.arange(N), DIM)
    rotated = apply_rope(x, angles, layout)
    assert deviation(rotated.norm(dim=-1), x.norm(dim=-1)) < 1e-13
    assert deviation(apply_rope(rotated, -angles, layout), x) < 1e-14
    assert torch.equal(rotated[:, 0], x[:, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_permutation_carries_one_layout_into_the_other_bit_for_bit(dtype):
    x, angles = normal(2, N, DIM).to(dtype), rope_angles(torch.arange(N), DIM)
    order = half_layout_permutation(DIM)
    interleaved = apply_rope(x, angles, "interleaved")
    half = apply_rope(x[..., order], angles, "half")
    assert torch.equal(half, interleaved[..., order]) and torch.equal(half[..., order.argsort()], interleaved)
    assert not torch.equal(apply_rope(x, angles, "half"), interleaved)


def test_half_precision_is_rotated_in_float32():
    x, angles = normal(N, DIM).bfloat16(), rope_angles(torch.arange(1000, 1000 + N), DIM)
    got = apply_rope(x, angles)
    assert got.dtype == torch.bfloat16 and torch.equal(got, apply_rope(x.float(), angles).bfloat16())


def test_every_layout_in_memory_is_rotated():
    """Rows that are an odd number of entries apart and begin at an odd place, columns, and all that begins at an odd place."""
    whole, angles = normal(N, DIM + 1), rope_angles(torch.arange(N), DIM)
    for x in (whole[:, :DIM], whole[:, 1:], whole.view(DIM + 1, N)[1:].T, whole.flatten()[1 : 1 + N * DIM].view(N, DIM)):
        assert torch.equal(apply_rope(x, angles), apply_rope(x.clone(memory_format=torch.contiguous_format), angles))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_vector_turns_to_one_position(layout):
    x, angles = normal(N, DIM), rope_angles(torch.arange(N), DIM)
    assert torch.equal(apply_rope(x[3], angles[3], layout), apply_rope(x, angles, layout)[3])


def test_one_vector_turns_to_many_positions():
    x, angles = normal(DIM), rope_angles(torch.arange(N), DIM)
    assert torch.equal(apply_rope(x, angles), apply_rope(x.expand(N, DIM), angles))


def test_sinusoid_follows_its_definition():
    want = [[f(m / 10000 ** (2 * i / 8)) for i in range(4) for f in (np.sin, np.cos)] for m in range(N)]
    assert deviation(sinusoidal(torch.arange(N), 8), torch.tensor(np.array(want))) < 1e-14


def test_positions_are_put_in_where_each_class_says():
    x, heads, positions = normal(2, N, 8), normal(2, 3, N, 8), torch.arange(N)[None] + 4
    for nothing in (Position(), Rotary(8)):
        assert nothing.embed(x, positions) is x and nothing.bias(positions, positions) is None
    for added in (Position(), Sinusoidal(), Learned(N + 4, 8)):
        assert added.rotation(positions, heads.dtype) is None and added.bias(positions, positions) is None
    assert deviation(Sinusoidal().embed(x, positions) - x, sinusoidal(positions, 8).float().expand_as(x)) < 1e-6
    learned = Learned(N + 4, 8)
    assert torch.equal(learned.embed(x, positions), x + learned.table.weight[4:])
    want = apply_rope(heads, rope_angles(positions[0], 8, 100.0), "half")
    assert torch.equal(rotated(Rotary(8, 100.0, "half"), heads, positions), want)


def rotated(position, x, positions):
    return position.rotation(positions, x.dtype)(x)


def test_every_sequence_may_have_positions_of_its_own():
    heads, positions = normal(2, 3, N, 8), torch.stack([torch.arange(N), torch.arange(N).flip(0)])
    got = rotated(Rotary(8), heads, positions)
    assert torch.equal(got[1:], rotated(Rotary(8), heads[1:], positions[1:])) and not torch.equal(positions[0], positions[1])


def test_llama_agrees_in_the_half_layout():
    q, k = normal(2, 2, 4, N, DIM)
    rope = dict(rope_type="default", rope_theta=1e4)
    config = LlamaConfig(hidden_size=4 * DIM, num_attention_heads=4, rope_parameters=rope)
    cos, sin = LlamaRotaryEmbedding(config)(q, torch.arange(N)[None])
    want = apply_rotary_pos_emb(q, k, cos, sin)
    for got, expected in zip((rotated(Rotary(DIM, layout="half"), x, torch.arange(N)[None]) for x in (q, k)), want, strict=True):
        assert deviation(got, expected) < 1e-6


def test_roformer_agrees_in_the_interleaved_layout():
    q, k = normal(2, 2, 4, N, DIM)
    embedding = RoFormerSinusoidalPositionalEmbedding(N, DIM).create_weight()
    want = RoFormerSelfAttention.apply_rotary_position_embeddings(embedding[None, None], q, k)
    for got, expected in zip((rotated(Rotary(DIM), x, torch.arange(N)[None]) for x in (q, k)), want, strict=True):
        assert deviation(got, expected) < 5e-7
    assert deviation(sinusoidal(torch.arange(N), DIM)[:, half_layout_permutation(DIM)].float(), embedding) < 1e-7


def test_rotary_embedding_torch_agrees():
    q = normal(2, 4, N, DIM)
    assert deviation(rotated(Rotary(DIM), q, torch.arange(N)[None]), RotaryEmbedding(DIM).rotate_queries_or_keys(q)) < 1e-6


@pytest.mark.parametrize("function", [lambda d: rope_angles(torch.arange(3), d), half_layout_permutation])
@pytest.mark.parametrize("dim", [7, 0])
def test_dim_must_be_even(function, dim):
    with pytest.raises(ValueError, match=f"dim must be even and at least 2, got {dim}"):
        function(dim)


def test_bad_input_is_named():
    x, angles = normal(N, DIM), rope_angles(torch.arange(N), DIM)
    with pytest.raises(ValueError, match="base must be greater than 1, got 0"):
        rope_angles(torch.arange(3), 8, 0)
    with pytest.raises(ValueError, match="positions must be finite"):
        rope_angles(torch.tensor([0.0, torch.nan]), 8)
    with pytest.raises(ValueError, match=r"angles must hold 8 pairs for x of dim 16, got 16"):
        apply_rope(x, torch.cat([angles, angles], -1))
    with pytest.raises(TypeError, match="angles"):
        apply_rope(x, angles.bfloat16())
    with pytest.raises(TypeError, match="layout"):
        apply_rope(x, angles, "halves")
    with pytest.raises(TypeError, match="layout"):
        Rotary(8, layout="halves")
    for shift, reach in ((1, "1 … 12"), (-1, "-1 … 10")):
        with pytest.raises(ValueError, match=f"positions must lie in 0 … 11, the trained ones, got {reach}"):
            Learned(N, 8).embed(normal(2, N, 8), torch.arange(N)[None] + shift)
    with pytest.raises(TypeError, match="positions"):
        Learned(N, 8).embed(normal(2, N, 8), torch.arange(N)[None] / 2)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_precision_is_the_exact_rotation_rounded(dtype, layout):
    x = normal(N, DIM).to(dtype)
    for start in (0, 1000, 100_000):
        angles = rope_angles(torch.arange(start, start + N), DIM)
        got, want = apply_rope(x, angles, layout), apply_rope(x.double(), angles, layout)
        rounding = torch.finfo(dtype).eps * want.abs() + 5e-7  # once in dtype, several times in float32
        assert got.dtype == dtype and ((got - want).abs() <= rounding).all()


def test_angles_in_float32_are_turned_by_in_the_precision_of_x():
    x, angles = normal(N, DIM, dtype=torch.float64), rope_angles(torch.arange(N), DIM).float()
    assert torch.equal(apply_rope(x, angles), apply_rope(x, angles.double()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_positions_in_half_precision_are_taken_as_they_are(dtype):
    positions = torch.tensor([0.0, 0.5, 300.0], dtype=dtype)
    assert torch.equal(rope_angles(positions, 8), rope_angles(positions.double(), 8))
    assert torch.equal(sinusoidal(positions, 8), sinusoidal(positions.double(), 8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_is_added_to_embeddings_is_rounded_once(dtype):
    x, positions = normal(2, N, 8).to(dtype), torch.arange(N)[None]
    added = Sinusoidal().embed(x, positions)
    assert torch.equal(added, (x.double() + sinusoidal(positions, 8)).to(dtype))
    learned = Learned(N, 8)
    assert torch.equal(learned.embed(x, positions), (x.float() + learned.table.weight).to(dtype))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16])
def test_positions_may_be_integers_of_any_size(dtype):
    positions = torch.arange(100, 112)
    assert torch.equal(rope_angles(positions.to(dtype), 8), rope_angles(positions, 8))
    if dtype != torch.uint8:
        learned, x = Learned(1000, 8), normal(1, N, 8)
        assert torch.equal(learned.embed(x, positions.to(dtype)[None]), learned.embed(x, positions[None]))


@pytest.mark.parametrize("wrong", [2**53, 2**53 + 1, -(2**63), 1e300])
def test_positions_that_float64_cannot_tell_apart_are_refused(wrong):
    with pytest.raises(ValueError, match=r"positions must be below 2\^53 in size"):
        rope_angles(torch.tensor([0, wrong], dtype=torch.float64 if wrong == 1e300 else torch.int64), 8)
    assert rope_angles(torch.tensor([2**53 - 1]), 2).item() == 2**53 - 1


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_positions_and_angles_must_be_finite(wrong):
    bad = torch.tensor([0.0, wrong], dtype=torch.float64)
    for function in (rope_angles, sinusoidal):
        with pytest.raises(ValueError, match="positions must be finite, got NaN or infinite entries"):
            function(bad, 8)
    with pytest.raises(ValueError, match="angles must be finite, got NaN or infinite entries"):
        apply_rope(normal(2, 2), bad[:, None])


@pytest.mark.parametrize("base", [torch.inf, 10**400, torch.nan, 1, -3])
def test_bases_that_make_no_angles_are_refused(base):
    want = "finite" if base > 1 else "greater than 1"
    for call in (lambda: rope_angles(torch.arange(3), 8, base), lambda: Rotary(8, base)):
        with pytest.raises(ValueError, match=f"base must be {want}, got {base}"):
            call()


def test_sizes_are_refused_when_an_object_is_made():
    with pytest.raises(ValueError, match="head_dim must be even and at least 2, got 7"):
        Rotary(7)
    for longest, width, message in ((0, 8, "longest must be at least 1, got 0"), (4, -1, "width must be at least 1, got -1")):
        with pytest.raises(ValueError, match=message):
            Learned(longest, width)


def test_no_tokens_have_no_positions():
    for position in (Sinusoidal(), Learned(4, 8)):
        assert position.embed(torch.zeros(2, 0, 8), torch.zeros(1, 0, dtype=torch.int64)).shape == (2, 0, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(300, 8), (2, 3, 300, 8), (3, 300, 8)])
def test_the_half_layout_in_pieces_is_the_half_layout_whole(shape, dtype):
    """Without gradients a long input is rotated piece by piece: to the last bit as with them, and as each row alone."""
    x, angles = torch.randn(shape).to(dtype), rope_angles(torch.arange(300), 8)
    whole = apply_rope(x.clone().requires_grad_(), angles, "half")
    assert torch.equal(apply_rope(x, angles, "half"), whole.detach())
    last = apply_rope(x[..., 299:, :], angles[299:], "half")
    assert torch.equal(apply_rope(x, angles, "half")[..., 299:, :], last)
    shared = rope_angles(torch.tensor([7]), 8)
    assert torch.equal(apply_rope(x, shared, "half"), apply_rope(x.clone().requires_grad_(), shared, "half").detach())
