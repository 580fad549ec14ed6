"""Pictures with parts hidden or mixed: random erasing, Cutout, mixup and CutMix, for a batch at once.

Boxes are rows x1 y1 x2 y2 in whole pixels, the last two excluded. Sources: Zhong et al. 2020, arXiv 1708.04896 (random
erasing); DeVries and Taylor 2017, arXiv 1708.04552 (Cutout); Zhang et al. 2018, arXiv 1710.09412 (mixup); Yun et al. 2019,
arXiv 1905.04899 (CutMix).
"""

import torch
from torch import Tensor

from lib.course.ranges import require_at_least, require_in
from lib.course.shapes import Bool, Float, Int, Int64, checked
from lib.course.tensors import kind, require_finite_entries, working_dtype

ROUNDS = 100  # of four proposals for each picture


@checked
def erasing_boxes(
    count: int,
    height: int,
    width: int,
    generator: torch.Generator,
    *,
    low: float = 0.02,
    high: float = 0.4,
    ratio: float = 0.3,
) -> Int64[Tensor, "count 4"]:
    """Boxes of random erasing: propose until one lies inside the picture, as in the paper's Algorithm 1.

    A proposal has a share of the area, uniform on [`low`, `high`], a height over width, uniform on [`ratio`, 1/`ratio`],
    sides rounded to pixels, and a corner that is uniform on the whole picture. All proposals are drawn alike, so those that
    fit are handed out in their order. A `ValueError` says so where hardly any fits.
    """
    _require_sizes(count=count, height=height, width=width)
    require_in("low", low, 0, 1, "(]")
    require_in("high", high, low, 1)
    require_in("ratio", ratio, 0, 1, "(]")
    found, rounds = torch.empty(0, 4, dtype=torch.int64), 0
    while len(found) < count:
        if rounds == ROUNDS:
            raise ValueError(
                f"low, high and ratio must allow boxes inside a picture of {height} × {width}, got {low}, {high} and {ratio}: "
                f"of {ROUNDS * (4 * count + 16)} proposals {len(found)} fitted"
            )
        share, shape, top, left = torch.rand(4, 4 * count + 16, generator=generator, dtype=torch.float64)
        area = (low + (high - low) * share) * height * width
        shape = ratio + (1 / ratio - ratio) * shape
        tall = (area * shape).sqrt().round().clamp(min=1)
        wide = (area / shape).sqrt().round().clamp(min=1)
        top, left = (top * height).floor(), (left * width).floor()
        boxes = torch.stack([left, top, left + wide, top + tall], 1)
        fits = (boxes[:, 2] <= width) & (boxes[:, 3] <= height)
        found, rounds = torch.cat([found, boxes[fits].long()]), rounds + 1
    return found[:count]


@checked
def centred_boxes(
    count: int, height: int, width: int, tall: int, wide: int, generator: torch.Generator
) -> Int64[Tensor, "count 4"]:
    """Boxes of `tall` × `wide` pixels around a pixel that is uniform on the picture, cut off at its border.

    Cutout's and CutMix's law: the box reaches (size // 2) pixels before its centre, and what lies outside is lost.
    """
    _require_sizes(count=count, height=height, width=width)
    require_in("tall", tall, 0, height)
    require_in("wide", wide, 0, width)
    y = torch.randint(height, (count,), generator=generator) - tall // 2
    x = torch.randint(width, (count,), generator=generator) - wide // 2
    corners = [x.clamp(min=0), y.clamp(min=0), (x + wide).clamp(max=width), (y + tall).clamp(max=height)]
    return torch.stack(corners, 1)


@checked
def box_mask(boxes: Int[Tensor, "count 4"], height: int, width: int) -> Bool[Tensor, "count 1 height width"]:
    """True inside each box."""
    require_at_least("height", height, 0)
    require_at_least("width", width, 0)
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    rows, columns = torch.arange(height, device=boxes.device), torch.arange(width, device=boxes.device)
    in_rows, in_columns = (rows >= y1) & (rows < y2), (columns >= x1) & (columns < x2)
    inside = in_rows.byte()[:, None, :, None] * in_columns.byte()[:, None, None]  # bytes: twice as fast as booleans
    return inside.view(torch.bool)


