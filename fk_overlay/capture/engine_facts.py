"""What a capture must know about an engine: how to run it eager, where its graph sizes are resolved, and what its
modules read beside their arguments."""

from __future__ import annotations

import ast
import sys
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
    """The engine's facts; an engine without an entry runs as its scenario says and has no surroundings."""
    return FACTS.get(engine, EngineFacts())


def sizes(config: Mapping[str, Any], engine: str) -> tuple[int, ...]:
    """Batch sizes of CUDA graphs in a resolved configuration, ascending; empty if it uses none."""
    for key in facts(engine).graph_sizes:
        held = config.get(key)
        found = ast.literal_eval(held) if isinstance(held, str) and held else held
        if isinstance(found, list | tuple) and found:
            return tuple(sorted(int(size) for size in found))
    return ()


class _VllmSurroundings:
    """Metadata of the first attention layer inside a module: slot mapping, block table, sequence lengths."""

    def __init__(self) -> None:
        self._layers: dict[int, tuple[str, ...]] = {}

    def __call__(self, module: Any) -> Any:
        if id(module) not in self._layers:
            parts = module.modules() if hasattr(module, "modules") else ()
            self._layers[id(module)] = tuple(part.layer_name for part in parts if hasattr(part, "layer_name"))
        layers = self._layers[id(module)]
        context = sys.modules.get("vllm.forward_context")
        if not layers or context is None or not context.is_forward_context_available():
            return None
        metadata = context.get_forward_context().attn_metadata
        return next((metadata[layer] for layer in layers if layer in metadata), None) if metadata else None


FACTS: Mapping[str, EngineFacts] = {
    "vllm": EngineFacts({"enforce_eager": True}, ("compilation.cudagraph_capture_sizes",), _VllmSurroundings()),
    "sglang": EngineFacts(
        {"disable_decode_cuda_graph": True, "disable_prefill_cuda_graph": True},
        ("server.cuda_graph_config.decode.bs", "server.cuda_graph_bs_decode"),
    ),
}
"""SGLang hands its batch to modules as an argument."""
