"""The real engine of this environment. Each engine has an environment of its own, and the tests that start one run in
each; the engine lives in processes of its own, never in pytest's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fk_overlay import catalog, packs
from fk_overlay.core import Arm, Design, Scenario, Verdict
from fk_overlay.engines.base import Engine, Launch, Session, engine_names, get_engine
from fk_overlay.engines.checkpoints import resolve
from fk_overlay.errors import EngineError
from fk_overlay.lineage.record import read
from fk_overlay.plan import make
from fk_overlay.serving import judge

REPOSITORY = Path(__file__).parents[2]
PACKS = REPOSITORY / "tests/packs"


def installed() -> list[str]:
    return [name for name in engine_names() if _there(name)]


def _there(name: str) -> bool:
    try:
        get_engine(name).version()
    except EngineError:
        return False
    return True


def only(engine: str) -> pytest.MarkDecorator:
    """For tests of what one engine alone does."""
    return pytest.mark.skipif(engine not in installed(), reason=f"runs where {engine} is installed: .ci/run")


def scenario(name: str, **changed: Any) -> Scenario:
    return replace(catalog.scenario(REPOSITORY / f"scenarios/{name}.yaml"), **changed)


@dataclass(frozen=True)
class Started:
    """A launch and its session, which may not be ready yet."""

    launch: Launch
    session: Session


@contextmanager
def started(engine: Engine, wanted: Scenario, folder: Path, *places: Path) -> Iterator[Started]:
    """Start the engine with packs in it, as a run would; stop it in any case."""
    arm = Arm("arm", tuple(packs.trusted(catalog.load_pack(place)) for place in places))
    (folder / "receipts").mkdir(parents=True)
    plan = make(arm, catalog.tasks(), engine.name, engine.version(), purpose="timed", receipts=folder / "receipts")
    launch = Launch(
        name="only",
        scenario=wanted,
        model=resolve(wanted.model.source, folder / "models", wanted.folder),
        folder=folder,
        plan=plan.write(folder / "plan.json"),
        cache=folder / "cache",
        digest=arm.digest,
    )
    session = engine.start(launch)
    try:
        yield Started(launch, session)
    finally:
        session.stop()


@dataclass(frozen=True)
class Judged:
    """A run's records, and the verdict of each pack."""

    folder: Path
    verdicts: Mapping[str, Verdict]

    def records(self, kind: str, arm: str) -> list[Mapping[str, Any]]:
        return [record for record in read(self.folder) if (record["kind"], record.get("arm")) == (kind, arm)]


def judged(engine: Engine, wanted: Scenario, folder: Path, *places: Path) -> Judged:
    """One launch of the baseline and of every pack, one pass in each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FK_OVERLAY_HOME", str(folder / "home"))
        order = judge.Order(engine, wanted, judge.candidates(places, engine), "screen", Design(1, 1))
        found = judge.run(order, folder / "run", lambda *what: None)
    return Judged(folder / "run", {verdict.arm: verdict for verdict in found})


@dataclass(frozen=True)
class Finished:
    """A run by the command line."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    def records(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        return [record for record in map(json.loads, lines) if record["kind"] == kind]

    def verdicts(self) -> dict[str, dict[str, Any]]:
        return {record["arm"]: record for record in self.records("verdict")}


def run(folder: Path, *words: str, env: Mapping[str, str]) -> Finished:
    """``fk-overlay run WORD... --out FOLDER/run``, whatever its exit code."""
    command = [sys.executable, "-m", "fk_overlay.cli.main", "run", *words, "--out", str(folder / "run")]
    whole = {**os.environ, "FK_OVERLAY_HOME": str(folder / "home"), **env}
    done = subprocess.run(command, env=whole, capture_output=True, text=True, timeout=1500, check=False)
    assert (folder / "run/report.json").is_file(), done.stdout + done.stderr
    return Finished(folder / "run", done)
