from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from desk import Desk, Norm
from test_describe import Metadata

from fk_overlay.capture.entries import FIRST_TIMED, Entry
from fk_overlay.capture.keeping import Reservoir
from fk_overlay.capture.signal import State


def observed(desk: Desk, *, samples: int = 2, values: tuple[str, ...] = ()) -> Any:
    """A Norm class whose calls are recorded."""
    desk.samples = samples
    members = {member: desk.watch(f"toy:Norm.{member}", values=values) for member in ("forward", "native")}
    recorded = {
        member: desk.recorder.recording(watch, f"toy:Norm.{member}", getattr(Norm, member), None, method=True)
        for member, watch in members.items()
    }
    return type("Observed", (Norm,), recorded)


def test_nothing_is_recorded_while_paused(desk: Desk) -> None:
    norm = observed(desk)(4)
    norm(torch.ones(2, 4))
    assert desk.finish().cases == ()


def test_calls_that_look_alike_are_one_case(desk: Desk) -> None:
    kind = observed(desk)
    layers = [kind(4, layer_idx=number) for number in range(3)]
    desk.say(State.RECORDING)
    for _ in range(5):
        for layer in layers:
            layer(torch.ones(2, 4))
    layers[0](torch.ones(3, 4))
    layers[0](torch.ones(2, 4), torch.ones(2, 4))
    desk.say(State.PAUSED)
    assert sorted(case.calls for case in desk.finish().cases) == [1, 1, 15]


def test_a_method_called_by_another_of_the_same_task_is_not_counted_twice(desk: Desk) -> None:
    norm = observed(desk)(4)
    desk.say(State.RECORDING)
    norm(torch.ones(2, 4))
    norm.native(torch.ones(2, 4))
    assert {case.target: case.calls for case in desk.finish().cases} == {
        "toy:Norm.forward": 1,
        "toy:Norm.native": 1,
    }


def test_the_result_and_the_exception_of_the_original_come_through(desk: Desk) -> None:
    norm = observed(desk)(4)
    desk.say(State.RECORDING)
    assert torch.equal(norm(torch.ones(2, 4)), torch.arange(4.0).expand(2, 4))
    with pytest.raises(RuntimeError, match="size"):
        norm(torch.ones(2, 5))
    assert torch.equal(norm(torch.ones(2, 4)), torch.arange(4.0).expand(2, 4))
    assert max(case.calls for case in desk.finish().cases) == 2


def test_values_are_those_before_the_call(desk: Desk) -> None:
    norm = observed(desk, samples=1)(4)
    desk.say(State.RECORDING)
    norm(torch.ones(2, 4), torch.zeros(2, 4))  # written to in place
    (case,) = desk.finish().cases
    values = case.values()
    assert values.drawn == ()
    assert torch.equal(values.args[0], torch.ones(2, 4))
    assert torch.equal(values.args[1], torch.zeros(2, 4))


def test_a_result_in_the_memory_of_an_argument_shows(desk: Desk) -> None:
    norm = observed(desk)(4)
    desk.say(State.RECORDING)
    norm(torch.ones(2, 4), torch.zeros(2, 4))
    (case,) = desk.finish().cases
    assert [argument.storage for argument in case.signature] == [0, 1]
    assert [result.storage for result in case.results] == [2, 1]


def test_the_recipe_of_the_module(desk: Desk) -> None:
    norm = observed(desk)(4)
    desk.say(State.RECORDING)
    norm(torch.ones(2, 4))
    (case,) = desk.finish().cases
    module = case.modules[case.module]
    assert module.attributes["eps"] == 1e-6
    assert "bias" in module.attributes
    assert module.attributes["bias"] is None
    assert [tensor.name for tensor in module.tensors] == ["weight"]
    assert len(module.digest) == 64
    stand_in = case.values().module
    assert torch.equal(stand_in.weight, torch.arange(4.0))
    assert stand_in.bias is None


def test_a_large_scalar_makes_no_case_of_its_own(desk: Desk) -> None:
    watch = desk.watch("toy:attend")
    attend = desk.recorder.recording(watch, "toy:attend", lambda x, max_seq_len: x, None, method=False)
    desk.say(State.RECORDING)
    for length in range(1025, 2048):
        attend(torch.ones(2), max_seq_len=length)
    attend(torch.ones(2), max_seq_len=2049)
    first, second = sorted(desk.finish().cases, key=lambda case: -case.calls)
    argument = first.signature[1]
    assert (first.calls, second.calls) == (1023, 1)
    assert (argument.low, argument.high) == (1025, 2047)
    exact = {snapshot.scalars["max_seq_len"] for snapshot in first.snapshots}
    assert {first.values(number).kwargs["max_seq_len"] for number in range(2)} == exact


