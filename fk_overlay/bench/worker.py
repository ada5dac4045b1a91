"""One arm in a process of its own: the live target, with the candidate in its place or without.

It does what it is told, one thing at a time, and answers. It knows no expected value, no time but its own, and no input
before it is due. Everything that it says is checked by the parent.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from fk_overlay.bench import calling
from fk_overlay.bench.channel import ArmEnd
from fk_overlay.bench.history import History
from fk_overlay.bench.inputs import Inputs, Made, Ticket
from fk_overlay.bench.order import Order
from fk_overlay.bench.returned import Outbox, tell
from fk_overlay.bench.subject import Subject
from fk_overlay.engines.workbench import Pages
from fk_overlay.errors import EngineError, OverlayError
from fk_overlay.integrity import process
from fk_overlay.integrity.weights import fingerprints

if TYPE_CHECKING:
    from torch import Tensor

Reply = dict[str, Any]
ASKED = ("open", "place", "prepare", "go", "spoil", "finish")
"""Methods of :class:`Arm` that the parent may name."""
MEMORY_MARKS = ("out of memory", "allocate memory", "not enough memory")
LONGEST_TEXT = 600


@dataclass(slots=True)
class Arm:
    """What an arm has open. Each method is one thing that the parent can ask for."""

    order: Order
    stack: ExitStack
    outbox: Outbox
    subject: Subject
    events: list[str] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)

    def open(self, message: Reply) -> Reply:
        """Engine environment and guards, before the candidate is imported."""
        import torch

        self.stack.enter_context(self.subject.environment())
        self.stack.enter_context(torch.inference_mode())
        before = {"functions": process.fingerprints(), "flags": process.flags()}
        process.watch(self.events.append)
        if self.order.memory_bytes:
            _limit_memory(self.order.memory_bytes)
        return before

    def place(self, message: Reply) -> Reply:
        """The candidate in its place, the module built around it, and how it will be called."""
        order = self.order
        self.subject.place()
        inputs, history = self.subject.inputs()
        make = lambda number: inputs.make(Ticket(order.first_seed + number))  # noqa: E731
        caller = calling.caller(self.subject.function, order.mode, order.device, make)
        cache = None if history is None else Cache(history, self.subject.pages(history.step))
        self.opened.append(Opened(inputs, caller, cache))
        return {
            "weights": fingerprints(self.subject.module_tensors()),
            "caller": process.identities(caller),
            "clock": caller.clock,
            "rows": inputs.rows,
            "events": self._events(),
        }

    def prepare(self, message: Reply) -> Reply:
        """Make the inputs, fill the engine's cache for them, and poison what the results may come to lie in."""
        opened, ticket = self.opened[-1], Ticket(**message["ticket"])
        if opened.cache is not None:
            opened.cache.fill(ticket, self.subject.function)
        opened.made = opened.inputs.make(ticket)
        opened.ticket = ticket
        opened.caller.withhold(opened.made)
        if isinstance(opened.caller, calling.Graphs):
            _fill(opened.caller.results(), ticket.poison)
        calling.poison(self.subject.results, self.order.device, ticket.poison)
        return {}

    def go(self, message: Reply) -> Reply:
        """Call, and freeze what came back before anything is said."""
        opened, outbox = self.opened[-1], self.outbox
        made = opened.made
        assert made is not None
        before = {path: _layout(tensor) for path, tensor in made.tensors.items()}
        outbox.clear()
        with nullcontext(made) if opened.cache is None else opened.cache.at(opened.ticket, made) as given:
            called = opened.caller(given, hot=bool(message["hot"]))
        opened.buffers = called.buffers
        items = called.result if isinstance(called.result, tuple | list) else (called.result,)
        said = [tell(item, outbox, made.tensors) for item in items]
        moved = [path for path, tensor in made.tensors.items() if _layout(tensor) != before[path]]
        return {
            "seconds": called.seconds,
            "late_s": called.late_s,
            "results": said,
            "single": items is not called.result,
            "names": list(getattr(type(items), "_fields", ())),
            "moved": moved,
        }

    def spoil(self, message: Reply) -> Reply:
        """Give the arguments of the last call back if they are asked for, which nobody could know during the call, and
        overwrite them. Returns also beside which of them something was written, and what the process has started since
        it was asked last."""
        opened = self.opened[-1]
        used = [each for each in (opened.made, opened.buffers) if each is not None]
        overrun = [path for each in used for path in each.overrun()]
        tensors = opened.made.tensors if opened.made is not None and message["arguments"] else {}
        given = {path: self.outbox.put(tensor) for path, tensor in tensors.items()}
        opened.made = None
        opened.inputs.spoil(opened.ticket)
        return {"arguments": given, "overrun": overrun, "events": self._events()}

    def finish(self, message: Reply) -> Reply:
        """The guards again, after the last call."""
        return {
            "functions": process.fingerprints(),
            "flags": process.flags(),
            "weights": fingerprints(self.subject.module_tensors()),
            "caller": process.identities(self.opened[-1].caller),
            "events": self._events(),
            "threads": process.threads(),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }

    def _events(self) -> list[str]:
        told, self.events[:] = list(self.events), []
        return told


