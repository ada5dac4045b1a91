"""The cases that lie beside the tasks: recorded in vLLM with the tiny models of this repository."""

from __future__ import annotations

import pytest
import torch
from make_sample_cases import FOLDER

from fk_overlay import catalog
from fk_overlay.capture import store
from fk_overlay.core import Task
from fk_overlay.integrity.oracle import as_tuple, load_oracle

torch.set_num_threads(1)
OUT_OF_REACH = {
    "fused_experts": "its kernels need a GPU",
    "moe_activation": "its kernels need a GPU",
    "moe_align": "its kernels need a GPU",
    "moe_sum": "its kernels need a GPU",
}
TASKS = [task for task in catalog.tasks().values() if any(target.engine == "vllm" for target in task.targets)]
SAMPLED = [task for task in TASKS if task.name not in OUT_OF_REACH]
MOST_BYTES = 200_000


def test_every_task_has_cases_or_a_reason() -> None:
    without = {task.name for task in TASKS if not (task.folder / FOLDER).is_dir()}
    assert without == set(OUT_OF_REACH)


@pytest.mark.parametrize("task", SAMPLED, ids=lambda task: task.name)
def test_they_fit_their_task(task: Task) -> None:
    capture = store.read(task.folder / FOLDER)
    capture.check(engine="vllm", version=capture.engine_version, tasks={task.name: task})
    assert set(capture.contracts) == {case.task for case in capture.cases} == {task.name}
    assert all(
        case.weight > 0 and case.snapshots and case.replayable for case in capture.cases if case.task != "linear"
    )
    assert sum(path.stat().st_size for path in capture.folder.rglob("*") if path.is_file()) < MOST_BYTES


@pytest.mark.parametrize("task", SAMPLED, ids=lambda task: task.name)
def test_what_steers_the_work_was_kept(task: Task) -> None:
    for case in store.read(task.folder / FOLDER).cases:
        drawn = {path.partition(".")[0] for path in case.values().drawn}
        assert not drawn & {*task.data_dependent, "context"}


@pytest.mark.parametrize("task", SAMPLED, ids=lambda task: task.name)
def test_the_oracle_takes_them_and_gives_what_the_engine_gave(task: Task) -> None:
    oracle = load_oracle(task)
    for case in store.read(task.folder / FOLDER).cases:
        values = case.values()
        results = as_tuple(oracle.reference(values.module, *values.args, **values.kwargs))
        engine = [result.shape for result in case.results if result.kind == "tensor"]
        assert [tuple(result.shape) for result in results] == engine
