import multiprocessing
import time
from pathlib import Path

import psutil
import pytest

from fk_overlay.engines import cpus

PRESSED = """some avg10=2.09 avg60=16.20 avg300=12.36 total=5289079069
full avg10=0.00 avg60=0.00 avg300=0.00 total=7
"""
THROTTLED = "usage_usec 12\nnr_throttled 3\nthrottled_usec 2500000\n"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cpus, "PRESSURE", tmp_path / "cpu")
    monkeypatch.setattr(cpus, "QUOTA", tmp_path / "cpu.stat")
    return tmp_path


def test_what_the_system_tells_is_read(told: Path) -> None:
    (told / "cpu").write_text(PRESSED)
    (told / "cpu.stat").write_text(THROTTLED)
    found = cpus.withheld()
    assert (found["waiting"], found["throttled"]) == (5289.079069, 2.5)
    assert cpus.since({"waiting": 5289.0, "stolen": found["stolen"]})["waiting"] == 0.079069


def test_what_the_system_does_not_tell_is_absent(told: Path) -> None:
    (told / "cpu.stat").write_text("usage_usec 12\n")
    assert set(cpus.withheld()) == {"stolen"}
    assert "waiting" not in cpus.since({"waiting": 1.0})


def burn(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


@pytest.mark.skipif(not cpus.PRESSURE.is_file(), reason="this kernel has no pressure stall information")
def test_more_work_than_processors_is_waiting() -> None:
    before = cpus.withheld()
    work = [
        multiprocessing.get_context("fork").Process(target=burn, args=(0.5,)) for _ in range(3 * psutil.cpu_count())
    ]
    for each in work:
        each.start()
    for each in work:
        each.join()
    assert cpus.since(before)["waiting"] > 0.1
