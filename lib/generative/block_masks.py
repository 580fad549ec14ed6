"""Who sees whom when blocks of tokens are made one after the other, each by diffusion.

Source: Arriola et al. 2025, arXiv 2503.09573, section 3 and appendix B.6.
"""

import torch
from torch import Tensor

from lib.course.ranges import require_at_least
from lib.course.shapes import Bool, checked


@checked
def block_causal_mask(length: int, block: int) -> Bool[Tensor, "{length} {length}"]:
    """True where the key's block does not come after the query's: within a block all see each other."""
    blocks = _blocks(length, block)
    return blocks[:, None] >= blocks


@checked
def block_diffusion_mask(length: int, block: int) -> Bool[Tensor, "2*{length} 2*{length}"]:
    """The mask that trains all blocks in one pass over noised tokens and then, at the same positions, clean ones.

    A noised block sees itself and the clean blocks before it; a clean block sees itself and those before it.
    """
    blocks = _blocks(length, block)
    own, before = blocks[:, None] == blocks, blocks[:, None] > blocks
    return torch.cat([torch.cat([own, before], 1), torch.cat([torch.zeros_like(own), own | before], 1)])


def _blocks(length, block):
    require_at_least("length", length, 1)
    require_at_least("block", block, 1)
    if length % block:
        raise ValueError(f"block must divide length = {length}, got {block}")
    return torch.arange(length) // block
