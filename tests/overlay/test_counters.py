from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from fk_overlay.overlay.counters import WIDTH, Counters, Slot, read

WRITER = """
import sys, time
from pathlib import Path
from fk_overlay.overlay.counters import Counters, Slot
counters = Counters(Path(sys.argv[1]), rows=3)
for _ in range(1000):
    counters.add(2, Slot.EAGER)
counters.put(0, Slot.REPLAYS, 1 << 40)
print("counted", flush=True)
time.sleep(60)
"""


def test_rows_begin_at_zero_and_are_independent(tmp_path: Path) -> None:
    path = tmp_path / "1.counters"
    counters = Counters(path, rows=2)
    assert read(path) == [(0,) * WIDTH] * 2
    counters.add(0, Slot.EAGER, 3)
    counters.add(1, Slot.FALLBACK)
    assert counters.get(0, Slot.EAGER) == 3
    assert read(path)[0] == (3, 0, 0, 0, 0, 0, 0)
    assert read(path)[1] == (0, 0, 0, 1, 0, 0, 0)


def test_a_process_without_swaps_has_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "1.counters"
    Counters(path, rows=0)
    assert path.is_file()


def test_an_old_file_of_the_same_pid_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "1.counters"
    Counters(path, rows=5).add(4, Slot.EAGER, 9)
    assert Counters(path, rows=1).get(0, Slot.EAGER) == 0
    assert read(path) == [(0,) * WIDTH]


def test_what_was_counted_is_there_after_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "1.counters"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "counted\n"
        while_alive = read(path)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
    assert while_alive[2][Slot.EAGER] == 1000
    assert read(path) == while_alive
    assert read(path)[0][Slot.REPLAYS] == 1 << 40


def test_a_missing_or_torn_file_gives_the_whole_rows_only(tmp_path: Path) -> None:
    assert read(tmp_path / "none.counters") == []
    path = tmp_path / "1.counters"
    path.write_bytes(bytes(WIDTH * 8 + 5))
    assert read(path) == [(0,) * WIDTH]


def test_a_moved_map_leaves_the_old_file_alone(tmp_path: Path) -> None:
    parent, child = tmp_path / "1.counters", tmp_path / "2.counters"
    counters = Counters(parent, rows=1)
    counters.add(0, Slot.EAGER, 7)
    counters.move(child)
    counters.add(0, Slot.EAGER, 2)
    assert read(parent)[0][Slot.EAGER] == 7
    assert read(child)[0][Slot.EAGER] == 2


def test_cells_are_in_the_machines_order(tmp_path: Path) -> None:
    """Another tool may read the file: little-endian 64-bit integers on every machine that runs these engines."""
    path = tmp_path / "1.counters"
    Counters(path, rows=1).add(0, Slot.TRACED, 258)
    start = Slot.TRACED * 8
    assert path.read_bytes()[start : start + 8] == (258).to_bytes(8, sys.byteorder)
    assert path.stat().st_size == WIDTH * 8
