"""What the bench asks of an engine: an environment in which its layers can be built and called one by one, and a layer
built from the recipe that a capture recorded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fk_overlay.capture.signature import Module
from fk_overlay.capture.values import Values
from fk_overlay.engines import rebuild
from fk_overlay.engines.sequences import Step
from fk_overlay.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor


class Pages(Protocol):
    """An engine's paged cache around one module, empty at first."""

    def renew(self, seed: int) -> None:
        """Give every sequence other places in the cache, drawn from ``seed``. What the places hold stays."""

    def at(self, step: Step) -> AbstractContextManager[Any]:
        """The surroundings in which the module may be called with the rows of ``step``. Where the engine gives its
        modules a batch, that is what the context yields."""


class Workbench(Protocol):
    """One engine's. Found as ``fk_overlay.engines.<name>.workbench:WORKBENCH`` and used in a process of its own."""

    preloaded: tuple[str, ...]
    """Modules that every arm needs; imported once, before arms are forked."""
    batch: str
    """Name of the argument in which modules get the engine's batch; empty if they read it from a context."""
    caches: tuple[str, ...]
    """Environment variables that name a folder of compiled code, beside those of torch and Triton. Each arm gets its
    own."""

    def env(self) -> Mapping[str, str]:
        """Environment variables of the arms, beyond the caller's."""

    def opened(self, folder: Path, dtype: str) -> AbstractContextManager[None]:
        """The engine's configuration and groups of one rank, for as long as the arm lives.

        Args:
            folder: an empty one of the arm's own.
            dtype: the captured model's, such as ``bfloat16``.
        """

    def settle(self) -> None:
        """What a worker of the engine does once when patches are in place, before it builds a model."""

    def build(self, recipe: Module, tensors: Mapping[str, Tensor]) -> Any:
        """A module like the one that was recorded, with these weights. Raises
        :class:`fk_overlay.errors.EngineError` if it cannot be built."""

    def step(self, values: Values) -> Step | None:
        """Which tokens of which sequences the rows of a captured call were, by the batch that it read; None if the call
        read none. Raises ValueError for a batch that makes no sense."""

    def pages(self, module: Any, recipe: Module, step: Step) -> Pages:
        """A cache for a module that :meth:`build` made from ``recipe``, with room for the sequences of ``step``.
        Raises :class:`fk_overlay.errors.EngineError` if there is none of that kind here."""

    def attach(self, owner: Any, module: Any) -> None:
        """``module`` is an argument of ``owner``'s method: let ``owner`` do to it what the engine lets it do after
        weights are loaded."""


class Plain:
    """Of an engine that needs no environment: modules are built by their constructors."""

    preloaded: tuple[str, ...] = ("torch",)
    batch: str = ""
    caches: tuple[str, ...] = ()

    def env(self) -> Mapping[str, str]:
        return {}

    def opened(self, folder: Path, dtype: str) -> AbstractContextManager[None]:
        return nullcontext()

    def settle(self) -> None:
        return None

    def build(self, recipe: Module, tensors: Mapping[str, Tensor]) -> Any:
        return rebuild.build(recipe, tensors)

    def step(self, values: Values) -> Step | None:
        return None

    def pages(self, module: Any, recipe: Module, step: Step) -> Pages:
        raise EngineError("this engine keeps no keys and values; judge the task with fk-overlay run")

    def attach(self, owner: Any, module: Any) -> None:
        return None


WORKBENCH = Plain()
