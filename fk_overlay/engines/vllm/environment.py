"""The environment and the arguments of a vLLM process that is judged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from fk_overlay.engines.base import Launch
from fk_overlay.engines.caches import TRITON, hand_on
from fk_overlay.engines.registration import announce

MODEL_CLASSES = "vllm/modelinfos"
"""What vLLM found out about model classes, by a hash of the text of the model's file. It says nothing of kernels;
finding it out takes an arm's first launch another import of vLLM."""


def environment(launch: Launch) -> dict[str, str]:
    """The launch's environment: the caller's, the scenario's, then what the overlay needs.

    Compile and kernel caches are the arm's own: vLLM's ahead-of-time cache is keyed by the *old* source files and would
    serve the other arm's graph, silently ignoring a patch.
    """
    cache = launch.cache / launch.digest
    hand_on(launch.cache, launch.digest, TRITON, MODEL_CLASSES)
    env = {
        **import_environment(launch),
        "FK_OVERLAY": str(launch.plan),
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / TRITON),
    }
    announce(env, launch.folder, group="vllm.general_plugins", function="vllm", allowed="VLLM_PLUGINS")
    return env


def import_environment(launch: Launch) -> dict[str, str]:
    """What holds before any launch: the caller's environment and the scenario's, with no overlay in it."""
    env = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", **launch.scenario.env}
    for name in ("FK_OVERLAY", "FK_OVERLAY_RECEIPTS"):
        env.pop(name, None)
    return env


def arguments(launch: Launch) -> dict[str, Any]:
    """vLLM's engine arguments, in its own words."""
    scenario = launch.scenario
    return {
        "model": str(launch.model),
        "dtype": scenario.model.dtype,
        "tensor_parallel_size": scenario.model.tensor_parallel,
        "seed": scenario.seed,
        **scenario.engine_args.get("vllm", {}),
        "additional_config": {"fk_overlay": launch.digest},
    }


def command_line(arguments: Mapping[str, Any]) -> list[str]:
    """The arguments as options of ``vllm serve``; the model comes first."""
    options = [str(arguments["model"])]
    for name, value in arguments.items():
        flag = "--" + name.replace("_", "-")
        if name == "model" or value is None:
            continue
        if isinstance(value, bool):
            options.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, list):
            options += [flag, *map(str, value)]
        else:
            options += [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
    return options