@dataclass(slots=True)
class Cache:
    """The engine's cache around the module, and what it must hold."""

    history: History
    pages: Pages
    past: int | None = None

    def fill(self, ticket: Ticket, function: calling.Function) -> None:
        """Have the module write what comes before the ticket's call, if another past is in the cache."""
        if self.past == ticket.past:
            return
        self.past = ticket.past
        self.pages.renew(ticket.past)
        for step, made in self.history.calls(ticket):
            with self.pages.at(step) as batch:
                given = self.history.inputs.arranged(made.tensors, batch)
                function(*given.args, **given.kwargs)

    @contextmanager
    def at(self, ticket: Ticket, made: Made) -> Iterator[Made]:
        """Where the ticket's call can be made, and with what."""
        with self.pages.at(self.history.of(ticket)) as batch:
            yield self.history.inputs.arranged(made.tensors, batch)


@dataclass(slots=True)
class Opened:
    """How calls are made, and the one that is due."""

    inputs: Inputs
    caller: calling.Caller
    cache: Cache | None = None
    ticket: Ticket = field(default_factory=lambda: Ticket(0))
    made: Made | None = None
    buffers: Made | None = None


def main() -> None:
    """Answer until the parent closes the pipe. An error is told, then the process ends with it.

    Nothing is taken apart at the end: that takes an engine seconds, and what a broken kernel left behind may hang.
    """
    end = ArmEnd()
    messages = end.messages()
    message = next(messages)
    try:
        order = Order.heard(message)
        arm = Arm(order, ExitStack(), Outbox(Path(order.outbox)), Subject(order))
        end.answer(message["nonce"], {})
        for message in messages:
            assert message["do"] in ASKED
            end.answer(message["nonce"], getattr(arm, message["do"])(message))
    except (Exception, SystemExit) as error:  # the overlay ends a process that cannot run the patch
        end.answer(message["nonce"], {"failed": _kind(error), "why": _text(error)})
        raise
    os._exit(0)


def _kind(error: BaseException) -> str:
    """The state that an error means."""
    if isinstance(error, MemoryError) or any(mark in str(error) for mark in MEMORY_MARKS):
        return "out_of_memory"
    if isinstance(error, EngineError):
        return "skipped"
    return "refused" if isinstance(error, OverlayError | SystemExit) else "crashed"


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_TEXT]


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype, type(tensor)


def _fill(results: list[Any], poison: float | None) -> None:
    """Poison tensors that a graph will write to."""
    import torch

    for result in results:
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                real = tensor.is_floating_point()
                tensor.fill_((math.nan if poison is None else poison) if real else int(poison or 0))


def _limit_memory(more: int) -> None:
    """What this process maps may grow by so much and no further."""
    now = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.getrlimit(resource.RLIMIT_AS)[1]))
