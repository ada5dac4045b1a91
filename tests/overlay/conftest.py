from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from fk_overlay.overlay.counters import Counters
from fk_overlay.overlay.tally import Tally

torch.set_num_threads(1)
HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that is over."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> Any:
        """The JSON on the last line of its output."""
        assert self.code == 0, self.err
        return json.loads(self.out.splitlines()[-1])

    @property
    def last_word(self) -> str:
        return self.err.strip().splitlines()[-1]


Run = Callable[..., Ended]


@pytest.fixture(scope="session")
def zygote() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(HERE / "zygote.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=10)


@pytest.fixture
def run_script(zygote: subprocess.Popen[str], tmp_path: Path) -> Run:
    """Runs a text as the main script of a process of its own."""

    def run(script: str, env: Mapping[str, str] | None = None, path: tuple[Path, ...] = ()) -> Ended:
        file, out, err = tmp_path / "main.py", tmp_path / "out.txt", tmp_path / "err.txt"
        file.write_text(script)
        order = {
            "script": str(file),
            "stdout": str(out),
            "stderr": str(err),
            "env": dict(env or {}),
            "cwd": str(tmp_path),
            "path": [*map(str, path), str(CHECKOUT), str(HERE)],
        }
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        zygote.stdin.write(json.dumps(order) + "\n")
        zygote.stdin.flush()
        code = int(zygote.stdout.readline())
        return Ended(code, out.read_text(), err.read_text())

    return run


@pytest.fixture
def counters(tmp_path: Path) -> Counters:
    return Counters(tmp_path / "test.counters", rows=4)


@pytest.fixture
def tally(counters: Counters) -> Tally:
    return Tally(counters, row=1)
