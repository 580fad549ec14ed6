#!/usr/bin/env bash
# transformers 5.23.0, position_ids of packed documents
#
# Expected: documents that stand in one row, with positions that start again at each of them, give the logits of separate
#   runs: where no mask is given the model finds the boundaries in the positions, and DataCollatorWithFlattening gives
#   those and no mask: https://huggingface.co/docs/transformers/main/en/main_classes/data_collator
#   Whether the call also keeps keys and values for later cannot matter for the logits of these tokens.
# Happens: they are looked for only where no cache is made, and a cache is made by default, in training mode too. So the
#   same call without use_cache=False lets every document see those before it, without a word; a mask of ones, which
#   says that all is text, does the same. Gradient checkpointing turns the cache off: the loss of the same row changes.
# Seen:
#   expected: logits of separate runs
#   seen:     eval, use_cache=False: largest difference below 0.0001
#   seen:     eval, default: largest difference above 1
#   seen:     eval, use_cache=False and a mask of ones: largest difference above 1
#   seen:     train, use_cache=False: largest difference below 0.0001
#   seen:     train, default: largest difference above 1
#   seen:     train, use_cache=False and a mask of ones: largest difference above 1
#   seen:     loss of the row changes with gradient checkpointing: True
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0 huggingface-hub==2.4.0 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0

"$python" -I -W ignore - 2>/dev/null <<'EOF'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
model = LlamaForCausalLM(LlamaConfig(vocab_size=64, num_key_value_heads=4, **sizes))
for weight in model.parameters():
    if weight.ndim == 2:
        torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
documents = [torch.randint(64, (1, length)) for length in (5, 7, 4)]
row = torch.cat(documents, 1)
positions = torch.cat([torch.arange(document.shape[1])[None] for document in documents], 1)
ways = {
    "use_cache=False": {"use_cache": False},
    "default": {},
    "use_cache=False and a mask of ones": {"use_cache": False, "attention_mask": torch.ones_like(row)},
}

print("expected: logits of separate runs")
changed = False
with torch.no_grad():
    separate = torch.cat([model(document).logits for document in documents], 1)
    for training in (False, True):
        model.train(training)
        for way, arguments in ways.items():
            difference = (model(row, position_ids=positions, **arguments).logits - separate).abs().max()
            size = "below 0.0001" if difference < 1e-4 else "above 1" if difference > 1 else f"{difference:.4f}"
            changed |= size != ("below 0.0001" if way == "use_cache=False" else "above 1")
            print(f"seen:     {'train' if training else 'eval'}, {way}: largest difference {size}")


def loss():
    return model(row, position_ids=positions, labels=row).loss.item()


before = loss()
model.gradient_checkpointing_enable()
differs = abs(loss() - before) > 0.01
print("seen:     loss of the row changes with gradient checkpointing:", differs)
sys.exit(changed or not differs)
EOF
