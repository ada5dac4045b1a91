"""A whole capture run with an engine that lives in this process."""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from capture_toy import PACKAGE, TARGETS, ToyHost

from fk_overlay.capture import run, store
from fk_overlay.capture.engine_facts import EngineFacts, facts, sizes
from fk_overlay.capture.signal import Signal, State
from fk_overlay.contract import store as contracts
from fk_overlay.contract.definition import find
from fk_overlay.core import Contract, Model, Request, Scenario, Task, Workload
from fk_overlay.engines.base import Facts, Launch, PassResult, Trace
from fk_overlay.errors import LaunchError, NotEngaged, UsageError
from fk_overlay.overlay.imports import Watcher
from fk_overlay.overlay.receipts import Receipt
from fk_overlay.overlay.recorded import Recorded
from fk_overlay.plan import Plan


class ToySession:
    pids: Sequence[int] = ()
    peak_bytes = 0

    def __init__(self, engine: ToyEngine, launch: Launch) -> None:
        self._engine = engine
        plan = Plan.read(launch.plan)
        self.receipt = Receipt(plan.receipts, role="worker", engine="toy", version="1.2.0", places=0)
        graph_sizes = "[]" if launch.scenario.engine_args["toy"].get("eager") else "[4, 1, 2]"
        if engine.ranks:
            self.receipt.say(rank=0, world_size=engine.world_size, loaded=True, config={"graphs": graph_sizes})
        if plan.capture is not None:
            host: Any = ToyHost(engine.root)
            self.recorded = Recorded(host, plan.capture)
            self.recorded.arrange(Watcher(), nullcontext)
            if engine.listening:
                self.recorded.recorder.begin(0, 1)
        self.model = importlib.import_module(f"{PACKAGE}.layers").ModelForCausalLM()

    def wait_ready(self, timeout_s: float) -> None:
        self.model(torch.ones(99))  # the engine's own warm-up is not traffic

    def facts(self) -> Facts:
        return Facts()

    def run(
        self, requests: Sequence[Request], workload: Workload, *, arrivals: Sequence[float] | None, timeout_s: float
    ) -> PassResult:
        assert arrivals is None
        for request in requests:
            self.model(torch.ones(len(request.prompt)))
        error = self._engine.error
        return PassResult(tuple(Trace(each.index, 0.0, (1.0,), (7,), error=error) for each in requests), 1.0)

    def stop(self) -> None:
        self._engine.stopped += 1


class ToyEngine:
    name = "toy"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.starts: list[Launch] = []
        self.stopped = 0
        self.error: str | None = None
        self.ranks = self.listening = True
        self.world_size = 1

    def version(self) -> str:
        return "1.2.0"

    def source_root(self) -> Path:
        return self.root

    def start(self, launch: Launch) -> ToySession:
        self.starts.append(launch)
        return ToySession(self, launch)

    def serve_command(self, arguments: Sequence[str]) -> list[str]:
        return []


def requests(*lengths: int) -> list[Request]:
    return [Request(index, (5,) * length, 1) for index, length in enumerate(lengths)]


@pytest.fixture
def engine(package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ToyEngine:
    held = SimpleNamespace(FACTS=EngineFacts({"eager": 1}, ("graphs",)))
    monkeypatch.setitem(sys.modules, "fk_overlay.engines.toy.capturing", held)
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path))
    return ToyEngine(package)


@pytest.fixture
def order(engine: ToyEngine, tmp_path: Path) -> run.Order:
    tasks = []
    for name, target in TARGETS.items():
        folder = tmp_path / "tasks" / name
        folder.mkdir(parents=True)
        prints = {place: find(engine.root, place).fingerprint for place in target.places}
        contracts.write(folder, Contract("toy", "1.2.0", prints))
        tasks.append(Task(name, "L1", "", (), (target,), folder=folder))
    scenario = Scenario("s", "", Model("none"), (Workload("w", 3, 1, 1),), engine_args={"toy": {"eager": 0}})
    loads = {"w": requests(4, 4, 6)}, {"w": requests(8, 8, 8)}, requests(9)
    return run.Order(engine, scenario, tmp_path, tuple(tasks), *loads, form="jsonl")


def quiet(what: str) -> None:
    pass


def test_only_the_recorded_traffic_is_in_the_capture(order: run.Order, tmp_path: Path) -> None:
    capture = run.capture(order, tmp_path / "out", quiet)
    (six, four) = sorted(capture.of_task("model"), key=lambda case: case.calls)
    assert (four.calls, four.signature[0].shape) == (2, (4,))
    assert (six.calls, six.signature[0].shape) == (1, (6,))
    assert {case.task for case in capture.cases} == {"model", "layer", "gate"}


