"""The configuration that vLLM resolved to."""

from __future__ import annotations

from typing import Any

from fk_overlay.engines.settings import flatten

SECTIONS = (
    "model_config",
    "cache_config",
    "parallel_config",
    "scheduler_config",
    "compilation_config",
    "attention_config",
    "kernel_config",
    "speculative_config",
    "quant_config",
)
PER_LAUNCH = (
    "port",
    "_ip",
    "cache_dir",
    "instance_id",
    "rank",
    "logits_processors",
    "compilation_time",
    "host_uuid",
    "num_gpu_blocks",
)
"""Parts of names whose values differ between launches of the same arm and say nothing about the kernels."""


def resolved_config(vllm_config: Any) -> dict[str, Any]:
    """Plain values of the configuration's sections, as ``section.field``."""
    flat: dict[str, Any] = {"use_v2_model_runner": getattr(vllm_config, "use_v2_model_runner", None)}
    for section in SECTIONS:
        held = getattr(vllm_config, section, None)
        if held is not None:
            flat |= flatten(held, section.removesuffix("_config"), _per_launch)
    return flat


def _per_launch(name: str) -> bool:
    return any(part in name for part in PER_LAUNCH)
