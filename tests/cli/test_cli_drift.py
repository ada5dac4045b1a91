"""``check --against`` and ``contract snapshot --wheel``: a release that is not installed, from wheel to drift."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from overlay.toy_engine import VERSION, write_engine, write_task
from typer.testing import CliRunner

from fk_overlay import catalog
from fk_overlay.cli.main import app
from fk_overlay.errors import OverlayError, UsageError

PLACE = "toy.layers:Norm.forward_native"


@dataclass(frozen=True)
class Answer:
    code: int
    lines: list[str]
    error: BaseException | None


def fk(*words: object) -> Answer:
    found = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})
    assert found.exception is None or isinstance(found.exception, OverlayError | SystemExit), found.exception
    return Answer(found.exit_code, found.output.splitlines(), found.exception)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only root: a toy engine with a task for its release 1.2."""
    root = write_engine(tmp_path / "toys")
    write_task(root, "norm", "toy.layers:Norm", members=["forward_native"])
    monkeypatch.setattr(catalog, "shipped", lambda: root)
    monkeypatch.setenv("FK_OVERLAY_PATH", str(root))
    monkeypatch.chdir(tmp_path)
    return root


def wheel(root: Path, version: str, old: str = "", new: str = "", *, package: str = "toy") -> Path:
    path = root.parent / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (root / "toy").glob("*.py"):
            archive.writestr(f"{package}/{file.name}", file.read_text().replace(old, new) if old else file.read_text())
        archive.writestr(f"{package}/bomb.py", "raise RuntimeError('a wheel must not be imported')\n")
    return path


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("", "", 0, ["same       norm", "1 tasks: 1 same"]),
        ("x + 1 if", "x + 3 if", 0, ["body       norm", "           since 1.2.0: its statements differ"]),
        (
            "forward_native(self, x, residual=None)",
            "forward_native(self, x, residual)",
            3,
            ["changed    norm", "           since 1.2.0: -{residual = None} +{residual}", "             +residual"],
        ),
        (
            "class Norm",
            "class RootNorm",
            3,
            ["gone       norm", "           since 1.2.0: toy.layers defines no Norm any"],
        ),
    ],
)
def test_a_release_is_checked_from_its_wheel_or_its_index(
    root: Path, old: str, new: str, code: int, said: list[str], kept: bool
) -> None:
    path = wheel(root, "1.4.0", old, new)
    if kept:
        (stored,) = fk("contract", "snapshot", "--index-only", "--wheel", path).lines
        assert Path(stored) == root / "tasks" / "releases" / "toy.jsonl.xz"
        path.unlink()
    answer = fk("check", "--against", "toy==1.4" if kept else path)
    assert answer.code == code
    assert answer.lines[0] == ("toy 1.4.0 (stored index)" if kept else f"toy 1.4.0 ({path})")
    for start in said:
        assert any(line.startswith(start) for line in answer.lines), answer.lines


def test_the_findings_are_also_to_be_had_as_json(root: Path) -> None:
    answer = fk("check", "--json", "--against", wheel(root, "2.5.0", "residual=None", "residual=0"))
    (finding,) = json.loads("\n".join(answer.lines))
    assert finding == {
        "task": "norm",
        "place": PLACE,
        "release": VERSION,
        "state": "changed",
        "detail": "-{residual = None} +{residual = 0}",
        "diff": [" x", "-residual = None", "+residual = 0"],
        "outside": ">=1.0,<2.0",
    }
    assert answer.code == 3


def test_two_releases_are_compared_with_each_other(root: Path) -> None:
    for path in (wheel(root, "1.4.0"), wheel(root, "1.5.0", "x + 1 if", "x + 3 if")):
        assert fk("contract", "snapshot", "--wheel", path).code == 0
    assert fk("check", "--against", "toy==1.5.0").lines[-1] == "1 tasks: 1 same"
    answer = fk("check", "--against", "toy==1.5.0", "--since", "1.4.0")
    assert answer.lines[-1] == "1 tasks: 1 body"
    assert answer.lines[2].strip().startswith("since 1.4.0: its statements differ")


def test_since_needs_against_and_a_stored_release(root: Path) -> None:
    assert "name a release with --against, too" in str(fk("check", "--since", "1.4.0").error)
    error = fk("check", "--against", wheel(root, "1.5.0"), "--since", "1.4.0").error
    assert "no index of toy 1.4.0 is stored" in str(error)


def test_a_task_that_does_not_admit_the_release_is_named(root: Path) -> None:
    answer = fk("check", "--against", wheel(root, "2.5.0"))
    assert (answer.code, answer.lines[-1]) == (0, "outside of their targets' versions >=1.0,<2.0: norm")


def test_a_task_for_another_engine_is_named(root: Path) -> None:
    task = write_task(root, "other", "toy.layers:Norm", members=["forward"]) / "task.toml"
    task.write_text(task.read_text().replace("toy", "strange"))
    answer = fk("check", "--against", wheel(root, "1.4.0"))
    assert answer.lines[-1] == "no target in this engine: other"


def test_a_snapshot_only_for_the_index_leaves_contracts_alone(root: Path) -> None:
    contract = root / "tasks" / "L1" / "norm" / "contract.json"
    before = contract.read_text()
    path = wheel(root, "1.4.0", "x + 1 if", "x + 3 if")
    assert fk("contract", "snapshot", "--index-only", "--wheel", path).code == 0
    assert contract.read_text() == before
    assert fk("contract", "snapshot", "--wheel", path).code == 0
    assert sorted(json.loads(contract.read_text())["toy"]) == [VERSION, "1.4.0"]
    assert fk("check", "--against", "toy==1.4.0").lines[-1] == "1 tasks: 1 same"


def test_an_unknown_release_says_which_are_stored_and_how_to_add_one(root: Path) -> None:
    fk("contract", "snapshot", "--index-only", "--wheel", wheel(root, "1.4.0"))
    error = fk("check", "--against", "toy==9.9").error
    assert isinstance(error, UsageError)
    assert "no index of toy 9.9 is stored; stored are: toy==1.4.0. " in str(error)
    assert "contract snapshot --index-only --wheel FILE" in str(error)


def test_a_wheel_without_any_target_is_checked_for_nothing(root: Path) -> None:
    error = fk("check", "--against", wheel(root, "1.0", package="stranger")).error
    assert isinstance(error, UsageError)
    assert "no task on the search path has a target in stranger" in str(error)


def test_the_index_of_an_engine_without_targets_can_be_taken_all_the_same(root: Path) -> None:
    answer = fk("contract", "snapshot", "--wheel", wheel(root, "1.0", package="stranger"))
    assert answer.lines == [str(root / "tasks" / "releases" / "stranger.jsonl.xz")]


def test_a_wheel_that_holds_another_package_is_refused(root: Path) -> None:
    path = wheel(root, "1.0", package="stranger")
    error = fk("check", "--against", path.rename(path.with_name("thing-1.0-py3-none-any.whl"))).error
    assert isinstance(error, UsageError)
    assert "thing 1.0 holds no package that tasks have targets in; looked for: thing, toy" in str(error)
