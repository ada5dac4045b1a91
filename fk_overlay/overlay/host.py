"""What the overlay asks of the engine whose process it is in. Each engine's adapter offers one ``HOST``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from fk_overlay.plan import Plan


class Host(Protocol):
    """The inside of an engine process. Methods are called once, while plugins load, before any model is built."""

    engine: str

    def version(self) -> str: ...

    def source_root(self) -> Path:
        """Folder that holds the engine's top package."""

    def role(self) -> str:
        """What this process is to the engine: ``api``, ``engine_core``, ``worker`` ..."""

    def gpus(self) -> tuple[str, ...]:
        """Names of the visible GPUs, found without initialising CUDA."""

    def enter(self, plan: Plan) -> None:
        """Whatever both arms need inside the engine, such as support for forced decode."""

    def on_rank(self, tell: Callable[[int, int, dict[str, Any]], None]) -> None:
        """Call ``tell(rank, world_size, resolved_config)`` when this process becomes a worker."""

    def on_loaded(self, tell: Callable[[Any], None]) -> None:
        """Call ``tell(model)`` when a model's weights are in place and processed, before its first forward."""

    def users(self, model: Any, owner: type) -> Iterable[Any]:
        """The modules of ``model`` that use a target class: its instances, or what the engine attaches them to."""

    def register_model(self, architecture: str, module: str, name: str) -> None:
        """Serve ``architecture`` with class ``name`` of an importable module (model seam)."""

    def use_tuned_configs(self, folder: Path, asked: Callable[[str, bool], None]) -> str:
        """Let the engine read kernel configurations from ``folder`` first; call ``asked(file, found)`` whenever it
        looks one up. Returns the place that now looks there (tuning seam)."""

    def provide_ir(
        self, path: str, provider: str, kernel: Callable[..., Any], supports: Callable[..., bool] | None
    ) -> None:
        """Register ``kernel`` as the first provider of an IR operator (IR seam)."""

    def watch_ir(self, path: str, recording: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put ``recording(provider's function)`` in the place of whichever provider serves a call of an IR operator."""
