#!/usr/bin/env bash
# transformers 5.23.0, SwinModel and images of several sizes
#
# Expected: a model in evaluation answers the same image with the same numbers, whatever it was shown before. Images of
#   other sizes than the configuration's are fine: "pad the input to be divisible by self.patch_size, if needed", says
#   the code, and windows are padded as well. Where an image has no more rows of tokens than a window, there is nothing
#   to shift: section 3.2 and the authors' code (https://arxiv.org/abs/2103.14030) settle that when the model is built.
# Happens: each forward pass settles it for good. SwinLayer.set_shift_and_window_size writes shift_size = 0, and
#   window_size = the rows that it saw, into the layer, and nothing puts them back. So Swin-T's last stage has lost its
#   shift for every larger image after one of 224 pixels, the size that it is made for; and an image of 112 pixels fails,
#   because the table of biases keeps 7 by 7, and leaves a window of 4 behind with which every later call fails too.
# Seen:
#   expected: the same output for the same image of 448 pixels
#   seen:     twice in a row: equal True
#   seen:     again, after an image of 224 pixels: equal False, more than 1 % off True
#   seen:     an image of 112 pixels: RuntimeError
#   seen:     then an image of 224 pixels: RuntimeError
#   seen:     and one of 448 pixels: RuntimeError
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0 huggingface-hub==2.4.0 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0

"$python" -I -W ignore - 2>/dev/null <<'EOF'
import sys

import torch
from transformers import SwinConfig, SwinModel

torch.manual_seed(0)
model = SwinModel(SwinConfig()).eval()
for weight in model.parameters():
    if weight.ndim == 2:
        torch.nn.init.normal_(weight, std=1 if weight.shape[0] == 169 else weight.shape[1] ** -0.5)
images = {pixels: torch.randn(1, 3, pixels, pixels) for pixels in (112, 224, 448)}


def output(pixels):
    with torch.no_grad():
        return model(images[pixels]).last_hidden_state


def outcome(pixels):
    try:
        return f"works, shape {tuple(output(pixels).shape)}"
    except Exception as error:
        return type(error).__name__


print("expected: the same output for the same image of 448 pixels")
first = output(448)
again = torch.equal(first, output(448))
print("seen:     twice in a row: equal", again)
output(224)
later = output(448)
far = ((later - first).norm() / first.norm()).item() > 0.01
print(f"seen:     again, after an image of 224 pixels: equal {torch.equal(first, later)}, more than 1 % off {far}")
outcomes = [outcome(pixels) for pixels in (112, 224, 448)]
for words, seen in zip(("an image of 112", "then an image of 224", "and one of 448"), outcomes):
    print(f"seen:     {words} pixels: {seen}")
sys.exit(not (again and far and outcomes == ["RuntimeError"] * 3))
EOF
