import os
import subprocess
import sys
from pathlib import Path

import pytest

from fk_overlay.engines.made_once import made_once

ORIGIN = {"format": 1, "sha256": "0"}


class Maker:
    """Writes ``text`` into ``model`` and counts how often."""

    def __init__(self, text: str = "whole") -> None:
        self.text, self.calls = text, 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "model").write_text(self.text)


def test_a_second_call_uses_what_the_first_made(tmp_path: Path) -> None:
    maker = Maker()
    first = made_once(tmp_path / "x", ORIGIN, maker)
    assert made_once(tmp_path / "x", ORIGIN, maker) == first
    assert (first / "model").read_text() == "whole"
    assert maker.calls == 1


def test_another_origin_is_made_again(tmp_path: Path) -> None:
    made_once(tmp_path / "x", ORIGIN, Maker("old"))
    folder = made_once(tmp_path / "x", {**ORIGIN, "sha256": "1"}, Maker("new"))
    assert (folder / "model").read_text() == "new"


@pytest.mark.parametrize("damage", [lambda path: path.write_text("who"), lambda path: path.unlink()])
def test_a_damaged_folder_is_made_again(tmp_path: Path, damage: object) -> None:
    folder = made_once(tmp_path / "x", ORIGIN, Maker())
    assert callable(damage)
    damage(folder / "model")
    assert (made_once(tmp_path / "x", ORIGIN, Maker()) / "model").read_text() == "whole"


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "model").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made_once(tmp_path / "x", ORIGIN, fail)
    assert not (tmp_path / "x").exists()
    assert (made_once(tmp_path / "x", ORIGIN, Maker()) / "model").read_text() == "whole"


def test_a_killed_process_leaves_nothing_that_is_taken_for_good(tmp_path: Path) -> None:
    program = """
import os, pathlib, signal, sys
from fk_overlay.engines.made_once import made_once
def make(folder):
    (folder / "model").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
made_once(pathlib.Path(sys.argv[1]), {"format": 1, "sha256": "0"}, make)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "x")], env=_env(), check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "x").exists()
    assert (made_once(tmp_path / "x", ORIGIN, Maker()) / "model").read_text() == "whole"


def test_processes_that_come_at_once_make_it_once(tmp_path: Path) -> None:
    program = """
import pathlib, sys, time
from fk_overlay.engines.made_once import made_once
def make(folder):
    with open(sys.argv[2], "a") as log:
        log.write("made\\n")
    time.sleep(0.3)
    (folder / "model").write_text("whole")
print((made_once(pathlib.Path(sys.argv[1]), {"format": 1}, make) / "model").read_text())
"""
    command = [sys.executable, "-c", program, str(tmp_path / "x"), str(tmp_path / "log")]
    processes = [subprocess.Popen(command, env=_env(), stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["whole"] * 4
    assert (tmp_path / "log").read_text() == "made\n"


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
