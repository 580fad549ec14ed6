"""What the chapter on random erasing says of kornia."""

import warnings

import kornia
import kornia.augmentation as K
import pytest
import torch

from lib.vision.augmentation import box_mask, erasing_boxes

PAGE = "book/vision/random-erasing.ipynb, section In production"
KORNIA = f"kornia {kornia.__version__} (0.9.0 on the page): mend the row in {PAGE}"
SETTINGS = {"scale": (0.02, 0.4), "ratio": (0.3, 1 / 0.3)}


def kornias_boxes(count, height, width, **settings):
    """Rows x1 y1 x2 y2."""
    torch.manual_seed(0)
    peer = K.RandomErasing(p=1.0, **(settings or SETTINGS))
    drawn = peer.forward_parameters(torch.Size((count, 1, height, width)))
    x, y, wide, tall = (drawn[name].long() for name in ("xs", "ys", "widths", "heights"))
    return torch.stack([x, y, x + wide, y + tall], 1)


def test_kornia_erases_the_share_that_was_asked_for_and_algorithm_1_less():
    theirs = box_mask(kornias_boxes(20_000, 32, 32), 32, 32).double()
    ours = box_mask(erasing_boxes(20_000, 32, 32, torch.Generator().manual_seed(0)), 32, 32).double()
    assert abs(theirs.mean() - 0.21) < 0.005, KORNIA
    assert abs(ours.mean() - 0.146) < 0.005
    assert theirs[:, 0, 16, 16].mean() > 0.4 > 0.36 > ours[:, 0, 16, 16].mean(), KORNIA


def test_a_side_that_is_too_long_is_cut_to_the_picture():
    boxes = kornias_boxes(1000, 20, 20, scale=(0.4, 0.4), ratio=(3.0, 3.3))
    assert ((boxes[:, 1] == 0) & (boxes[:, 3] == 20)).all(), KORNIA
    with pytest.raises(ValueError, match="must allow boxes"):
        erasing_boxes(10, 20, 20, torch.Generator(), low=0.99, high=0.99, ratio=0.3)


def test_half_of_kornias_boxes_are_tall_and_each_half_is_uniform():
    x1, y1, x2, y2 = kornias_boxes(20_000, 1000, 1000, scale=(0.1, 0.2), ratio=(0.3, 3.3)).T
    ratio = (y2 - y1) / (x2 - x1)  # no side is cut: the longest has 812 pixels
    tall = ratio > 1
    assert abs(tall.double().mean() - 0.5) < 0.02, KORNIA
    for half, ends in ((ratio[tall], (1.0, 3.3)), (ratio[~tall], (0.3, 1.0))):
        quarters = torch.quantile(half.double(), torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
        want = ends[0] + (ends[1] - ends[0]) * torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        assert (quarters - want).abs().max() < 0.03 * (ends[1] - ends[0]), KORNIA
    x1, y1, x2, y2 = erasing_boxes(20_000, 400, 400, torch.Generator().manual_seed(0)).T
    assert abs(((y2 - y1) > (x2 - x1)).double().mean() - 0.75) < 0.02


def test_one_box_in_five_has_a_full_side_on_a_wide_picture():
    x1, y1, x2, y2 = kornias_boxes(20_000, 64, 128).T
    assert abs(((y2 - y1 == 64) | (x2 - x1 == 128)).double().mean() - 0.2) < 0.015, KORNIA


@pytest.mark.parametrize("value", [-1, 1.5, "random", (0.1, 0.2, 0.3)])
def test_the_value_is_one_number_from_0_to_1(value):
    with pytest.raises(Exception, match="'value' must be a number between 0 - 1"):
        K.RandomErasing(value=value, p=1.0)(torch.ones(2, 3, 8, 8))


def test_mixup_weighs_the_partner_with_a_uniform_number_for_each_picture():
    torch.manual_seed(0)
    peer = K.RandomMixUpV2(data_keys=["input", "class"])
    count = 5000
    x = torch.arange(float(count))[:, None, None, None].expand(count, 1, 2, 2)
    mixed, rows = peer(x, torch.arange(count))
    weight, partner = rows[:, 2], peer._params["mixup_pairs"]
    want = (1 - weight) * torch.arange(count) + weight * partner
    torch.testing.assert_close(mixed[:, 0, 0, 0], want, atol=1e-2, rtol=1e-5, msg=KORNIA)
    assert abs(weight.mean() - 0.5) < 0.02 and abs(weight.var() - 1 / 12) < 0.005, KORNIA
    assert weight.unique().numel() > 4900, KORNIA
    assert "alpha" not in K.RandomMixUpV2.__init__.__code__.co_varnames, KORNIA


def foreign_shares(count=2000, **settings):
    torch.manual_seed(0)
    peer = K.RandomCutMixV2(data_keys=["input", "class"], **settings)
    x = torch.arange(float(count))[:, None, None, None].expand(count, 1, 64, 64).clone()
    mixed, rows = peer(x, torch.arange(count))
    own = torch.arange(count)[:, None] == peer._params["mix_pairs"][0][:, None]
    foreign = (mixed.flatten(1) != torch.arange(count)[:, None]).double().mean(1)
    return foreign[~own[:, 0]], rows[0, ~own[:, 0], 2].double()


def test_cutmix_returns_the_foreign_share_unless_told_otherwise():
    with pytest.warns(DeprecationWarning, match="old .inconsistent. lambda"):
        foreign, weight = foreign_shares()
    torch.testing.assert_close(weight, foreign, atol=1e-6, rtol=0, msg=KORNIA)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        foreign, weight = foreign_shares(use_correct_lambda=True)
    torch.testing.assert_close(weight, 1 - foreign, atol=1e-6, rtol=0, msg=KORNIA)


def test_cutmixs_boxes_fit_so_that_half_of_the_pixels_are_foreign():
    foreign, _ = foreign_shares(use_correct_lambda=True)
    assert abs(foreign.mean() - 0.49) < 0.025, KORNIA  # a half, less what rounding down takes
