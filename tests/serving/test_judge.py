"""Whole runs, from packs to verdicts, with a fake engine in this process."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.engine import Manner
from overlay.toy_engine import VERSION

from fk_overlay.core import CONTROL, Arm, Design, Workload
from fk_overlay.errors import ContractError, PackError, RecordError, UsageError
from fk_overlay.lineage.record import FILE, read
from fk_overlay.scoring import evidence
from fk_overlay.serving import judge, machine

CRASH = Manner(fault="dies")
OPEN = Workload("open", requests=6, input_len=8, output_len=16, loop="open", load=0.5)


# ---------------------------------------------------------------- merit


@pytest.mark.parametrize(
    ("speed", "merit"), [(1.1, "improved"), (0.9, "regressed"), (1.0, "neutral"), (1.01, "unresolved")]
)
def test_the_measured_speed_decides_the_merit(work: Any, speed: float, merit: str) -> None:
    (verdict,) = work.run(fast=Manner(speed=speed))
    assert (verdict.arm, verdict.merit, verdict.override) == ("fast", merit, None), verdict.reasons
    assert verdict.effect.ratio == pytest.approx(speed, rel=0.005)
    assert verdict.correctness == 1.0


def test_launches_are_noise_and_noise_is_not_resolved(work: Any) -> None:
    (verdict,) = work.run(baseline=Manner(sd=0.1), fast=Manner(sd=0.1, speed=1.02))
    assert verdict.state == "unresolved"


def test_several_packs_share_one_baseline(work: Any) -> None:
    work.packs = ("fast", "slow")
    verdicts = work.run(fast=Manner(speed=1.1), slow=Manner(speed=0.8))
    assert [(verdict.arm, verdict.state) for verdict in verdicts] == [("fast", "improved"), ("slow", "regressed")]
    assert len(work.closed()) == 9


def test_a_selftest_compares_the_baseline_with_itself(work: Any) -> None:
    work.packs = ()
    (verdict,) = work.run()
    assert (verdict.arm, verdict.state) == (CONTROL, "neutral")


def test_a_control_arm_is_judged_beside_the_packs(work: Any) -> None:
    work.control = True
    verdicts = work.run(fast=Manner(speed=1.1))
    assert [(verdict.arm, verdict.state) for verdict in verdicts] == [(CONTROL, "neutral"), ("fast", "improved")]


def test_a_selftest_on_a_host_that_drifts_is_invalid(work: Any) -> None:
    work.packs = ()
    (verdict,) = work.run(baseline__again=Manner(speed=0.9))
    assert verdict.state == "invalid"


# ---------------------------------------------------------------- what is launched


def test_arms_are_launched_abba(work: Any) -> None:
    work.design = Design(4, 2)
    work.run()
    arms = ["baseline", "fast", "fast", "baseline", "baseline", "fast", "fast", "baseline"]
    assert work.engine.names() == [f"{order:02d}-{arm}" for order, arm in enumerate(arms)]
    assert [what[1:] for what in work.told] == [(order, 8) for order in range(8)]
    assert work.told[2][0] == "fast, restart 2 of 4"


def test_every_launch_says_what_the_machine_withheld_while_it_was_measured(work: Any) -> None:
    work.run()
    for launch in work.records("launch"):
        assert launch["withheld"]["of"] > 0
        assert launch["withheld"]["stolen"] >= 0


@pytest.mark.parametrize(
    ("manner", "state"),
    [
        (Manner(fault="start"), "crashed"),
        (Manner(fault="ready"), "crashed"),
        (Manner(fault="dies"), "crashed"),
        (Manner(fault="hangs"), "hung"),
        (Manner(fault="dies", at=0), "crashed"),
        (Manner(fault="dies", at=2), "crashed"),
    ],
)
def test_a_candidate_that_fails_is_launched_once_and_the_others_go_on(work: Any, manner: Manner, state: str) -> None:
    work.packs = ("fast", "bad")
    fast, bad = work.run(bad=manner, fast=Manner(speed=1.1))
    assert fast.state == "improved"
    assert bad.state == "incorrect"
    assert [record["state"] for record in work.records("launch", arm="bad")] == [state]
    assert work.records("launch", arm="bad")[0]["reason"] in bad.reasons[0]
    assert len(work.records("launch", arm="baseline")) == len(work.records("launch", arm="fast")) == 3


def test_nothing_is_launched_when_no_candidate_is_left(work: Any) -> None:
    work.run(fast=CRASH)
    assert work.closed() == ["00-baseline", "01-fast"]


def test_a_baseline_that_fails_ends_the_run_as_invalid(work: Any) -> None:
    (verdict,) = work.run(_02__fast=Manner(), baseline=CRASH)
    assert work.closed() == ["00-baseline"]
    assert (verdict.state, verdict.exit_code) == ("invalid", 3)
    assert "the engine ended with code -9" in verdict.reasons[0]


def test_a_baseline_that_fails_later_makes_the_run_invalid_too(work: Any) -> None:
    (verdict,) = work.run(_03__baseline=CRASH, fast=Manner(speed=1.1))
    assert work.closed() == ["00-baseline", "01-fast", "02-fast", "03-baseline"]
    assert verdict.state == "invalid"


# ---------------------------------------------------------------- proof


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        (Manner(fault="rank", ranks=2), "rank 1 of 2 has not reported"),
        (Manner(fault="unloaded"), "rank 0 has not seen a model being loaded"),
        (Manner(fault="absent"), "rank 0 never imported the targets of: norm"),
        (Manner(fault="error"), "rank 0 reported: SeamError: it does not fit"),
        (Manner(calls="never"), "the device never executed the patch for norm"),
    ],
)
def test_a_patch_that_does_not_prove_itself_is_not_engaged(work: Any, manner: Manner, said: str) -> None:
    (verdict,) = work.run(fast=replace(manner, speed=1.1), baseline=Manner(ranks=manner.ranks))
    assert (verdict.state, verdict.exit_code) == ("not_engaged", 3)
    assert said in " ".join(verdict.reasons)


def test_calls_that_python_sees_need_no_witness(work: Any) -> None:
    work.run()
    assert not any("witness" in name for name in work.engine.names())


def test_calls_that_only_the_device_sees_get_one_witness_for_each_arm(work: Any) -> None:
    work.packs = ("fast", "small")
    verdicts = work.run(fast=Manner(calls="device", speed=1.1), small=Manner(calls="device"))
    assert [verdict.state for verdict in verdicts] == ["improved", "neutral"]
    assert work.engine.names()[:6] == [
        "00-baseline",
        "01-fast",
        "01-fast-witness",
        "02-small",
        "02-small-witness",
        "03-small",
    ]
    assert sum("witness" in name for name in work.engine.names()) == 2


def test_a_witness_is_not_timed_and_keeps_caches_of_its_own(work: Any) -> None:
    work.run(fast=Manner(calls="device"))
    assert work.records("sample", launch="01-fast-witness") == []
    assert {record["purpose"] for record in work.records("launch", launch="01-fast-witness")} == {"witness"}
    timed, witness = (session for session in work.engine.sessions if session.launch.name.startswith("01-fast"))
    assert (timed.plan.purpose, witness.plan.purpose) == ("timed", "witness")
    assert witness.launch.digest == timed.launch.digest + "-witness"


def test_settings_that_differ_between_arms_make_the_run_invalid(work: Any) -> None:
    (verdict,) = work.run(fast=Manner(speed=1.1, config={"attention.backend": "other"}))
    assert verdict.state == "invalid"
    assert "attention.backend (toy / other)" in verdict.reasons[0]


def test_a_patch_that_costs_the_cache_its_blocks_is_a_resource_regression(work: Any) -> None:
    (verdict,) = work.run(fast=Manner(speed=1.1, kv_blocks=50))
    assert verdict.state == "resource_regression"
    assert verdict.merit == "improved"


def test_requests_that_fail_make_the_candidate_incorrect(work: Any) -> None:
    (verdict,) = work.run(fast=Manner(speed=1.1, fault="requests"))
    assert verdict.state == "incorrect"
    assert "request 1 of chat in launch 01-fast failed: connection reset" in " ".join(verdict.reasons)


# ---------------------------------------------------------------- going on


def interrupted(work: Any, launch: str, at: int = 1) -> None:
    with pytest.raises(KeyboardInterrupt):
        work.run(fast=Manner(speed=1.1), **{f"_{launch.replace('-', '__')}": Manner(fault="interrupt", at=at)})


def test_an_interruption_is_noted_and_the_engine_is_stopped(work: Any) -> None:
    interrupted(work, "02-fast")
    assert work.records("note") == [{"kind": "note", "text": "interrupted; go on with --resume"}]
    assert work.closed() == ["00-baseline", "01-fast"]
    assert work.engine.sessions[-1].stops == 1
    assert work.records("verdict") == []


@pytest.mark.parametrize(("launch", "at"), [("00-baseline", 1), ("00-baseline", 2), ("01-fast", 0), ("03-baseline", 3)])
def test_a_run_that_goes_on_ends_like_one_that_was_never_interrupted(
    work: Any, tmp_path: Path, launch: str, at: int
) -> None:
    work.design = Design(3, 2)
    straight = replace(work, folder=tmp_path / "straight")
    (expected,) = straight.run(fast=Manner(speed=1.1))
    interrupted(work, launch, at)
    done = work.closed()
    work.engine.sessions.clear()
    (found,) = work.run(fast=Manner(speed=1.1))
    assert replace(found, costs={}) == replace(expected, costs={})  # costs hold times of the real clock
    assert work.closed() == straight.closed()
    assert work.engine.names() == straight.closed()[len(done) :]
    assert len(work.records("run")) == 1


def test_what_an_interrupted_launch_left_counts_for_nothing(work: Any) -> None:
    work.design = Design(3, 2)
    with pytest.raises(KeyboardInterrupt):
        work.run(_02__fast=Manner(speed=7.0, fault="interrupt", at=2), fast=Manner(speed=1.1))
    half = [record["value"] for record in work.records("sample", launch="02-fast", metric="output_throughput")]
    assert half == [pytest.approx(7000, rel=0.01)]
    (verdict,) = work.run(fast=Manner(speed=1.1))
    assert verdict.effect.ratio == pytest.approx(1.1, rel=0.005)


def test_files_of_an_interrupted_launch_are_moved_aside(work: Any) -> None:
    interrupted(work, "01-fast")
    work.run(fast=Manner())
    names = [path.name for path in (work.folder / "launches").iterdir() if path.name.startswith("01-fast")]
    assert sorted(name.partition(".")[2].partition("-")[0] for name in names) == ["", "interrupted"]


def test_a_witness_that_was_interrupted_is_made_when_the_run_goes_on(work: Any) -> None:
    device = Manner(calls="device", speed=1.1)
    with pytest.raises(KeyboardInterrupt):
        work.run(fast=device, **{"_01__fast__witness": replace(device, fault="interrupt", at=0)})
    work.engine.sessions.clear()
    (verdict,) = work.run(fast=device)
    assert work.engine.names()[0] == "01-fast-witness"
    assert verdict.state == "improved", verdict.reasons


def test_a_finished_run_is_judged_again_without_a_launch(work: Any) -> None:
    first = work.run(fast=Manner(speed=1.1))
    work.engine.sessions.clear()
    assert work.run(fast=Manner(speed=0.5)) == first
    assert work.engine.sessions == []


def test_an_arm_that_failed_is_not_launched_again_when_the_run_goes_on(work: Any) -> None:
    work.packs = ("fast", "bad")
    with pytest.raises(KeyboardInterrupt):
        work.run(bad=CRASH, _04__fast=Manner(fault="interrupt"))
    work.run(bad=Manner())
    assert [record["state"] for record in work.records("launch", arm="bad")] == ["crashed"]


def test_the_reference_and_the_saturation_are_kept_when_the_run_goes_on(work: Any) -> None:
    work.workloads = (*work.workloads, OPEN)
    interrupted(work, "01-fast")
    work.run(baseline=Manner(speed=5.0), fast=Manner(speed=5.0))
    (saturation,) = work.records("saturation")
    rates = {
        len(arrivals) / arrivals[-1]
        for session in work.engine.sessions
        for _, _, arrivals, _ in session.runs
        if arrivals is not None
    }
    assert {round(rate, 9) for rate in rates} == {round(0.5 * saturation["requests_per_s"], 9)}
    tokens = {(record["request"], tuple(record["tokens"])) for record in work.records("forced")}
    assert len(tokens) == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"design": Design(2, 1)}, "design"),
        ({"mode": "publish"}, "mode"),
        ({"packs": ("other",)}, "arms"),
        ({"packs": ()}, "arms, tasks"),
    ],
)
def test_the_folder_of_another_run_is_refused(work: Any, change: dict[str, Any], named: str) -> None:
    work.run()
    before = (work.folder / FILE).read_bytes()
    other = replace(work, **change)
    with pytest.raises(RecordError, match=rf"holds another run \({named} differ\); give another --out"):
        other.run()
    assert (work.folder / FILE).read_bytes() == before


def test_a_pack_that_was_changed_makes_it_another_run(work: Any) -> None:
    work.run()
    with (work.root / "patches" / "fast" / "kernel.py").open("a") as kernel:
        kernel.write("# faster\n")
    with pytest.raises(RecordError, match=r"\(arms differ\)"):
        work.run()


# ---------------------------------------------------------------- another machine


def moved(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this is another machine, and nobody remembers the launches so far."""
    work.engine.sessions.clear()
    monkeypatch.setattr(machine, "uuids", lambda: ("GPU-2",))


