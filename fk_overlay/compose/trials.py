"""Asks the engine whether subsets of a pack hold: one launch each, against one launch of the baseline, by the rules of
a run.

The engine starts as the scenario says, so a subset that does not compile or cannot be captured into CUDA graphs fails
before any load is sent. One that starts must prove that every patch runs, be right, and stay within the limits. Of
speed a single launch says nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from fk_overlay.compose import blame, subset
from fk_overlay.compose.search import Answer, Subset
from fk_overlay.core import BASELINE, Arm, Pack, Patch, Scenario
from fk_overlay.errors import LaunchError
from fk_overlay.lineage.record import read
from fk_overlay.scoring.envelope import calibrate
from fk_overlay.scoring.evidence import Evidence, Record
from fk_overlay.scoring.verdict import judge_arm
from fk_overlay.serving import judge
from fk_overlay.serving.design import Slot
from fk_overlay.serving.launch import Bench, perform

PACKS = "packs"
FAILED = frozenset({"incorrect", "not_engaged", "contract_error", "resource_regression", "invalid"})
"""Verdicts of a subset that does not hold, whatever its speed."""
HOLDS = "holds"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one subset.

    Attributes:
        state: ``holds``, why it does not (see :data:`FAILED`), or how its launch failed: ``crashed``, ``hung``,
            ``refused``.
        stage: how far it came: ``start`` if the engine did not start with it, compile and capture it, and prove that
            it is in place.
        blamed: the patch that the traceback of a crash leads to.
    """

    arm: str
    patches: tuple[str, ...]
    state: str
    stage: Literal["start", "load"]
    blamed: str | None
    reasons: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return self.state == HOLDS


class Trials:
    """The engine's answers about subsets of ``pack``, from the record where it has them.

    Args:
        patches: by name, in the pack's order; ``refused`` are in no subset.
        done: the records so far.
    """

    def __init__(
        self,
        bench: Bench,
        pack: Pack,
        patches: Mapping[str, Patch],
        refused: Iterable[str],
        done: Iterable[Record],
        tell: judge.Tell,
    ) -> None:
        self._bench = bench
        self._pack = pack
        self._patches = patches
        self._refused = frozenset(refused)
        self._tell = tell
        self._closed = _launches(done)
        self._recorded = {record["arm"] for record in done if record["kind"] == "trial"}
        self._asked = 0
        self.made: dict[Subset, Trial] = {}

    def __call__(self, patches: Subset) -> Answer:
        """Raises :class:`LaunchError` if the baseline itself fails, which leaves nothing to compare with."""
        self._baseline()
        arm = self._arm(patches)
        self._asked += 1
        self._launch(Slot(self._asked, 0, arm))
        trial = self.made[patches] = self._judged(arm, self.ordered(patches))
        if arm.name not in self._recorded:
            self._bench.recorder.add("trial", **asdict(trial))
        return Answer(trial.holds, trial.blamed, self._named(trial))

    def confirm(self) -> None:
        """Launch the baseline once more: where nothing holds, the engine itself may have stopped working meanwhile.
        Raises :class:`LaunchError` if it did."""
        self._check(self._launch(Slot(self._asked + 1, 1, Arm(BASELINE))))

    def pack(self, patches: Subset, name: str) -> Pack:
        """The pack with these patches alone, in the run's folder."""
        dropped = [patch for each, patch in self._patches.items() if each not in patches]
        return subset.write(self._pack, dropped, self._bench.folder / PACKS / name)

    def ordered(self, patches: Subset) -> tuple[str, ...]:
        return tuple(name for name in self._patches if name in patches)

    def _arm(self, patches: Subset) -> Arm:
        """Called after the pack if it has all patches that are not refused."""
        name = self._pack.name
        if patches != self._patches.keys() - self._refused:
            name += "-" + hashlib.sha256("\n".join(self.ordered(patches)).encode()).hexdigest()[:8]
        return Arm(name, (self.pack(patches, name),))

    def _baseline(self) -> None:
        self._check(self._launch(Slot(0, 0, Arm(BASELINE))))

    def _check(self, closed: Record) -> None:
        if closed["state"] != "ok":
            reason = f"the baseline does not run, so nothing can be held against it: {closed['reason']}"
            raise LaunchError(reason, state=closed["state"], log=closed.get("log_tail", ""))

    def _launch(self, slot: Slot) -> Record:
        """Make a launch that is not on record yet, and its witness where one is needed. Returns its record."""
        if slot.name not in self._closed:
            kept = [name for pack in slot.arm.packs for name in subset.named(pack, self._bench.engine.name)]
            self._tell(" + ".join(kept) or slot.arm.name, slot.order, slot.order + 1)
            perform(self._bench, slot)
            self._closed |= _launches(read(self._bench.folder))
        if self._closed[slot.name]["state"] == "ok":
            judge.witness(self._bench, slot, self._closed, slot.order + 1, self._tell)
        return self._closed[slot.name]

    def _judged(self, arm: Arm, patches: tuple[str, ...]) -> Trial:
        evidence = Evidence.of(read(self._bench.folder))
        scenario: Scenario = self._bench.scenario
        envelope = calibrate(evidence, scenario.correctness, scenario.headline_workload.name)
        verdict = judge_arm(evidence, scenario, judge.described(arm, self._bench.engine), envelope)
        launches = evidence.launches_of(arm.name)
        failed = next((launch for launch in launches if launch["state"] != "ok"), None)
        state = verdict.state if verdict.state in FAILED else HOLDS
        blamed = None
        if failed is not None:
            state = failed["state"] if verdict.state == "incorrect" else state
            mine = {name: self._patches[name] for name in patches}
            blamed = blame.blamed(self._bench.folder / failed["log"], arm.packs[0].folder, mine)
        started = all(launch.get("config") is not None for launch in launches)
        return Trial(arm.name, patches, state, "load" if started else "start", blamed, verdict.reasons)

    def _named(self, trial: Trial) -> tuple[str, ...]:
        """Patches whose tasks the reasons for not being engaged name."""
        if trial.state != "not_engaged":
            return ()
        said = " ".join(trial.reasons)
        return tuple(name for name in trial.patches if re.search(rf"\b{re.escape(self._patches[name].task)}\b", said))


def _launches(records: Iterable[Record]) -> dict[str, Record]:
    return {record["launch"]: record for record in records if record["kind"] == "launch"}
