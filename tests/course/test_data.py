import numpy as np
import pytest
import torch

from lib.course import data


def test_digits_are_images_between_zero_and_one():
    images, labels = data.digits()
    assert images.shape == (1797, 8, 8) and images.dtype == torch.float32
    assert images.min() == 0 and images.max() == 1
    assert labels.shape == (1797,) and set(labels.tolist()) == set(range(10))


def test_text_has_its_fixed_length_and_alphabet():
    text = data.english_text()
    assert text.shape == (data.TEXT_LENGTH,) and text.dtype == torch.int64
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