def test_a_pair_begun_on_another_machine_is_made_again(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    work.design = Design(3, 1)
    with pytest.raises(KeyboardInterrupt):
        work.run(_03__baseline=Manner(fault="interrupt"), fast=Manner(speed=7.0), _01__fast=Manner(speed=1.1))
    assert work.closed() == ["00-baseline", "01-fast", "02-fast"]
    moved(work, monkeypatch)
    (verdict,) = work.run(fast=Manner(speed=1.1))
    assert work.engine.names() == ["02-fast", "03-baseline", "04-baseline", "05-fast"]
    assert verdict.effect.ratio == pytest.approx(1.1, rel=0.005)
    assert work.records("note")[-1]["text"] == "went on on another machine; made again: 02-fast"
    receipts = {name: len(work.records("receipt", launch=name)) for name in ("02-fast", "05-fast")}
    assert receipts["02-fast"] == 2 * receipts["05-fast"]
    standing = evidence.Evidence.of(read(work.folder))
    assert len([each for each in standing.receipts if each["launch"] == "02-fast"]) == receipts["05-fast"]


def test_pairs_that_are_whole_stay_where_they_were_made(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(work, "02-fast")
    moved(work, monkeypatch)
    work.run(fast=Manner(speed=1.1))
    assert work.engine.names()[0] == "02-fast"
    _, on = work.records("note")
    assert (on["text"], on["sets_aside"]) == ("went on on another machine", [])
    work.engine.sessions.clear()
    work.run(fast=Manner(speed=1.1))
    assert (work.engine.sessions, len(work.records("note"))) == ([], 2), "it has not moved again"


def test_the_reference_is_taken_anew_where_the_first_pair_is(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(work, "01-fast")
    moved(work, monkeypatch)
    (verdict,) = work.run(fast=Manner(speed=1.1))
    assert work.engine.names()[:2] == ["00-baseline", "01-fast"]
    assert [record["launch"] for record in work.records("saturation")] == ["00-baseline"] * 2
    assert verdict.state == "improved"


def test_the_absence_of_an_arm_that_failed_leaves_nothing_unfinished(
    work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.packs = ("fast", "bad")
    with pytest.raises(KeyboardInterrupt):
        work.run(bad=CRASH, **{"_06__baseline": Manner(fault="interrupt")})
    moved(work, monkeypatch)
    work.run()
    assert work.engine.names()[0].startswith("06-")


def test_another_kind_of_card_is_refused(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(work, "02-fast")
    monkeypatch.setattr(machine, "gpus", lambda: [{"name": "NVIDIA H200", "driver_version": "1"}])
    with pytest.raises(RecordError, match=r"another kind of machine.*gpus \(\[\] / .*H200.*go on where it was begun"):
        work.run()


@pytest.mark.parametrize("left", [b"", b'{"kind":"ru'])
def test_a_run_that_was_stopped_before_its_first_line_begins_anew(work: Any, left: bytes) -> None:
    work.folder.mkdir()
    (work.folder / FILE).write_bytes(left)
    (verdict,) = work.run(fast=Manner(speed=1.1))
    assert verdict.state == "improved"
    assert next(iter(read(work.folder)))["kind"] == "run"


# ---------------------------------------------------------------- before anything is launched


def test_a_target_that_is_not_what_its_task_describes_stops_the_run(work: Any) -> None:
    order = work.order()
    source = work.root / "toy" / "layers.py"
    source.write_text(source.read_text().replace("return x + 1 if", "return x + 2 if"))
    with pytest.raises(ContractError, match=r"toy\.layers:Norm\.forward_native: body"):
        judge.run(order, work.folder, lambda *_: None)
    assert not work.folder.exists()
    assert work.engine.sessions == []


def test_two_packs_of_one_name_are_refused(work: Any) -> None:
    work.order()
    twice = [work.root / "patches" / "fast"] * 2
    with pytest.raises(UsageError, match="two packs are called 'fast'"):
        judge.candidates(twice, work.engine)


def test_a_pack_for_another_engine_is_refused(work: Any) -> None:
    work.order()
    with (work.root / "patches" / "fast" / "pack.toml").open("a") as file:
        file.write('[requires.engines]\nvllm = ">=0.26"\n')
    with pytest.raises(PackError, match="it is for vllm, this is toy"):
        work.order()


def test_the_name_of_a_new_folder_says_what_is_judged(work: Any, tmp_path: Path) -> None:
    arms = [Arm("baseline"), Arm("fast"), Arm("small")]
    one, two = (judge.new_folder(tmp_path, work.scenario(), arms) for _ in range(2))
    assert one.parent == tmp_path
    assert "-toy-fast+small-" in one.name
    assert one != two


# ---------------------------------------------------------------- the record


def test_the_first_line_says_which_run_this_is(work: Any) -> None:
    work.run()
    header = next(iter(read(work.folder)))
    assert header["kind"] == "run"
    assert (header["engine"], header["engine_version"], header["mode"]) == ("toy", VERSION, "decide")
    assert header["design"] == {"restarts": 3, "passes": 1}
    assert header["run_id"] == work.folder.name
    assert [arm["name"] for arm in header["arms"]] == ["baseline", "fast"]
    (pack,) = header["arms"][1]["packs"]
    assert pack["patches"] == [{"task": "norm"}]
    assert len(pack["digest"]) == 64
    assert header["scenario"]["workloads"][0]["name"] == "chat"
    assert {"fk_overlay", "python", "system", "cpu", "torch", "gpus"} <= header["environment"].keys()


DOCUMENTED = {
    "launch": {"launch", "arm", "restart", "order", "purpose", "state", "reason", "load_s", "config", "kv_blocks"}
    | {"peak_rss_bytes", "clocks", "log"},
    "receipt": {"launch", "arm", "purpose", "pid", "role", "rank", "world_size", "loaded", "errors", "task"},
    "sample": {"launch", "arm", "restart", "workload", "pass", "metric", "value", "unit", "higher_is_better"},
    "request": {"launch", "arm", "restart", "pass", "workload", "request", "ttft_s", "latency_s", "itl_s", "tokens"}
    | {"error"},
    "forced": {"launch", "arm", "restart", "request", "variant", "tokens", "logprobs", "ranks", "top1", "margins"},
    "verdict": {"arm", "merit", "override", "state", "effect", "effects", "correctness", "reasons", "costs"},
}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_records_hold_what_is_documented(work: Any, kind: str) -> None:
    work.run()
    found = work.records(kind)
    assert found
    for record in found:
        assert DOCUMENTED[kind] <= record.keys()


def test_every_line_is_plain_json(work: Any) -> None:
    work.run(fast=CRASH)
    for line in (work.folder / FILE).read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_launches_that_are_compared_share_a_restart(work: Any) -> None:
    work.run()
    pairs = itertools.groupby(work.records("launch"), key=lambda record: record["restart"])
    assert [{record["arm"] for record in pair} for _, pair in pairs] == [{"baseline", "fast"}] * 3
