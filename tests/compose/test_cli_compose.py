from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.engine import Manner
from typer.testing import CliRunner, Result
from workshop import TINY, Workshop, tasks_of

from fk_overlay import catalog, packs
from fk_overlay.cli import compose as verb
from fk_overlay.cli.main import app
from fk_overlay.engines import base

SCENARIO = """
name: small
summary: a toy load
model: {{source: {source}}}
workloads:
  - {{name: chat, requests: 4, input_len: 8, output_len: 16, concurrency: 4}}
correctness: {{requests: 2, logprobs: 2}}
minimum_effect: 0.01
"""
SHORT = ("--restarts", "2", "--passes", "1")


@pytest.fixture
def invoke(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Composes the workshop's pack, of which a patch for c is wrong."""
    shop.tasks = "abc"
    shop.engine.behave = lambda plan: Manner(fault="wrong") if "c" in tasks_of(plan) else Manner()
    scenario = shop.root / "small.yaml"
    scenario.write_text(SCENARIO.format(source=TINY))
    monkeypatch.setattr(base, "get_engine", lambda name: shop.engine)
    monkeypatch.setattr(verb, "stop_cleanly", lambda: None)

    def call(*words: str) -> Result:
        command = ["compose", str(shop.pack), "--engine", "toy", "--scenario", str(scenario), *SHORT, *words]
        return CliRunner().invoke(app, command, env={"COLUMNS": "200"})

    return call


def test_a_composition_prints_both_tables_and_writes_reports_and_the_repaired_pack(
    shop: Workshop, invoke: Any, tmp_path: Path
) -> None:
    done = invoke("--record", str(shop.folder), "--out", str(tmp_path / "repaired"))
    assert done.exit_code == 0, done.output
    assert "2 of 3 patches of mixed hold together" in done.output
    assert "dropped: incorrect" in done.output
    assert {"composition.json", "composition.md", "records.jsonl"} <= {path.name for path in shop.folder.iterdir()}
    pack = packs.trusted(catalog.load_pack(tmp_path / "repaired"))
    assert [patch.task for patch in pack.patches] == ["a", "b"]
    assert packs.read_lock(pack) is not None


@pytest.mark.parametrize("option", ["--record", "--out"])
def test_a_folder_with_something_in_it_is_left_alone(shop: Workshop, invoke: Any, option: str) -> None:
    shop.folder.mkdir()
    (shop.folder / "note").write_text("mine")
    done = invoke(option, str(shop.folder))
    assert done.exit_code == 2
    assert "is not empty" in done.output
    assert shop.engine.sessions == []


def test_an_interruption_says_how_to_go_on_and_going_on_finishes(shop: Workshop, invoke: Any) -> None:
    behave = shop.engine.behave
    shop.engine.behave = lambda plan: behave(plan) if len(shop.engine.sessions) != 1 else Manner(fault="interrupt")
    done = invoke("--record", str(shop.folder))
    assert done.exit_code == 130
    assert f"--resume {shop.folder}" in done.output
    assert invoke("--resume", str(shop.folder)).exit_code == 0


def test_a_pack_of_which_nothing_holds_ends_with_5_and_writes_no_pack(
    shop: Workshop, invoke: Any, tmp_path: Path
) -> None:
    shop.engine.behave = lambda plan: Manner(fault="wrong") if plan.swaps else Manner()
    done = invoke("--record", str(shop.folder), "--out", str(tmp_path / "repaired"))
    assert (done.exit_code, (tmp_path / "repaired").exists()) == (5, False)
    assert "No patch of mixed holds" in done.output


def test_an_unknown_pack_is_named() -> None:
    done = CliRunner().invoke(app, ["compose", "nonsense", "--scenario", "tiny-llama"])
    assert "called 'nonsense'" in str(done.exception)
