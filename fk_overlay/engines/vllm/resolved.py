"""The configuration that vLLM resolved to, flat: what must be equal between arms for their ratio to mean anything."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

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
            _flatten(section.removesuffix("_config"), held, flat)
    return flat


def _flatten(prefix: str, held: Any, flat: dict[str, Any]) -> None:
    if not is_dataclass(held):
        flat[prefix] = type(held).__name__
        return
    for field in fields(held):
        name, value = f"{prefix}.{field.name}", getattr(held, field.name, None)
        if field.name.startswith("_") or any(part in field.name for part in PER_LAUNCH):
            continue
        if is_dataclass(value):
            _flatten(name, value, flat)
        elif (plain := _plain(value)) is not None:
            flat[name] = plain


def _plain(value: Any) -> str | int | float | bool | None:
    """A value that can be compared as JSON; None for what cannot (handles, tensors, classes of the model)."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | dict) and len(str(value)) < 2000 and " at 0x" not in str(value):
        return str(sorted(value, key=str) if isinstance(value, set) else value)
    return str(value) if type(value).__module__ == "torch" else None
