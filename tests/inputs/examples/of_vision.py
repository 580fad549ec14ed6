"""Examples for `lib.vision`."""

import numpy as np
import torch
from examples.values import law, module, normal, tokens
from torch import nn

from lib.vision.detection import Detections, Objects
from lib.vision.promptable import FourierEncoding, MaskDecoder
from lib.vision.receptive_field import Field, Layer
from lib.vision.windows import PatchMerging, SwinBlock, SwinTransformer, WindowAttention

_BOXES = torch.tensor([[0, 0, 2, 2], [1, 1, 3, 4]])


def _layers():
    return [Layer(3, 1, 1), Layer(3, 2)]


def _boxes():
    return _BOXES.double().numpy()


def _objects():
    return Objects(np.array([0, 1]), np.array([0, 0]), _boxes())


def _detections():
    return Detections(np.array([0, 1]), np.array([0, 1]), np.array([0.9, 0.8]), _boxes())


def _masks():
    return (normal(2, 3, 3) > 0).float()


def _decoder():
    return module(lambda: MaskDecoder(8, 2, 1, 2, 8, 8))


def _swin():
    return module(lambda: SwinTransformer(4, 4, [2, 1], [1, 2], 2, 2, 3))


EXAMPLES = {
    "augmentation.erasing_boxes": lambda: dict(count=2, height=8, width=8),
    "augmentation.centred_boxes": lambda: dict(count=2, height=8, width=8, tall=3, wide=3),
    "augmentation.box_mask": lambda: dict(boxes=_BOXES.clone(), height=4, width=4),
    "augmentation.random_erasing": lambda: dict(x=normal(2, 3, 8, 8)),
    "augmentation.cutout": lambda: dict(x=normal(2, 3, 8, 8), size=3),
    "augmentation.mixup": lambda: dict(x=normal(2, 3), y=law(2, 3).float(), weight=0.5, partner=torch.tensor([1, 0])),
    "augmentation.cutmix": lambda: dict(x=normal(2, 3, 4, 4), y=law(2, 3).float(), boxes=_BOXES.clone(), partner=torch.tensor([1, 0])),
    "clip.zero_shot_weights": lambda: dict(encode_text=lambda texts: normal(len(texts), 3), templates=["a {}"], names=["cat", "dog"]),
    "contrastive.donsker_varadhan": lambda: dict(joint=normal(3), marginal=normal(4)),
    "contrastive.similarity": lambda: dict(first=normal(3, 2), second=normal(3, 2)),
    "contrastive.info_nce": lambda: dict(scores=normal(3, 4), positions=tokens(3, below=4)),
    "detection.box_iou": lambda: dict(a=_boxes(), b=_boxes()),
    "detection.match": lambda: dict(overlaps=law(3, 2).numpy(), thresholds=np.array([0.5, 0.75])),
    "detection.precision_recall": lambda: dict(hits=np.array([True, False, True]), objects=3),
    "detection.average_precision": lambda: dict(precision=np.array([1.0, 0.5]), recall=np.array([0.5, 1.0])),
    "detection.evaluate": lambda: dict(objects=_objects(), detections=_detections(), classes=2),
    "promptable.FourierEncoding": lambda: dict(C=4),
    "promptable.FourierEncoding.forward": lambda: dict(self=module(lambda: FourierEncoding(4)), xy=law(3, 2).float()),
    "promptable.FourierEncoding.grid": lambda: dict(self=module(lambda: FourierEncoding(4)), h=2, w=3),
    "promptable.MaskDecoder": lambda: dict(C=8, heads=2, layers=1, masks=2, mlp=8, iou_hidden=8),
    "promptable.MaskDecoder.forward": lambda: dict(
        self=_decoder(), image=normal(2, 8, 3, 3), pe=normal(1, 8, 3, 3), sparse=normal(2, 1, 8), dense=normal(1, 8, 1, 1)
    ),
    "promptable.focal_loss": lambda: dict(logits=normal(2, 4, 3, 3), target=_masks()),
    "promptable.dice_loss": lambda: dict(logits=normal(2, 4, 3, 3), target=_masks()),
    "promptable.mask_iou": lambda: dict(logits=normal(2, 4, 3, 3), target=_masks()),
    "receptive_field.Layer": lambda: dict(kernel=3, stride=2, padding=1, dilation=1),
    "receptive_field.Layer.same": lambda: dict(kernel=3),
    "receptive_field.Field": lambda: dict(size=3, jump=1, centre=0.0),
    "receptive_field.Field.pixels": lambda: dict(self=Field(3, 1, 0.0), unit=2),
    "receptive_field.growth": lambda: dict(layers=_layers()),
    "receptive_field.receptive_field": lambda: dict(layers=_layers()),
    "receptive_field.joined": lambda: dict(branches=[Field(3, 1, 0.0), Field(5, 1, 0.0)]),
    "receptive_field.seen": lambda: dict(layers=_layers(), unit=2),
    "receptive_field.probe": lambda: dict(network=module(lambda: nn.Conv2d(2, 3, 3)), shape=(2, 6, 6), at=(1, 2)),
    "receptive_field.box": lambda: dict(mask=torch.eye(3, dtype=torch.bool)),
    "upsampling.pixel_shuffle": lambda: dict(x=normal(1, 8, 2, 3), r=2),
    "upsampling.pixel_unshuffle": lambda: dict(x=normal(1, 2, 4, 6), r=2),
    "upsampling.max_unpool": lambda: dict(x=normal(1, 1, 1, 2), index=torch.tensor([[[[0, 3]]]]), size=(2, 4)),
    "windows.window_partition": lambda: dict(x=normal(2, 4, 4, 3), M=2, shift=1),
    "windows.window_reverse": lambda: dict(windows=normal(8, 4, 3), M=2, height=4, width=4, shift=1),
    "windows.shifted_window_mask": lambda: dict(height=4, width=4, M=2, shift=1),
    "windows.WindowAttention": lambda: dict(channels=4, heads=2, M=2),
    "windows.WindowAttention.forward": lambda: dict(
        self=module(lambda: WindowAttention(4, 2, 2)), x=normal(8, 4, 4), mask=torch.ones(4, 4, 4, dtype=torch.bool)
    ),
    "windows.SwinBlock": lambda: dict(channels=4, heads=2, M=2, shift=1),
    "windows.SwinBlock.forward": lambda: dict(self=module(lambda: SwinBlock(4, 2, 2, 1)), x=normal(2, 4, 4, 4)),
    "windows.PatchMerging": lambda: dict(channels=4),
    "windows.PatchMerging.forward": lambda: dict(self=module(lambda: PatchMerging(3)), x=normal(2, 4, 4, 3)),
    "windows.SwinTransformer": lambda: dict(tokens=4, channels=4, depths=[2, 1], heads=[1, 2], M=2, patch=2, classes=3),
    "windows.SwinTransformer.features": lambda: dict(self=_swin(), images=normal(2, 3, 8, 8)),
    "windows.SwinTransformer.forward": lambda: dict(self=_swin(), images=normal(2, 3, 8, 8)),
}
LONG = {"receptive_field.Layer.same": set(), "windows.SwinTransformer": {"depths"}, "promptable.MaskDecoder": {"layers"}}
NAN = {
    "promptable.dice_loss": "a smooth that the precision does not hold, as the docstring says",
    "detection.evaluate": "a class without objects has no average precision",
    **dict.fromkeys(
        ["promptable.MaskDecoder.forward", "promptable.FourierEncoding.forward"] + [f"windows.{n}" for n in (
            "WindowAttention.forward", "SwinBlock.forward", "PatchMerging.forward", "SwinTransformer.features",
            "SwinTransformer.forward",
        )],
        "products of huge numbers overflow, which the docstring leaves to the caller",
    ),
}
