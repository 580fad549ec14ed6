"""Scores of detectors against pycocotools, kornia and VOC's rule written as a loop; properties; bad input."""

import re

import numpy as np
import pytest
import torch
from kornia.metrics import mean_average_precision
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.optimize import linear_sum_assignment

from lib.vision.detection import (
    COCO_THRESHOLDS,
    Detections,
    Objects,
    average_precision,
    box_iou,
    evaluate,
    match,
    precision_recall,
)

THRESHOLDS = np.array([0.5, 0.75])


def data_set(seed, images=30, classes=4, whole=True):
    """Crowded images with duplicates, misses, false boxes and equal scores; the last class has no objects."""
    rng = np.random.default_rng(seed)

    def boxes(count):
        corner, size = rng.uniform(0, 60, (count, 2)), rng.uniform(4, 40, (count, 2))
        made = np.hstack([corner, corner + size])
        return made.round() if whole else made

    n = images * 6
    image, label, box = rng.integers(images, size=n // 2), rng.integers(classes - 1, size=n // 2), boxes(n // 2)
    objects = Objects(np.tile(image, 2), np.tile(label, 2), np.concatenate([box, box + [4, 1, 4, 1]]))
    copied = rng.integers(n, size=2 * n)
    moved = objects.boxes[copied] + rng.normal(scale=2.5, size=(2 * n, 4))
    moved = np.sort(moved.round().reshape(-1, 2, 2) if whole else moved.reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    false = rng.integers(images, size=n), rng.integers(classes, size=n), boxes(n)
    pairs = zip((objects.image[copied], objects.label[copied], moved), false, strict=True)
    image, label, found = (np.concatenate(pair) for pair in pairs)
    return objects, Detections(image, label, rng.integers(1, 40, size=3 * n) / 40, found)


def by_pycocotools(objects, detections, classes, *, thresholds=COCO_THRESHOLDS, points=101, most=100):
    """Table of average precision, -1 for a class without objects."""

    def entry(number, image, label, box, **more):
        x1, y1, x2, y2 = box.tolist()
        size = [x1, y1, x2 - x1, y2 - y1]
        return dict(id=number + 1, image_id=int(image), category_id=int(label), bbox=size, area=size[2] * size[3], **more)

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": int(i)} for i in np.unique(np.concatenate([objects.image, detections.image]))],
        "categories": [{"id": c} for c in range(classes)],
        "annotations": [entry(i, *row, iscrowd=0) for i, row in enumerate(zip(*objects, strict=True))],
    }
    truth.createIndex()
    columns = zip(detections.image, detections.label, detections.boxes, detections.score, strict=True)
    found = truth.loadRes([entry(i, *row[:3], score=float(row[3])) for i, row in enumerate(columns)])
    judge = COCOeval(truth, found, "bbox")
    judge.params.iouThrs, judge.params.recThrs, judge.params.maxDets = thresholds, np.linspace(0, 1, points), [most]
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    judge.evaluate()
    judge.accumulate()
    return judge.eval["precision"][:, :, :, 0, 0].mean(1)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("points", [11, 101])
@pytest.mark.parametrize("most", [3, 100])
def test_evaluate_is_pycocotools_at_every_threshold(whole, points, most):
    for seed in range(3):
        objects, detections = data_set(seed, whole=whole)
        thresholds = np.append(COCO_THRESHOLDS, [0.1, 1.0])
        want = by_pycocotools(objects, detections, 4, thresholds=thresholds, points=points, most=most)
        got = evaluate(objects, detections, 4, thresholds=thresholds, points=points, most=most)
        np.testing.assert_allclose(got[:, :3], want[:, :3], rtol=0, atol=1e-14)
        assert np.isnan(got[:, 3]).all() and (want[:, 3] == -1).all()
        assert 0.05 < got[:, :3].mean() < 0.9


def voc_by_a_loop(objects, detections, label, threshold):
    """Hits in the order of the scores, as VOC's evaluation code finds them; boxes without the added pixel."""
    mine, theirs = objects.label == label, detections.label == label
    used, hits = set(), []
    where = np.flatnonzero(theirs)
    for i in where[np.lexsort((detections.image[where], -detections.score[where]))]:
        best, taken = -np.inf, None
        for j in np.flatnonzero(mine & (objects.image == detections.image[i])):
            overlap = box_iou(detections.boxes[i : i + 1], objects.boxes[j : j + 1]).item()
            if overlap > best:
                best, taken = overlap, j
        hits.append(best >= threshold and taken not in used)
        if best >= threshold:
            used.add(taken)
    return np.array(hits)


def test_evaluate_with_vocs_rule_is_the_loop():
    differs = 0
    for seed in range(3):
        objects, detections = data_set(seed, images=10)
        got = evaluate(objects, detections, 4, thresholds=THRESHOLDS, points=None, rule="voc", most=10**6)
        other = evaluate(objects, detections, 4, thresholds=THRESHOLDS, points=None, most=10**6)
        differs += np.sum(np.abs(got - other)[:, :3] > 1e-6)
        for c in range(3):
            for t, threshold in enumerate(THRESHOLDS):
                hits = voc_by_a_loop(objects, detections, c, threshold)
                curve = precision_recall(hits, int(np.sum(objects.label == c)))
                assert got[t, c] == pytest.approx(average_precision(*curve), abs=1e-14)
    assert differs > 3


def test_vocs_rule_and_area_against_kornia():
    """kornia asks for more than the threshold and has exact tenths: boxes that are not whole, and 7 objects a class."""
    objects, detections = data_set(5, images=8, classes=3, whole=False)
    chosen = np.concatenate([np.flatnonzero(objects.label == c)[:7] for c in range(2)])
    objects = Objects(*(column[chosen] for column in objects))
    detections = detections._replace(score=np.random.default_rng(0).permutation(len(detections.score)) / 1000)

    def by_image(columns):
        return [[torch.tensor(column[columns.image == i]) for i in range(8)] for column in columns[1:]]

    label, boxes = by_image(objects)
    found, score, at = by_image(detections)
    _, want = mean_average_precision(at, [x + 1 for x in found], score, boxes, [x + 1 for x in label], 4)
    got = evaluate(objects, detections, 3, thresholds=np.array([0.5]), points=11, rule="voc", most=10**6)[0, :2]
    np.testing.assert_allclose(got, [want[1], want[2]], rtol=1e-9)


def test_the_two_rules_differ_where_detections_compete():
    objects = np.array([[0, 0, 10, 10], [3, 0, 13, 10]])
    overlaps = box_iou(np.array([[0, 0, 10, 10], [1, 0, 11, 10]]), objects)
    assert match(overlaps, np.array([0.5])).tolist() == [[0], [1]]
    assert match(overlaps, np.array([0.5]), rule="voc").tolist() == [[0], [-1]]


def test_equal_overlaps_take_the_last_object_by_cocos_rule_and_the_first_by_vocs():
    overlaps = np.full((1, 3), 0.6)
    assert match(overlaps, np.array([0.5])).item() == 2
    assert match(overlaps, np.array([0.5]), rule="voc").item() == 0


def test_match_takes_each_object_once_and_at_least_half_of_what_can_be_taken():
    rng = np.random.default_rng(0)
    for _ in range(200):
        overlaps = rng.random(rng.integers(1, 9, size=2))
        for rule in ("coco", "voc"):
            taken = match(overlaps, THRESHOLDS, rule=rule)
            for column, threshold in zip(taken.T, THRESHOLDS, strict=True):
                at = np.flatnonzero(column >= 0)
                assert len(set(column[at])) == len(at) and (overlaps[at, column[at]] >= threshold).all()
                if rule == "coco":
                    most = overlaps >= threshold
                    assert 2 * len(at) >= most[linear_sum_assignment(most, maximize=True)].sum()


def test_iou_counts_pixels_and_is_zero_for_empty_boxes():
    rng = np.random.default_rng(1)
    a, b = (np.sort(rng.integers(0, 12, (20, 2, 2)), axis=1).reshape(-1, 4) for _ in range(2))

    def pixels(x1, y1, x2, y2):
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    want = [[len(pixels(*p) & pixels(*q)) / max(len(pixels(*p) | pixels(*q)), 1) for q in b] for p in a]
    np.testing.assert_allclose(box_iou(a, b), want, atol=1e-15)
    np.testing.assert_array_equal(box_iou(a.astype(np.uint8), b.astype(np.uint8)), box_iou(a, b))


def test_average_precision_of_curves_known_by_hand():
    precision, recall = precision_recall(np.array([True, False, True]), 4)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(recall, [1 / 4, 1 / 4, 1 / 2])
    assert average_precision(precision, recall) == pytest.approx((1 + 2 / 3) / 4)
    assert average_precision(precision, recall, points=11) == pytest.approx((3 + 3 * 2 / 3) / 11)
    assert average_precision(precision, recall, points=101) == pytest.approx((26 + 25 * 2 / 3) / 101)


def test_three_of_ten_reach_three_of_eleven_points_as_in_pycocotools():
    hits = np.ones(3, dtype=bool)
    assert average_precision(*precision_recall(hits, 10), points=11) == pytest.approx(3 / 11)
    row = np.array([[0, 0, 5, 5]])
    objects = Objects(np.arange(10), np.zeros(10, dtype=int), row.repeat(10, 0))
    detections = Detections(np.arange(3), np.zeros(3, dtype=int), np.array([0.9, 0.8, 0.7]), row.repeat(3, 0))
    np.testing.assert_allclose(by_pycocotools(objects, detections, 1, points=11), 3 / 11)
    np.testing.assert_allclose(evaluate(objects, detections, 1, points=11), 3 / 11)


def test_average_precision_depends_on_ranks_only_and_not_on_the_order_of_its_rows():
    objects, detections = data_set(7)
    detections = detections._replace(score=np.random.default_rng(0).permutation(len(detections.score)) / 1000)
    table = evaluate(objects, detections, 4)
    moved = evaluate(objects, detections._replace(score=np.exp(5 * detections.score)), 4)
    np.testing.assert_array_equal(table, moved)
    order = np.random.default_rng(1).permutation(len(detections.score))
    np.testing.assert_array_equal(evaluate(objects, Detections(*(column[order] for column in detections)), 4), table)


def test_evaluate_without_detections_and_with_large_image_numbers():
    objects, detections = data_set(3)
    none = Detections(*(column[:0] for column in detections))
    np.testing.assert_array_equal(evaluate(objects, none, 4)[:, :3], 0)
    far = [part._replace(image=part.image + 10**17) for part in (objects, detections)]
    np.testing.assert_array_equal(evaluate(*far, 4), evaluate(objects, detections, 4))


BOX = np.array([[0.0, 0.0, 5.0, 5.0]])
ONE = np.zeros(1, dtype=int)
TRUTH, FOUND = Objects(ONE, ONE, BOX), Detections(ONE, ONE, np.array([0.5]), BOX)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: box_iou(BOX, np.array([[5.0, 0, 2, 3]])), ValueError, "b must be rows .* got .5.0, 0.0, 2.0, 3.0. in row 0: a negative size"),
        (lambda: box_iou(BOX, BOX * np.nan), ValueError, "b must be finite"),
        (lambda: box_iou(BOX[0], BOX), TypeError, "parameter .a.\\."),
        (lambda: match(box_iou(BOX, BOX), np.array([0.5]), rule="best"), ValueError, "rule must be one of .*coco.*, got 'best'"),
        (lambda: match(box_iou(BOX, BOX), np.array([0.0])), ValueError, r"thresholds must be .* in \(0, 1\], got"),
        (lambda: match(box_iou(BOX, BOX), np.array([])), ValueError, "thresholds must be one number or more"),
        (lambda: precision_recall(np.array([True]), 0), ValueError, "objects must be at least 1, got 0"),
        (lambda: precision_recall(np.array([True, True]), 1), ValueError, "hits must not be more than the objects, 1, got 2"),
        (lambda: average_precision(np.array([1.0, 1]), np.array([0.5, 0.2])), ValueError, "recall must start at 0 or more and never fall"),
        (lambda: average_precision(np.array([1.0]), np.array([0.5]), points=1), ValueError, "points must be at least 2, got 1"),
        (lambda: average_precision(np.array([np.nan]), np.array([0.5])), ValueError, "precision must be finite"),
        (lambda: evaluate(TRUTH._replace(boxes=-BOX), FOUND, 1), ValueError, "objects.boxes must be rows x1"),
        (lambda: evaluate(TRUTH, FOUND._replace(label=ONE + 1), 1), ValueError, "detections.label must lie in 0 … 0, got 1 to 1"),
        (lambda: evaluate(TRUTH, FOUND._replace(score=np.array([np.inf])), 1), ValueError, "detections.score must be finite"),
        (lambda: evaluate(TRUTH, FOUND._replace(image=np.zeros(2, dtype=int)), 1), TypeError, "parameter .label.\\."),
        (lambda: evaluate(TRUTH, FOUND, 0), ValueError, "classes must be at least 1, got 0"),
        (lambda: evaluate(TRUTH, FOUND._replace(score=None), 1), TypeError, "detections.score must be an array, got None"),
        (lambda: evaluate(TRUTH, FOUND, 1, most=0), ValueError, "most must be at least 1, got 0"),
        (lambda: evaluate(TRUTH, FOUND, 1, points=1), ValueError, "points must be at least 2, got 1"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_its_name(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert re.search(words, str(raised.value), re.DOTALL), str(raised.value)
