"""Many cases into one record; what is chosen, refused, resumed and reported."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from bench_toy import QUICK, ToyBench

from fk_overlay import catalog
from fk_overlay.bench import report, run
from fk_overlay.bench.verdict import CaseVerdict, exit_code, fit
from fk_overlay.capture import store
from fk_overlay.core import Cost
from fk_overlay.errors import EngineError, FileError, RecordError, UsageError
from fk_overlay.lineage import record

CRASHING = """
class Kernel:
    def forward(self, x, residual=None):
        raise RuntimeError("no such kernel")
"""


SPINNING = """
import os


class Kernel:
    def forward(self, x, residual=None):
        if (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) != ("passive", "0"):
            raise RuntimeError("idle threads would spin")
        return right(self, x, residual)
"""


def copied(toy: ToyBench, folder: Path) -> Path:
    shutil.copytree(toy.root / "capture", folder)
    return folder


def test_a_case_that_crashes_leaves_the_others_alone(toy: ToyBench, tmp_path: Path) -> None:
    source = CRASHING.replace("raise", "if residual is not None: raise") + "        return right(self, x)\n"
    pack = toy.bench.frozen(catalog.pack(toy.pack("norm", _right() + source)))
    chosen = run.choose(toy.bench, [toy.bench.tasks["norm"]], toy.root / "capture")
    verdicts = run.run(toy.bench, chosen, pack, QUICK, tmp_path / "run")
    assert {verdict.case: verdict.state for verdict in verdicts} == {"norm-0": "passed", "norm-1": "crashed"}
    assert exit_code(verdicts) >= 3
    first, *cases = record.read(tmp_path / "run")
    assert (first["kind"], first["pack"], first["digest"]) == ("bench", pack.name, pack.digest)
    assert [CaseVerdict.revived(case) for case in cases] == [replace(each, facts=each.facts) for each in verdicts]


def test_threads_of_the_idle_arm_sleep(toy: ToyBench) -> None:
    verdict = toy.judge(_right() + SPINNING)
    assert verdict.state == "passed", verdict.reasons


def test_an_interrupted_bench_goes_on_where_it_stopped(toy: ToyBench, tmp_path: Path) -> None:
    chosen = run.choose(toy.bench, toy.bench.tasks.values(), toy.root / "capture")
    first = run.run(toy.bench, chosen[:1], None, QUICK, tmp_path)
    told: list[str] = []
    again = run.run(toy.bench, chosen[:2], None, QUICK, tmp_path, lambda what, done, total: told.append(what))
    assert again[0] == first[0]
    assert told == [f"{chosen[1].task.name} {chosen[1].case.id}"]


def test_a_record_of_another_design_is_not_gone_on_with(toy: ToyBench, tmp_path: Path) -> None:
    chosen = run.choose(toy.bench, [toy.bench.tasks["scaled"]], toy.root / "capture")
    run.run(toy.bench, chosen, None, QUICK, tmp_path)
    with pytest.raises(RecordError, match="another design"):
        run.run(toy.bench, chosen, None, replace(QUICK, rounds=3), tmp_path)


def test_a_corrupt_capture_is_refused(toy: ToyBench, tmp_path: Path) -> None:
    folder = copied(toy, tmp_path / "capture")
    manifest = folder / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace("norm-0", "norm-9"))
    with pytest.raises(FileError, match="manifest"):
        run.choose(toy.bench, [toy.bench.tasks["norm"]], folder)


def test_corrupt_tensors_are_a_state_of_their_case(toy: ToyBench, tmp_path: Path) -> None:
    from fk_overlay.bench.judge import judge

    folder = copied(toy, tmp_path / "capture")
    for path in (folder / "tensors").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    verdict = judge(toy.bench, store.read(folder).cases[0], toy.bench.tasks["norm"], None, QUICK)
    assert verdict.state == "skipped"
    assert "damaged" in verdict.reasons[0]


def test_something_that_is_no_capture_is_refused(toy: ToyBench, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not a capture"):
        run.choose(toy.bench, [toy.bench.tasks["norm"]], tmp_path)


@pytest.mark.parametrize("changed", [{"engine_version": "1.3.0"}, {"engine": "vllm"}])
def test_a_capture_of_another_release_or_engine_is_refused(
    toy: ToyBench, tmp_path: Path, changed: dict[str, str]
) -> None:
    header = json.loads((toy.root / "capture" / "capture.json").read_text())
    folder = copied(toy, tmp_path / "capture")
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    store.write(folder, {**header, **changed}, rows, "jsonl")
    with pytest.raises(EngineError, match="capture again"):
        run.choose(toy.bench, [toy.bench.tasks["norm"]], folder)


def test_samples_of_another_release_are_skipped_with_the_reason(
    toy: ToyBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = json.loads((toy.root / "capture" / "capture.json").read_text())
    folder = copied(toy, tmp_path / "capture")
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    store.write(folder, {**header, "engine_version": "1.3.0"}, rows, "jsonl")
    monkeypatch.setattr(run, "samples", lambda task, engine: folder)
    chosen = run.choose(toy.bench, [toy.bench.tasks["norm"]], None)
    verdicts = run.run(toy.bench, chosen, None, QUICK, tmp_path / "bench")
    assert {verdict.state for verdict in verdicts} == {"skipped"}
    assert all("was captured from toy 1.3.0" in verdict.reasons[0] for verdict in verdicts)


def test_no_case_is_an_error_that_says_what_to_do(toy: ToyBench) -> None:
    with pytest.raises(UsageError, match="fk-overlay capture"):
        run.choose(toy.bench, [toy.bench.tasks["norm"]], None)


def test_a_pack_that_changes_while_it_is_judged_is_invalid(toy: ToyBench) -> None:
    from fk_overlay.bench.judge import judge

    folder = toy.pack("scaled", "def Kernel(x, by):\n    return x * by\n")
    pack = toy.bench.frozen(catalog.pack(folder))
    (folder / "kernel.py").write_text("def Kernel(x, by):\n    return by * x\n")
    verdict = judge(toy.bench, toy.cases["scaled"], toy.bench.tasks["scaled"], pack, QUICK)
    assert (verdict.state, verdict.guard) == ("invalid", "g.clean"), verdict.reasons


def test_graphs_need_a_gpu_and_say_so(toy: ToyBench) -> None:
    verdict = toy.judge(None, design=replace(QUICK, mode="graph"))
    assert verdict.state == "skipped"
    assert "GPU" in verdict.reasons[0]


def judged(task: str, case: str, ratio: float, seconds: float, share: float | None) -> CaseVerdict:
    return CaseVerdict(
        task=task,
        case=case,
        target="engine:Layer.forward",
        state="passed",
        merit="improved" if ratio > 1 else "neutral",
        ratio=ratio,
        low=ratio * 0.99,
        high=ratio * 1.01,
        rounds=10,
        baseline_s=2e-5,
        candidate_s=2e-5 / ratio,
        cost=Cost(1000, 1000, 4000),
        dtype="bfloat16",
        captured_s=seconds,
        captured_share=share,
    )


def test_a_win_of_71_times_in_a_thousandth_of_the_time_reads_as_what_it_is() -> None:
    (gain,) = report.gains([judged("norm", "a", 71.0, 0.001, 0.001)])
    assert gain.speedup == pytest.approx(71.0)
    assert gain.gain == pytest.approx(0.001, rel=0.02)
    assert "makes the model +0.10% faster" in report.markdown([judged("norm", "a", 71.0, 0.001, 0.001)], "A bench")


def test_cases_that_did_not_pass_stay_as_they_are() -> None:
    wrong = replace(judged("norm", "b", 50.0, 0.5, 0.2), state="incorrect", guard="g.recheck", merit=None)
    (gain,) = report.gains([judged("norm", "a", 2.0, 0.5, 0.2), wrong])
    assert (gain.cases, gain.passed) == (2, 1)
    assert gain.speedup == pytest.approx(1 / 0.75)


def test_the_views_name_the_guard_and_agree_with_the_verdicts() -> None:
    wrong = replace(judged("norm", "b", 50.0, 0.5, None), state="incorrect", guard="g.recheck", merit=None)
    verdicts = [judged("norm", "a", 2.0, 0.5, None), wrong]
    text = report.markdown(verdicts, "A bench")
    assert "incorrect (g.recheck)" in text
    assert "1 improved, 1 incorrect" in text
    told = json.loads(report.as_json(verdicts, {"engine": "toy"}))
    assert [case["state"] for case in told["cases"]] == ["passed", "incorrect"]
    assert exit_code(verdicts) == 5


def test_times_with_a_hot_cache_are_told_apart() -> None:
    told = replace(judged("norm", "a", 2.0, 0.5, None), facts={"hot_s": {"baseline": 12e-6, "candidate": 8e-6}})
    assert "norm a: with a hot cache 1.500 times as fast, 8.0 us instead of 12.0" in list(report.sentences([told]))


def test_what_a_command_ends_with() -> None:
    passed = judged("norm", "a", 2.0, 0.5, None)
    skipped = replace(passed, state="skipped", merit=None)
    assert exit_code([passed, skipped]) == 0
    assert exit_code([skipped]) == 3
    assert exit_code([replace(passed, merit="unresolved")]) == 4
    same = replace(passed, merit="unresolved")
    assert fit([same] * 19 + [passed])
    assert not fit([same] * 9 + [passed])
    assert not fit([skipped])


def _right() -> str:
    from test_bench_guards import NORM

    return NORM
