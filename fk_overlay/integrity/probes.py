"""Wrong results that a tolerance must reject: shortcuts that a careless or dishonest kernel could take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fk_overlay.core import Case, Level
from fk_overlay.integrity.calls import Call, changed, results_of, tensors
from fk_overlay.integrity.oracle import Oracle

if TYPE_CHECKING:
    from torch import Tensor

EVERY = 50
"""The scaling probe touches one element in this many, 2 %, more than any sensible ``ratio`` lets pass; results with
fewer elements are left to the other probes."""
COARSER: Mapping[str, str] = {"float32": "bfloat16", "float16": "float8_e4m3fn", "bfloat16": "float8_e4m3fn"}
"""The dtype that a kernel saves on precision with, where a task is judged in the first."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """Results that are wrong on purpose. ``name`` says how."""

    name: str
    results: tuple[Any, ...]


DEPTH: Mapping[Level, int] = {"L1": 1, "L2": 1, "L3": 2, "L4": 4}
"""How much further than one operator an honest result of a level strays, in units in the last place."""


def scale_error(level: Level, eps: float) -> float:
    """By how much the scaling probe is off: 1 %, or where honest rounding hides that, four units in the last place
    times the level's depth. A whole model in bfloat16 is judged by forced decode, not by this."""
    return max(0.01, 4 * eps * DEPTH[level])


def wrong_results(oracle: Oracle, case: Case, call: Call, truth: tuple[Any, ...], off: float) -> Iterator[Wrong]:
    """Every wrong result that applies to a case.

    Args:
        call: the case in float64; ``truth``: its canonical results.
        off: from :func:`scale_error`.
    """
    for index, result in enumerate(truth):
        for how, wrong in (*_instead_of(result, call, off), *_incomplete(result)):
            yield Wrong(f"result {index} is {how}", (*truth[:index], wrong, *truth[index + 1 :]))
    for path, tensor in tensors(call).items():
        if path.partition(".")[0] not in oracle.unused:
            for how, change in _misread(tensor):
                misread = {name: changed(value, _only(path, change), name) for name, value in call.items()}
                yield Wrong(f"{path} is {how}", oracle.canonical(case, results_of(oracle, misread)))


def from_coarser_inputs(oracle: Oracle, case: Case, call: Call, name: str) -> Wrong | None:
    """The results of inputs and weights that were rounded to the next coarser dtype, as a kernel makes them that saves
    on precision; None where nothing that steers the result is rounded by it.

    Args:
        call: the case in float64; ``name``: of the dtype that the task's tolerance is for.
    """
    import torch

    coarser: torch.dtype = getattr(torch, COARSER[name])

    def rounded(path: str, tensor: Tensor) -> Tensor:
        return tensor.to(coarser).to(tensor.dtype) if tensor.is_floating_point() else tensor

    coarse = {key: changed(value, rounded, key) for key, value in call.items()}
    after = tensors(coarse)
    before = {path: tensor for path, tensor in tensors(call).items() if path.partition(".")[0] not in oracle.unused}
    if all(torch.equal(tensor, after[path]) for path, tensor in before.items()):
        return None
    return Wrong(f"made from inputs in {COARSER[name]}", oracle.canonical(case, results_of(oracle, coarse)))


def _instead_of(result: Tensor, call: Call, off: float) -> Iterator[tuple[str, Tensor]]:
    import torch

    finite = result[result.isfinite()].double()
    yield "zeros", torch.zeros_like(result)
    yield "ones", torch.ones_like(result)
    if result.numel() > 1:
        yield "its own mean", torch.full_like(result, float(finite.mean()) if finite.numel() else 0.0)
    for path, tensor in tensors(call).items():
        if tensor.shape == result.shape and tensor.dtype == result.dtype:
            yield f"{path} passed through", tensor
    if result.is_floating_point() and result.numel() >= EVERY:
        factor = torch.ones_like(result).flatten()
        factor[::EVERY] += off
        yield f"off by {off:.2%} in {1 / EVERY:.0%} of its elements", result * factor.reshape(result.shape)


def _incomplete(result: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A tail that was left out: the last slice of the first and of the last dimension."""
    for axis, name in ((0, "row"), (-1, "column")):
        if result.dim() > (axis == -1) and result.shape[axis] > 1:
            cut = result.clone()
            cut.select(axis, -1).zero_()
            yield f"without its last {name}", cut


def _misread(tensor: Tensor) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """What a kernel does that ignores a tensor or mixes up its elements; each axis with room is shifted by one."""
    import torch

    axes = [axis for axis, size in enumerate(tensor.shape) if size > 1]
    for axis in axes:
        yield (
            ("permuted" if axis == axes[0] else f"permuted along axis {axis}"),
            partial(torch.roll, shifts=1, dims=axis),
        )
    if tensor.is_floating_point() and axes:
        yield "ignored", torch.zeros_like


def _only(chosen: str, change: Callable[[Tensor], Tensor]) -> Callable[[str, Tensor], Tensor]:
    return lambda path, tensor: change(tensor) if path == chosen else tensor
