"""One arm as the judging process sees it: a process to ask, a clock to hold against its answers, and its remains when
it has died."""

from __future__ import annotations

import contextlib
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fk_overlay.bench.channel import ParentEnd, forged
from fk_overlay.bench.inputs import Ticket
from fk_overlay.bench.order import ORIGINALS, RECEIPTS, Order
from fk_overlay.bench.returned import Outbox, Returned, hear
from fk_overlay.engines.forkserver import ForkServer
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.errors import ArmFailed
from fk_overlay.integrity import process
from fk_overlay.overlay import counters, receipts

if TYPE_CHECKING:
    from torch import Tensor

MAIN = "fk_overlay.bench.worker:main"
FAILURES = frozenset({"crashed", "out_of_memory", "skipped", "refused"})


@dataclass(frozen=True, slots=True)
class Frozen:
    """One call, as nobody can change it any more.

    Attributes:
        single: whether one thing came back, and not a tuple or list of some; names: of a named tuple's fields.
        arguments: new values of the tensors that the target was given, where they were asked for.
        moved: arguments whose memory, shape or layout was changed.
        overrun: arguments beside whose memory something was written.
        seconds: what the arm claims; wall_s: what the parent's clock saw around it.
        late_s: how long the device worked on after the stream was done, as the arm claims.
    """

    results: tuple[Returned, ...]
    single: bool
    names: tuple[str, ...]
    arguments: Mapping[str, Tensor]
    moved: tuple[str, ...]
    overrun: tuple[str, ...]
    seconds: float
    wall_s: float
    late_s: float
    events: tuple[str, ...] = ()


class Ran(NamedTuple):
    """Calls that ran the candidate, that ``supports`` refused, and that entered the original."""

    ran: int = 0
    refused: int = 0
    entered: int = 0

    def plus(self, other: Ran) -> Ran:
        return Ran(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def minus(self, other: Ran) -> Ran:
        return Ran(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


class ArmProcess:
    """A forked process that runs :func:`fk_overlay.bench.worker.main`.

    Args:
        outbox_bytes: room for the results and arguments of one call.
        filling: the place whose calls before each timed one fill a cache; empty if there is none.
    """

    def __init__(
        self,
        name: str,
        server: ForkServer,
        order: Order,
        env: Mapping[str, str],
        outbox_bytes: int,
        filling: str = "",
    ) -> None:
        self.name = name
        self._filling, self._filled = filling, Ran()
        self._past: int | None = None
        self.folder = Path(order.folder)
        self.outbox = Outbox(Path(order.outbox), outbox_bytes)
        self.process = EngineProcess.fork(server, MAIN, env, self.folder / "arm.log")
        popen = self.process.popen
        assert popen.stdin is not None
        assert popen.stdout is not None
        self._end = ParentEnd(popen.stdin, popen.stdout)
        self._order = order

    def ask(self, do: str, timeout_s: float, **fields: Any) -> tuple[dict[str, Any], float]:
        """Raises :class:`ArmFailed` with the state that the case has then."""
        self.tell(do, **fields)
        return self.hear(timeout_s)

    def tell(self, do: str, **fields: Any) -> None:
        """Ask, and let :meth:`hear` wait for the answer, so that several arms can be at it at once."""
        self._nonce = secrets.token_hex(8)
        self._end.tell(self._nonce, {"do": do, **fields})

    def hear(self, timeout_s: float) -> tuple[dict[str, Any], float]:
        answer, took = self._end.hear(self._nonce, timeout_s)
        if "failed" in answer:
            state = answer["failed"] if answer["failed"] in FAILURES else "crashed"
            raise ArmFailed(str(answer.get("why", "")), state=str(state))
        return answer, took

    def start(self, timeout_s: float) -> None:
        self.ask("start", timeout_s, **self._order.said())

    def call(self, ticket: Ticket, timeout_s: float, *, arguments: bool, hot: bool = False) -> Frozen:
        """Have the target called once. What comes back is copied before anything else is asked."""
        self._prepare(ticket, timeout_s)
        said, wall_s = self.ask("go", timeout_s, hot=hot)
        try:
            results = tuple(hear(each, self.outbox) for each in said["results"])
            figures = float(said["seconds"]), wall_s, float(said["late_s"])
            moved, names = tuple(map(str, said["moved"])), tuple(map(str, said["names"]))
            single = bool(said["single"])
            told, _ = self.ask("spoil", timeout_s, arguments=arguments)
            given = {str(path): int(begin) for path, begin in told["arguments"].items()}
            overrun, events = tuple(map(str, told["overrun"])), tuple(map(str, told["events"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise forged("it described a call as none can be") from None
        described = {path: self._described(path, ticket.rows) for path in given}
        held = {path: self.outbox.take(begin, *described[path]) for path, begin in given.items() if begin >= 0}
        return Frozen(results, single, names, held, moved, overrun, *figures, events)

    def _prepare(self, ticket: Ticket, timeout_s: float) -> None:
        fills = bool(self._filling) and self._past != ticket.past
        before = self.ran(self._filling) if fills else Ran()
        self.ask("prepare", timeout_s, ticket=ticket.said())
        if fills:
            self._past = ticket.past
            self._filled = self._filled.plus(self.ran(self._filling).minus(before))

    def expect_arguments(self, tensors: Mapping[str, Tensor]) -> None:
        """What the arguments look like, known from the parent's own."""
        self._arguments = {
            path: (tuple(it.shape), str(it.dtype).removeprefix("torch.")) for path, it in tensors.items()
        }

    def _described(self, path: str, rows: int) -> tuple[tuple[int, ...], str]:
        if path not in self._arguments:
            raise forged(f"it speaks of an argument {path!r}, which there is none of")
        shape, dtype = self._arguments[path]
        return ((rows, *shape[1:]) if rows else shape), dtype

    def outside(self) -> dict[str, int]:
        return process.outside(self.process.popen.pid)

    def ran(self, place: str) -> Ran:
        """Calls of a place so far, without those that filled a cache."""
        mine = self._receipts(place)
        ran = sum(row["calls_eager"] + row["calls_traced"] + row["calls_captured"] for row in mine)
        refused = sum(row["fallbacks"] for row in mine)
        entered = counters.read(self.folder / ORIGINALS)
        return Ran(ran, refused, sum(sum(row) for row in entered)).minus(self._filled)

    def refusals(self, place: str) -> list[str]:
        """Why calls of a place were refused, where the candidate says so."""
        return list(dict.fromkeys(reason for row in self._receipts(place) for reason in row.get("refusals", ())))

    def _receipts(self, place: str) -> list[dict[str, Any]]:
        rows = [row for row in receipts.collect(self.folder / RECEIPTS) if row["task"] is not None]
        return [row for row in rows if place in (row["target"], f"{row['target']}.forward")]  # of a model, the latter

    def died(self, error: ArmFailed) -> ArmFailed:
        """The error with what the process wrote last. One that hangs is not asked to end."""
        if error.state == "hung":
            self.process.popen.send_signal(signal.SIGKILL)
        self.stop()
        return ArmFailed(str(error), state=error.state, guard=error.guard, log=self.process.tail())

    def dismiss(self) -> None:
        """Let it end, without waiting for it."""
        if self.process.popen.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.popen.stdin.close()

    def stop(self) -> None:
        self.process.stop()
        Path(self._order.outbox).unlink(missing_ok=True)
