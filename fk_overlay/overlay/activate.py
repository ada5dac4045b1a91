"""Puts a plan into this process. Called once, by the entry point, before the engine builds anything."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fk_overlay import catalog, environment, packs, tuned
from fk_overlay.contract.check import verify
from fk_overlay.contract.definition import Definition
from fk_overlay.contract.live import verify_live
from fk_overlay.core import Arm
from fk_overlay.errors import SeamError, UsageError
from fk_overlay.overlay.counters import Slot
from fk_overlay.overlay.host import Host
from fk_overlay.overlay.imports import Watcher, reach
from fk_overlay.overlay.last_look import answer_when_asked
from fk_overlay.overlay.loader import load, package_name
from fk_overlay.overlay.ordie import OrDie
from fk_overlay.overlay.receipts import Receipt
from fk_overlay.overlay.seams import function, ir, method, model, tuning
from fk_overlay.overlay.strangers import strangers
from fk_overlay.overlay.tally import Tally
from fk_overlay.overlay.witness import Witness
from fk_overlay.plan import Plan, Swap, make
from fk_overlay.stacks import listen

if TYPE_CHECKING:
    from fk_overlay.overlay.ranged import Ranged
    from fk_overlay.overlay.recorded import Recorded

logger = logging.getLogger("fk_overlay")
_active: Overlay | None = None


def activate(host: Host) -> Overlay:
    """Read ``FK_OVERLAY`` and do what it says. A second call in the same process changes nothing.

    Raises:
        OverlayError: whatever stands in the way; the caller ends the process.
    """
    global _active
    if _active is None:
        overlay = Overlay(host, read_plan(host))
        overlay.enter()
        _active = overlay
    return _active


def read_plan(host: Host) -> Plan:
    """The plan file that ``FK_OVERLAY`` names, or the plan for the pack folders that it names."""
    paths = environment.overlay()
    if unknown := environment.unknown():
        raise UsageError(f"unknown environment variables: {', '.join(unknown)}; known: {', '.join(environment.TABLE)}")
    if len(paths) == 1 and paths[0].is_file():
        return Plan.read(paths[0])
    chosen = tuple(packs.trusted(catalog.pack(path)) for path in paths)
    machine = packs.Machine(host.engine, host.version(), host.gpus())
    for pack in chosen:
        packs.require(pack, machine)
    arm = Arm("+".join(pack.name for pack in chosen), chosen)
    return make(
        arm,
        catalog.tasks(),
        host.engine,
        host.version(),
        purpose="production",
        receipts=environment.receipts(),
        strict=False,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """One function of one swap, with its row in the counters."""

    swap: Swap
    path: str
    row: int
    definition: Definition


class Overlay:
    """The overlay of this process."""

    def __init__(self, host: Host, plan: Plan) -> None:
        self.host = host
        self.plan = plan
        rows = sum(len(swap.target.places) for swap in plan.swaps)
        self.receipt = Receipt(plan.receipts, role=host.role(), engine=host.engine, version=host.version(), places=rows)
        self._witness = self._make_witness(rows)
        self._watcher = Watcher()
        self._prepare: list[tuple[type, Callable[[Any], None] | None, list[int]]] = []
        self._capture = self._make_recorded()
        self._profile = self._make_ranged()

    def enter(self) -> None:
        with self._or_die():
            if self.plan.engine != self.host.engine:
                raise UsageError(
                    f"the plan is for {self.plan.engine}, this process is {self.host.engine}; plan it again"
                )
            for folder, digest in {swap.pack_folder: swap.pack_digest for swap in self.plan.swaps}.items():
                packs.unchanged(folder, digest)
            self.host.enter(self.plan)
            self.host.on_rank(self._became_rank)
            self.host.on_loaded(self._loaded)
            for swap, places in self._verified():
                self._arrange(swap, places)
            if self._capture is not None:
                self._capture.arrange(self._watcher, self._or_die)
            if self._profile is not None:
                self._profile.arrange(self._watcher, self._or_die)
            os.register_at_fork(after_in_child=self._forked)
            if self.plan.purpose != "production":
                listen()

    def _became_rank(self, rank: int, size: int, config: dict[str, Any]) -> None:
        self.receipt.say(role=self.host.role(), rank=rank, world_size=size, config=config)
        if self._capture is not None:
            self._capture.recorder.begin(rank, size)
        if self._profile is not None:
            self._profile.profiler.begin(rank)

    def _forked(self) -> None:
        self.receipt.forked()
        if self._witness is not None:
            self._witness.start()

    # ---------------------------------------------------------------- placing

    def _verified(self) -> list[tuple[Swap, list[Place]]]:
        """Check every contract against the installed source before anything is touched."""
        taken: dict[str, str] = {}
        result, row = [], 0
        for swap in self.plan.swaps:
            definitions = verify(swap.expected, self.host.source_root(), strict_body=self.plan.strict)
            places = []
            for path in swap.target.places:
                if path in taken:
                    raise SeamError(
                        f"packs {taken[path]!r} and {swap.pack!r} both replace {path}; run them one at a time"
                    )
                taken[path] = swap.pack
                if definitions[path].body != swap.expected[path].body:
                    logger.warning(
                        "%s: its body is not the one that %r was written for; run fk-overlay check", path, swap.pack
                    )
                places.append(Place(swap, path, row, definitions[path]))
                row += 1
            result.append((swap, places))
        return result

    def _arrange(self, swap: Swap, places: list[Place]) -> None:
        """Swap at once where the engine offers a way, else when it imports the target."""
        if swap.seam == "tuning":
            self._tune(swap, places[0])
        elif swap.seam == "model":
            model.swap(self.host, swap.target.qualname, load(swap), self._tally(places[0]))
            self._placed(places[0], [])
        else:
            self._watcher.after(swap.target.module, lambda module: self._swap_in(module, swap, places))

    def _tune(self, swap: Swap, place: Place) -> None:
        files = sorted(tuned.read(swap.file))
        note = partial(self.receipt.looked_up, place.row)
        where = tuning.swap(self.host, swap.file, self._tally(place), note)
        self._placed(place, [where], files=files, lookups={})

    def _swap_in(self, module: ModuleType, swap: Swap, places: list[Place]) -> None:
        with self._or_die():
            patch = load(swap)
            if swap.seam == "method":
                self._swap_methods(reach(module, swap.target.qualname), patch, places)
            elif swap.seam == "function":
                verify_live(places[0].path, reach(module, swap.target.qualname), places[0].definition)
                tally, pack = self._tally(places[0]), package_name(swap)
                self._placed(places[0], function.swap(module, swap.target.qualname, patch, tally, pack=pack))
            else:
                provider = str(swap.options.get("provider", "fk_overlay"))
                ir.swap(self.host, swap.target.path, provider, patch, self._tally(places[0]))
                self._placed(places[0], [])

    def _swap_methods(self, owner: type, patch: Any, places: list[Place]) -> None:
        for place in places:
            member = place.path.rpartition(".")[2]
            verify_live(place.path, method.original(owner, member), place.definition)
            method.swap(owner, member, patch, self._tally(place))
            self._placed(place, [])
        self._prepare.append((owner, getattr(patch, "prepare", None), [place.row for place in places]))

    def _placed(self, place: Place, aliases: list[str], **more: Any) -> None:
        swap = place.swap
        self.receipt.placed(
            place.row,
            task=swap.task,
            target=place.path,
            seam=swap.seam,
            pack=swap.pack,
            pack_digest=swap.pack_digest,
            baseline_body=place.definition.body,
            aliases=aliases,
            **more,
        )

    # ---------------------------------------------------------------- after the weights are loaded

    def _loaded(self, model: Any) -> None:
        with self._or_die():
            for owner, prepare, rows in self._prepare:
                users = list(self.host.users(model, owner))
                if prepare is not None:
                    for module in users:
                        prepare(module)
                for row in rows:
                    self._tally_row(row).add(Slot.INSTANCES, len(users))
                    self._tally_row(row).add(Slot.PREPARED, len(users) if prepare is not None else 0)
            self.receipt.say(loaded=True)
            if self.plan.receipts is not None and self.plan.purpose in ("timed", "witness"):
                self._look("offered")
                answer_when_asked(self.plan.receipts, lambda: self._look("taken"))

    def _look(self, last_look: str) -> None:
        """Note what in the engine's modules is not the engine's own, and was not put there by the overlay."""
        placed = [place for swap in self.plan.swaps for place in swap.target.places]
        folders = {swap.pack_folder for swap in self.plan.swaps}
        self.receipt.say(strangers=strangers(self.host.engine, folders, placed), last_look=last_look)

    # ---------------------------------------------------------------- counting and failing

    def _make_witness(self, rows: int) -> Witness | None:
        if self.plan.purpose != "witness" or self.receipt.counters is None:
            return None
        return Witness(self.receipt.counters, rows)

    def _make_recorded(self) -> Recorded | None:
        if self.plan.capture is None:
            return None
        from fk_overlay.overlay.recorded import Recorded

        return Recorded(self.host, self.plan.capture)

    def _make_ranged(self) -> Ranged | None:
        if self.plan.profile is None:
            return None
        from fk_overlay.overlay.ranged import Ranged

        return Ranged(self.host, self.plan.profile, self.plan.swaps)

    def _tally(self, place: Place) -> Tally:
        return self._tally_row(place.row)

    def _tally_row(self, row: int) -> Tally:
        mark = self._witness.mark(row) if self._witness else None
        return Tally(self.receipt.counters, row, mark, partial(self._refused, row))

    def _refused(self, row: int, reason: str) -> None:
        if self.receipt.refused(row, reason):
            logger.warning("calls are left to the engine's own code: %s", reason)

    def _or_die(self) -> OrDie:
        return OrDie(self.receipt)
