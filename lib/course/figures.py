"""The book's one figure style, and the few kinds of figures that its chapters share."""

import io
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython import get_ipython
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.scale import get_scale_names
from PIL import Image as Picture

from lib.course.ranges import require_at_least
from lib.course.shapes import checked_after_errors

# Okabe and Ito's colours, which colour-blind readers can tell apart; line styles tell them apart in grey as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_STYLES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1)), (0, (5, 2)), (0, (1, 1)))
LONGEST_ANIMATION = 5.0  # seconds


def use_style() -> None:
    """Set the book's style for every figure drawn after the call."""
    plt.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS, linestyle=LINE_STYLES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "figure.dpi": 100,
            "figure.figsize": (6.4, 3.4),
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "image.cmap": "cividis",
            "legend.frameon": False,
            "lines.linewidth": 1.8,
        }
    )
    if get_ipython():
        from matplotlib_inline.backend_inline import set_matplotlib_formats  # it looks for a notebook when imported

        set_matplotlib_formats("png", bbox_inches=None)  # the layout leaves no margin to cut, and cutting takes time


@checked_after_errors
def curves(
    axes: Axes,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    xscale: str = "linear",
    yscale: str = "linear",
    marker: str = "",
) -> None:
    """Draw named (x, y) curves with axis labels and, for more than one, a legend."""
    for name, scale in (("xscale", xscale), ("yscale", yscale)):
        if scale not in get_scale_names():
            raise ValueError(f"{name} must be one of {', '.join(get_scale_names())}, got {scale!r}")
    for name, (x, y) in series.items():
        axes.plot(x, y, label=name, marker=marker, markersize=4)
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    if len(series) > 1:
        axes.legend()


@checked_after_errors
def contours(
    axes: Axes,
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    paths: Mapping[str, np.ndarray] = {},
    levels: int | Sequence[float] = 15,
) -> None:
    """Draw the level lines of a function of two arrays, and named paths of shape (steps, 2) over them."""
    for name, ends in (("xlim", xlim), ("ylim", ylim)):
        if not (isinstance(ends, tuple) and len(ends) == 2 and all(map(np.isreal, ends)) and np.isfinite(ends).all()):
            raise ValueError(f"{name} must be two finite numbers, got {ends}")
    if isinstance(levels, Integral):
        require_at_least("levels", levels, 1)
    x, y = np.meshgrid(np.linspace(*xlim, 200), np.linspace(*ylim, 200))
    heights = function(x, y)
    if np.shape(heights) != x.shape:
        raise ValueError(f"function must return an array of shape {x.shape}, got {np.shape(heights)}")
    axes.contour(x, y, heights, levels=levels, linewidths=0.7, alpha=0.8)
    for name, path in paths.items():
        axes.plot(*np.asarray(path).T, marker="o", markersize=4, label=name)
    axes.set(xlim=xlim, ylim=ylim, xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    axes.grid(False)
    if paths:
        axes.legend()


@checked_after_errors
def image_grid(
    images: np.ndarray, *, row_labels: Sequence[str] = (), column_labels: Sequence[str] = (), limits: tuple[float, float]
) -> Figure:
    """Draw images of shape (rows, columns, height, width) in grey; `limits` are the values of black and white."""
    if np.ndim(images) != 4 or not np.size(images) or np.iscomplexobj(images):
        came = f"{np.shape(images)} of {np.asarray(images).dtype}"
        raise ValueError(f"images must be real and not empty, of shape (rows, columns, height, width), got {came}")
    rows, columns = len(images), len(images[0])
    for name, labels, most in (("row_labels", row_labels, rows), ("column_labels", column_labels, columns)):
        if len(labels) > most:
            raise ValueError(f"{name} must be at most {most}, got {len(labels)}")
    if len(limits) != 2:
        raise ValueError(f"limits must be two numbers, got {limits}")
    figure, axes = plt.subplots(rows, columns, figsize=(0.72 * columns + 0.8, 0.72 * rows + 0.3), squeeze=False)
    for row, column in np.ndindex(rows, columns):
        axes[row, column].imshow(images[row][column], cmap="gray", vmin=limits[0], vmax=limits[1])
        axes[row, column].set(xticks=[], yticks=[])
    for row, label in enumerate(row_labels):
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center")
    for column, label in enumerate(column_labels):
        axes[0, column].set_title(label, fontsize=9)
    return figure


@checked_after_errors
def animation(frames: Sequence[Figure], seconds: float) -> Image:
    """Join figures into a looping APNG of `seconds` in total; the first frame must make sense as a still."""
    if len(frames) < 2 or not 0 < seconds <= LONGEST_ANIMATION:
        came = f"{len(frames)} in {seconds} s"
        raise ValueError(f"frames must be two or more, and seconds in (0, {LONGEST_ANIMATION:g}], got {came}")
    for figure in frames:
        if not isinstance(figure, Figure):
            raise TypeError(f"frames must be figures of matplotlib, got {type(figure).__name__}")
    pictures = []
    for figure in frames:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        plt.close(figure)
        pictures.append(Picture.open(buffer).convert("RGB").quantize(64))
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, format="png", save_all=True, append_images=pictures[1:], duration=1000 * seconds / len(frames), loop=0
    )
    return Image(data=buffer.getvalue(), format="png")
