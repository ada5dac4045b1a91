"""A whole composition: what is refused before any launch, the search for the largest subset that holds, rounds that
measure it and drop what costs more than it gives, until nothing does.

Everything is on record as it happens, in ``folder`` (a run's record, with a ``trial`` for every subset and the
``composition`` at its end) and in a folder ``round-N`` for each round. Gone on with, it asks the same questions in the
same order, and what is on record answers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from fk_overlay.compose import rounds, subset
from fk_overlay.compose.outcome import Composition, Dropped, Side
from fk_overlay.compose.refusals import refusals
from fk_overlay.compose.rounds import Round
from fk_overlay.compose.search import Answer, Search, Subset
from fk_overlay.compose.trials import FAILED, PACKS, Trials
from fk_overlay.core import BASELINE, Arm, Design, Mode, Pack, Patch, Scenario
from fk_overlay.engines.base import Engine
from fk_overlay.errors import UsageError
from fk_overlay.lineage.record import read
from fk_overlay.serving import judge

BROKEN = FAILED - {"invalid"}
"""Verdicts of a round that speak against the patches; an invalid one speaks against the measurement."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for. ``mode`` and ``design`` are those of the rounds; a trial is one launch."""

    engine: Engine
    scenario: Scenario
    pack: Pack
    mode: Mode = "decide"
    design: Design = field(default_factory=lambda: Design.of("decide"))


def compose(order: Order, folder: Path, tell: judge.Tell) -> Composition:
    """Compose the pack, or go on with what ``folder`` holds.

    Raises:
        UsageError: the pack has no patch for the engine.
        LaunchError: the baseline does not run.
        RecordError: ``folder`` holds the record of something else.
        KeyboardInterrupt: after the running engine was stopped and the interruption was noted.
    """
    patches = subset.named(order.pack, order.engine.name)
    if not patches:
        raise UsageError(f"pack {order.pack.name!r} has no patch for {order.engine.name}")
    order = replace(order, scenario=telling(order.scenario))
    refused = {each.patch: each for each in refusals(order.pack, patches, order.engine)}
    arms = [Arm(BASELINE)]
    if refused.keys() != patches.keys():
        whole = subset.write(order.pack, [patches[name] for name in refused], folder / PACKS / order.pack.name)
        arms.append(Arm(order.pack.name, (whole,)))
    run = judge.Order(order.engine, order.scenario, tuple(arms), "screen", Design(restarts=1, passes=1))
    with judge.opened(run, folder) as (bench, before):
        trials = Trials(bench, order.pack, patches, refused, before.records, tell)
        work = Work(order, folder, tell, patches, refused, trials)
        try:
            work.repair()
        except KeyboardInterrupt:
            bench.recorder.add("note", text="interrupted; go on with --resume")
            raise
        found = work.found()
        bench.recorder.add("composition", **asdict(found))
    return found


def telling(scenario: Scenario) -> Scenario:
    """The scenario with Python's fault handler, so that a process that dies of a signal leaves a stack; costs nothing
    until then."""
    return replace(scenario, env={"PYTHONFAULTHANDLER": "1", **scenario.env})


