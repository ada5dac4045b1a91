"""What a capture must know about an engine: how to run it eager, where its graph sizes are resolved, and what its
modules read beside their arguments."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Surroundings = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """Facts about one engine.

    Attributes:
        eager: engine arguments that switch compilation and CUDA graphs off.
        graph_sizes: keys of the resolved configuration that may hold the batch sizes of CUDA graphs; the first that
            holds any counts.
        surroundings: ``surroundings(module)`` gives what the module reads from the engine's forward context: an object
            with tensors and numbers as attributes, None for nothing. None where everything is an argument.
    """

    eager: Mapping[str, Any] = field(default_factory=dict)
    graph_sizes: tuple[str, ...] = ()
    surroundings: Surroundings | None = None


def facts(engine: str) -> EngineFacts:
    """``FACTS`` of the adapter's module ``capturing``; an engine without one runs as its scenario says and has no
    surroundings."""
    name = f"fk_overlay.engines.{engine}.capturing"
    try:
        found: EngineFacts = importlib.import_module(name).FACTS
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        return EngineFacts()
    return found


def sizes(config: Mapping[str, Any], engine: str) -> tuple[int, ...]:
    """Batch sizes of CUDA graphs in a resolved configuration, ascending; empty if it uses none."""
    for key in facts(engine).graph_sizes:
        held = config.get(key)
        found = ast.literal_eval(held) if isinstance(held, str) and held else held
        if isinstance(found, list | tuple) and found:
            return tuple(sorted(int(size) for size in found))
    return ()
