#!/usr/bin/env bash
# torch 2.13.0, Tensor.to(torch.float8_e4m3fn)
#
# Expected: E4M3 has no infinity. The paper that defines it (Micikevicius et al. 2022, arXiv 2209.05433, section 2) lets
#   large finite numbers become 448 on demand, and turns an infinity into NaN: so that the overflow of a scaled loss can
#   be seen in the result. float16, bfloat16 and float8_e5m2 keep an infinity.
# Happens: infinity becomes 448 like any large number, and float8_e4m3fnuz, of the same width, makes NaN of it. A look for
#   values that are not finite, which is how a scaler of losses finds a step to skip, sees nothing in E4M3.
# Seen:
#   expected: what was not finite is not finite after the cast
#   seen:     float16: inf becomes inf, nan becomes nan
#   seen:     float8_e5m2: inf becomes inf, nan becomes nan
#   seen:     float8_e4m3fn: inf becomes 448, nan becomes nan
#   seen:     float8_e4m3fnuz: inf becomes nan, nan becomes nan
source "$(dirname "$0")/_common.sh"
install numpy==2.4.6 torch==2.13.0

"$python" -I -W ignore - <<'EOF'
import sys

import torch

RECORDED = {"float16": "inf", "float8_e5m2": "inf", "float8_e4m3fn": "448", "float8_e4m3fnuz": "nan"}
print("expected: what was not finite is not finite after the cast")
changed = False
for name, recorded in RECORDED.items():
    infinity, nothing = torch.tensor([torch.inf, torch.nan]).to(getattr(torch, name)).float().tolist()
    changed |= f"{infinity:g}" != recorded or nothing == nothing
    print(f"seen:     {name}: inf becomes {infinity:g}, nan becomes {nothing:g}")
sys.exit(changed)
EOF