class Work:
    """A composition under way."""

    def __init__(
        self,
        order: Order,
        folder: Path,
        tell: judge.Tell,
        patches: Mapping[str, Patch],
        refused: Mapping[str, Dropped],
        trials: Trials,
    ) -> None:
        self._order, self._folder, self._tell = order, folder, tell
        self._patches, self._refused, self._trials = patches, refused, trials
        self._search = Search([name for name in patches if name not in refused], trials)
        self._whole = self._search.patches
        self._kept: Subset = frozenset()
        self._losers: dict[str, Dropped] = {}
        self._rounds: list[tuple[Subset, Round]] = []

    def repair(self) -> None:
        """Search and measure until what is left holds and no patch in it is a loss."""
        while kept := self._search.largest():
            measured = self._measure(kept)
            if measured.verdict.state in BROKEN:
                self._search.learn(kept, Answer(holds=False))
            elif (loser := measured.loser) is not None:
                self._lose(kept, loser, measured)
            else:
                self._kept = kept
                return
        if self._trials.made and not self._losers:
            self._trials.confirm()

    def _measure(self, kept: Subset) -> Round:
        number = len(self._rounds) + 1
        place, names = f"round-{number}", self._trials.ordered(kept)
        without = {
            name: self._trials.pack(kept - {name}, f"{place}/without-{name}") for name in names if len(names) > 1
        }
        arms = rounds.arms(self._trials.pack(kept, f"{place}/{rounds.REPAIRED}"), without)
        order = judge.Order(self._order.engine, self._order.scenario, arms, self._order.mode, self._order.design)

        def tell(what: str, done: int, total: int) -> None:
            self._tell(f"round {number}: {what}", done, total)

        measured = rounds.measure(order, names, self._folder / place, tell)
        self._rounds.append((kept, measured))
        return measured

    def _lose(self, kept: Subset, loser: str, measured: Round) -> None:
        effect = next(each.effect for each in measured.marginal if each.patch == loser)
        assert effect is not None, "a loser was measured"
        reason = f"with it the others are {100 * (1 - effect.ratio):.1f} % slower than without it"
        self._losers[loser] = Dropped(loser, "regressed", (loser,), "measured", reason)
        self._search.leave_out(loser)
        if loser in measured.without:
            self._search.learn(kept - {loser}, Answer(holds=True))

    # ---------------------------------------------------------------- what was found

    def found(self) -> Composition:
        order = self._order
        names = self._trials.ordered(self._kept)
        last = self._rounds[-1][1] if names else None
        return Composition(
            pack=order.pack.name,
            digest=order.pack.digest,
            engine=order.engine.name,
            engine_version=order.engine.version(),
            scenario=order.scenario.name,
            mode=order.mode,
            minimum_effect=order.scenario.minimum_effect,
            as_is=self._as_is(),
            repaired=Side.of(names, last.verdict) if last else None,
            dropped=tuple(self._dropped()),
            marginal=last.marginal if last else (),
            other_engines=tuple(
                f"{patch.task} ({', '.join(patch.engines)})"
                for patch in order.pack.patches
                if not patch.meant_for(order.engine.name)
            ),
            trials=len(self._trials.made),
            rounds=len(self._rounds),
            launches=self._launches(),
        )

    def _as_is(self) -> Side:
        names = tuple(self._patches)
        if self._refused:
            states = [each.state for each in self._refused.values()]
            state = "contract_error" if "contract_error" in states else states[0]
            return Side(names, state, reasons=tuple(f"{each.patch}: {each.reason}" for each in self._refused.values()))
        measured = next((each for kept, each in self._rounds if kept == self._whole), None)
        if measured is not None:
            return Side.of(names, measured.verdict)
        trial = self._trials.made[self._whole]
        return Side(names, trial.state, reasons=trial.reasons)

    def _dropped(self) -> Iterable[Dropped]:
        for name in self._patches:
            if name in self._refused:
                yield self._refused[name]
            elif name in self._losers:
                yield self._losers[name]
            elif name not in self._kept:
                yield self._explained(name)

    def _explained(self, name: str) -> Dropped:
        """By the smallest set of patches with it that fails."""
        known = [core for core in self._search.cores if core.patches <= self._search.patches]
        core = min((each for each in known if name in each.patches), key=lambda each: len(each.patches))
        conflict = self._trials.ordered(core.patches)
        if core.traced:
            trial = next(trial for trial in self._trials.made.values() if trial.blamed == name)
            return Dropped(name, trial.state, conflict, "traceback", trial.reasons[0])
        how = "alone" if len(conflict) == 1 else "together"
        measured = next((each for kept, each in self._rounds if kept == core.patches), None)
        if measured is not None:
            return Dropped(name, measured.verdict.state, conflict, how, measured.verdict.reasons[0])
        trial = self._trials.made[core.patches]
        return Dropped(name, trial.state, conflict, how, trial.reasons[0])

    def _launches(self) -> int:
        places = [self._folder, *(self._folder / f"round-{number + 1}" for number in range(len(self._rounds)))]
        return sum(record["kind"] == "launch" for place in places for record in read(place))


def write_repaired(order: Order, found: Composition, folder: Path) -> Pack:
    """Write the pack with the patches that hold, and those for other engines. It has no lock yet.

    Raises:
        UsageError: nothing holds, or there is something in ``folder``.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; give another --out")
    patches = subset.named(order.pack, order.engine.name)
    kept = found.repaired.patches if found.repaired else ()
    if len(kept) == 0:
        raise UsageError(f"no patch of {order.pack.name!r} holds, so there is no pack to write")
    return subset.write(order.pack, [patch for name, patch in patches.items() if name not in kept], folder)
