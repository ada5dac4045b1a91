import json
import lzma
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fk_overlay.errors import RecordError
from fk_overlay.lineage.record import ARCHIVE, FILE, Recorder, read

THREE = [{"kind": "run", "run_id": "one"}, {"kind": "note", "text": "zwei ½"}, {"kind": "note", "text": "three"}]

WRITER = """
import itertools, sys
from pathlib import Path
from fk_overlay.lineage.record import Recorder
with Recorder(Path(sys.argv[1])) as recorder:
    for number in itertools.count():
        recorder.add("note", number=number, text="x" * 5000)
        print(number, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Recorder(tmp_path / "run") as recorder:
        for record in THREE:
            recorder.add(record["kind"], **{key: value for key, value in record.items() if key != "kind"})
    return tmp_path / "run"


def test_what_is_added_is_read_oldest_first(folder: Path) -> None:
    assert list(read(folder)) == THREE


def test_a_record_is_on_disk_before_the_recorder_is_closed(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.add("note", text="now")
        assert list(read(tmp_path)) == [{"kind": "note", "text": "now"}]


def test_records_are_appended_to_those_that_are_there(folder: Path) -> None:
    before = (folder / FILE).read_bytes()
    with Recorder(folder) as recorder:
        recorder.add("note", text="four")
    assert (folder / FILE).read_bytes().startswith(before)
    assert [record.get("text") for record in read(folder)] == [None, "zwei ½", "three", "four"]


def test_a_torn_last_line_is_left_out(folder: Path) -> None:
    path = folder / FILE
    path.write_bytes(path.read_bytes()[:-5])
    assert list(read(folder)) == THREE[:2]


def test_what_is_appended_does_not_continue_a_torn_line(folder: Path) -> None:
    path = folder / FILE
    path.write_bytes(path.read_bytes()[:-5])
    with Recorder(folder) as recorder:
        recorder.add("note", text="again")
    assert list(read(folder)) == [*THREE[:2], {"kind": "note", "text": "again"}]


def test_a_record_that_is_torn_in_its_first_line_starts_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"kind": "ru')
    assert list(read(tmp_path)) == []
    with Recorder(tmp_path) as recorder:
        recorder.add("run", run_id="one")
    assert list(read(tmp_path)) == THREE[:1]


def test_a_line_torn_inside_a_character_is_left_out(folder: Path) -> None:
    path = folder / FILE
    with path.open("ab") as file:
        file.write('{"kind":"note","text":"½'.encode()[:-1])
    assert list(read(folder)) == THREE


def test_text_that_other_programs_take_for_a_line_end_stays_in_its_line(tmp_path: Path) -> None:
    log = "first\nsecond\x0bthird\u2028fourth\x85"
    with Recorder(tmp_path) as recorder:
        recorder.add("launch", log_tail=log)
        recorder.add("note", text="after")
    assert next(read(tmp_path))["log_tail"] == log


def test_damage_before_the_last_line_is_an_error_that_names_the_line(folder: Path) -> None:
    lines = (folder / FILE).read_text().splitlines()
    lines[1] = lines[1][:10]
    (folder / FILE).write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordError, match=r"records\.jsonl:2 is damaged.*start a new run"):
        list(read(folder))


def test_a_folder_without_a_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"holds no records\.jsonl; give the folder"):
        list(read(tmp_path))


def test_an_archive_is_read_as_it_is(folder: Path) -> None:
    path = folder / FILE
    (folder / ARCHIVE).write_bytes(lzma.compress(path.read_bytes()))
    path.unlink()
    assert list(read(folder)) == THREE
    assert not path.exists()


def test_a_killed_writer_loses_at_most_its_last_line(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], env=env, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    try:
        for _ in range(20):
            assert writer.stdout.readline()
        time.sleep(0.01)
    finally:
        writer.send_signal(signal.SIGKILL)
        acknowledged = 19 + len(writer.stdout.read().split())
        writer.wait()
    numbers = [record["number"] for record in read(tmp_path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= acknowledged
    with Recorder(tmp_path) as recorder:
        recorder.add("note", number=-1)
    assert [record["number"] for record in read(tmp_path)][-2:] == [numbers[-1], -1]
    assert all(json.loads(line) for line in (tmp_path / FILE).read_bytes().splitlines())


def test_damage_that_is_not_text_is_an_error_that_names_the_line(folder: Path) -> None:
    data = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(data[:5] + b"\xff\x00" + data[5:])
    with pytest.raises(RecordError, match=r"records\.jsonl:1 is damaged"):
        list(read(folder))
