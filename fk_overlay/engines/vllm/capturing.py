"""What a capture must know about vLLM, whose attention layers read their metadata from a context."""

from __future__ import annotations

import sys
from typing import Any

from fk_overlay.capture.engine_facts import EngineFacts


class Surroundings:
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


FACTS = EngineFacts(
    eager={"enforce_eager": True},
    graph_sizes=("compilation.cudagraph_capture_sizes",),
    surroundings=Surroundings(),
)
