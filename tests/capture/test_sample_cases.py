"""The cases that lie beside the tasks: recorded in both engines with the tiny models of this repository."""

from __future__ import annotations

import pytest
import torch

from fk_overlay import catalog
from fk_overlay.capture import store
from fk_overlay.capture.subset import samples
from fk_overlay.core import Task
from fk_overlay.integrity.calls import named, results_of
from fk_overlay.integrity.oracle import load_oracle

torch.set_num_threads(1)
KERNELS = "its kernels need a GPU"
OUT_OF_REACH = {
    "vllm": {},
    "sglang": {
        "fused_experts": KERNELS,
        "moe_align": KERNELS,
        "moe_sum": KERNELS,
        "gemma_rms_norm": "no model of this repository uses it: SGLang's Gemma adds the 1 to its weights",
    },
}
TASKS = [
    (engine, task)
    for engine in OUT_OF_REACH
    for task in catalog.tasks().values()
    if any(target.engine == engine for target in task.targets)
]
SAMPLED = [
    pytest.param(engine, task, id=f"{engine}-{task.name}")
    for engine, task in TASKS
    if task.name not in OUT_OF_REACH[engine]
]
MOST_BYTES = 200_000
BATCH = "forward_batch"
"""SGLang's own argument, which a bench brings itself."""


@pytest.mark.parametrize("engine", OUT_OF_REACH)
def test_every_task_has_cases_or_a_reason(engine: str) -> None:
    without = {task.name for of, task in TASKS if of == engine and not samples(task, engine).is_dir()}
    assert without == set(OUT_OF_REACH[engine])


@pytest.mark.parametrize(("engine", "task"), SAMPLED)
def test_they_fit_their_task(engine: str, task: Task) -> None:
    capture = store.read(samples(task, engine))
    capture.check(engine=engine, version=capture.engine_version, tasks={task.name: task})
    assert set(capture.contracts) == {case.task for case in capture.cases} == {task.name}
    assert all(case.weight > 0 and case.snapshots for case in capture.cases)
    assert {name for case in capture.cases for name in case.foreign} <= {BATCH}
    assert sum(path.stat().st_size for path in capture.folder.rglob("*") if path.is_file()) < MOST_BYTES


@pytest.mark.parametrize(("engine", "task"), SAMPLED)
def test_what_steers_the_work_was_kept(engine: str, task: Task) -> None:
    for case in store.read(samples(task, engine)).cases:
        drawn = {path.partition(".")[0] for path in case.values(device="cpu").drawn}
        assert not drawn & {*task.data_dependent, "context"}


@pytest.mark.parametrize(("engine", "task"), SAMPLED)
def test_the_oracle_takes_them_and_gives_what_the_engine_gave(engine: str, task: Task) -> None:
    oracle = load_oracle(task)
    for case in store.read(samples(task, engine)).cases:
        values = case.values(device="cpu")
        if (engine, task.name) == ("sglang", "llama"):
            with pytest.raises(ValueError, match="returns logits, this oracle hidden states"):
                oracle.restated(engine, values)
            continue
        results = results_of(oracle, named(oracle, oracle.restated(engine, values)))
        written = [argument for argument in case.signature if argument.name in task.mutates]
        found = [tuple(each.shape) for each in (*case.results, *written) if each.kind == "tensor"]
        assert [tuple(result.shape)[: 1 if engine in oracle.drawn else None] for result in results] == found[
            : len(results)
        ]
