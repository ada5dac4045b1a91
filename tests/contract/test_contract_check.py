"""Snapshots, the drift table, and the hard stop in engine processes."""

import zipfile
from pathlib import Path

import pytest
import toy_package

from fk_overlay.contract.check import check, verify
from fk_overlay.contract.compare import State
from fk_overlay.contract.snapshot import opened, snapshot
from fk_overlay.contract.store import contract_for, write
from fk_overlay.core import Task
from fk_overlay.errors import ContractError, EngineError, FileError

DRIFT: list[tuple[str, str, State]] = [
    ("nothing of the kind", "", "same"),
    ('residual: "Tensor | None" = None)', 'residual: "Tensor | None" = None, scale=1.0)', "compatible"),
    ("return (x, residual, text)", "return (residual, x, text)", "body"),
    ('x: "Tensor", residual', "hidden, residual", "changed"),
    ("class Norm:", "class RootNorm:", "gone"),
]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    task = toy_package.task(tmp_path / "norm")
    write(task.folder, snapshot(task, "vllm", "1.0.0+cpu", toy_package.make(tmp_path)))
    return task


def edited(tmp_path: Path, old: str, new: str) -> Path:
    return toy_package.make(tmp_path / "edited", toy_package.LAYERS.replace(old, new))


@pytest.mark.parametrize(("old", "new", "state"), DRIFT)
def test_the_table_says_what_changed(task: Task, tmp_path: Path, old: str, new: str, state: State) -> None:
    (finding,) = check([task], "vllm", "1.5", edited(tmp_path, old, new))
    assert (finding.task, finding.place, finding.release) == ("norm", toy_package.NORM, "1.0.0")
    assert finding.state == state
    assert bool(finding.detail) == (state != "same")


@pytest.mark.parametrize(("old", "new", "state"), DRIFT)
@pytest.mark.parametrize("strict", [True, False])
def test_an_engine_process_stops_where_the_patch_would_not_fit(
    task: Task, tmp_path: Path, old: str, new: str, state: State, strict: bool
) -> None:
    root = edited(tmp_path, old, new)
    expected = contract_for(task, "vllm", "1.5").places
    if state in ("same", "compatible") or (state == "body" and not strict):
        assert verify(expected, root, strict_body=strict)[toy_package.NORM].file == root / "toy" / "layers.py"
    else:
        with pytest.raises(ContractError, match=rf"Norm\.forward: {state}: "):
            verify(expected, root, strict_body=strict)


def test_a_module_that_moved_is_found(task: Task, tmp_path: Path) -> None:
    root = edited(tmp_path, "", "")
    (root / "toy" / "layers.py").rename(root / "toy" / "norms.py")
    (finding,) = check([task], "vllm", "1.5", root)
    assert finding.state == "moved"
    assert "toy.norms:Norm.forward" in finding.detail


def test_tasks_for_other_releases_are_left_out_and_unknown_ones_are_new(task: Task, tmp_path: Path) -> None:
    assert check([task], "vllm", "3.0", tmp_path) == []
    (task.folder / "contract.json").unlink()
    (finding,) = check([task], "vllm", "1.5", tmp_path)
    assert (finding.state, finding.release) == ("new", "")


def test_a_snapshot_of_a_release_without_targets_is_refused(task: Task, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no target in vllm 3\.0"):
        snapshot(task, "vllm", "3.0", tmp_path)


def test_a_wheel_gives_the_same_snapshot_as_the_tree(task: Task, tmp_path: Path) -> None:
    wheel = tmp_path / "toy-1.2.0+cpu-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy/__init__.py", "raise RuntimeError('a wheel must not be imported')")
        archive.writestr("toy/layers.py", toy_package.LAYERS)
        archive.writestr("toy/big.so", b"\0" * 100)
    with opened(wheel) as unpacked:
        assert (unpacked.distribution, unpacked.version) == ("toy", "1.2.0")
        assert not (unpacked.root / "toy" / "big.so").exists()
        taken = snapshot(task, "vllm", unpacked.version, unpacked.root)
    assert not unpacked.root.exists()
    assert taken.places == contract_for(task, "vllm", "1.2.0").places


@pytest.mark.parametrize("name", ["toy.zip", "toy-1.0-py3-none-any.whl"])
def test_what_is_no_wheel_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text")
    with pytest.raises(FileError, match="not a wheel"), opened(tmp_path / name):
        pass