def test_the_surroundings_tell_cases_apart_and_are_kept_exactly(desk: Desk) -> None:
    watch = desk.watch("toy:Norm.native")
    around = SimpleNamespace(now=None)
    native = desk.recorder.recording(watch, "toy:Norm.native", Norm.native, lambda module: around.now, method=True)
    norm = Norm(4)
    desk.say(State.RECORDING)
    for blocks in (1, 1, 60):
        around.now = Metadata(torch.full((2, blocks), blocks), blocks * 16)
        native(norm, torch.ones(2, 4))
    few, many = sorted(desk.finish().cases, key=lambda case: -case.calls)
    assert (few.calls, many.calls) == (2, 1)
    context = many.values().surroundings["context"]
    assert torch.equal(context.block_table, torch.full((2, 60), 60))
    assert context.max_seq_len == 960


def test_an_object_that_describes_the_batch_is_no_new_case_at_every_step(desk: Desk) -> None:
    watch = desk.watch("toy:attend")
    attend = desk.recorder.recording(watch, "toy:attend", lambda batch, x: x, None, method=False)
    desk.say(State.RECORDING)
    for length in range(33, 60):
        attend(Metadata(torch.arange(length), length), torch.full((2,), float(length)))
    (case,) = desk.finish().cases
    assert case.calls == 27
    for number in range(2):
        values = case.values(number)
        batch, x = values.args
        assert torch.equal(batch.block_table, torch.arange(batch.max_seq_len))
        assert x.tolist() == [batch.max_seq_len] * 2
    assert not case.replayable


def test_time_of_a_call_leaves_out_the_recorders_work_inside(desk: Desk) -> None:
    inner_watch, outer_watch = desk.watch("toy:inner", task="inner"), desk.watch("toy:outer", task="outer")
    inner = desk.recorder.recording(inner_watch, "toy:inner", lambda x: time.sleep(0.002), None, method=False)

    def outer_function(x: torch.Tensor) -> None:
        inner(x)
        inner(x)

    outer = desk.recorder.recording(outer_watch, "toy:outer", outer_function, None, method=False)
    desk.say(State.RECORDING)
    for _ in range(6):
        outer(torch.ones(2))
    for _ in range(3):
        inner(torch.ones(2))
    cases = {case.task: case for case in desk.finish().cases}
    assert cases["inner"].calls == 15
    assert cases["inner"].seconds >= 0.002
    assert 0.004 <= cases["outer"].seconds < 4 * cases["inner"].seconds  # a busy machine stretches both
    assert cases["inner"].weight == pytest.approx(15 * cases["inner"].seconds)


def entry() -> Entry:
    watch: Any = None
    return Entry(watch, "toy:f", "", "key", (), Reservoir(1, "seed"))


def test_a_case_that_runs_only_inside_others_gets_a_rough_time() -> None:
    case = entry()
    assert case.time_this(0, inside=True)
    case.time(0, 1.0, disturbed=True)
    assert case.time_this(1, inside=True)
    case.time(1, 3.0, disturbed=True)
    assert not case.time_this(2, inside=True)
    assert case.timed_s == [1.0, 3.0]


def test_what_was_put_off_is_timed_at_the_next_chance() -> None:
    case = entry()
    case.rough_s = [1.0, 1.0]
    assert not case.time_this(FIRST_TIMED + 8, inside=True)
    assert case.time_this(FIRST_TIMED + 9, inside=False)
    case.time(FIRST_TIMED + 9, 2.0, disturbed=False)
    assert case.timed_s == [2.0]
    assert not case.time_this(FIRST_TIMED + 10, inside=False)


def test_ids_do_not_depend_on_the_process(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "two"):
        desk = Desk(tmp_path / name)
        norm = observed(desk)(4)
        desk.say(State.RECORDING)
        norm(torch.full((2, 4), float(len(ids))))
        ids.append({case.id for case in desk.finish().cases})
    assert ids[0] == ids[1]
