import numpy as np
import pytest
import torch

from lib.course import scenes


def test_scenes_have_their_shapes_types_and_ranges():
    images, tokens, kinds = scenes.shapes_with_captions(500, np.random.default_rng(0))
    assert images.shape == (500, 3, 20, 20) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert tokens.shape == (500, scenes.LONGEST) and tokens.dtype == torch.int64
    assert kinds.shape == (500, 4)
    assert [len(column.unique()) for column in kinds.T] == [6, 6, 4, 8]


def test_captions_say_what_is_seen():
    _, tokens, kinds = scenes.shapes_with_captions(200, np.random.default_rng(1))
    for row, kind in zip(tokens.tolist(), kinds.tolist()):
        text = " ".join(scenes.WORDS[number - 1] for number in row if number)
        assert text == scenes.caption(kind[:3], kind[3])
        assert scenes.names()[6 * kind[0] + kind[1]] in text
        assert (scenes.PLACES[kind[2]] in text) == (kind[3] >= 4)


def test_only_the_given_pairs_are_drawn_and_all_of_them():
    _, _, kinds = scenes.shapes_with_captions(400, np.random.default_rng(2), [0, 7, 35])
    assert set((6 * kinds[:, 0] + kinds[:, 1]).tolist()) == {0, 7, 35}


def test_a_generator_decides_everything():
    first, second = (scenes.shapes_with_captions(20, np.random.default_rng(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_a_shape_lies_in_its_quarter_and_has_its_colour():
    kinds = np.array([[colour, shape, place] for colour in range(6) for shape in range(6) for place in range(4)])
    images = np.mean([scenes.draw(kinds, np.random.default_rng(seed)) for seed in range(60)], 0)
    strength = np.abs(images - 0.35).sum(1).reshape(-1, 2, 10, 2, 10).sum((2, 4)).reshape(-1, 4)
    assert (strength.argmax(1) == kinds[:, 2]).all()
    towards = (images - 0.35).sum((2, 3)) / np.linalg.norm((images - 0.35).sum((2, 3)), axis=1, keepdims=True)
    palette = (scenes._RGB - 0.35) / np.linalg.norm(scenes._RGB - 0.35, axis=1, keepdims=True)
    assert ((towards @ palette.T).argmax(1) == kinds[:, 0]).all()


def test_outside_its_quarter_a_shape_leaves_the_picture_grey():
    kinds = np.array([[5, shape, place] for shape in range(6) for place in range(4)])
    images = np.mean([scenes.draw(kinds, np.random.default_rng(seed)) for seed in range(60)], 0).mean(1)
    quarters = images.reshape(-1, 2, 10, 2, 10).swapaxes(2, 3).reshape(-1, 4, 100)
    others = np.arange(4) != kinds[:, 2:]
    assert np.abs(quarters[others] - 0.35).max() < 6 * 0.08 / np.sqrt(3 * 60) < 0.05


def test_a_ring_is_a_disc_with_a_hole():
    """Drawn from one seed, they differ where the disc alone is red."""
    for seed in range(5):
        disc, ring = (scenes.draw(np.array([[0, shape, 3]]), np.random.default_rng(seed))[0, 0] for shape in (0, 4))
        assert (disc >= ring).all() and 0 < (disc > ring).sum() < (ring > 0.6).sum()


def test_shapes_differ():
    kinds = np.array([[0, shape, 0] for shape in range(6)])
    images = np.mean([scenes.draw(kinds, np.random.default_rng(seed)) for seed in range(40)], 0)
    apart = np.abs(images[:, None] - images).sum((2, 3, 4))[~np.eye(6, dtype=bool)]
    assert apart.min() > 3


def test_tokens_are_words_and_bad_captions_are_refused():
    tokens = scenes.tokenize(["a red disc", "a"])
    assert [scenes.WORDS[number - 1] for number in tokens[0, :3]] == ["a", "red", "disc"]
    assert not tokens[0, 3:].any() and not tokens[1, 1:].any()
    for text in ("a purple disc", "", "a " * 13):
        with pytest.raises(ValueError, match="captions must have 1 to 12 words out of WORDS"):
            scenes.tokenize([text])


def test_bad_numbers_are_refused_and_draw_nothing():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        scenes.shapes_with_captions(0, rng)
    for pairs in ([], [36], [-1]):
        with pytest.raises(ValueError, match="pairs must be at least one, each in 0 … 35"):
            scenes.shapes_with_captions(3, rng, pairs)
    assert rng.bit_generator.state == before
