"""lib.vision.augmentation against kornia with its draws replayed, naive loops and the laws of its boxes."""

import itertools

import kornia.augmentation as K
import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from lib.vision import augmentation
from lib.vision.augmentation import box_mask, centred_boxes, cutmix, cutout, erasing_boxes, mixup, random_erasing

SEEDS = range(8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(seed, *shape, dtype=torch.float32):
    return torch.rand(shape, generator=generator(seed), dtype=dtype) + 1  # nowhere 0, so that what is erased is seen


def naive_box(height, width, rng, low, high, ratio):
    """Algorithm 1, one proposal after the other."""
    while True:
        area = rng.uniform(low, high) * height * width
        shape = rng.uniform(ratio, 1 / ratio)
        tall, wide = max(round((area * shape) ** 0.5), 1), max(round((area / shape) ** 0.5), 1)
        top, left = int(rng.uniform(0, height)), int(rng.uniform(0, width))
        if top + tall <= height and left + wide <= width:
            return left, top, left + wide, top + tall


@pytest.mark.parametrize("seed", SEEDS)
def test_kornia_erases_what_a_mask_of_its_boxes_erases(seed):
    x = pictures(seed, 6, 2, 17, 23)
    peer = K.RandomErasing(scale=(0.02, 0.4), ratio=(0.3, 1 / 0.3), p=1.0)
    torch.manual_seed(seed)
    erased = peer(x)
    left, top, wide, tall = (peer._params[name].long() for name in ("xs", "ys", "widths", "heights"))
    mask = box_mask(torch.stack([left, top, left + wide, top + tall], 1), 17, 23)
    assert torch.equal(x.masked_fill(mask, 0.0), erased)


@pytest.mark.parametrize("seed", SEEDS)
def test_kornia_mixes_as_mixup_with_the_weight_of_the_partner(seed):
    x, labels = pictures(seed, 5, 2, 6, 7), torch.arange(5)
    peer = K.RandomMixUpV2(data_keys=["input", "class"])
    torch.manual_seed(seed)
    mixed, rows = peer(x, labels)
    partner, foreign = peer._params["mixup_pairs"], peer._params["mixup_lambdas"]
    ours, y = mixup(x, one_hot(labels).double(), (1 - foreign), partner)
    torch.testing.assert_close(ours, mixed, atol=5e-7, rtol=0)
    want = (1 - foreign)[:, None] * one_hot(rows[:, 0].long(), 5) + foreign[:, None] * one_hot(rows[:, 1].long(), 5)
    torch.testing.assert_close(y, want.double(), atol=5e-7, rtol=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_kornia_cuts_as_cutmix_with_its_boxes(seed):
    x, labels = pictures(seed, 6, 2, 9, 11), torch.arange(6)
    peer = K.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
    torch.manual_seed(seed)
    mixed, rows = peer(x, labels)
    corners = peer._params["crop_src"][0].long()
    boxes = torch.cat([corners[:, 0], corners[:, 2] + 1], 1)
    ours, y, kept = cutmix(x, one_hot(labels).float(), boxes, peer._params["mix_pairs"][0])
    assert torch.equal(ours, mixed)
    torch.testing.assert_close(kept, rows[0, :, 2])


@pytest.mark.parametrize("shape", [(32, 32), (8, 8), (17, 40), (24, 9), (3, 5), (1, 6), (6, 1)])
def test_boxes_have_the_law_of_algorithm_1(shape):
    rng, n = np.random.default_rng(1), 4000
    want = np.array([naive_box(*shape, rng, 0.05, 0.5, 0.4) for _ in range(n)])
    got = erasing_boxes(n, *shape, generator(2), low=0.05, high=0.5, ratio=0.4).numpy()
    for name, of in {
        "corners": lambda b: b,
        "sides": lambda b: np.stack([b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]], 1),
        "areas": lambda b: ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]))[:, None],
        "products": lambda b: (b[:, :2] * b[:, 2:]),
    }.items():
        a, b = of(want).astype(float), of(got).astype(float)
        error = np.sqrt((a.var(0) + b.var(0)) / n) + 1e-12
        assert (np.abs(a.mean(0) - b.mean(0)) < 5 * error).all(), name


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_lie_inside_and_have_an_allowed_size(seed):
    rng = np.random.default_rng(seed)
    height, width, count = (int(n) for n in rng.integers(1, 60, 3))
    low = rng.uniform(0.01, 0.4)
    high, ratio = rng.uniform(low, 0.6), rng.uniform(0.3, 1)
    x1, y1, x2, y2 = erasing_boxes(count, height, width, generator(seed), low=low, high=high, ratio=ratio).unbind(1)
    assert (0 <= x1).all() and (x1 < x2).all() and (x2 <= width).all()
    assert (0 <= y1).all() and (y1 < y2).all() and (y2 <= height).all()
    for tall, wide in zip((y2 - y1).tolist(), (x2 - x1).tolist(), strict=True):
        assert max(tall - 0.5, 0) * max(wide - 0.5, 0) <= high * height * width + 1e-9
        assert tall <= 1 or wide <= 1 or (tall + 0.5) * (wide + 0.5) >= low * height * width - 1e-9
        assert tall <= 1 or (tall - 0.5) / (wide + 0.5) <= 1 / ratio + 1e-9
        assert wide <= 1 or (tall + 0.5) / (wide - 0.5) >= ratio - 1e-9


