"""Run as a program with ``SGLANG_USE_CPU_ENGINE=1``: which file SGLang's own functions name and read.

The first argument is the name of the card that SGLang is to see, the second the folder that it is to look into. Prints
JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

import torch

from fk_overlay.engines.experts import get_experts
from fk_overlay.tuning import shapes

EXPERTS = get_experts("sglang")
config = importlib.import_module("sglang.srt.layers.moe.moe_runner.triton_utils.fused_moe_triton_config")
card, folder = sys.argv[1:]
vars(config)["get_device_name"] = lambda: card
shape = shapes.get("qwen3-30b-a3b")
w1 = torch.empty(shape.experts, 2 * shape.inter, shape.hidden, device="meta")
w2 = torch.empty(shape.experts, shape.hidden, shape.inter, device="meta")
before = dict(EXPERTS.baseline(w1, w2, shape.top_k, 200))
os.environ["SGLANG_MOE_CONFIG_DIR"] = folder
config.get_moe_configs.cache_clear()
after = config.try_get_optimal_moe_config(w1.shape, w2.shape, shape.top_k, None, 200)
print(json.dumps({"file": EXPERTS.file_name(shape.experts, shape.inter), "before": before, "after": after}))
