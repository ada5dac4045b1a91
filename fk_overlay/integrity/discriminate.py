"""Judges the judges: lints a task's oracle, samples and tolerances before any kernel is held against them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fk_overlay.core import Case, Task, Tolerance
from fk_overlay.errors import FileError
from fk_overlay.integrity.calls import Call, named, precise, results_of, tensors
from fk_overlay.integrity.elementwise import agree
from fk_overlay.integrity.oracle import Oracle, load_oracle
from fk_overlay.integrity.probes import COARSER, EVERY, Wrong, from_coarser_inputs, scale_error, wrong_results

if TYPE_CHECKING:
    from torch import Tensor, dtype

SEED = 20260101


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a task that would let a wrong kernel pass or a right one fail.

    Attributes:
        probe: ``names``, ``samples``, ``purity``, ``finite``, ``precision``, or the wrong result that slipped through.
        dtype: name of the dtype in whose tolerance it was found; empty if it has nothing to do with one.
    """

    task: str
    probe: str
    dtype: str
    detail: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.dtype, self.probe, self.detail) if part)


def lint(task: Task) -> list[Problem]:
    """Everything wrong with a task's oracle, samples and tolerances. Takes about a second.

    In every dtype that has a tolerance, on the task's own samples: the oracle changes none of its arguments and gives
    no NaN; in float32 it agrees with itself in float64; and every wrong result that
    :mod:`fk_overlay.integrity.probes` makes is rejected in at least one case.

    Raises:
        FileError: there is no oracle, or the task has a tolerance for something that is no dtype.
    """
    oracle = load_oracle(task)
    problems = _names(task, oracle)
    if not task.tolerance:
        problems.append(Problem(task.name, "samples", "", "the task has no tolerance, so nothing can be judged"))
    for name, tolerance in task.tolerance.items():
        problems += _lint_dtype(task, oracle, name, tolerance)
    return problems


def _names(task: Task, oracle: Oracle) -> list[Problem]:
    spoken = [oracle.reference, *oracle.dialects.values()]
    known = dict.fromkeys(name for each in spoken for name in inspect.signature(each).parameters)
    used = {*task.mutates, *task.aliases.values(), *task.data_dependent, *oracle.unused, *filter(None, [task.paged])}
    return [
        Problem(task.name, "names", "", f"{name!r} is not an argument of the oracle ({', '.join(known)})")
        for name in sorted(used - known.keys())
    ]


def _lint_dtype(task: Task, oracle: Oracle, name: str, tolerance: Tolerance) -> list[Problem]:
    dtype = _dtype(task, name)
    cases = list(oracle.samples(SEED, dtype))
    found = [("samples", detail) for detail in _sample_problems(oracle, dtype, cases)]
    for number, case in enumerate(cases):
        found += [
            (probe, f"case {number}: {detail}") for probe, detail in _case_problems(oracle, name, case, tolerance)
        ]
    found += [("samples", detail) for detail in _too_small(oracle, cases)]
    found += [(probe, "passes as right in every case") for probe in _slipped(task, oracle, name, cases)]
    return [Problem(task.name, probe, name, detail) for probe, detail in found]


def _sample_problems(oracle: Oracle, dtype: dtype, cases: list[Case]) -> list[str]:
    again, others = (list(oracle.samples(seed, dtype)) for seed in (SEED, SEED + 1))
    problems = [] if cases else ["there are none"]
    if not _equal(cases, again):
        problems.append("the same seed gives other values")
    if cases and _equal(cases, others):
        problems.append("another seed gives the same values")
    return problems


def _case_problems(oracle: Oracle, name: str, case: Case, tolerance: Tolerance) -> list[tuple[str, str]]:
    call = named(oracle, case)
    before = {path: tensor.clone() for path, tensor in tensors(call).items()}
    results = results_of(oracle, call)
    touched = [path for path, tensor in tensors(call).items() if not _same(tensor, before[path])]
    problems = [("purity", f"the oracle changes {path}") for path in touched]
    truth = oracle.canonical(case, results_of(oracle, precise(call)))
    if any(bool(result.isnan().any()) for result in truth):
        problems.append(("finite", "the oracle gives NaN"))
    if not oracle.infinite and any(bool(result.isinf().any()) for result in truth):
        problems.append(("finite", "the oracle gives infinities; if they are proper results, set INFINITE = True"))
    if name == "float32":
        own = oracle.canonical(case, results)
        problems += [
            ("precision", f"result {index} in float32 and in float64: {agreement.reason}")
            for index, pair in enumerate(zip(own, truth, strict=True))
            if not (agreement := agree(*pair, tolerance)).agrees
        ]
    return problems


def _too_small(oracle: Oracle, cases: list[Case]) -> list[str]:
    """Floating point results that never have enough elements to tell a share of wrong ones from a few."""
    most: dict[int, int] = {}
    for case in cases:
        for index, result in enumerate(oracle.results(case)):
            if result.is_floating_point():
                most[index] = max(most.get(index, 0), result.numel())
    return [
        f"result {index} has at most {size} elements, {EVERY} needed" for index, size in most.items() if size < EVERY
    ]


def _slipped(task: Task, oracle: Oracle, name: str, cases: list[Case]) -> list[str]:
    """Names of the wrong results that no case rejects."""
    dtype = _dtype(task, name)
    others = list(oracle.samples(SEED + 1, dtype))
    caught: dict[str, bool] = {}
    for number, case in enumerate(cases):
        call: Call = precise(named(oracle, case))
        truth = oracle.canonical(case, results_of(oracle, call))
        stale = _stale(oracle, others[number : number + 1], truth)
        for wrong in (*stale, *_wrong(task, oracle, name, case, call, truth)):
            if not caught.get(wrong.name):
                caught[wrong.name] = _rejected(wrong.results, truth, task.tolerance[name])
    return [name for name, was in caught.items() if not was]


def _wrong(task: Task, oracle: Oracle, name: str, case: Case, call: Call, truth: tuple[Tensor, ...]) -> Iterator[Wrong]:
    import torch

    yield from wrong_results(oracle, case, call, truth, scale_error(task.level, torch.finfo(_dtype(task, name)).eps))
    coarse = from_coarser_inputs(oracle, case, call, name) if name in COARSER else None
    if coarse is not None:
        yield coarse


def _stale(oracle: Oracle, other: list[Case], truth: tuple[Tensor, ...]) -> Iterator[Wrong]:
    """The results of the same case with other values, as a kernel gives them that remembers an earlier call."""
    for case in other:
        results = oracle.canonical(case, results_of(oracle, precise(named(oracle, case))))
        if [result.shape for result in results] == [result.shape for result in truth]:
            yield Wrong("those of other inputs", results)


def _rejected(results: tuple[Tensor, ...], truth: tuple[Tensor, ...], tolerance: Tolerance) -> bool:
    pairs = zip(results, truth, strict=True)
    return not all(agree(result, reference, tolerance).agrees for result, reference in pairs)


def _equal(cases: list[Case], others: list[Case]) -> bool:
    mine, theirs = (tensors([[case.module, case.args, dict(case.kwargs)] for case in it]) for it in (cases, others))
    return mine.keys() == theirs.keys() and all(_same(mine[path], theirs[path]) for path in mine)


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal bits, a NaN being equal to itself."""
    import torch

    return one.shape == other.shape and bool(torch.equal(one.nan_to_num(nan=0.5), other.nan_to_num(nan=0.5)))


def _dtype(task: Task, name: str) -> Any:
    import torch

    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise FileError(f"task {task.name!r}: tolerance.{name}: not a floating point dtype such as float32 or bfloat16")
    return found
