"""The layer and the order for this machine: the installed engine, its Triton, its card."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from fk_overlay.engines import gpus
from fk_overlay.engines.base import get_engine
from fk_overlay.engines.experts import get_experts
from fk_overlay.errors import EngineError
from fk_overlay.tuning.ahead import Compile
from fk_overlay.tuning.config import Config
from fk_overlay.tuning.graph_clock import GraphClock
from fk_overlay.tuning.layer import Layer
from fk_overlay.tuning.routing import Routing
from fk_overlay.tuning.run import Order
from fk_overlay.tuning.shapes import Experts


def layer_here(engine: str, shape: Experts, routing: Routing) -> Layer:
    """Raises :class:`EngineError` without a CUDA GPU, before the engine is imported, or without the engine."""
    if not gpus.names():
        raise EngineError("tuning measures kernels on a CUDA GPU, and this machine has none; run it on one")
    get_engine(engine).version()
    return Layer(shape, routing, get_experts(engine), GraphClock.here())


def compiler_here(engine: str, shape: Experts, routing: Routing) -> Compile:
    """What compiles in a process of its own, on a layer of its own."""
    layer = layer_here(engine, shape, routing)
    bench_of = cache(layer.at)

    def compile(tokens: int, config: Config) -> None:
        bench_of(tokens).compile(config)

    return compile


def order_here(engine: str, layer: Layer, ranks: int, tokens: tuple[int, ...]) -> Order:
    """The order with its defaults."""
    triton = metadata.version("triton")
    facts = {
        "engine": engine,
        "engine_version": get_engine(engine).version(),
        "triton": triton,
        "gpu": gpus.names()[0],
    }
    file = layer.kernel.file_name(layer.shape.experts, layer.shape.inter)
    kept = triton if layer.kernel.keeps_triton_version else None
    return Order(layer.shape, ranks, tokens, facts, file, kept, layer.routing)
