"""The bench on vLLM's own classes, with the sample cases of the tasks and the shipped packs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fk_overlay import catalog
from fk_overlay.bench.bench import Bench, Place
from fk_overlay.bench.design import Design
from fk_overlay.bench.judge import judge
from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.capture import store
from fk_overlay.capture.subset import samples
from fk_overlay.cli.main import app

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed; its classes are what is benched"),
]
QUICK = Design(warm_up=3, iterations=6, rounds=3, processes=1)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    torch.set_num_threads(1)
    with Bench(Place.of("vllm"), catalog.tasks(), {"OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"}) as opened:
        yield opened


def judged(bench: Bench, task: str, pack: str = "", most: int = 1) -> list[CaseVerdict]:
    wanted = bench.tasks[task]
    frozen = bench.frozen(catalog.pack(pack)) if pack else None
    cases = store.read(samples(wanted, "vllm")).cases[:most]
    return [judge(bench, case, wanted, frozen, QUICK) for case in cases]


def test_every_task_with_cases_passes_against_itself(bench: Bench) -> None:
    names = [task.name for task in bench.tasks.values() if samples(task, "vllm").is_dir()]
    found = {name: judged(bench, name)[0] for name in names}
    on_gpu = {"fused_experts", "moe_activation", "moe_align", "moe_sum"}
    assert {name for name, verdict in found.items() if verdict.state == "skipped"} == on_gpu
    for name in sorted(found.keys() & on_gpu):
        assert "was captured on cuda:0, which is not here" in found[name].reasons[0]
    for name in sorted(found.keys() - on_gpu):
        assert found[name].state == "passed", (name, found[name].reasons)
        assert 0.2 < (found[name].ratio or 0) < 5
        assert found[name].cost is not None


def test_kernels_in_triton_are_right_under_the_interpreter_and_slow(bench: Bench) -> None:
    for task in ("rms_norm", "silu_and_mul"):
        (verdict,) = judged(bench, task, "example-triton")
        assert (verdict.state, verdict.merit) == ("passed", "regressed"), verdict.reasons


def test_the_example_for_processors_is_right_where_it_runs(bench: Bench) -> None:
    for verdict in judged(bench, "linear", "example-cpu", most=2):
        assert verdict.state in ("passed", "unsupported"), verdict.reasons
        assert verdict.guard == ""


@pytest.mark.parametrize(
    ("pack", "state", "guard"),
    [("wrong-shape", "incorrect", "g.contract"), ("wrong-dtype", "incorrect", "g.contract")],
)
def test_packs_that_are_wrong_are_called_so(bench: Bench, pack: str, state: str, guard: str) -> None:
    folder = Path(__file__).parents[1] / "packs" / pack
    found = catalog.load_pack(folder)
    verdicts = judged(bench, found.patches[0].task, str(folder))
    assert {(verdict.state, verdict.guard) for verdict in verdicts} == {(state, guard)}, verdicts[0].reasons


def test_the_command_writes_verdicts_and_says_how_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fk_overlay.cli.bench.DEFAULT", replace(QUICK, rounds=2))
    command = ["bench", "--selftest", "--task", "gelu_and_mul", "--rounds", "2", "--iterations", "4"]
    ended = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "run"), "--json", str(tmp_path / "found.json")])
    assert ended.exit_code in (0, 3), ended.output
    told = json.loads((tmp_path / "found.json").read_text())
    assert [case["state"] for case in told["cases"]] == ["passed"] * 4
    assert "gelu_and_mul" in (tmp_path / "run" / "report.md").read_text()