def test_a_full_share_of_a_square_is_the_whole_picture():
    boxes = erasing_boxes(3, 6, 6, generator(), low=1.0, high=1.0, ratio=1.0)
    assert boxes.tolist() == [[0, 0, 6, 6]] * 3


def test_boxes_are_reproducible_and_differ():
    a, b = (erasing_boxes(50, 32, 32, generator(4)) for _ in range(2))
    assert torch.equal(a, b) and len(a.unique(dim=0)) > 40
    assert erasing_boxes(0, 32, 32, generator()).shape == (0, 4)


def test_centred_boxes_are_clipped_around_a_uniform_pixel():
    for height, width, tall, wide in ((6, 9, 4, 3), (5, 5, 5, 1), (4, 7, 1, 6), (4, 4, 0, 2)):
        possible = {
            (max(x - wide // 2, 0), max(y - tall // 2, 0), min(x - wide // 2 + wide, width), min(y - tall // 2 + tall, height))
            for y, x in itertools.product(range(height), range(width))
        }
        boxes = centred_boxes(3000, height, width, tall, wide, generator(3))
        assert {tuple(box) for box in boxes.tolist()} == possible
        every = [(max(y - tall // 2, 0), min(y - tall // 2 + tall, height)) for y in range(height)]
        mean = np.mean([b - a for a, b in every])
        assert abs((boxes[:, 3] - boxes[:, 1]).double().mean().item() - mean) < 0.12


def test_cutout_reaches_as_far_as_its_authors_code():
    """y - size // 2 to y + size // 2, for the even sizes that they use."""
    x = pictures(0, 400, 1, 12, 12)
    _, mask = cutout(x, 6, generator(5))
    for rows in mask[:, 0].any(2):
        at = rows.nonzero().flatten().tolist()
        assert at == list(range(at[0], at[-1] + 1)) and 3 <= len(at) <= 6
        assert len(at) == 6 or at[0] == 0 or at[-1] == 11


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mask_is_the_naive_one(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 9, 2))
    y, x = np.sort(rng.integers(0, height + 1, (5, 2)), 1), np.sort(rng.integers(0, width + 1, (5, 2)), 1)
    boxes = torch.tensor(np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1))
    want = torch.zeros(5, 1, height, width, dtype=torch.bool)
    for one, (x1, y1, x2, y2) in zip(want, boxes.tolist(), strict=True):
        one[:, y1:y2, x1:x2] = True
    assert torch.equal(box_mask(boxes, height, width), want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_random_erasing_touches_its_mask_and_nothing_else(dtype):
    x = pictures(0, 200, 3, 10, 12, dtype=torch.float64).to(dtype)
    before = x.clone()
    for value in (0.0, -3.5, None):
        erased, mask = random_erasing(x, generator(1), p=0.5, value=value)
        assert erased.dtype == dtype and torch.equal(x, before)
        everywhere = mask.expand_as(x)
        assert torch.equal(erased[~everywhere], x[~everywhere])
        inside = erased[everywhere].double()
        assert 60 < mask.any((1, 2, 3)).sum() < 140
        if value is not None:
            assert (inside == value).all()
        else:
            assert 0 <= inside.min() and inside.max() <= 1 and inside.unique().numel() > 200
            assert abs(inside.mean() - 0.5) < 0.03 and abs(inside.var() - 1 / 12) < 0.01


def test_random_erasing_erases_all_or_none_at_the_ends_of_p_and_passes_its_law_on():
    x = pictures(0, 300, 1, 16, 16)
    assert not random_erasing(x, generator(), p=0.0)[1].any()
    erased, mask = random_erasing(x, generator(), p=1.0, value=0.0, low=0.25, high=0.25, ratio=1.0)
    assert (mask.sum((1, 2, 3)) == 64).all() and torch.equal(erased == 0, mask)


def test_gradients_stop_at_what_was_erased():
    x = pictures(0, 4, 2, 8, 8, dtype=torch.float64).requires_grad_()
    for value in (0.0, None):
        erased, mask = random_erasing(x, generator(), p=1.0, value=value)
        (gradient,) = torch.autograd.grad(erased.sum(), x)
        assert torch.equal(gradient, (~mask).double().expand_as(x))


@pytest.mark.parametrize("seed", SEEDS)
def test_mixup_is_the_weighted_mean(seed):
    x, y = pictures(seed, 5, 2, 3, 4, dtype=torch.float64), pictures(seed + 99, 5, 3, dtype=torch.float64)
    partner = torch.randperm(5, generator=generator(seed))
    weights = torch.rand(5, generator=generator(seed), dtype=torch.float64)
    for weight in (weights, weights[0].item(), 0.0, 1.0):
        got_x, got_y = mixup(x, y, weight, partner)
        for i in range(5):
            w = float(weight[i]) if isinstance(weight, torch.Tensor) else weight
            torch.testing.assert_close(got_x[i], w * x[i] + (1 - w) * x[partner[i]], atol=1e-14, rtol=0)
            torch.testing.assert_close(got_y[i], w * y[i] + (1 - w) * y[partner[i]], atol=1e-14, rtol=0)
    assert torch.equal(mixup(x.flatten(1), y, 1.0, partner)[0], x.flatten(1))


@pytest.mark.parametrize("seed", SEEDS)
def test_label_mass_is_pixel_mass_in_cutmix(seed):
    """Each picture is filled with its own number, so the pixels can be counted."""
    x = torch.arange(6.0, dtype=torch.float64)[:, None, None, None].expand(6, 2, 7, 9)
    partner = torch.randperm(6, generator=generator(seed))
    boxes = centred_boxes(6, 7, 9, seed % 8, 8 - seed % 8, generator(seed))
    mixed, y, kept = cutmix(x, one_hot(torch.arange(6)).double(), boxes, partner)
    for i in range(6):
        shares = torch.stack([(mixed[i] == j).double().mean() for j in range(6)])
        torch.testing.assert_close(y[i], shares, atol=1e-14, rtol=0)
        if partner[i] != i:
            torch.testing.assert_close(kept[i], shares[i], atol=1e-14, rtol=0)


REFUSED = {
    "count must be at least 0, got -1": lambda: erasing_boxes(-1, 8, 8, generator()),
    "height must be at least 1, got 0": lambda: erasing_boxes(2, 0, 8, generator()),
    "low must lie in (0, 1], got 0": lambda: erasing_boxes(2, 8, 8, generator(), low=0),
    "high must lie in [0.5, 1], got 0.4": lambda: erasing_boxes(2, 8, 8, generator(), low=0.5),
    "ratio must lie in (0, 1], got 1.5": lambda: erasing_boxes(2, 8, 8, generator(), ratio=1.5),
    "must allow boxes inside a picture of 1 × 1000": lambda: erasing_boxes(2, 1, 1000, generator()),
    "tall must lie in [0, 8], got 9": lambda: centred_boxes(2, 8, 8, 9, 2, generator()),
    "wide must lie in [0, 8], got -1": lambda: centred_boxes(2, 8, 8, 2, -1, generator()),
    "p must lie in [0, 1], got 1.5": lambda: random_erasing(pictures(0, 2, 1, 8, 8), generator(), p=1.5),
    "value must lie in [-3.4028": lambda: random_erasing(pictures(0, 2, 1, 8, 8), generator(), value=float("nan")),
    "value must lie in [-3.4": lambda: cutout(pictures(0, 2, 1, 8, 8), 3, generator(), value=1e300),
    "size must lie in [0, 4], got 5": lambda: cutout(pictures(0, 2, 1, 8, 4), 5, generator()),
    "x must have pictures of at least one pixel, got shape (2, 1, 0, 8)": lambda: cutout(torch.zeros(2, 1, 0, 8), 0, generator()),
    "x must have pictures of at least one pixel, got shape (2, 1, 8, 0)": lambda: random_erasing(torch.zeros(2, 1, 8, 0), generator()),
    "weight must lie in [0, 1], got 1.5": lambda: mixup(pictures(0, 2, 3), pictures(0, 2, 3), 1.5, torch.tensor([1, 0])),
    "weight must be finite": lambda: mixup(pictures(0, 2, 3), pictures(0, 2, 3), float("nan"), torch.tensor([1, 0])),
    "partner must hold rows 0 … 1, got 0 to 2": lambda: mixup(
        pictures(0, 2, 3), pictures(0, 2, 3), 0.5, torch.tensor([0, 2])
    ),
    "boxes must be x1 y1 x2 y2 inside the picture of 8 × 12": lambda: cutmix(
        pictures(0, 1, 1, 8, 12), pictures(0, 1, 3), torch.tensor([[0, 0, 4, 9]]), torch.tensor([0])
    ),
    "boxes must be x1 y1 x2 y2 inside the picture of 12 × 8": lambda: cutmix(
        pictures(0, 1, 1, 12, 8), pictures(0, 1, 3), torch.tensor([[0, 0, 9, 4]]), torch.tensor([0])
    ),
    "inside the picture of 9 × 9, got [[3, 0, 2, 4]]": lambda: cutmix(
        pictures(0, 1, 1, 9, 9), pictures(0, 1, 3), torch.tensor([[3, 0, 2, 4]]), torch.tensor([0])
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_by_name(message):
    with pytest.raises(ValueError) as error:
        REFUSED[message]()
    assert message in str(error.value)


@pytest.mark.parametrize("rounds", [1, 3])
def test_proposals_end_after_the_last_round(rounds, monkeypatch):
    monkeypatch.setattr(augmentation, "ROUNDS", rounds)
    with pytest.raises(ValueError, match=f"of {24 * rounds} proposals 0 fitted"):
        erasing_boxes(2, 1, 1000, generator())


def test_wrong_shapes_and_types_are_refused():
    x = pictures(0, 2, 1, 8, 8)
    for call in (
        lambda: random_erasing(x[0], generator()),
        lambda: random_erasing((x * 255).byte(), generator()),
        lambda: mixup(x, pictures(0, 3, 4), 0.5, torch.tensor([1, 0])),
        lambda: mixup(x, pictures(0, 2, 4), torch.tensor([0.5]), torch.tensor([1, 0])),
        lambda: cutmix(x, pictures(0, 2, 4), torch.tensor([0, 0, 1, 1]), torch.tensor([1, 0])),
        lambda: box_mask(torch.zeros(2, 3, dtype=torch.int64), 4, 4),
    ):
        with pytest.raises(TypeError):
            call()
