"""An engine's resolved configuration as flat, plain values: what must be equal between arms for their ratio to mean
anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

Plain = str | int | float | bool


def flatten(held: Any, prefix: str, skip: Callable[[str], bool]) -> dict[str, Plain]:
    """The fields of a dataclass and of those it holds, as ``prefix.field``.

    Args:
        skip: whether a field, by its own name, says nothing about the kernels.
    """
    if not is_dataclass(held):
        return {prefix: type(held).__name__}
    flat: dict[str, Plain] = {}
    for field in fields(held):
        name, value = f"{prefix}.{field.name}", getattr(held, field.name, None)
        if field.name.startswith("_") or skip(field.name):
            continue
        if is_dataclass(value):
            flat |= flatten(value, name, skip)
        elif (plain := _plain(value)) is not None:
            flat[name] = plain
    return flat


def _plain(value: Any) -> Plain | None:
    """A value that can be compared as JSON; None for what cannot (handles, tensors, classes of the model)."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | dict) and len(str(value)) < 2000 and " at 0x" not in str(value):
        return str(sorted(value, key=str) if isinstance(value, set) else value)
    return str(value) if type(value).__module__ == "torch" else None