def test_the_header_says_what_became_of_every_place(order: run.Order, tmp_path: Path) -> None:
    header = run.capture(order, tmp_path / "out", quiet).header
    states = {place.partition(":")[2]: said["state"] for place, said in header["places"].items()}
    assert states == {
        "double": "not called under this scenario",
        "negative": "not called under this scenario",
        "Layer.forward_native": "recorded",
        "Layer.gate": "recorded",
        "ModelForCausalLM.forward": "recorded",
    }
    assert header["overhead"] == {"w": {"paused_s": 1.0, "recording_s": 1.0}}
    assert set(header["contracts"]) == set(TARGETS)


def test_graph_sizes_are_those_of_the_scenario_as_written(order: run.Order, engine: ToyEngine, tmp_path: Path) -> None:
    assert run.capture(order, tmp_path / "out", quiet).graph_sizes == (1, 2, 4)
    assert [launch.scenario.engine_args["toy"]["eager"] for launch in engine.starts] == [1, 0]
    assert engine.stopped == 2


def test_an_eager_scenario_is_started_once(order: run.Order, engine: ToyEngine, tmp_path: Path) -> None:
    eager = replace(order.scenario, engine_args={"toy": {"eager": 1}})
    assert run.capture(replace(order, scenario=eager), tmp_path / "out", quiet).graph_sizes == ()
    assert len(engine.starts) == 1


def test_only_results_are_left_in_the_folder(order: run.Order, tmp_path: Path) -> None:
    run.capture(order, tmp_path / "out", quiet)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"capture.json", "manifest.jsonl", "tensors", "launch", "launch-as-written"}


def test_a_folder_with_something_in_it_is_left_alone(order: run.Order, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/note").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        run.capture(order, tmp_path / "out", quiet)


def test_no_target_in_this_release(order: run.Order, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"toy 1\.2\.0"):
        run.capture(replace(order, tasks=()), tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()


def test_a_failed_request_ends_the_run(order: run.Order, engine: ToyEngine, tmp_path: Path) -> None:
    engine.error = "it broke"
    with pytest.raises(LaunchError, match="3 of 3 requests failed: it broke"):
        run.capture(order, tmp_path / "out", quiet)
    assert engine.stopped == 1


def test_an_engine_without_the_plugin_is_noticed(order: run.Order, engine: ToyEngine, tmp_path: Path) -> None:
    engine.ranks = False
    with pytest.raises(NotEngaged, match="no rank has reported"):
        run.capture(order, tmp_path / "out", quiet)
    assert engine.stopped == 1


def test_a_rank_that_writes_nothing_is_hung(
    order: run.Order, engine: ToyEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.listening = False
    monkeypatch.setattr(run, "FLUSH_S", 0.2)
    with pytest.raises(LaunchError, match=r"ranks \[0\] did not write"):
        run.capture(order, tmp_path / "out", quiet)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_rank_that_cannot_write_is_quoted(order: run.Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, *args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("fk_overlay.capture.entries.Entry.row", fail)
    with pytest.raises(LaunchError, match="rank 0 could not write its cases: OSError: disk full"):
        run.capture(order, tmp_path / "out", quiet)
    for thread in threading.enumerate():
        if thread.name == "fk-overlay-capture":
            thread.join(timeout=2)


def test_a_missing_rank_is_noticed(order: run.Order, engine: ToyEngine, tmp_path: Path) -> None:
    engine.world_size = 2
    with pytest.raises(NotEngaged, match="1 of 2 ranks"):
        run.capture(order, tmp_path / "out", quiet)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"compilation.cudagraph_capture_sizes": "[8, 1, 2]"}, (1, 2, 8)),
        ({"compilation.cudagraph_capture_sizes": "[]"}, ()),
        ({}, ()),
    ],
)
def test_sizes_in_a_resolved_configuration(config: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert sizes(config, "vllm") == expected


def test_a_signal_is_one_byte_for_all(tmp_path: Path) -> None:
    one, other = Signal(tmp_path / "signal"), Signal(tmp_path / "signal")
    one.say(State.RECORDING)
    assert other.cell[0] == State.RECORDING


def test_the_plan_survives_its_file(order: run.Order, engine: ToyEngine, tmp_path: Path) -> None:
    run.capture(order, tmp_path / "out", quiet)
    plan = Plan.read(tmp_path / "out/launch/plan.json")
    assert plan.capture is not None
    assert {watch.task for watch in plan.capture.watches} == set(TARGETS)
    assert json.loads((tmp_path / "out" / store.HEADER).read_text())["scenario"] == "s"


def test_an_engine_without_facts_runs_as_its_scenario_says() -> None:
    assert facts("nobody") == EngineFacts()
    assert facts("vllm").surroundings is not None
    assert facts("sglang").eager["disable_decode_cuda_graph"] is True
