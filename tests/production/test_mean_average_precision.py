"""What the chapter on scoring detectors says of pycocotools, kornia and scikit-learn, and its exercise 4 against COCO."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from kornia.metrics import mean_average_precision
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import average_precision_score

from lib.vision.detection import Detections, Objects, average_precision, box_iou, evaluate, precision_recall

CHAPTER = Path(__file__).parents[2] / "book/vision/mean-average-precision.ipynb"
PAGE = "book/vision/mean-average-precision.ipynb, section In production"
PYCOCO, KORNIA, SKLEARN = (
    f"{name} {version(name)} ({pinned} on the page): mend the row in {PAGE}"
    for name, pinned in (("pycocotools", "2.0.11"), ("kornia", "0.9.0"), ("scikit-learn", "1.9.1"))
)
BOX, ELSEWHERE = [0, 0, 10, 10], [50, 50, 10, 10]


def annotation(number, image, box=BOX, label=1, **more):
    """Boxes as COCO writes them: left, top, width, height."""
    return dict(id=number, image_id=image, category_id=label, bbox=box, area=box[2] * box[3], iscrowd=0) | more


def found(image, score, box=BOX, label=1):
    return dict(image_id=image, category_id=label, bbox=box, score=score)


def judge(annotations, detections, classes=(1,), **parameters):
    truth = COCO()
    images = sorted({row["image_id"] for row in annotations + detections})
    categories = [{"id": c} for c in classes]
    truth.dataset = dict(info={}, images=[{"id": i} for i in images], categories=categories, annotations=annotations)
    truth.createIndex()
    made = COCOeval(truth, truth.loadRes(detections), "bbox")
    for name, value in parameters.items():
        setattr(made.params, name, value)
    made.evaluate()
    made.accumulate()
    return made


def at_half(judged, of_class=0, area=0):
    """AP at 0.5, at most 100 detections."""
    return judged.eval["precision"][0, :, of_class, area, -1].mean()


def test_an_annotation_with_id_0_is_never_found():
    for first, want in ((0, 0.2525), (1, 1.0)):
        judged = judge([annotation(first + i, i) for i in (0, 1)], [found(0, 0.9), found(1, 0.8)])
        assert at_half(judged) == pytest.approx(want, abs=5e-5), PYCOCO


def test_seven_of_ten_score_70_of_101():
    judged = judge([annotation(i, i) for i in range(1, 11)], [found(i, 1 - i / 100) for i in range(1, 8)])
    assert at_half(judged) == pytest.approx(70 / 101), PYCOCO


def test_equal_scores_are_sorted_by_image_id():
    for right, wrong, want in ((1, 2, 0.505), (2, 1, 0.252)):
        judged = judge([annotation(1, right), annotation(2, 3)], [found(right, 0.5), found(wrong, 0.5)])
        assert at_half(judged) == pytest.approx(want, abs=6e-4), PYCOCO


def test_a_class_without_objects_is_left_out():
    judged = judge([annotation(1, 1)], [found(1, 0.9), found(1, 0.8, ELSEWHERE, label=2)], classes=(1, 2))
    assert (judged.eval["precision"][:, :, 1] == -1).all(), PYCOCO
    judged.summarize()
    assert judged.stats[0] == pytest.approx(1), PYCOCO


def test_another_limit_than_100_makes_ap_minus_1():
    judged = judge([annotation(1, 1)], [found(1, 0.9)], maxDets=[1, 10, 150])
    judged.summarize()
    assert judged.stats[0] == -1, PYCOCO


def test_a_hundred_boxes_count_in_each_class_of_an_image():
    """The page says so beside (7); COCO's own page says 100 across all categories. Another class must not push a hit out."""
    rubbish = [found(1, 0.9, ELSEWHERE, label=1)] * 100
    truth = [annotation(1, 1, label=2)]
    assert at_half(judge(truth, rubbish + [found(1, 0.1, label=2)], classes=(1, 2)), of_class=1) == pytest.approx(1), PYCOCO
    own = [row | {"category_id": 2} for row in rubbish]
    assert at_half(judge(truth, own + [found(1, 0.1, label=2)], classes=(1, 2)), of_class=1) == 0, PYCOCO


def test_ignore_is_overwritten_by_iscrowd():
    counts = [annotation(1, 1), annotation(2, 1, ELSEWHERE)]
    ignored = [annotation(1, 1), annotation(2, 1, ELSEWHERE, ignore=1)]
    crowd = [annotation(1, 1), annotation(2, 1, ELSEWHERE, iscrowd=1)]
    one, other, third = (at_half(judge(truth, [found(1, 0.9)])) for truth in (counts, ignored, crowd))
    assert one == other == pytest.approx(51 / 101), PYCOCO
    assert third == pytest.approx(1), PYCOCO


