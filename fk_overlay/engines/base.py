"""What every engine adapter offers. An adapter is one module of this package, found by its name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fk_overlay.core import Pack, Request, Scenario, Workload
from fk_overlay.errors import EngineError
from fk_overlay.plan import Plan


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of an engine.

    Attributes:
        folder: where this launch keeps its plan, log and receipts.
        plan: the plan file that every engine process reads.
        digest: the arm's digest; keys the compile and kernel caches under ``cache``.
        prefix: words before the engine's command, such as those of a profiler; its process then starts afresh.
        patience_s: how long the process may take to end on its own when its input is closed.
    """

    name: str
    scenario: Scenario
    model: Path
    folder: Path
    plan: Path
    cache: Path
    digest: str
    prefix: tuple[str, ...] = ()
    patience_s: float = 5.0

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"

    @property
    def receipts(self) -> Path:
        return self.folder / "receipts"


@dataclass(frozen=True, slots=True)
class Trace:
    """What the client saw of one request. Times are seconds on the client's monotonic clock, from the start of the
    pass.

    Attributes:
        sent: when the request left; ``arrivals``: when each token arrived (all equal for an offline driver).
        tokens: the output tokens, counted by the client.
        logprobs, ranks, top1, margins: one per token, only if the request asked for log-probabilities: raw
            log-probability of the emitted token, its rank (1 = top), the top token, top minus second log-probability.
    """

    index: int
    sent: float
    arrivals: tuple[float, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    ranks: tuple[int, ...] = ()
    top1: tuple[int, ...] = ()
    margins: tuple[float, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PassResult:
    """One pass: every request's trace and the pass's wall time in seconds, first send to last token."""

    traces: tuple[Trace, ...]
    wall_s: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What a live engine says of itself: its resolved configuration, KV blocks, and the ranks it should have."""

    config: Mapping[str, Any] = field(default_factory=dict)
    kv_blocks: int | None = None
    ranks: int = 1


class Session(Protocol):
    """A running engine. ``stop`` leaves no process and no port behind, whatever happened before."""

    @property
    def pids(self) -> Sequence[int]: ...

    @property
    def peak_bytes(self) -> int:
        """Peak resident memory of the engine's processes so far, seen from outside."""

    def wait_ready(self, timeout_s: float) -> None:
        """Return when the engine answers. Raises :class:`fk_overlay.errors.LaunchError` when it died or timed out."""

    def facts(self) -> Facts: ...

    def run(
        self, requests: Sequence[Request], workload: Workload, *, arrivals: Sequence[float] | None, timeout_s: float
    ) -> PassResult:
        """Send the requests and wait for the last token.

        Args:
            arrivals: seconds from the start at which each request is sent (open loop); None for a closed loop.

        Raises:
            LaunchError: the engine died or did not finish in ``timeout_s`` seconds.
        """

    def stop(self) -> None: ...


class Engine(Protocol):
    """An adapter. ``name`` is what users type after ``--engine``."""

    name: str

    def version(self) -> str:
        """Installed release. Raises :class:`fk_overlay.errors.EngineError` with how to install it when there is
        none."""

    def source_root(self) -> Path:
        """Folder that holds the engine's top package, found without importing it."""

    def start(self, launch: Launch) -> Session: ...

    def serve_command(self, arguments: Sequence[str]) -> list[str]:
        """Command line of the engine's own server with the given arguments."""


def engine_names() -> list[str]:
    """Adapters that exist: packages beside this module that have a ``host`` for the inside of their engine."""
    import fk_overlay.engines as rooms

    folders = [Path(place) for place in rooms.__path__]
    return sorted({path.parent.name for folder in folders for path in folder.glob("*/host.py")})


def get_engine(name: str) -> Engine:
    """The adapter called ``name``. Raises :class:`fk_overlay.errors.EngineError` naming the known ones."""
    if name not in engine_names():
        raise EngineError(f"no engine called {name!r}; known engines: {', '.join(engine_names())}")
    adapter: Engine = importlib.import_module(f"fk_overlay.engines.{name}").ENGINE
    return adapter


Exporter = Callable[[Pack, Plan, str, Path], Path]
"""``export(pack, plan, release, out)`` writes a pack as a plugin of the engine's own; returns where."""


def get_exporter(name: str) -> Exporter:
    """``export`` of the adapter's module of that name. Raises :class:`fk_overlay.errors.EngineError` where the engine
    has no hooks that a pack could use."""
    module = f"fk_overlay.engines.{name}.export"
    if importlib.util.find_spec(module) is None:
        raise EngineError(f"{name} has no hooks of its own that a pack could use; serve it with fk-overlay serve")
    exporter: Exporter = importlib.import_module(module).export
    return exporter
