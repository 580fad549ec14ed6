#!/usr/bin/env bash
# pycocotools 2.0.11, COCOeval, the code that defines COCO's average precision
#
# Expected: average precision is a property of the images' boxes. Numbering the same images in another order changes
#   nothing. COCO's page says nothing of equal scores: https://cocodataset.org/#detection-eval
# Happens: detections of all images are sorted by score with a stable sort, in the order of the image ids. Of two equal
#   scores that of the lower id comes first. Scores that are rounded, or that a float16 sigmoid has made, are often equal.
# Seen: two objects; a hit and a false box with one score, in two images whose ids are exchanged.
#   expected: one average precision, whichever image has the lower id
#   seen:     0.5050 and 0.2525
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 pycocotools==2.0.11

"$python" -I - <<'EOF'
import contextlib
import io
import sys

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

BOX = [0, 0, 10, 10]


def average_precision(right, wrong):
    """At an overlap of a half; the images `right` and 3 have an object, `right` and `wrong` a detection."""
    truth = COCO()
    objects = [dict(id=i, image_id=image, category_id=1, bbox=BOX, area=100, iscrowd=0) for i, image in ((1, right), (2, 3))]
    truth.dataset = dict(info={}, images=[{"id": i} for i in (1, 2, 3)], categories=[{"id": 1}], annotations=objects)
    truth.createIndex()
    found = [dict(image_id=image, category_id=1, bbox=BOX, score=0.5) for image in (right, wrong)]
    judge = COCOeval(truth, truth.loadRes(found), "bbox")
    judge.evaluate()
    judge.accumulate()
    return float(judge.eval["precision"][0, :, 0, 0, -1].mean())


with contextlib.redirect_stdout(io.StringIO()):
    one, other = average_precision(1, 2), average_precision(2, 1)
print("expected: one average precision, whichever image has the lower id")
print(f"seen:     {one:.4f} and {other:.4f}")
sys.exit(None if abs(one - 51 / 101) < 1e-9 and abs(other - 51 / 202) < 1e-9 else "The behaviour has changed.")
EOF
