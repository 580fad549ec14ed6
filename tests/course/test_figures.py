import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from lib.course import figures, source
from lib.course.shapes import checked


@pytest.fixture(autouse=True)
def style():
    figures.use_style()
    yield
    plt.close("all")


def test_curves_are_labelled_and_have_a_legend():
    _, axes = plt.subplots()
    figures.curves(axes, {"a": ([1, 2], [3, 4]), "b": ([1, 2], [4, 3])}, xlabel="x", ylabel="y", yscale="log")
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("x", "y", "log")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 2


def test_every_line_style_begins_with_a_whole_stroke():
    assert all(style[0] == 0 for style in figures.LINE_STYLES if isinstance(style, tuple))


def test_contours_are_as_fine_across_as_up():
    shapes = []
    figures.contours(plt.gca(), lambda x, y: shapes.append(x.shape) or x, xlim=(-1, 1), ylim=(0, 1))
    assert shapes[0][0] == shapes[0][1] >= 100


def test_contours_draw_the_paths():
    _, axes = plt.subplots()
    figures.contours(axes, lambda x, y: x**2 + y**2, xlim=(-1, 1), ylim=(-1, 1), paths={"p": np.zeros((3, 2))})
    assert len(axes.lines) == 1 and len(axes.lines[0].get_xdata()) == 3


def test_an_image_grid_has_one_cell_an_image():
    figure = figures.image_grid(
        np.zeros((2, 3, 4, 4)), row_labels=["a", "b"], column_labels=["1", "2", "3"], limits=(0, 1)
    )
    assert len(figure.axes) == 6 and figure.axes[0].get_ylabel() == "a" and figure.axes[2].get_title() == "3"


@pytest.mark.parametrize("limits", [(0, 1j), (0, np.inf), (0, 1, 2), [0, 1]])
def test_limits_that_are_no_two_finite_numbers_are_refused(limits):
    with pytest.raises(ValueError, match="ylim must be two finite numbers"):
        figures.contours(plt.gca(), lambda x, y: x, xlim=(0, 1), ylim=limits)


@pytest.mark.parametrize("seconds", [0.6, 1.5])
def test_an_animation_is_an_apng_with_every_frame_that_loops(seconds):
    frames = []
    for k in range(3):
        figure, axes = plt.subplots()
        axes.plot([0, k])
        frames.append(figure)
    picture = Image.open(io.BytesIO(figures.animation(frames, seconds=seconds).data))
    assert picture.n_frames == 3 and picture.info["duration"] == pytest.approx(1000 * seconds / 3)
    assert picture.info["loop"] == 0


def test_an_animation_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=r"seconds in \(0, 5\], got 2 in 6 s"):
        figures.animation([plt.figure(), plt.figure()], seconds=6)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(TypeError, match="frames must be figures of matplotlib, got NoneType"):
        figures.animation([plt.figure(), None], seconds=1)
    with pytest.raises(ValueError, match="levels must be at least 1, got -1"):
        figures.contours(plt.gca(), lambda x, y: x, xlim=(0, 1), ylim=(0, 1), levels=-1)
    for images in (np.zeros((2, 0, 3, 3)), np.zeros((2, 2, 3)), np.zeros((1, 1, 3, 3), dtype=complex)):
        with pytest.raises(ValueError, match="images must be real and not empty, of shape .* got .* of (float64|complex128)"):
            figures.image_grid(images, limits=(0, 1))


def test_source_is_shown_without_its_docstring(monkeypatch):
    assert source.show(short).data == '```python\n@checked\ndef short(x: int) -> int:\n    return x + 1\n```'
    monkeypatch.setattr(source, "LONGEST", 5)
    with pytest.raises(ValueError, match=r"contours has \d+ lines, more than 5: link to it"):
        source.show(figures.contours)


@checked
def short(x: int) -> int:
    """Add one."""
    return x + 1
