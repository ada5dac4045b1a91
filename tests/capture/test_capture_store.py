from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from desk import Desk, Norm

from fk_overlay.capture import manifest, store
from fk_overlay.capture.signal import State
from fk_overlay.capture.store import Capture
from fk_overlay.capture.subset import extract, representative, row
from fk_overlay.contract import store as contracts
from fk_overlay.core import Contract, Fingerprint, Target, Task
from fk_overlay.errors import ContractError, EngineError, FileError, UsageError

PLACE = "toy:Norm.native"


@pytest.fixture
def capture(desk: Desk) -> Capture:
    """Two cases of task ``toy``, one of them three times as frequent."""
    watch = desk.watch(PLACE, values=("x",))
    native = desk.recorder.recording(watch, PLACE, Norm.native, None, method=True)
    norm = Norm(4)
    desk.say(State.RECORDING)
    for number in range(3):
        native(norm, torch.full((2, 4), float(number)))
    native(norm, torch.ones(5, 4), torch.ones(5, 4))
    return desk.finish()


def damage(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def test_what_is_written_is_read_back(capture: Capture) -> None:
    again = store.read(capture.folder, engine="toy", version="1.2.0+cpu")
    assert again == capture
    assert [case.calls for case in sorted(again.cases, key=lambda case: -case.calls)] == [3, 1]
    assert again.of_task("toy")[0].weight >= again.of_task("toy")[1].weight
    assert (again.padded(3), again.padded(5)) == (4, None)


def test_an_empty_folder_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"not a capture.*make one"):
        store.read(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"kind": "something"}'])
def test_a_foreign_header_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / store.HEADER).write_text(content)
    with pytest.raises(FileError, match="not a capture"):
        store.read(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("format", store.FORMAT + 1), ("kind", "a report")])
def test_another_format_is_refused(capture: Capture, key: str, value: object) -> None:
    path = capture.folder / store.HEADER
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(FileError, match="capture again"):
        store.read(capture.folder)


def test_a_changed_header_is_refused(capture: Capture) -> None:
    damage(capture.folder / store.HEADER, b'"engine_version": "1.2.0"', b'"engine_version": "1.3.0"')
    with pytest.raises(FileError, match="changed after it was written"):
        store.read(capture.folder)


def test_a_changed_manifest_is_refused(capture: Capture) -> None:
    damage(capture.folder / "manifest.jsonl", b'"calls": 3', b'"calls": 4')
    with pytest.raises(FileError, match="not the manifest"):
        store.read(capture.folder)


def test_a_missing_tensor_file_is_refused(capture: Capture) -> None:
    next((capture.folder / store.TENSORS).iterdir()).unlink()
    with pytest.raises(FileError, match="is missing"):
        store.read(capture.folder)


@pytest.mark.parametrize("how", ["bit", "end", "nonsense"])
def test_a_damaged_tensor_file_is_refused_when_it_is_used(capture: Capture, how: str) -> None:
    for path in (capture.folder / store.TENSORS).iterdir():
        content = path.read_bytes()
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        path.write_bytes({"bit": flipped, "end": content[:-4], "nonsense": b"nonsense"}[how])
    with pytest.raises(FileError, match="damaged"):
        capture.cases[0].values()


def test_rows_that_make_no_sense_are_refused(capture: Capture) -> None:
    facts = {key: value for key, value in capture.header.items() if key not in ("manifest", "digest")}
    store.write(capture.folder, facts, [{**row(capture.cases[0]), "colour": "red"}], "jsonl")
    with pytest.raises(FileError, match="colour"):
        store.read(capture.folder)


@pytest.mark.parametrize(("engine", "version"), [("toy", "1.3.0"), ("vllm", "1.2.0")])
def test_another_engine_or_release_is_refused(capture: Capture, engine: str, version: str) -> None:
    with pytest.raises(EngineError, match=rf"from toy 1\.2\.0, this is {engine}"):
        store.read(capture.folder, engine=engine, version=version)


def test_a_task_whose_target_changed_is_refused(capture: Capture, tmp_path: Path) -> None:
    task = Task("toy", "L1", "a norm", (), (Target("toy", ">=1", "toy:Norm", members=("native",)),), folder=tmp_path)
    contracts.write(tmp_path, Contract("toy", "1.2.0", {PLACE: Fingerprint("(self, x)", "1234")}))
    known = store.contract_hash(contracts.contract_for(task, "toy", "1.2.0"))
    same = replace(capture, contracts={"toy": known})
    same.check(engine="toy", version="1.2.0", tasks={"toy": task})
    contracts.write(tmp_path, Contract("toy", "1.2.0", {PLACE: Fingerprint("(self, x)", "5678")}))
    with pytest.raises(ContractError, match="has changed since"):
        same.check(engine="toy", version="1.2.0", tasks={"toy": task})


def test_a_manifest_of_columns_says_the_same(capture: Capture) -> None:
    pytest.importorskip("pyarrow", reason="Parquet manifests need pyarrow")
    rows = [row(case) for case in capture.cases]
    path = manifest.write(capture.folder, rows, "parquet")
    assert json.dumps(manifest.read(path), sort_keys=True) == json.dumps(rows, sort_keys=True)


def test_without_pyarrow_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(manifest.importlib, "import_module", absent)
    with pytest.raises(UsageError, match=re.escape("pip install 'fk-overlay[capture]', or --manifest jsonl")):
        manifest.require("parquet")
    manifest.require("jsonl")


def test_a_subset_is_a_capture_of_its_own(capture: Capture, tmp_path: Path) -> None:
    known = replace(capture, contracts={"toy": "abc", "other": "def"})
    small = store.read(extract(known, "toy", tmp_path / "cases", most=1))
    (case,) = small.cases
    assert case.id == representative(capture.cases, 1)[0].id
    assert small.contracts == {"toy": "abc"}
    assert small.header["part_of"] == capture.header["digest"]
    assert torch.equal(case.values().args[0], capture.of_task("toy")[0].values().args[0])
    with pytest.raises(UsageError, match="no case of task 'other'"):
        extract(known, "other", tmp_path / "none")


def test_representatives_show_every_target_before_they_repeat_one(capture: Capture) -> None:
    heavy, light = capture.of_task("toy")
    again = replace(light, target="toy:Other.native")
    assert [case.target for case in representative((heavy, light, again), 2)] == [PLACE, "toy:Other.native"]
    assert representative((replace(heavy, rank=1),), 2) == []
