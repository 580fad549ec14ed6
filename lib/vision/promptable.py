"""Segmentation on demand: clicks as vectors, a decoder that makes masks of them, and the losses that it is trained with.

Places are (x, y) as shares of the image's width and height. A logit above 0 says that a pixel belongs to the mask.
Source of all: Kirillov et al., Segment Anything, arXiv 2304.02643, appendix A, and the authors' code.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, logsigmoid, relu

from lib.course.ranges import require_at_least, require_not_negative, require_positive
from lib.course.shapes import Float, Real, checked
from lib.course.tensors import require_finite_entries, working_dtype
from lib.sequence.attention import attend


class FourierEncoding(nn.Module):
    """Sines, then cosines, of C/2 random waves over the image; `scale` is the standard deviation of their frequencies.

    The frequencies are drawn once and not trained: a buffer (2, C/2). The authors' code has scale 1.
    """

    @checked
    def __init__(self, C: int, scale: float = 1.0):
        super().__init__()
        require_at_least("C", C, 2)
        if C % 2:
            raise ValueError(f"C must be even, got {C}")
        require_positive("scale", scale)
        self.register_buffer("frequencies", scale * torch.randn(2, C // 2))

    @checked
    def forward(self, xy: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch channels"]:
        """One vector for each place; at least float32."""
        dtype = torch.promote_types(xy.dtype, self.frequencies.dtype)
        turns = (2 * xy.to(dtype) - 1) @ self.frequencies.to(dtype)
        return torch.cat([(2 * math.pi * turns).sin(), (2 * math.pi * turns).cos()], -1)

    @checked
    def grid(self, h: int, w: int) -> Float[Tensor, "channels {h} {w}"]:
        """The vectors of the middles of h by w cells that fill the image."""
        require_at_least("h", h, 1)
        require_at_least("w", w, 1)
        place = {"dtype": self.frequencies.dtype, "device": self.frequencies.device}
        y, x = (torch.arange(h, **place) + 0.5) / h, (torch.arange(w, **place) + 0.5) / w
        return self(torch.stack([x.expand(h, w), y[:, None].expand(h, w)], -1)).permute(2, 0, 1)


class MaskDecoder(nn.Module):
    """Tokens of prompts and an image embedding to one mask for each of `masks` tokens, and an estimate of its IoU.

    Its state has the names and shapes of transformers' `SamMaskDecoder`, so that it loads those weights; mask 0 is the one
    that SAM returns for several prompts, and 1 … are those for a single, ambiguous one.
    """

    @checked
    def __init__(self, C: int = 256, heads: int = 8, layers: int = 2, masks: int = 4, mlp: int = 2048, iou_hidden: int = 256):
        super().__init__()
        for name, value in {"layers": layers, "masks": masks, "mlp": mlp, "iou_hidden": iou_hidden, "C": C}.items():
            require_at_least(name, value, 1)
        if C % 8:
            raise ValueError(f"C must be a multiple of 8, got {C}")
        self.iou_token = nn.Embedding(1, C)
        self.mask_tokens = nn.Embedding(masks, C)
        self.transformer = _TwoWayTransformer(C, heads, layers, mlp)
        self.upscale_conv1 = nn.ConvTranspose2d(C, C // 4, 2, 2)
        self.upscale_conv2 = nn.ConvTranspose2d(C // 4, C // 8, 2, 2)
        self.upscale_layer_norm = nn.LayerNorm(C // 4, eps=1e-6)
        self.output_hypernetworks_mlps = nn.ModuleList(_ThreeLayers(C, C, C // 8) for _ in range(masks))
        self.iou_prediction_head = _ThreeLayers(C, iou_hidden, masks)

    @checked
    def forward(
        self,
        image: Float[Tensor, "batch C h w"],
        pe: Float[Tensor, "#batch C h w"],
        sparse: Float[Tensor, "batch prompts C"],
        dense: Float[Tensor, "#batch C #h #w"],
    ) -> tuple[Float[Tensor, "batch masks four_h four_w"], Float[Tensor, "batch masks"]]:
        """Logits at four times the resolution, and estimates of IoU. `pe` encodes the cells of the image embedding.

        `sparse` are the vectors of clicks and corners (there may be none), `dense` is added to the image embedding.
        """
        C = self.mask_tokens.embedding_dim
        if image.shape[1] != C:
            raise ValueError(f"image must have C = {C} channels, got {image.shape[1]}")
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(len(image), -1, -1)
        tokens = torch.cat([own, sparse], 1)
        cells = (image + dense).flatten(2).mT
        tokens, cells = self.transformer(tokens, cells, pe.flatten(2).mT)
        x = self.upscale_conv1(cells.mT.reshape(image.shape))
        x = gelu(self.upscale_layer_norm(x.movedim(1, -1)).movedim(-1, 1))
        x = gelu(self.upscale_conv2(x))
        rows = [mlp(token) for mlp, token in zip(self.output_hypernetworks_mlps, tokens[:, 1:].unbind(1), strict=False)]
        return torch.einsum("bkc,bchw->bkhw", torch.stack(rows, 1), x), self.iou_prediction_head(tokens[:, 0])


class _TwoWayTransformer(nn.Module):
    """Tokens and cells read each other, `layers` times; then the tokens read the cells once more."""

    def __init__(self, C, heads, layers, mlp):
        super().__init__()
        self.layers = nn.ModuleList(_TwoWayBlock(C, heads, mlp, first=number == 0) for number in range(layers))
        self.final_attn_token_to_image = _Attention(C, heads, C // 2)
        self.layer_norm_final_attn = nn.LayerNorm(C)

    def forward(self, tokens, cells, pe):
        q, own = tokens, tokens
        for layer in self.layers:
            q, cells = layer(q, cells, own, pe)
        q = self.layer_norm_final_attn(q + self.final_attn_token_to_image(q + own, cells + pe, cells))
        return q, cells


class _TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens to cells, two layers on each token, cells to tokens; each added and normalised.

    In the first block the tokens start as their own encoding: it is not added again, and attention replaces them.
    """

    def __init__(self, C, heads, mlp, first):
        super().__init__()
        self.first = first
        self.self_attn = _Attention(C, heads, C)
        self.cross_attn_token_to_image = _Attention(C, heads, C // 2)
        self.mlp = nn.ModuleDict({"lin1": nn.Linear(C, mlp), "lin2": nn.Linear(mlp, C)})
        self.cross_attn_image_to_token = _Attention(C, heads, C // 2)
        for number in range(1, 5):
            self.add_module(f"layer_norm{number}", nn.LayerNorm(C, eps=1e-6))

    def forward(self, q, cells, own, pe):
        mixed = self.self_attn(q, q, q) if self.first else q + self.self_attn(q + own, q + own, q)
        q = self.layer_norm1(mixed)
        q = self.layer_norm2(q + self.cross_attn_token_to_image(q + own, cells + pe, cells))
        q = self.layer_norm3(q + self.mlp["lin2"](relu(self.mlp["lin1"](q))))
        return q, self.layer_norm4(cells + self.cross_attn_image_to_token(cells + pe, q + own, q))


class _Attention(nn.Module):
    """Multi-head attention whose queries, keys and values have `inner` channels."""

    def __init__(self, C, heads, inner):
        super().__init__()
        require_at_least("heads", heads, 1)
        if inner % heads:
            raise ValueError(f"heads must divide C / 2, got {heads} heads for C = {C}")
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(C, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, C)

    def forward(self, queries, keys, values):
        pairs = ((self.q_proj, queries), (self.k_proj, keys), (self.v_proj, values))
        q, k, v = (project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for project, x in pairs)
        return self.out_proj(attend(q, k, v, None).transpose(1, 2).flatten(2))


class _ThreeLayers(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.proj_in = nn.Linear(inputs, hidden)
        self.layers = nn.ModuleList([nn.Linear(hidden, hidden)])
        self.proj_out = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.proj_out(relu(self.layers[0](relu(self.proj_in(x)))))


@checked
def focal_loss(
    logits: Float[Tensor, "batch masks h w"], target: Real[Tensor, "batch h w"], gamma: float = 2.0
) -> Float[Tensor, "batch masks"]:
    """Mean over pixels of -(1 - p)^gamma log p, p the probability given to what is true. Source: arXiv 1708.02002.

    Targets are 0 or 1; gamma = 0 is cross-entropy. Computed in float32 at least.
    """
    require_not_negative("gamma", gamma)
    z, y = _pair(logits, target)
    right = torch.where(y > 0, z, -z)  # the logit of what is true
    return (right.neg().sigmoid() ** gamma * -logsigmoid(right)).mean((-2, -1))


@checked
def dice_loss(
    logits: Float[Tensor, "batch masks h w"], target: Real[Tensor, "batch h w"], smooth: float = 1.0
) -> Float[Tensor, "batch masks"]:
    """1 - (2 Σ p y + smooth) / (Σ p + Σ y + smooth). Source: arXiv 1606.04797, which squares p and y below.

    Targets are 0 or 1. A smooth of 0 is refused where a mask and its target are empty; one that the precision does not hold
    gives NaN.
    """
    require_not_negative("smooth", smooth)
    z, y = _pair(logits, target)
    p = z.sigmoid()
    sizes = p.sum((-2, -1)) + y.sum((-2, -1)) + smooth
    if (sizes == 0).any():
        raise ValueError("smooth must be positive where mask and target are empty, got 0")
    return 1 - (2 * (p * y).sum((-2, -1)) + smooth) / sizes


@checked
def min_over_masks(loss: Float[Tensor, "batch masks"]) -> Float[Tensor, ""]:
    """The mean over the batch of each row's smallest loss: only the best mask of each prompt is trained."""
    if not loss.numel():
        raise ValueError(f"loss must not be empty, got shape {tuple(loss.shape)}")
    require_finite_entries("loss", loss)
    return loss.min(1).values.mean()


@checked
def mask_iou(logits: Float[Tensor, "batch masks h w"], target: Real[Tensor, "batch h w"]) -> Float[Tensor, "batch masks"]:
    """Shared over covered area of each mask (logits above 0) and the target (0 or 1); 1 where both are empty."""
    z, y = _pair(logits, target)
    shared, covered = ((z > 0) & (y > 0)).sum((-2, -1)), ((z > 0) | (y > 0)).sum((-2, -1))
    return torch.where(covered == 0, 1, shared.to(z.dtype) / covered.clamp(min=1))


def _pair(logits, target):
    """Finite logits, and targets of 0 and 1 beside each of their masks, both in the working precision."""
    if not logits.numel():
        raise ValueError(f"logits must not be empty, got shape {tuple(logits.shape)}")
    require_finite_entries("logits", logits)
    if not ((target == 0) | (target == 1)).all():
        raise ValueError(f"target must be 0 or 1 everywhere, got values from {target.min():g} to {target.max():g}")
    z = logits.to(working_dtype(logits.dtype))
    return z, target[:, None].to(z.dtype).expand_as(z)