@checked
def random_erasing(
    x: Float[Tensor, "batch channel height width"],
    generator: torch.Generator,
    *,
    p: float = 0.5,
    value: float | None = None,
    low: float = 0.02,
    high: float = 0.4,
    ratio: float = 0.3,
) -> tuple[Float[Tensor, "batch channel height width"], Bool[Tensor, "batch 1 height width"]]:
    """A copy of x in which each picture has, with probability `p`, one box of `erasing_boxes` erased; and what was erased.

    Erased pixels get `value`, or without one noise that is uniform on [0, 1), as in the paper. Draws come from a CPU
    generator, wherever x is.
    """
    require_in("p", p, 0, 1)
    _require_pixels(x)
    batch, _, height, width = x.shape
    chosen = torch.rand(batch, generator=generator) < p
    boxes = torch.zeros(batch, 4, dtype=torch.int64)
    boxes[chosen] = erasing_boxes(int(chosen.sum()), height, width, generator, low=low, high=high, ratio=ratio)
    return _erased(x, boxes, value, generator)


@checked
def cutout(
    x: Float[Tensor, "batch channel height width"], size: int, generator: torch.Generator, *, value: float | None = 0.0
) -> tuple[Float[Tensor, "batch channel height width"], Bool[Tensor, "batch 1 height width"]]:
    """A copy of x in which each picture has one square of `size` pixels erased, cut off at the border; and what was erased."""
    _require_pixels(x)
    batch, _, height, width = x.shape
    require_in("size", size, 0, min(height, width))
    boxes = centred_boxes(batch, height, width, size, size, generator)
    return _erased(x, boxes, value, generator)


@checked
def mixup(
    x: Float[Tensor, "batch *shape"],
    y: Float[Tensor, "batch classes"],
    weight: float | Float[Tensor, "batch"],
    partner: Int[Tensor, "batch"],
) -> tuple[Float[Tensor, "batch *shape"], Float[Tensor, "batch classes"]]:
    """Inputs and labels, `weight` of each row and the rest of its partner's; one weight for all, or one a row."""
    weight = torch.as_tensor(weight, dtype=x.dtype, device=x.device)
    _require_partner(partner, len(x))
    require_finite_entries("weight", weight)
    if weight.numel() and not 0 <= weight.min() <= weight.max() <= 1:
        raise ValueError(f"weight must lie in [0, 1], got {weight.min():g} to {weight.max():g}")
    for_x = weight.reshape(-1, *[1] * (x.ndim - 1)) if weight.ndim else weight
    for_y = (weight[:, None] if weight.ndim else weight).to(y.dtype)
    return torch.lerp(x[partner], x, for_x), torch.lerp(y[partner], y, for_y)


@checked
def cutmix(
    x: Float[Tensor, "batch channel height width"],
    y: Float[Tensor, "batch classes"],
    boxes: Int[Tensor, "batch 4"],
    partner: Int[Tensor, "batch"],
) -> tuple[Float[Tensor, "batch channel height width"], Float[Tensor, "batch classes"], Float[Tensor, "batch"]]:
    """Each picture with its partner's pixels in a box, labels mixed by area, and the share of pixels that it kept.

    The share comes from the box as it is, so a box that the border cut off counts what is left of it.
    """
    height, width = x.shape[2:]
    _require_partner(partner, len(x))
    x1, y1, x2, y2 = boxes.unbind(1)
    if not ((0 <= x1) & (x1 <= x2) & (x2 <= width) & (0 <= y1) & (y1 <= y2) & (y2 <= height)).all():
        raise ValueError(f"boxes must be x1 y1 x2 y2 inside the picture of {height} × {width}, got {boxes.tolist()[:4]}")
    kept = 1 - ((x2 - x1) * (y2 - y1)).to(y.dtype) / (height * width)
    mixed = torch.where(box_mask(boxes, height, width), x[partner], x)
    return mixed, torch.lerp(y[partner], y, kept[:, None]), kept


def _erased(x, boxes, value, generator):
    """A copy of x with `value`, or noise, in the boxes, and their mask."""
    mask = box_mask(boxes, *x.shape[2:]).to(x.device)
    if value is None:
        noise = torch.rand(x.shape[1] * int(mask.sum()), generator=generator, dtype=working_dtype(x.dtype))
        return x.masked_scatter(mask, noise.to(x)), mask
    require_in("value", value, torch.finfo(x.dtype).min, torch.finfo(x.dtype).max)
    return torch.where(mask, value, x), mask


def _require_sizes(**sizes):
    for name, size in sizes.items():
        require_at_least(name, size, 0 if name == "count" else 1)


def _require_pixels(x):
    if not x.shape[2] * x.shape[3]:
        raise ValueError(f"x must have pictures of at least one pixel, got shape {kind(x)}")


def _require_partner(partner, count):
    if partner.numel() and not 0 <= partner.min() <= partner.max() < count:
        raise ValueError(f"partner must hold rows 0 … {count - 1}, got {int(partner.min())} to {int(partner.max())}")
