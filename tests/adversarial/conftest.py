from __future__ import annotations

from pathlib import Path

import pytest
from adversarial.stage import Stage
from overlay.conftest import run_script, zygote
from overlay.toy_process import toy
from serving.conftest import work

__all__ = ["run_script", "stage", "toy", "work", "zygote"]


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(request, tmp_path, monkeypatch)
