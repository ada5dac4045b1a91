"""SGLang logs what goes wrong in a plugin and serves without it. None of that may pass for a measurement."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import MutableMapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine.real_engine import PACKS, REPOSITORY, Started, judged, only, scenario, started

from fk_overlay.core import Model, Scenario
from fk_overlay.engines.base import Engine, Launch
from fk_overlay.engines.http.ports import LOCAL
from fk_overlay.engines.sglang import server
from fk_overlay.errors import LaunchError
from fk_overlay.overlay.receipts import processes

pytestmark = [pytest.mark.engine, only("sglang"), pytest.mark.timeout(300)]

BROKEN = "class RMSNorm:\n    def forward(self, x):\n        return x\n"
"""Takes no residual, so that it cannot be put in place."""
DEADLY = """
import os, signal
class RMSNorm:
    @staticmethod
    def prepare(module):
        os.kill(os.getpid(), signal.SIGKILL)
    def forward(self, x, residual=None, *more, **asked):
        return x
"""


def pack(folder: Path, kernel: str) -> Path:
    folder.mkdir()
    (folder / "kernel.py").write_text(kernel, encoding="utf-8")
    text = '[[patch]]\ntask = "rms_norm"\nfile = "kernel.py"\nsymbol = "RMSNorm"\n'
    (folder / "pack.toml").write_text(f'name = "{folder.name}"\nsummary = "bad"\n{text}', encoding="utf-8")
    return folder


def left(it: Started) -> list[int]:
    """Processes that still have the launch's plan in their environment."""
    plan = str(it.launch.plan)
    found = psutil.process_iter(["pid", "environ"])
    return [each.pid for each in found if (each.info["environ"] or {}).get("FK_OVERLAY") == plan]


def test_a_plugin_that_fails_to_load_gives_no_figure(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry point leads nowhere in the candidate's launches: SGLang says so in its log, and serves."""
    environment: Any = import_module("fk_overlay.engines.sglang.environment")
    announce = environment.announce

    def misled(env: MutableMapping[str, str], folder: Path, **where: str) -> None:
        announce(env, folder, **where)
        if "identity" in folder.name:
            info = folder / "site" / "fk_overlay-0.dist-info"
            info.mkdir(parents=True, exist_ok=True)
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fk-overlay\nVersion: 0\n")
            (info / "entry_points.txt").write_text("[sglang.srt.plugins]\nfk_overlay = fk_overlay.entry:absent\n")
            env["PYTHONPATH"] = os.pathsep.join((str(info.parent), env.get("PYTHONPATH", "")))

    monkeypatch.setattr(environment, "announce", misled)
    verdict = judged(engine, scenario("tiny-llama"), tmp_path, PACKS / "identity").verdicts["identity"]
    assert verdict.state == "not_engaged"
    assert verdict.effect is None
    assert "has not reported" in verdict.reasons[0]


def fails(engine: Engine, wanted: Scenario, folder: Path, *packs: Path, match: str) -> Launch:
    """Start an engine that cannot; nothing of it may be left."""
    with started(engine, wanted, folder, *packs) as it, pytest.raises(LaunchError, match=match):
        it.session.wait_ready(120)
    assert left(it) == []
    return it.launch


def test_what_goes_wrong_in_the_overlay_ends_the_engine(engine: Engine, tmp_path: Path) -> None:
    broken = pack(tmp_path / "broken", BROKEN)
    launch = fails(engine, scenario("tiny-llama"), tmp_path / "launch", broken, match="SeamError: the kernel for RMSN")
    assert any("SeamError" in error for each in processes(launch.receipts) for error in each["errors"])


@pytest.mark.parametrize("driver", ["offline", "server"])
def test_a_scheduler_that_dies_at_start_ends_the_launch(engine: Engine, tmp_path: Path, driver: Any) -> None:
    deadly, wanted = pack(tmp_path / "deadly", DEADLY), scenario("tiny-llama", driver=driver)
    fails(engine, wanted, tmp_path / "launch", deadly, match="the engine ended with code")


def test_a_model_without_weights_ends_the_launch(engine: Engine, tmp_path: Path) -> None:
    model = REPOSITORY / "tests/models/tiny-llama"
    shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    wanted = scenario("tiny-llama", model=Model(str(tmp_path / "model")))
    fails(engine, wanted, tmp_path / "launch", match="the engine ended with code")


class Impostor(BaseHTTPRequestHandler):
    """Answers as a server that is well."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *said: Any) -> None:
        """Not on pytest's output."""


def test_another_server_on_the_port_is_not_the_engine(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer((LOCAL, 0), Impostor) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        monkeypatch.setattr(server, "free_port", lambda: other.server_port)
        try:
            wanted = scenario("tiny-llama", driver="server")
            fails(engine, wanted, tmp_path / "launch", match=r"another process|ended with code")
        finally:
            other.shutdown()


@pytest.mark.parametrize("driver", ["offline", "server"])
def test_a_run_that_is_killed_while_its_schedulers_start_leaves_none(tmp_path: Path, driver: str) -> None:
    text = (REPOSITORY / "scenarios/tiny-llama.yaml").read_text(encoding="utf-8")
    text = text.replace("../tests/models", str(REPOSITORY / "tests/models"))
    file = tmp_path / "tiny.yaml"
    file.write_text(text.replace("driver: offline", f"driver: {driver}"), encoding="utf-8")
    command = [sys.executable, "-m", "fk_overlay.cli.main", "run", "--engine", "sglang", "--scenario", str(file)]
    command += ["--patch", str(PACKS / "identity"), "--out", str(tmp_path / "run")]
    with (tmp_path / "log").open("wb") as log:
        run = psutil.Popen(command, env={**os.environ, "FK_OVERLAY_HOME": str(tmp_path)}, stdout=log, stderr=log)
    try:
        family: list[psutil.Process] = []
        schedulers = 0  # counted while the run lives: at once after it, some are gone already
        deadline = time.monotonic() + 120
        while schedulers < 2 and time.monotonic() < deadline and run.is_running():
            time.sleep(0.1)
            family = run.children(recursive=True)
            schedulers = sum(map(spawned, family))
        time.sleep(2)  # they are Python by then, and far from having imported SGLang
    finally:
        run.kill()
    assert schedulers >= 2, (tmp_path / "log").read_text()
    gone, alive = psutil.wait_procs(family, timeout=20)
    assert alive == [], gone


def spawned(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
