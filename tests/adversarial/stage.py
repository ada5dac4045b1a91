"""Where scenes are played: whole runs with a fake engine, records of a run, and processes with the real overlay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from adversarial.frame import Finding
from fakes.engine import Manner
from fakes_records import Story, records
from overlay.toy_engine import VERSION
from overlay.toy_process import Toy

from fk_overlay.core import Design, Verdict
from fk_overlay.errors import OverlayError
from fk_overlay.integrity.static import scan
from fk_overlay.overlay.receipts import collect
from fk_overlay.scoring.engaged import not_engaged
from fk_overlay.scoring.evidence import Evidence
from fk_overlay.scoring.validity import invalid
from fk_overlay.scoring.verdict import judge

FAST = Manner(speed=1.1)
"""An honest gain of a tenth."""
ASK = """
from fk_overlay.overlay.last_look import ask
ask(Path({receipts!r}))
"""
"""What a launcher does before it stops an engine."""
QUICK, THOROUGH = Design(3, 1), Design(5, 2)


@dataclass
class Stage:
    """One scene's. Everything is made when it is first asked for."""

    request: pytest.FixtureRequest
    tmp_path: Path
    monkeypatch: pytest.MonkeyPatch
    known: dict[Design, Finding]
    """Verdicts on the honest pack, which need no second run."""

    @property
    def work(self) -> Any:
        """A run with a fake engine, see :class:`serving.conftest.Workplace`."""
        return self.request.getfixturevalue("work")

    @property
    def toy(self) -> Toy:
        """A toy engine with the real overlay, a process for every script."""
        toy: Toy = self.request.getfixturevalue("toy")
        return toy

    def serve(self, design: Design = QUICK, **manners: Manner) -> Finding:
        """The verdict on the pack ``fast``. Manners are by arm, or by launch as ``_01__fast``."""
        if manners:
            return self._served(design, manners)
        if design not in self.known:
            self.known[design] = self._served(design, {})
        return self.known[design]

    def _served(self, design: Design, manners: Mapping[str, Manner]) -> Finding:
        self.work.design = design
        (verdict,) = self.work.run(**{"fast": FAST, **manners})
        return decided(verdict)

    def told(self, story: Story) -> Finding:
        """The verdict on the records of a story."""
        (verdict,) = judge(records(story), story.scenario)
        return decided(verdict)

    def benched(self, kernel: str, case: str = "float32", *, thorough: bool = False, mode: str = "eager") -> Finding:
        """The bench's verdict on a kernel for one of the cases of :mod:`adversarial.captured`.

        Args:
            thorough: enough calls for what few of them show.
        """
        judged: Finding = self.request.getfixturevalue("tier1").judge(kernel, case, self.tmp_path, thorough, mode)
        return judged

    def played(self, script: str, pack: str, calls: int | None = None) -> Finding:
        """What a process of the toy engine with a pack leaves behind, judged as a launch of that arm.

        Args:
            calls: how many of the counted calls fell into the passes; all by default.
        """
        ended = self.toy.run(script + ASK.format(receipts=str(self.toy.receipts)), self.toy.plan(pack))
        if ended.code:
            return Finding("refused", (ended.last_word,))
        return receipts_judged(pack, self.toy, calls)


def decided(verdict: Verdict) -> Finding:
    return Finding(verdict.state, verdict.reasons)


def refusal(act: Callable[[], Finding]) -> Finding:
    """How a scene ends that may be refused before it begins."""
    try:
        return act()
    except OverlayError as error:
        return Finding("blocked", (f"{type(error).__name__}: {error}",))


def read(source: str, rule: str) -> Finding:
    """Whether reading a kernel's source finds a rule broken, and whether it blocks the pack."""
    found = [finding for finding in scan(source, "kernel.py") if finding.rule == rule or finding.level == "block"]
    return Finding("blocked" if found else "passed", [str(finding) for finding in found], "g.static" if found else "")


def receipts_judged(pack: str, toy: Toy, calls: int | None) -> Finding:
    """The receipts of one process as those of the arm's only launch."""
    launch = {"kind": "launch", "launch": "00", "arm": pack, "restart": 0, "state": "ok", "purpose": "timed"}
    receipts = [
        {
            "kind": "receipt",
            "launch": "00",
            "arm": pack,
            "purpose": "timed",
            **receipt,
            "rank": 0,
            "world_size": 1,
            "calls_in_passes": receipt.get("calls_eager", 0) if calls is None else calls,
        }
        for receipt in collect(toy.receipts)
    ]
    tasks = sorted({receipt["task"] for receipt in receipts if receipt["task"]})
    arm = {"name": pack, "packs": [{"name": pack, "patches": [{"task": task} for task in tasks]}]}
    run = {"kind": "run", "engine": "toy", "engine_version": VERSION, "arms": [arm]}
    evidence = Evidence.of([run, launch, *receipts])
    from fakes_records import SCENARIO

    if reasons := invalid(evidence, pack, SCENARIO, None):
        return Finding("invalid", reasons)
    if silent := not_engaged(evidence, arm):
        return Finding("not_engaged", silent)
    return Finding("passed")


def tokens_changed(traces: Sequence[Any], chosen: Callable[[int], bool] = lambda index: True) -> list[Any]:
    """Traces whose tokens are others from the middle on, those of the chosen requests."""

    def other(trace: Any) -> Any:
        half = len(trace.tokens) // 2
        return replace(trace, tokens=(*trace.tokens[:half], *(token + 1 for token in trace.tokens[half:])))

    return [other(trace) if chosen(trace.index) else trace for trace in traces]
