"""The environment and the arguments of an SGLang process that is judged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from fk_overlay.engines.base import Launch
from fk_overlay.engines.caches import TRITON, hand_on
from fk_overlay.engines.gpus import names
from fk_overlay.engines.registration import announce

CPU_ENGINE = "SGLANG_USE_CPU_ENGINE"
"""Without it SGLang on a processor takes the GPU's paths, whatever ``--device`` says."""
CPU_ARGUMENTS = {"device": "cpu", "attention_backend": "torch_native", "disable_cuda_graph": True}


def environment(launch: Launch) -> dict[str, str]:
    """The launch's environment: the caller's, the scenario's, then what the overlay needs. Compile and kernel caches
    are the arm's own."""
    cache = launch.cache / launch.digest
    hand_on(launch.cache, launch.digest, TRITON)
    env = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        **launch.scenario.env,
        "FK_OVERLAY": str(launch.plan),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / TRITON),
    }
    env.pop("FK_OVERLAY_RECEIPTS", None)
    if not names():
        env.setdefault(CPU_ENGINE, "1")
    announce(env, launch.folder, group="sglang.srt.plugins", function="sglang", allowed="SGLANG_PLUGINS")
    return env


def arguments(launch: Launch) -> dict[str, Any]:
    """SGLang's engine arguments, in its own words. Streams come as disjoint segments: repeating all tokens with each
    would make the client the bottleneck."""
    scenario = launch.scenario
    return {
        "model_path": str(launch.model),
        "dtype": scenario.model.dtype,
        "tp_size": scenario.model.tensor_parallel,
        "random_seed": scenario.seed,
        "incremental_streaming_output": True,
        **({} if names() else CPU_ARGUMENTS),
        **scenario.engine_args.get("sglang", {}),
    }


def command_line(arguments: Mapping[str, Any]) -> list[str]:
    """The arguments as options of ``sglang.launch_server``, whose switches have no negative form."""
    options: list[str] = []
    for name, value in arguments.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            options.append(flag)
        elif isinstance(value, list):
            options += [flag, *map(str, value)]
        elif value is not None and value is not False:
            options += [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
    return options
