from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from adversarial.frame import Finding
from adversarial.stage import Stage
from overlay.conftest import run_script, zygote
from overlay.toy_process import toy
from serving.conftest import work

from fk_overlay.core import Design

__all__ = ["run_script", "stage", "tier1", "toy", "work", "zygote"]


@pytest.fixture(scope="session")
def known() -> dict[Design, Finding]:
    return {}


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: dict[Design, Finding]
) -> Stage:
    return Stage(request, tmp_path, monkeypatch, known)


@pytest.fixture(scope="session")
def tier1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    from adversarial.captured import record
    from adversarial.tier1 import PLACE, Tier1, environment, tasks

    from fk_overlay.bench.bench import Bench

    cases = record(tmp_path_factory.mktemp("capture"))
    with Bench(PLACE, tasks(), environment()) as bench:
        yield Tier1(bench, cases)
