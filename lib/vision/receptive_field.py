"""Receptive fields: how many pixels a unit of a convolutional network sees, and where they lie.

Everything is said along one axis, since the axes of an image do not mix, and of units whose paths stay clear of the
border: padding within the network cuts the paths that cross it. Source: Araujo, Norris and Sim 2019, Computing Receptive
Fields of Convolutional Neural Networks, Distill, doi 10.23915/distill.00021.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib.course.ranges import require_whole
from lib.course.shapes import Bool, checked_after_errors


@dataclass(frozen=True)
class Layer:
    """A convolution or a pooling along one axis: unit i reads positions s i - p, s i - p + d, …, k of them.

    kernel    k, how many positions a unit reads
    stride    s, steps from one unit's first position to its neighbour's
    padding   p, positions added in front (what is added behind changes no field)
    dilation  d, steps between two positions that one unit reads
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def __post_init__(self):
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            require_whole(name, getattr(self, name), least)

    @classmethod
    def same(cls, kernel: int, stride: int = 1, dilation: int = 1) -> "Layer":
        """The layer whose padding leaves the fields' centre where it was; an even reach has no such padding."""
        layer = cls(kernel, stride, 0, dilation)
        if layer.reach % 2 == 0:
            raise ValueError(f"kernel must be odd (or dilation even) to be centred on a position, got {kernel} and {dilation}")
        return cls(kernel, stride, layer.reach // 2, dilation)

    @property
    def reach(self) -> int:
        """Positions from the first to the last that a unit reads: d (k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1


@dataclass(frozen=True)
class Field:
    """The receptive fields of a layer's units, in pixels.

    size    pixels from the first to the last that can reach a unit, both counted
    jump    pixels from the centre of one unit's field to its neighbour's
    centre  the middle of the field of unit 0; it lies between two pixels where size is even
    """

    size: int
    jump: int
    centre: float

    @checked_after_errors
    def pixels(self, unit: int = 0) -> tuple[int, int]:
        """The first and the last pixel of a unit's field; those below 0 or beyond the image are padding."""
        first = self.centre + unit * self.jump - (self.size - 1) / 2
        return int(first), int(first) + self.size - 1


@checked_after_errors
def growth(layers: Sequence[Layer]) -> list[Field]:
    """The fields of the input, after the first layer, after the second, …: one more than there are layers."""
    fields = [Field(1, 1, 0.0)]
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must hold Layer alone, got {type(layer).__name__}")
        size, jump, centre = fields[-1].size, fields[-1].jump, fields[-1].centre
        widening = (layer.reach - 1) * jump
        fields.append(Field(size + widening, jump * layer.stride, centre + widening / 2 - layer.padding * jump))
    return fields


@checked_after_errors
def receptive_field(layers: Sequence[Layer]) -> Field:
    """The fields of the units after the last layer."""
    return growth(layers)[-1]


@checked_after_errors
def joined(*branches: Field) -> Field:
    """The fields of units that add or stack the units of several branches: the smallest that contain all of them."""
    if not branches:
        raise ValueError("branches must be at least one field, got none")
    jumps = {field.jump for field in branches}
    if len(jumps) > 1:
        raise ValueError(f"branches must have one jump to stay aligned, got {sorted(jumps)}")
    first = min(field.centre - (field.size - 1) / 2 for field in branches)
    last = max(field.centre + (field.size - 1) / 2 for field in branches)
    return Field(int(last - first) + 1, branches[0].jump, (first + last) / 2)


@checked_after_errors
def seen(layers: Sequence[Layer], unit: int = 0) -> list[int]:
    """The pixels that can reach a unit, by the definition: one set of positions a layer, from the last to the first."""
    positions = {unit}
    for layer in reversed(layers):
        starts = (layer.stride * i - layer.padding for i in positions)
        positions = {start + layer.dilation * a for start in starts for a in range(layer.kernel)}
    return sorted(positions)


@checked_after_errors
def probe(
    network: nn.Module, shape: tuple[int, int, int], at: tuple[int, int] | None = None
) -> Bool[Tensor, "height width"]:
    """The pixels that can reach one unit of a network, found by a gradient.

    network  takes images (1, channel, height, width) to units (1, channel, height, width); it is left as it is
    shape    channels, height and width of the image
    at       row and column of the unit; the middle one if not given

    The gradient is that of a copy in float64 whose weights are all positive, so that no two paths cancel, whose biases
    are 0, and whose `nn.MaxPool2d` are means, since a maximum hides all of its inputs but one. Batch normalisation acts
    as its mode says: in training mode one unit sees the whole batch.
    """
    if len(shape) != 3:
        raise ValueError(f"shape must be channels, height and width, got {shape}")
    for name, count in zip(("shape's channels", "shape's height", "shape's width"), shape, strict=True):
        require_whole(name, count, 1)
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
    try:
        units = _transparent(network)(image.requires_grad_())
    except RuntimeError as error:
        raise ValueError(f"network must take an image of shape {tuple(shape)}, got an error: {error}") from error
    if not isinstance(units, Tensor) or units.ndim != 4 or len(units) != 1 or not units.requires_grad:
        raise ValueError("network must return a tensor (1, channel, height, width) that has a gradient")
    row, column = at or (units.shape[2] // 2, units.shape[3] // 2)
    if not (0 <= row < units.shape[2] and 0 <= column < units.shape[3]):
        raise ValueError(f"at must lie within the {tuple(units.shape[2:])} units, got {(row, column)}")
    (gradient,) = torch.autograd.grad(units[0, :, row, column].sum(), image)
    return (gradient[0] != 0).any(0)


@checked_after_errors
def box(mask: Bool[Tensor, "height width"]) -> tuple[int, int, int, int]:
    """The first and the last row, the first and the last column that hold a True."""
    rows, columns = (mask.any(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    if not rows:
        raise ValueError("mask must hold a True, got none")
    return rows[0], rows[-1], columns[0], columns[-1]


def _transparent(network):
    """A copy through which every path is open and counts with a positive weight."""
    network = copy.deepcopy(network).double()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, _mean_of(child))
    if isinstance(network, nn.MaxPool2d):
        network = _mean_of(network)
    for name, parameter in network.named_parameters():
        inputs = parameter[0].numel() if parameter.ndim else 1
        nn.init.constant_(parameter, 0 if name.endswith("bias") else 1 / inputs)
    return network


def _mean_of(pool):
    if pool.dilation not in (1, (1, 1)):
        raise ValueError(f"network may not hold a maximum with dilation, got {pool}")
    return nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
