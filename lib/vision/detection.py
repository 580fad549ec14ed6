"""Scoring detectors: overlap of boxes, matching, precision and recall, average precision, and a whole data set at once.

A box is a row x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; its width is x2 - x1. No object is "crowd" or "difficult".
Sources: COCO's `COCOeval` (pycocotools) and VOC's `VOCevaldet`; Everingham et al. 2010, doi 10.1007/s11263-009-0275-4.
"""

from typing import NamedTuple

import numpy as np

from lib.course.ranges import require_at_least, require_finite
from lib.course.shapes import Bool, Float, Int, Real, checked

COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RULES = ("coco", "voc")


class Objects(NamedTuple):
    """What is there: for each object its image, its class from 0, and its box, shapes (n,), (n,) and (n, 4)."""

    image: Int[np.ndarray, "n"]
    label: Int[np.ndarray, "n"]
    boxes: Real[np.ndarray, "n 4"]


class Detections(NamedTuple):
    """What a detector says is there, best where the score is highest: shapes (n,), (n,), (n,) and (n, 4)."""

    image: Int[np.ndarray, "n"]
    label: Int[np.ndarray, "n"]
    score: Float[np.ndarray, "n"]
    boxes: Real[np.ndarray, "n 4"]


@checked
def box_iou(a: Real[np.ndarray, "n 4"], b: Real[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of every box of `a` with every box of `b`; 0 where both are empty."""
    _require_boxes("a", a)
    _require_boxes("b", b)
    return _iou(a[:, None], b[None])


@checked
def match(
    overlaps: Float[np.ndarray, "detections objects"], thresholds: Float[np.ndarray, "t"], *, rule: str = "coco"
) -> Int[np.ndarray, "detections t"]:
    """The object that each detection of one image and class takes, or -1, at each threshold.

    The rows of `overlaps` go from the best score down. By the rule "coco" a detection takes the free object that it
    overlaps most, of equal ones the last; by "voc" the object that it overlaps most, of equal ones the first, or none if
    that one is taken. The overlap must be at least the threshold.
    """
    _require_setting(thresholds, rule)
    require_finite("overlaps", overlaps)
    detection, target = np.nonzero(overlaps >= thresholds.min())
    return _take(detection, target, overlaps[detection, target], detection, thresholds, overlaps.shape, rule)


@checked
def precision_recall(
    hits: Bool[np.ndarray, "detections *rest"], objects: int
) -> tuple[Float[np.ndarray, "detections *rest"], Float[np.ndarray, "detections *rest"]]:
    """Precision and recall of the best 1, 2, … detections; `hits` is in the order of their scores."""
    require_at_least("objects", objects, 1)
    if np.any(hits.sum(0) > objects):
        raise ValueError(f"hits must not be more than the objects, {objects}, got {hits.sum(0).max()}")
    found = hits.cumsum(0)
    return found / np.arange(1, len(hits) + 1).reshape(-1, *[1] * (hits.ndim - 1)), found / objects


@checked
def average_precision(
    precision: Float[np.ndarray, "detections"], recall: Float[np.ndarray, "detections"], *, points: int | None = None
) -> float:
    """Of the envelope, the highest precision at a recall of r or more: its area, or its mean at evenly spaced r.

    VOC took 11 `points` until 2009 and the area since; COCO takes 101. The grid is `np.linspace(0, 1, points)` to the last
    bit, as COCO's is, so a recall of 3/10 does not reach the fourth of 11 points, 0.30000000000000004.
    """
    for name, values in (("precision", precision), ("recall", recall)):
        require_finite(name, values)
    if np.any(np.diff(recall, prepend=0) < 0):
        raise ValueError("recall must start at 0 or more and never fall")
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    if points is None:
        return float(np.diff(recall, prepend=0) @ envelope[:-1])
    require_at_least("points", points, 2)
    return float(envelope[np.searchsorted(recall, np.linspace(0, 1, points))].mean())


@checked
def evaluate(
    objects: Objects,
    detections: Detections,
    classes: int,
    *,
    thresholds: Float[np.ndarray, "t"] = COCO_THRESHOLDS,
    points: int | None = 101,
    rule: str = "coco",
    most: int = 100,
) -> Float[np.ndarray, "t classes"]:
    """Average precision at each threshold for each class, NaN for a class without objects; COCO's AP is its `nanmean`.

    Of each image and class the `most` best detections count. Equal scores keep the order of the images' numbers, and
    within an image their own, as in COCO's code.
    """
    _require_setting(thresholds, rule)
    for name, value in (("classes", classes), ("most", most)):
        require_at_least(name, value, 1)
    _require_columns("objects", classes, objects.image, objects.label, objects.boxes)
    if detections.score is None:
        raise TypeError("detections.score must be an array, got None")
    _require_columns("detections", classes, detections.image, detections.label, detections.boxes, detections.score)
    kept, group, rank, where, sizes = _groups(objects, detections, most)
    label, score, boxes = detections.label[kept], detections.score[kept], detections.boxes[kept]

    first, last = (np.searchsorted(sizes, group, side) for side in ("left", "right"))
    pair = np.arange(len(kept)).repeat(last - first)
    target = where[np.arange(len(pair)) - (last - first).cumsum()[pair] + last[pair]]
    overlaps = _iou(boxes[pair], objects.boxes[target])
    enough = overlaps >= thresholds.min()
    pair, target, overlaps = pair[enough], target[enough], overlaps[enough]
    shape = len(kept), len(objects.label)
    hits = _take(pair, target, overlaps, rank[pair], thresholds, shape, rule) >= 0

    ranked, results = np.lexsort((-score, label)), np.full((len(thresholds), classes), np.nan)
    bounds = np.searchsorted(label[ranked], np.arange(classes + 1))
    for c, count in enumerate(np.bincount(objects.label, minlength=classes).tolist()):
        if count:
            precision, recall = precision_recall(hits[ranked[bounds[c] : bounds[c + 1]]], count)
            columns = zip(precision.T, recall.T, strict=True)
            results[:, c] = [average_precision(p, r, points=points) for p, r in columns]
    return results


def _groups(objects, detections, most):
    """Detections that count, by class, image and falling score: their places, groups and ranks; objects by group.

    A group is one image and class. Returns the detections' places, groups and ranks, the objects' places and groups.
    """
    names, number = np.unique(np.concatenate([objects.image, detections.image]), return_inverse=True)
    labels = np.concatenate([objects.label, detections.label]).astype(np.int64)
    of_objects, of_detections = np.split(labels * len(names) + number, [len(objects.label)])
    where = np.argsort(of_objects, kind="stable")
    order = np.lexsort((-detections.score, of_detections))
    group = of_detections[order]
    rank = np.arange(len(order)) - np.searchsorted(group, group)
    counts = rank < most
    return order[counts], group[counts], rank[counts], where, of_objects[where]


def _iou(a, b):
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), -1)
    union = np.prod(a[..., 2:] - a[..., :2], -1) + np.prod(b[..., 2:] - b[..., :2], -1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _take(detection, target, overlaps, rank, thresholds, shape, rule):
    """Which object each detection takes at each threshold, from all pairs that may matter.

    Detections of one rank, each of its own image and class, choose at the same time. The pairs of a detection are sorted
    so that its choice is the last that is allowed; VOC's rule leaves it only one.
    """
    order = np.lexsort((target if rule == "coco" else -target, overlaps, detection, rank))
    detection, target, overlaps, rank = detection[order], target[order], overlaps[order], rank[order]
    if rule == "voc":
        best = np.diff(detection, append=-1) != 0
        detection, target, overlaps, rank = detection[best], target[best], overlaps[best], rank[best]
    taken, free = np.full((shape[0], len(thresholds)), -1), np.ones((shape[1], len(thresholds)), dtype=bool)
    for pairs in np.split(np.arange(len(rank)), np.flatnonzero(np.diff(rank)) + 1) if len(rank) else ():
        starts = np.flatnonzero(np.diff(detection[pairs], prepend=-1))
        allowed = free[target[pairs]] & (overlaps[pairs, None] >= thresholds)
        choice = np.maximum.reduceat(np.where(allowed, pairs[:, None], -1), starts)
        row, at = np.nonzero(choice >= 0)
        chosen = target[choice[row, at]]
        taken[detection[pairs[starts[row]]], at] = chosen
        free[chosen, at] = False
    return taken


def _require_setting(thresholds, rule):
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, got {rule!r}")
    if not len(thresholds) or not np.all((thresholds > 0) & (thresholds <= 1)):
        raise ValueError(f"thresholds must be one number or more in (0, 1], got {thresholds}")


def _require_boxes(name, boxes):
    require_finite(name, boxes)
    wrong = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(1))
    if len(wrong):
        raise ValueError(
            f"{name} must be rows x1, y1, x2, y2 with x1 <= x2 and y1 <= y2, got {boxes[wrong[0]].tolist()} in row {wrong[0]}: "
            "a negative size, or x, y, width, height"
        )


@checked
def _require_columns(
    name: str,
    classes: int,
    image: Int[np.ndarray, "n"],
    label: Int[np.ndarray, "n"],
    boxes: Real[np.ndarray, "n 4"],
    score: Float[np.ndarray, "n"] | None = None,
) -> None:
    if len(label) and not 0 <= label.min() <= label.max() < classes:
        raise ValueError(f"{name}.label must lie in 0 … {classes - 1}, got {label.min()} to {label.max()}")
    _require_boxes(f"{name}.boxes", boxes)
    if score is not None:
        require_finite(f"{name}.score", score)
