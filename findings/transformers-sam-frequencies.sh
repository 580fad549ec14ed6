#!/usr/bin/env bash
# transformers 5.23.0, SamModel from a configuration
#
# Expected: places are told by random waves whose frequencies have standard deviation 1 and are not trained: a buffer in
#   the authors' code (https://github.com/facebookresearch/segment-anything, modeling/prompt_encoder.py, class
#   PositionEmbeddingRandom, whose scale is 1 where none is given, and none is). Two clicks a pixel apart then have vectors
#   with a cosine of 0.9999, as the paper's decoder needs to find the cells around a click (https://arxiv.org/abs/2304.02643).
# Happens: SamVisionConfig sets the scale to half the encoder's width, 384 for the default. A model that is to be trained
#   from nothing takes clicks a pixel apart for strangers, and the frequencies are parameters, which an optimiser moves.
#   A published checkpoint is not touched: its frequencies are loaded.
# Seen:
#   expected: frequencies of standard deviation 1; neighbouring clicks have a cosine of 0.9999
#   seen:     standard deviation above 300 True, trained True
#   seen:     mean cosine of 300 pairs of neighbouring clicks below 0.25 True
#   seen:     with frequencies divided by 384, every cosine above 0.9998 True
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0 huggingface-hub==2.4.0 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0

"$python" -I -W ignore - 2>/dev/null <<'EOF'
import sys

import torch
from transformers import SamConfig, SamModel, SamVisionConfig

torch.manual_seed(0)
vision = SamVisionConfig(num_hidden_layers=1, global_attn_indexes=[0])
model = SamModel(SamConfig(vision_config=vision.to_dict(), mask_decoder_config={"mlp_dim": 16}))
frequencies = model.shared_image_embedding.positional_embedding
clicks = torch.stack([torch.arange(100.0, 401.0), torch.full((301,), 200.0)], -1)


@torch.no_grad()
def cosines():
    vectors = model.shared_image_embedding((clicks + 0.5)[None, :, None] / 1024)[0, :, 0]
    return torch.nn.functional.cosine_similarity(vectors[:-1], vectors[1:])


print("expected: frequencies of standard deviation 1; neighbouring clicks have a cosine of 0.9999")
large, trained = frequencies.std().item() > 300, frequencies.requires_grad
print(f"seen:     standard deviation above 300 {large}, trained {trained}")
strangers = abs(cosines().mean().item()) < 0.25
print(f"seen:     mean cosine of 300 pairs of neighbouring clicks below 0.25 {strangers}")
frequencies.data /= 384
alike = cosines().min().item() > 0.9998
print(f"seen:     with frequencies divided by 384, every cosine above 0.9998 {alike}")
sys.exit(not (large and trained and strangers and alike))
EOF
