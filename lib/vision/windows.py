"""Attention within windows that shift from block to block, and the image model that is built of them.

Tokens lie on a grid, channels last: (batch, height, width, channels). A window is M by M of them, its tokens in rows.
Source of all: Liu et al., Swin Transformer, arXiv 2103.14030.

In its modules, values are assumed to be of moderate size: products of huge numbers overflow, which may end in NaN.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from lib.course.ranges import require_at_least, require_in
from lib.course.shapes import Bool, Float, Int64, Real, checked
from lib.course.tensors import require_width, working_dtype
from lib.sequence.attention import attend


@checked
def window_partition(
    x: Real[Tensor, "batch height width channels"], M: int, shift: int = 0
) -> Real[Tensor, "windows tokens channels"]:
    """The windows of an image that was first rolled up and left by `shift`, (batch · height · width / M², M², channels).

    Windows of one image follow each other in rows. A window that does not divide the image, or a shift outside
    0 … M - 1, raises a `ValueError`.
    """
    batch, height, width, channels = x.shape
    _require_windows(height, width, M, shift)
    if shift:  # one copy, where rolling along both axes and cutting takes three
        order, _ = _orders(height, width, M, shift, x.device)
        windows = x.flatten(1, 2).index_select(1, order)
    else:
        windows = x.reshape(batch, height // M, M, width // M, M, channels).transpose(2, 3)
    return windows.reshape(batch * height * width // M**2, M * M, channels)


@checked
def window_reverse(
    windows: Real[Tensor, "windows tokens channels"], M: int, height: int, width: int, shift: int = 0
) -> Real[Tensor, "batch {height} {width} channels"]:
    """The images that `window_partition` made these windows of, with the same M and shift."""
    _require_windows(height, width, M, shift)
    each = height * width // M**2
    if windows.shape[1] != M**2 or len(windows) % each:
        raise ValueError(
            f"windows must be a multiple of {each} with {M**2} tokens each, for images of {height} by {width} and M = {M}, "
            f"got {len(windows)} with {windows.shape[1]}"
        )
    batch, channels = len(windows) // each, windows.shape[2]
    if shift:
        _, back = _orders(height, width, M, shift, windows.device)
        x = windows.reshape(batch, height * width, channels).index_select(1, back)
    else:
        x = windows.reshape(batch, height // M, width // M, M, M, channels).transpose(2, 3)
    return x.reshape(batch, height, width, channels)


@checked
def shifted_window_mask(height: int, width: int, M: int, shift: int) -> Bool[Tensor, "windows tokens tokens"]:
    """For each window of the rolled image, True where two of its tokens were neighbours before it was rolled.

    A token has come around the edge if it lies in the last `shift` rows, or columns, of the rolled image. Two tokens of a
    window may see each other if they agree in both. Source: section 3.2, figure 4.
    """
    _require_windows(height, width, M, shift)
    return _mask(height, width, M, shift, torch.device("cpu")).clone()


@checked
def relative_position_index(M: int) -> Int64[Tensor, "tokens tokens"]:
    """The row of a table with (2M - 1)² rows that belongs to the offset of two tokens of a window, query less key."""
    require_at_least("M", M, 1)
    row, column = (place.flatten() for place in torch.meshgrid(torch.arange(M), torch.arange(M), indexing="ij"))
    down, right = row[:, None] - row, column[:, None] - column
    return (down + M - 1) * (2 * M - 1) + right + M - 1


class WindowAttention(nn.Module):
    """Multi-head attention within each window, with a trained scalar for each head and offset. Source: equation 4."""

    @checked
    def __init__(self, channels: int, heads: int, M: int):
        super().__init__()
        for name, count in (("channels", channels), ("heads", heads)):
            require_at_least(name, count, 1)
        if channels % heads:
            raise ValueError(f"channels must be a multiple of heads = {heads}, got {channels}")
        self.heads, self.M = heads, M
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.register_buffer("index", relative_position_index(M), persistent=False)
        self.bias_table = nn.Parameter(nn.init.trunc_normal_(torch.empty((2 * M - 1) ** 2, heads), std=0.02))

    @checked
    def forward(
        self, x: Float[Tensor, "windows tokens channels"], mask: Bool[Tensor, "masks tokens tokens"] | None = None
    ) -> Float[Tensor, "windows tokens channels"]:
        """Of windows, and of masks for those of one image; the windows of an image follow each other."""
        require_width("x", x, self.out.in_features)
        if x.shape[1] != self.M**2:
            raise ValueError(f"x must have windows of {self.M**2} tokens, got {x.shape[1]}")
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.bias_table[self.index].permute(2, 0, 1)[None].to(working_dtype(x.dtype))
        if mask is not None:
            if not len(mask) or len(x) % len(mask):
                raise ValueError(f"mask must be for as many windows as an image has, got {len(mask)} for {len(x)} in all")
            if not mask.is_meta and not mask.any(-1).all():
                raise ValueError("mask must leave every token one that it may see")
            bias = torch.where(mask[:, None], bias, -torch.inf).repeat(len(x) // len(mask), 1, 1, 1)
        return self.out(attend(q, k, v, bias).transpose(1, 2).flatten(2))


class SwinBlock(nn.Module):
    """Attention in windows that are displaced by `shift`, then two layers on each token; both normalised and added."""

    @checked
    def __init__(self, channels: int, heads: int, M: int, shift: int = 0, expansion: int = 4):
        super().__init__()
        for name, count in (("channels", channels), ("M", M), ("expansion", expansion)):
            require_at_least(name, count, 1)
        require_in("shift", shift, 0, M - 1)
        self.M, self.shift = M, shift
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, heads, M)
        self.fc1, self.fc2 = nn.Linear(channels, expansion * channels), nn.Linear(expansion * channels, channels)

    @checked
    def forward(self, x: Float[Tensor, "batch height width channels"]) -> Float[Tensor, "batch height width channels"]:
        require_width("x", x, self.fc1.in_features)
        height, width = x.shape[1:3]
        windows = window_partition(self.norm1(x), self.M, self.shift)
        mask = _mask(height, width, self.M, self.shift, x.device) if self.shift else None
        x = x + window_reverse(self.attention(windows, mask), self.M, height, width, self.shift)
        return x + self.fc2(gelu(self.fc1(self.norm2(x))))


class PatchMerging(nn.Module):
    """Four neighbours become one token: their channels in a row, in the order (0, 0), (1, 0), (0, 1), (1, 1) of row and
    column, are normalised and mapped linearly from 4 C to 2 C. Source: section 3.1."""

    @checked
    def __init__(self, channels: int):
        super().__init__()
        require_at_least("channels", channels, 1)
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    @checked
    def forward(self, x: Float[Tensor, "batch height width channels"]) -> Float[Tensor, "batch rows columns merged"]:
        require_width("x", x, self.reduction.in_features // 4)
        if x.shape[1] % 2 or x.shape[2] % 2:
            raise ValueError(f"x must be of even size: height and width must be even, got {x.shape[1]} and {x.shape[2]}")
        four = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(four, -1)))


class SwinTransformer(nn.Module):
    """Patches become tokens of width `channels`; stages of blocks follow, between them patches merge.

    Every second block of a stage shifts by ⌊M/2⌋, except where the stage's image is one window: pass `tokens`, the rows
    of tokens that the first stage will have, so that this is known. Source: section 3.3 and table 7.
    """

    @checked
    def __init__(
        self, tokens: int, channels: int, depths: Sequence[int], heads: Sequence[int], M: int, patch: int, classes: int
    ):
        super().__init__()
        if len(depths) != len(heads):
            raise ValueError(f"heads must have a number for each of {len(depths)} stages, got {len(heads)}")
        counts = dict(tokens=tokens, channels=channels, M=M, patch=patch, classes=classes)
        for name, count in counts.items():
            require_at_least(name, count, 1)
        for depth in depths:
            require_at_least("each number of depths", depth, 0)
        self.patches = nn.Conv2d(3, channels, patch, stride=patch)
        self.norm_in = nn.LayerNorm(channels)
        self.layers = nn.Sequential()
        for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
            if stage:
                self.layers.append(PatchMerging(channels))
                tokens, channels = tokens // 2, 2 * channels
            shift = M // 2 if tokens > M else 0
            self.layers.extend(SwinBlock(channels, count, M, shift * (block % 2)) for block in range(depth))
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, classes)

    @checked
    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch rows columns channels"]:
        """What the last stage makes of each part of the image, normalised."""
        return self.norm(self.layers(self.norm_in(self.patches(images).permute(0, 2, 3, 1))))

    @checked
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of the classes, from the mean over the image."""
        return self.head(self.features(images).mean((1, 2)))


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # or what is kept could not serve in training
def _orders(height, width, M, shift, device):
    """Which token of the image (row by row) each place of its windows takes, and the inverse."""
    places = torch.arange(height * width, device=device).view(height, width).roll((-shift, -shift), (0, 1))
    order = places.view(height // M, M, width // M, M).transpose(1, 2).flatten()
    return order, order.argsort()


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # or what is kept could not serve in training
def _mask(height, width, M, shift, device):
    down, right = (torch.arange(size, device=device) >= size - shift for size in (height, width))
    piece = (2 * down[:, None] + right)[None, :, :, None]
    piece = window_partition(piece, M)[..., 0]
    return piece[:, :, None] == piece[:, None]


def _require_windows(height, width, M, shift):
    require_at_least("M", M, 1)
    require_in("shift", shift, 0, M - 1)
    if height % M or width % M or not height * width:
        raise ValueError(f"M must divide height and width, which are at least 1, got M = {M} for {height} by {width}")
