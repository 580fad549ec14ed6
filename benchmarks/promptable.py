"""The mask decoder against transformers' `SamMaskDecoder` with the same weights, of SAM's size, one thread, in turn.

    python benchmarks/promptable.py [--rounds 15]

One picture of 64 by 64 cells. Each row is the median of our CPU time over the median of the peer's.
"""

import torch
from bench import in_turn, milliseconds, record, rounds
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from lib.vision.promptable import MaskDecoder


def main() -> None:
    turns = rounds(15)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = SamMaskDecoderConfig()
    config._attn_implementation = "sdpa"
    theirs, ours = SamMaskDecoder(config).eval(), MaskDecoder()
    ours.load_state_dict(theirs.state_dict())
    image, places = torch.randn(1, 256, 64, 64), torch.randn(1, 256, 64, 64)
    rows = []
    for clicks in (1, 8):
        prompts = torch.randn(1, clicks, 256)

        @torch.no_grad()
        def one(prompts=prompts):
            return ours(image, places, prompts, torch.zeros(1, 256, 1, 1))[0][:, 1:]

        @torch.no_grad()
        def other(prompts=prompts):
            return theirs(image, places, prompts[:, None], torch.zeros(1, 256, 64, 64), True)[0][:, 0]

        assert (one() - other()).abs().max() < 1e-4
        rows.append(in_turn(f"{clicks} clicks" if clicks > 1 else "1 click", milliseconds, one, other, turns))
    record("promptable", ["ours / transformers' SAM", "CPU ms", "peer's", "ratio"], rows, what=f"medians of {turns}, in turn")


if __name__ == "__main__":
    main()
