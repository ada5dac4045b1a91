"""Compiling ahead, with processes that only write down what they were asked for."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import psutil

from fk_overlay.tuning.ahead import Ahead, Compile
from fk_overlay.tuning.config import Config

CONFIGS = [Config(16, 64, 64, 1, warps, stages) for warps in (4, 8) for stages in (2, 3)]
LONG = 60.0


def compiler(folder: Path, seconds: float = 0.0, fault: str = "") -> Compile:
    """Runs in a process of its own."""

    def compile(tokens: int, config: Config) -> None:
        if fault == "dies" and config.stages == 3:
            os._exit(9)
        if fault == "fails" and config.stages == 3:
            raise RuntimeError("PassManager::run failed")
        time.sleep(seconds)
        (folder / f"{tokens}-{config.warps}-{config.stages}-{os.getpid()}").touch()

    return compile


def compiled(folder: Path) -> set[str]:
    return {path.name.rpartition("-")[0] for path in folder.iterdir()}


def test_every_configuration_is_compiled_by_several_processes(tmp_path: Path) -> None:
    with Ahead(partial(compiler, tmp_path, 0.2), 2) as ahead:
        assert ahead(64, CONFIGS, LONG) == 4
        assert ahead(1, CONFIGS[:1], LONG) == 1
    assert compiled(tmp_path) == {"64-4-2", "64-4-3", "64-8-2", "64-8-3", "1-4-2"}
    workers = {path.name.rpartition("-")[2] for path in tmp_path.iterdir()}
    assert len(workers) == 2
    assert str(os.getpid()) not in workers


def test_one_that_fails_is_left_to_the_search(tmp_path: Path) -> None:
    with Ahead(partial(compiler, tmp_path, fault="fails"), 1) as ahead:
        assert ahead(64, CONFIGS, LONG) == 2
    assert compiled(tmp_path) == {"64-4-2", "64-8-2"}


def test_a_process_that_dies_leaves_everything_to_the_search(tmp_path: Path) -> None:
    with Ahead(partial(compiler, tmp_path, fault="dies"), 1) as ahead:
        assert ahead(64, CONFIGS, LONG) < 4
        assert ahead(64, CONFIGS[:1], LONG) == 0


def test_nothing_is_begun_when_the_time_is_over_and_what_was_begun_is_waited_for(tmp_path: Path) -> None:
    with Ahead(partial(compiler, tmp_path, 0.5), 1) as ahead:
        ahead(1, CONFIGS[:1], LONG)  # the process has started
        many = [Config(16, 64, 64, 1, 4, stages) for stages in range(2, 40)]
        begin = time.monotonic()
        done = ahead(64, many, 1.2)
        assert 1.2 < time.monotonic() - begin < 10
    assert 1 <= done <= 5
    assert len([name for name in compiled(tmp_path) if name.startswith("64-")]) == done


def test_no_workers_nothing_ahead(tmp_path: Path) -> None:
    with Ahead(partial(compiler, tmp_path), 0) as ahead:
        assert ahead(64, CONFIGS, LONG) == 0
    assert not list(tmp_path.iterdir())


def test_no_process_is_left(tmp_path: Path) -> None:
    with Ahead(partial(compiler, tmp_path), 1) as ahead:
        ahead(64, CONFIGS, LONG)
        (worker,) = {int(path.name.rpartition("-")[2]) for path in tmp_path.iterdir()}
        process = psutil.Process(worker)
    process.wait(timeout=10)
