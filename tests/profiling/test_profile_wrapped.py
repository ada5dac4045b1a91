"""Profilers around an engine: tools of our own on PATH that run what they are given and write what NVIDIA's do."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from profile_toy import ToyEngine, ToySession
from test_profiler_tools import NCU, NSYS

from fk_overlay.core import Arm
from fk_overlay.engines.base import Launch
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.errors import LaunchError, UsageError
from fk_overlay.lineage.record import read
from fk_overlay.profiling import run, wrapped
from fk_overlay.profiling.limits import Budget
from fk_overlay.report import kernels


def quiet(what: str) -> None:
    pass


@pytest.fixture(autouse=True)
def tools_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text("#!/bin/sh\n" + script)
    (folder / name).chmod(0o755)


@pytest.fixture
def measuring(engine: ToyEngine, monkeypatch: pytest.MonkeyPatch) -> ToyEngine:
    """The engine, whose sessions write what a tool in front of them would; ranges of NVTX need no GPU here."""
    import torch

    pushed: list[str] = []
    monkeypatch.setattr(torch.cuda.nvtx, "range_push", pushed.append)
    monkeypatch.setattr(torch.cuda.nvtx, "range_pop", lambda: None)

    class Session(ToySession):
        def stop(self) -> None:
            super().stop()
            words = self.launch.prefix
            if "--log-file" in words:
                Path(words[words.index("--log-file") + 1]).write_text(NCU)
            assert {"fk_overlay::model", "fk_overlay::gate"} <= set(pushed)

    def start(launch: Launch) -> Session:
        engine.starts.append(launch)
        session = Session(engine, launch)
        session.launch = launch
        return session

    monkeypatch.setattr(engine, "start", start)
    return engine


def test_ncu_s_kernels_of_both_arms_are_read(
    order: run.Order, slow: Arm, measuring: ToyEngine, tools_on_path: Path, tmp_path: Path
) -> None:
    install(tools_on_path, "ncu", "exit 1\n")
    both = replace(order, arms=(*order.arms, slow))
    found = wrapped.profile(both, Budget("ncu", "rms.*", launches=5), tmp_path / "out", quiet)
    assert {arm: [kernel.name for kernel in seen] for arm, seen in found.kernels.items()} == {
        "baseline": ["gemm, tiled", "rms_norm_kernel"],
        "slow": ["gemm, tiled", "rms_norm_kernel"],
    }
    launch = measuring.starts[0]
    assert launch.prefix[0] == str(tools_on_path / "ncu")
    assert "regex:rms.*" in launch.prefix
    assert (launch.scenario.driver, launch.patience_s) == ("offline", 300.0)
    recorded = [record for record in read(tmp_path / "out") if record["kind"] == "kernel"]
    assert len(recorded) == 4
    paths = kernels.write(found, tmp_path / "out")
    assert json.loads(paths[0].read_text())["tool"] == "ncu"
    assert "| rms_norm_kernel | \u2013 | slow | 2 | 0.0060 | 20.0 % | 70.0 % |" in paths[1].read_text()


def test_nsys_is_asked_for_its_table(
    order: run.Order, measuring: ToyEngine, tools_on_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text(NSYS)
    install(tools_on_path, "nsys", f'[ "$1" = stats ] && cat {tmp_path}/table.csv\n')
    found = wrapped.profile(order, Budget("nsys"), tmp_path / "out", quiet)
    assert [kernel.task for kernel in found.kernels["baseline"]] == ["silu_and_mul", "mlp", ""]


def test_a_tool_that_fails_is_quoted(
    order: run.Order, measuring: ToyEngine, tools_on_path: Path, tmp_path: Path
) -> None:
    install(tools_on_path, "nsys", "echo no such report >&2\nexit 3\n")
    with pytest.raises(LaunchError, match="nsys stats ended with code 3: no such report"):
        wrapped.profile(order, Budget("nsys"), tmp_path / "out", quiet)


def test_a_missing_tool_is_told_before_anything_is_started(
    order: run.Order, engine: ToyEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="needs the binary 'nsys'"):
        wrapped.profile(order, Budget("nsys"), tmp_path / "out", quiet)
    assert engine.starts == []
    assert not (tmp_path / "out").exists()


def test_a_process_has_the_time_that_its_tool_needs_to_write(tmp_path: Path) -> None:
    """It ends on its own some time after its input was closed, as a profiler does, and is not interrupted."""
    script = (
        "import sys, time\nsys.stdin.read()\ntime.sleep(float(sys.argv[2]))\nopen(sys.argv[1], 'w').write('report')"
    )
    command = [sys.executable, "-c", script]
    patient = [*command, str(tmp_path / "report"), "0.5"]
    process = EngineProcess.start(patient, os.environ, tmp_path / "log", piped=True, patience_s=20.0)
    process.stop()
    assert (tmp_path / "report").read_text() == "report"
    hasty = EngineProcess.start(
        [*command, str(tmp_path / "none"), "60"], os.environ, tmp_path / "log", piped=True, patience_s=0.0
    )
    hasty.stop()
    assert not (tmp_path / "none").exists()
