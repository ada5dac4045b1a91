"""What all cases of a bench have in common: the engine that they belong to, and a process that has imported it, from
which every arm is forked. Two forks share the layout of memory and code, so that no arm is fast by its addresses."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from fk_overlay.bench.arm import ArmProcess
from fk_overlay.bench.order import PLAN, RECEIPTS, Order
from fk_overlay.bench.subject import named
from fk_overlay.capture import store
from fk_overlay.core import Arm, Pack, Task
from fk_overlay.engines.forkserver import ForkServer
from fk_overlay.engines.workbench import Workbench
from fk_overlay.errors import ArmFailed, PackError
from fk_overlay.overlay.host import Host
from fk_overlay.packs import Machine, require, trusted, unchanged
from fk_overlay.plan import Plan, make

SHARED = Path("/dev/shm")
"""Where outboxes lie if there is room: memory, not a disk."""
CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Two arms are there at once and take turns: threads of the idle one must sleep, not spin on the other's cores. On two
cores, spinning made calls of the same module 2 to 10 times slower, and called one of twelve improved on itself."""
HIDDEN = ("FK_OVERLAY", "FK_OVERLAY_RECEIPTS")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine's sides are found, as ``module:NAME``."""

    host: str
    workbench: str

    @classmethod
    def of(cls, engine: str) -> Place:
        rooms = f"fk_overlay.engines.{engine}"
        return cls(f"{rooms}.host:HOST", f"{rooms}.workbench:WORKBENCH")


@dataclass(slots=True)
class Bench:
    """An open bench. Use it as a context: leaving it ends every process and removes what they wrote.

    Args:
        place: the engine's host and workbench, see :meth:`Place.of`.
        tasks: by name.
        env: environment variables of the arms, beyond the caller's and the engine's.
    """

    place: Place
    tasks: Mapping[str, Task]
    env: Mapping[str, str] = field(default_factory=dict)
    start_s: float = 180.0
    folder: Path = field(init=False)
    host: Host = field(init=False)
    workbench: Workbench = field(init=False)
    _server: ForkServer | None = None
    _shared: Path | None = None
    _count: int = 0

    def __enter__(self) -> Bench:
        self.host, self.workbench = named(self.place.host), named(self.place.workbench)
        self.folder = Path(tempfile.mkdtemp(prefix="fk-bench-"))
        self._shared = Path(tempfile.mkdtemp(prefix="fk-bench-", dir=SHARED)) if SHARED.is_dir() else self.folder
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop()
        for folder in {self.folder, self._shared} - {None}:
            shutil.rmtree(str(folder), ignore_errors=True)

    @property
    def engine(self) -> str:
        return self.host.engine

    def frozen(self, pack: Pack) -> Pack:
        """The pack with its digest: from here on its files must not change.

        Raises:
            PackError: it may not run here, or anybody may write to it.
        """
        found = trusted(pack)
        require(found, Machine(self.engine, self.host.version(), self.host.gpus()))
        return found

    def arm(self, name: str, case: store.Case, task: Task, pack: Pack | None, **wanted: object) -> ArmProcess:
        """A fresh process for one arm of a case; nothing is open in it yet.

        Args:
            wanted: device, dtype, mode, snapshot, first_seed and memory_bytes of :class:`Order`, and outbox_bytes.

        Raises:
            ArmFailed: the pack is not the one any more that was frozen (``invalid``, by ``g.clean``).
            PackError: it has nothing for this task.
            ContractError: the target is not what the task describes.
        """
        self._count += 1
        folder = self.folder / f"{self._count}-{name}"
        (folder / RECEIPTS).mkdir(parents=True)
        if pack is not None:
            _require_frozen(pack)
        assert self._shared is not None
        outbox_bytes = int(str(wanted.pop("outbox_bytes")))
        roomy = shutil.disk_usage(self._shared).free > 2 * outbox_bytes
        order = Order(
            host=self.place.host,
            workbench=self.place.workbench,
            plan=str(self._plan(name, task, pack, folder).write(folder / PLAN)),
            task=str(task.folder),
            capture=str(case.folder),
            case=case.id,
            folder=str(folder),
            outbox=str((self._shared if roomy else folder) / f"{self._count}.outbox"),
            **wanted,  # type: ignore[arg-type]
        )
        filling = case.target if task.paged else ""
        return ArmProcess(name, self._forking(), order, self._environment(folder), outbox_bytes, filling)

    def _plan(self, name: str, task: Task, pack: Pack | None, folder: Path) -> Plan:
        """Only what the pack has for this task; a pack that has nothing is refused."""
        arm = Arm(name, () if pack is None else (pack,))
        patches = () if pack is None else tuple(patch for patch in pack.patches if patch.task == task.name)
        if pack is not None and not any(patch.meant_for(self.engine) for patch in patches):
            raise PackError(f"pack {pack.name!r} has no patch for task {task.name!r} in {self.engine}")
        made = make(arm, self.tasks, self.engine, self.host.version(), purpose="timed", receipts=folder / RECEIPTS)
        swaps = tuple(swap for swap in made.swaps if swap.task == task.name)
        return Plan(made.engine, made.arm, made.digest, made.purpose, made.receipts, swaps, made.strict)

    def _forking(self) -> ForkServer:
        if self._server is None or not self._server.alive():
            env = {**self._common(), **self.workbench.env()}
            modules = ("torch", *self.workbench.preloaded, "fk_overlay.bench.worker")
            self._server = ForkServer(modules, env, self.folder / "imports.log", self.start_s)
        return self._server

    def _environment(self, folder: Path) -> dict[str, str]:
        """Each arm has compile and kernel caches of its own."""
        own = {name: str(folder / "cache" / name.lower()) for name in (*CACHES, *self.workbench.caches)}
        return {**self._common(), **self.workbench.env(), **own, "TORCHINDUCTOR_COMPILE_THREADS": "1"}

    def _common(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in HIDDEN}
        return {**WAITING, **inherited, **self.env}


def _require_frozen(pack: Pack) -> None:
    try:
        unchanged(pack.folder, pack.digest)
    except PackError as error:
        raise ArmFailed(str(error), state="invalid", guard="g.clean") from error
