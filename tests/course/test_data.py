import numpy as np
import pytest
import torch
from sklearn import datasets

from lib.course import data


def test_digits_are_images_between_zero_and_one():
    images, labels = data.digits()
    assert images.shape == (1797, 8, 8) and images.dtype == torch.float32
    assert images.min() == 0 and images.max() == 1
    assert labels.shape == (1797,) and set(labels.tolist()) == set(range(10))


def test_digits_are_scikit_learns():
    images, labels = data.digits()
    bunch = datasets.load_digits()
    assert torch.equal(images, torch.tensor(bunch.images / 16, dtype=torch.float32))
    assert torch.equal(labels, torch.tensor(bunch.target))


def test_text_has_its_fixed_length_and_alphabet():
    text = data.english_text()
    assert text.shape == (400_000,) and text.dtype == torch.int64
    assert text.min() >= 0 and text.max() < len(data.ALPHABET)
    assert len(set(data.ALPHABET)) == len(data.ALPHABET)
    assert " the " in "".join(data.ALPHABET[i] for i in text[:2000])


def test_windows_are_pieces_of_the_text():
    text = torch.arange(50)
    batch = data.windows(text, 6, 5, np.random.default_rng(0))
    assert batch.shape == (6, 5) and torch.equal(batch - batch[:, :1], torch.arange(5).expand(6, 5))
    starts = data.windows(text, 2000, 50, np.random.default_rng(0))[:, 0]
    assert set(starts.tolist()) == {0}


def test_windows_longer_than_the_text_are_refused():
    with pytest.raises(ValueError, match="length must be at most the text's 50, got 51"):
        data.windows(torch.arange(50), 1, 51, np.random.default_rng(0))


@pytest.mark.parametrize(
    "text, batch, length, message",
    [
        (torch.arange(50), 0, 5, "batch must be at least 1, got 0"),
        (torch.arange(50), -2, 5, "batch must be at least 1, got -2"),
        (torch.arange(50), 3, 0, "length must be at least 1, got 0"),
        (torch.arange(0), 3, 1, "length must be at most the text's 0, got 1"),
        (torch.zeros(5, 5), 3, 1, r"text must have shape \(N,\), got \(5, 5\)"),
    ],
)
def test_bad_windows_are_named_and_draw_nothing(text, batch, length, message):
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises(ValueError, match=message):
        data.windows(text, batch, length, rng)
    assert rng.bit_generator.state == before


def test_a_window_as_long_as_the_text_and_the_last_start_are_possible():
    starts = data.windows(torch.arange(4), 200, 3, np.random.default_rng(0))[:, 0]
    assert set(starts.tolist()) == {0, 1}


def test_text_is_the_alphabet_applied_letter_by_letter():
    from pydoc_data import topics

    text = "\n".join(topics.topics[name] for name in sorted(topics.topics)).lower()
    kept = [character for character in text if character in data.ALPHABET]
    assert "".join(data.ALPHABET[i] for i in data.english_text().tolist()) == "".join(kept[: data.TEXT_LENGTH])


def test_what_is_handed_out_is_the_callers_to_change():
    data.english_text().zero_()
    data.digits()[0].zero_()
    assert data.english_text().max() > 0 and data.digits()[0].max() == 1


def test_windows_are_found_in_a_text_where_they_stand():
    rng = np.random.default_rng(0)
    text = torch.from_numpy(rng.integers(3, size=200))
    windows = torch.from_numpy(rng.integers(3, size=(300, 5)))
    pieces = {tuple(text[start : start + 5].tolist()) for start in range(196)}
    found = data.found_in(windows, text)
    assert found.dtype == torch.bool and found.tolist() == [tuple(window.tolist()) in pieces for window in windows]
    assert 0 < found.sum() < 300
    assert data.found_in(text[None, -5:], text).tolist() == [True]
    assert data.found_in(text[None], text[:-1]).tolist() == [False]
    assert data.found_in(windows[:0], text).shape == (0,)


@pytest.mark.parametrize(
    "windows, text, message",
    [
        (torch.arange(5), torch.arange(9), r"expected windows \(batch, length\) and text \(N,\), got \(5,\), \(9,\)"),
        (torch.zeros(2, 3).long(), torch.zeros(2, 3).long(), r"got \(2, 3\), \(2, 3\)"),
        (torch.full((1, 2), 256), torch.arange(9), "windows must hold integers from 0 to 255, got torch.int64 from 256 to 256"),
        (torch.zeros(1, 2).long(), torch.arange(-1, 9), "text must hold integers from 0 to 255, got torch.int64 from -1 to 8"),
        (torch.zeros(1, 2), torch.arange(9), "windows must hold integers from 0 to 255, got torch.float32 from 0.0 to 0.0"),
    ],
)
def test_windows_and_text_that_cannot_be_compared_are_named(windows, text, message):
    with pytest.raises(ValueError, match=message):
        data.found_in(windows, text)
