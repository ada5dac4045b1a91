from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fk_overlay.cli.main import app
from fk_overlay.errors import UsageError
from fk_overlay.profiling import run, wrapped
from fk_overlay.profiling.limits import Budget

REPOSITORY = Path(__file__).parents[2]
SCENARIO = str(REPOSITORY / "scenarios/tiny-llama.yaml")


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, ["profile", "--scenario", SCENARIO, *words])


def test_help_says_what_each_tool_sees() -> None:
    shown = CliRunner().invoke(app, ["profile", "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert all(tool in shown.output for tool in ("torch", "nsys", "ncu"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--patch", "nonsense"), "no pack (a folder with a pack.toml) called 'nonsense'"),
        (("--engine", "nonsense"), "no engine called 'nonsense'"),
        (("--bench", "nonsense"), "nonsense holds no records.jsonl"),
    ],
)
def test_what_does_not_exist_is_named(words: tuple[str, ...], said: str) -> None:
    assert said in str(invoke(*words).exception)


def test_an_unknown_tool_is_refused() -> None:
    done = invoke("--tool", "perf")
    assert done.exit_code == 2
    assert "perf" in done.output


def test_a_missing_tool_is_told_without_a_folder_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = invoke("--tool", "nsys", "--out", str(tmp_path / "out"))
    assert "nsight-systems-cli" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_the_order_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[run.Order, Budget | None, Path]] = []

    def note(order: run.Order, folder: Path, tell: Any) -> None:
        asked.append((order, None, folder))
        raise UsageError("that is enough")

    def note_wrapped(order: run.Order, budget: Budget, folder: Path, tell: Any) -> None:
        asked.append((order, budget, folder))
        raise UsageError("that is enough")

    monkeypatch.setattr(run, "profile", note)
    monkeypatch.setattr(wrapped, "profile", note_wrapped)
    pack = str(REPOSITORY / "tests/packs/slow")
    invoke("--patch", pack, "--requests", "4", "--tokens", "9", "--out", str(tmp_path / "x"))
    invoke("--tool", "ncu", "--kernel", "rms.*", "--skip", "3", "--launches", "7")
    (order, _, folder), (plain, budget, _) = asked
    assert folder == tmp_path / "x"
    assert [arm.name for arm in order.arms] == ["baseline", "slow"]
    loads = order.loads
    assert [len(each) for each in (loads.profiled, loads.quiet, loads.warm_up, loads.last)] == [4, 4, 4, 1]
    assert {request.output_len for request in (*loads.profiled, *loads.warm_up, *loads.last)} == {9}
    assert len(plain.loads.profiled) == 16, "all of the headline load, which is short"
    sent = [request.prompt for load in (loads.profiled, loads.quiet, loads.warm_up, loads.last) for request in load]
    assert len(set(sent)) == len(sent)
    assert len(plain.arms) == 1
    assert budget == Budget("ncu", "rms.*", 3, 7)
