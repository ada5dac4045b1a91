from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from fk_overlay.overlay.counters import Slot
from fk_overlay.overlay.receipts import REASONS, Receipt, collect, processes

PLACE = {
    "task": "rms-norm",
    "target": "toy.layers:Norm.forward",
    "seam": "method",
    "pack": "fast",
    "pack_digest": "d" * 64,
    "baseline_body": "0123",
    "aliases": [],
}


def receipt(folder: Path | None, places: int = 2) -> Receipt:
    return Receipt(folder, role="worker", engine="toy", version="1.2.0", places=places)


def test_collect_joins_what_was_said_with_what_was_counted(tmp_path: Path) -> None:
    mine = receipt(tmp_path / "receipts")
    mine.say(rank=1, world_size=2, config={"dtype": "bfloat16"})
    mine.placed(1, **PLACE)
    assert mine.counters is not None
    for count, slot in enumerate(Slot, 10):
        mine.counters.put(1, slot, count)
    mine.say(loaded=True)
    assert list(collect(tmp_path / "receipts")) == [
        {
            "pid": os.getpid(),
            "role": "worker",
            "rank": 1,
            "world_size": 2,
            "engine": "toy",
            "version": "1.2.0",
            "loaded": True,
            "errors": [],
            **PLACE,
            "calls_eager": 10,
            "calls_traced": 11,
            "calls_captured": 12,
            "fallbacks": 13,
            "instances": 14,
            "prepared": 15,
            "replays": 16,
        }
    ]
    assert processes(tmp_path / "receipts")[0]["config"] == {"dtype": "bfloat16"}


def test_each_place_is_a_record_with_its_own_row(tmp_path: Path) -> None:
    mine = receipt(tmp_path)
    mine.placed(1, **PLACE)
    mine.placed(0, **PLACE | {"target": "toy.layers:Norm.scale"})
    assert mine.counters is not None
    mine.counters.add(0, Slot.EAGER, 5)
    assert [(record["target"], record["calls_eager"]) for record in collect(tmp_path)] == [
        ("toy.layers:Norm.forward", 0),
        ("toy.layers:Norm.scale", 5),
    ]


def test_a_process_without_swaps_leaves_one_record_without_a_task(tmp_path: Path) -> None:
    receipt(tmp_path, places=0)
    (record,) = collect(tmp_path)
    assert record["task"] is None
    assert record["loaded"] is False


def test_errors_are_kept_in_order(tmp_path: Path) -> None:
    mine = receipt(tmp_path)
    mine.failed(ValueError("first"))
    mine.failed(KeyError("second"))
    assert processes(tmp_path)[0]["errors"] == ["ValueError: first", "KeyError: 'second'"]


def test_only_so_many_reasons_of_a_place_are_kept(tmp_path: Path) -> None:
    mine = receipt(tmp_path)
    mine.placed(1, **PLACE)
    new = [mine.refused(1, f"{number % 20} rows") for number in range(40)]
    (record,) = collect(tmp_path)
    assert record["refusals"] == [f"{number} rows" for number in range(REASONS)]
    assert new == [number < REASONS for number in range(40)]


def test_no_folder_writes_nothing_and_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = receipt(None)
    mine.placed(0, **PLACE)
    mine.failed(ValueError("x"))
    assert mine.counters is None
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half_a_receipt(tmp_path: Path) -> None:
    mine = receipt(tmp_path)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            mine.say(config={"padding": "x" * 200_000})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            for path in tmp_path.glob("*.json"):
                json.loads(path.read_text())
    finally:
        stop.set()
        writer.join()


def test_two_threads_may_write_at_once(tmp_path: Path) -> None:
    """Engines import from several threads, and each import may put something in place."""
    mine = receipt(tmp_path, places=100)
    failures: list[BaseException] = []

    def place(start: int) -> None:
        try:
            for row in range(start, start + 25):
                mine.placed(row, **PLACE)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=place, args=(start,)) for start in (0, 25, 50, 75)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list(collect(tmp_path))) == 100


def test_a_forked_process_has_a_receipt_of_its_own(tmp_path: Path) -> None:
    """vLLM forks its workers unless CUDA is up; they must not write over each other's and their parent's proof."""
    mine = receipt(tmp_path)
    mine.placed(0, **PLACE)
    mine.say(rank=0, world_size=2, loaded=True)
    assert mine.counters is not None
    mine.counters.add(0, Slot.EAGER, 3)
    child = os.fork()
    if child == 0:
        mine.forked()
        mine.say(rank=1, world_size=2)
        mine.counters.add(0, Slot.EAGER, 40)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    by_pid = {record["pid"]: record for record in collect(tmp_path)}
    assert set(by_pid) == {os.getpid(), child}
    assert (by_pid[child]["rank"], by_pid[child]["calls_eager"], by_pid[child]["loaded"]) == (1, 40, False)
    assert (by_pid[os.getpid()]["rank"], by_pid[os.getpid()]["calls_eager"]) == (0, 3)
    assert by_pid[child]["target"] == PLACE["target"]