def by_kornia(objects, detections, label=1, classes=2):
    """AP of one class; both lists have an entry of boxes for each image, detections with falling scores."""
    boxes = [torch.tensor(x, dtype=torch.float64).reshape(-1, 4) for x in objects]
    guesses = [torch.tensor(x, dtype=torch.float64).reshape(-1, 4) for x in detections]
    labels, guessed = ([torch.full((len(x),), label) for x in side] for side in (boxes, guesses))
    sure = [1 - i / 100 - torch.arange(len(x), dtype=torch.float64) / 1000 for i, x in enumerate(guesses)]
    return mean_average_precision(guesses, guessed, sure, boxes, labels, classes)


def test_kornia_has_vocs_rule_a_strict_threshold_and_exact_tenths():
    crowd, pair = [[0, 0, 10, 10], [3, 0, 13, 10]], [[0, 0, 10, 10], [1, 0, 11, 10]]
    assert by_kornia([crowd], [pair])[0] == pytest.approx(6 / 11), KORNIA
    assert by_kornia([[[0, 0, 12, 12]]], [[[4, 0, 16, 12]]])[0] == 0, KORNIA
    assert by_kornia([[[0, 0, 12, 12]]], [[[3, 0, 15, 12]]])[0] == pytest.approx(1), KORNIA
    square = [[0, 0, 5, 5]]
    assert by_kornia([square] * 10, [square] * 3 + [[]] * 7)[0] == pytest.approx(4 / 11), KORNIA


def test_kornia_takes_class_0_for_background():
    square = [[0, 0, 5, 5]]
    mean, of_classes = by_kornia([square], [square], label=0)
    assert mean == -1 and of_classes == {1: -1}, KORNIA


def test_scikit_learn_has_no_envelope_and_knows_no_missed_objects():
    published = np.isin(np.arange(1, 25), [1, 3, 10, 12, 13, 14, 23])
    of_hits = average_precision_score(published, -np.arange(24))
    precision, _ = precision_recall(published, 15)
    assert of_hits == pytest.approx(precision[published].sum() / 7), SKLEARN
    assert of_hits > 1.9 * average_precision(*precision_recall(published, 15)), SKLEARN


def test_exercise_4_is_cocos_handling_of_sizes():
    cells = ["".join(cell["source"]) for cell in json.loads(CHAPTER.read_text())["cells"] if cell["cell_type"] == "code"]
    solution = next(cell for cell in cells if cell.startswith("#@title Solution to exercise 4"))
    names = {"np": np}
    exec(solution.split("check_judge.prove")[0], names)
    rng = np.random.default_rng(0)
    low, high = 100, 400
    for _ in range(20):
        corner = rng.uniform(0, 25, (6, 2))
        boxes = np.hstack([corner, corner + rng.uniform(6, 26, (6, 2))])
        guesses = boxes[rng.integers(6, size=14)] + rng.normal(scale=1.5, size=(14, 4))
        sizes, of_guesses = ((x[:, 2:] - x[:, :2]).prod(1) for x in (boxes, guesses))
        counts, own = ((low <= x) & (x <= high) for x in (sizes, of_guesses))
        if not counts.any():
            continue
        verdicts = names["judge_solution"](box_iou(guesses, boxes), counts, own, 0.5)
        curve = precision_recall(verdicts[verdicts >= 0] == 1, int(counts.sum()))
        truth, rows = ([[*x[:2], *(x[2:] - x[:2])] for x in side.tolist() for x in [np.array(x)]] for side in (boxes, guesses))
        judged = judge(
            [annotation(i, 1, list(map(float, row))) for i, row in enumerate(truth, 1)],
            [found(1, 1 - i / 100, list(map(float, row))) for i, row in enumerate(rows)],
            areaRng=[[low, high]], areaRngLbl=["some"],
        )  # fmt: skip
        assert average_precision(*curve, points=101) == pytest.approx(at_half(judged), abs=1e-12), PYCOCO


def test_the_photographs_example_is_pycocotools():
    roofs = np.array([[94, 52, 320, 140], [84, 154, 330, 192], [62, 240, 353, 288], [206, 320, 373, 392]])
    boxes = np.array([[98, 60, 318, 138], [86, 156, 328, 194], [120, 50, 300, 150], [60, 236, 350, 292], [430, 280, 570, 420], [240, 300, 380, 400]])
    zeros = np.zeros(6, dtype=int)
    scores = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.4])
    got = evaluate(Objects(zeros[:4], zeros[:4], roofs), Detections(zeros, zeros, scores, boxes), 1)
    truth, rows = (np.hstack([x[:, :2], x[:, 2:] - x[:, :2]]).tolist() for x in (roofs, boxes))
    judged = judge([annotation(i, 1, row) for i, row in enumerate(truth, 1)], [found(1, s, row) for s, row in zip(scores.tolist(), rows, strict=True)])
    np.testing.assert_allclose(got[:, 0], judged.eval["precision"][:, :, 0, 0, -1].mean(1), atol=1e-14)
