"""A whole evaluation of detections against pycocotools, on the same boxes, one thread, in turn.

    python benchmarks/detection.py [--rounds 3]

5,000 images and 80 classes, COCO's ten thresholds and 101 points, objects of all sizes. pycocotools' time is that of
`evaluate` and `accumulate`, when its tables are made; ours is that of `evaluate` on arrays, its checks of them included.
"""

import contextlib
import io
import time
from collections.abc import Callable

import numpy as np
from bench import in_turn, record, rounds
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lib.vision.detection import Detections, Objects, evaluate

IMAGES, CLASSES = 5_000, 80


def data_set(a_image: int, found: int, images: int = IMAGES) -> tuple[Objects, Detections]:
    """Boxes of whole pixels: `a_image` objects in the mean, `found` detections, two thirds of them near an object."""
    rng = np.random.default_rng(0)
    n, near = images * a_image, images * found * 2 // 3
    kinds = (80 * rng.random(n) ** 2).astype(int)
    corner, size = rng.integers(0, 400, (n, 2)), rng.integers(10, 200, (n, 2))
    objects = Objects(rng.integers(images, size=n), kinds, np.hstack([corner, corner + size]).astype(float))
    copied, others = rng.integers(n, size=near), rng.integers(n, size=images * found - near)
    boxes = objects.boxes[np.append(copied, others)]
    sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    boxes = np.sort((boxes + 0.1 * sizes * rng.normal(size=boxes.shape)).round().reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    image = np.append(objects.image[copied], rng.integers(images, size=len(others)))
    return objects, Detections(image, kinds[np.append(copied, others)], rng.random(len(image)).round(3), boxes)


def judge(objects: Objects, detections: Detections) -> COCOeval:
    def entries(columns: tuple, **more: list) -> list[dict]:
        sides = columns.boxes[:, 2:] - columns.boxes[:, :2]
        boxes, areas = np.hstack([columns.boxes[:, :2], sides]).tolist(), sides.prod(1).tolist()
        rows = zip(columns.image.tolist(), columns.label.tolist(), boxes, areas, strict=True)
        made = [dict(id=i, image_id=image, category_id=label, bbox=box, area=area, iscrowd=0) for i, (image, label, box, area) in enumerate(rows, 1)]
        return [row | dict(zip(more, values, strict=True)) for row, *values in zip(made, *more.values(), strict=True)]

    truth = COCO()
    images, categories = [{"id": i} for i in range(IMAGES)], [{"id": c} for c in range(CLASSES)]
    truth.dataset = dict(info={}, images=images, categories=categories, annotations=entries(objects))
    truth.createIndex()
    made = COCOeval(truth, truth.loadRes(entries(detections, score=detections.score.tolist())), "bbox")
    made.params.areaRng, made.params.areaRngLbl, made.params.maxDets = [[0, 1e10]], ["all"], [100]
    return made


def seconds(function: Callable) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin


def main() -> None:
    turns, table = rounds(3), []
    for a_image, found in ((7, 20), (7, 60)):
        objects, detections = data_set(a_image, found)
        with contextlib.redirect_stdout(io.StringIO()):
            peer = judge(objects, detections)

        def theirs(peer: COCOeval = peer) -> np.ndarray:
            with contextlib.redirect_stdout(io.StringIO()):
                peer.evaluate()
                peer.accumulate()
            return peer.eval["precision"][:, :, :, 0, 0].mean(1)

        def ours(data: tuple = (objects, detections)) -> np.ndarray:
            return evaluate(*data, CLASSES)

        apart = np.abs(ours() - theirs()).max()
        assert apart < 1e-13, apart
        row = f"{IMAGES:,} images, {CLASSES} classes, {len(objects.image):,} objects, {len(detections.image):,} detections"
        table.append([*in_turn(row, seconds, ours, theirs, turns), float(np.mean(ours()))])
    record("detection", ["ours / pycocotools", "CPU s", "peer's", "ratio", "AP"], table, what=f"medians of {turns}, in turn; pycocotools 2.0.11")


if __name__ == "__main__":
    main()
