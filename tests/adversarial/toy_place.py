"""The toy engine of ``toys/``, as the bench finds an engine: its host and its workbench."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fk_overlay.engines.workbench import WORKBENCH as WORKBENCH

TOYS = Path(__file__).parent / "toys"
VERSION = "1.2.0"


class ToyPlace:
    """See :class:`fk_overlay.overlay.host.Host`; what the bench does not ask for is left out."""

    engine = "toy"

    def version(self) -> str:
        return VERSION

    def source_root(self) -> Path:
        return TOYS

    def role(self) -> str:
        return "worker"

    def gpus(self) -> tuple[str, ...]:
        return ()

    def users(self, model: Any, owner: type) -> Iterable[Any]:
        return [module for module in model.modules() if isinstance(module, owner)]

    def on_loaded(self, tell: Callable[[Any], None]) -> None:
        raise AssertionError("the bench stands for the engine here")


HOST = ToyPlace()
