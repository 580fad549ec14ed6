"""A small U-Net for pictures of 20 x 20 that is told the noise level, and the denoisers that EDM's factors make of it."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, silu
from walks import Denoiser

WAVES = 2.0 ** torch.arange(-2, 6)
DEVIATION = 0.5
PREDICTED = ("EDM", "noise", "data")


class Block(nn.Module):
    """Two convolutions behind group norms; between them the level comes in."""

    def __init__(self, inside: int, outside: int, told: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(n, outside, 3, padding=1) for n in (inside, outside))
        self.norms = nn.ModuleList(nn.GroupNorm(min(8, n), n) for n in (inside, outside))
        self.tell = nn.Linear(told, outside)
        self.skip = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.first(silu(self.norms[0](x))) + self.tell(told)[:, :, None, None]
        return self.skip(x) + self.second(silu(self.norms[1](h)))


class UNet(nn.Module):
    """Pictures (n, 3, 20, 20) and levels (n,), a few units wide, to (n, 3, 20, 20); 0 at first.

    One block a side at each resolution, with as many channels as `widths` says, and one more at the bottom.
    """

    def __init__(self, widths: tuple[int, ...], told: int):
        super().__init__()
        self.register_buffer("waves", WAVES.clone())
        self.told = nn.Sequential(nn.Linear(2 * len(WAVES), told), nn.SiLU(), nn.Linear(told, told), nn.SiLU())
        self.enter, before = nn.Conv2d(3, widths[0], 3, padding=1), (widths[0], *widths)
        self.down = nn.ModuleList(Block(n, m, told) for n, m in zip(before, widths, strict=False))
        self.middle = Block(widths[-1], widths[-1], told)
        self.up = nn.ModuleList(Block(n + m, m, told) for n, m in zip((widths[-1], *widths[:0:-1]), widths[::-1], strict=True))
        self.norm, self.leave = nn.GroupNorm(min(8, widths[0]), widths[0]), nn.Conv2d(widths[0], 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        angles = level[:, None] * self.waves
        told, kept = self.told(torch.cat([angles.sin(), angles.cos()], 1)), []
        h = self.enter(x)
        for block in self.down:
            h = block(h, told)
            kept.append(h)
            h = h if block is self.down[-1] else avg_pool2d(h, 2)
        h = self.middle(h, told)
        for block, beside in zip(self.up, reversed(kept), strict=True):
            h = h if h.shape[-1] == beside.shape[-1] else interpolate(h, scale_factor=2.0)
            h = block(torch.cat([h, beside], 1), told)
        return self.leave(silu(self.norm(h)))


def factors(predicted: str, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """c_skip, c_out and c_in: those of (12), or what makes the network predict noise or data."""
    total = sigma**2 + DEVIATION**2
    skip, out = {
        "EDM": (DEVIATION**2 / total, sigma * DEVIATION / total**0.5),
        "noise": (torch.ones_like(sigma), sigma),
        "data": (torch.zeros_like(sigma), torch.full_like(sigma, DEVIATION)),
    }[predicted]
    return skip, out, total**-0.5


def ahead(net: UNet, predicted: str, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the network gives out for pictures x at levels (n,), and c_skip and c_out, shaped to multiply pictures."""
    skip, out, into = (factor[:, None, None, None] for factor in factors(predicted, sigma))
    return net(into * x, sigma.log() / 4), skip, out


def denoiser(net: UNet, predicted: str) -> Denoiser:
    def denoise(x: Tensor, sigma: float) -> Tensor:
        given, skip, out = ahead(net, predicted, x, x.new_full(x.shape[:1], sigma))
        return skip * x + out * given

    return denoise
