"""Wrong results that a tolerance must reject: shortcuts that a careless or dishonest kernel could take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fk_overlay.core import Case, Level
from fk_overlay.integrity.calls import Call, changed, results_of, tensors
from fk_overlay.integrity.oracle import Oracle

if TYPE_CHECKING:
    from torch import Tensor

EVERY = 50
"""The scaling probe touches one element in this many, 2 %, more than any sensible ``ratio`` lets pass; results with
fewer elements are left to the other probes."""


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
        for how, wrong in _instead_of(result, call, off):
            yield Wrong(f"result {index} is {how}", (*truth[:index], wrong, *truth[index + 1 :]))
    for path, tensor in tensors(call).items():
        if path.partition(".")[0] not in oracle.unused and tensor.numel() > 1:
            rolled = {name: changed(value, _rolled(path), name) for name, value in call.items()}
            yield Wrong(f"{path} is permuted", oracle.canonical(case, results_of(oracle, rolled)))


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


def _rolled(chosen: str) -> Any:
    """Shifts the chosen tensor by one along its first dimension that has room."""

    def change(path: str, tensor: Tensor) -> Tensor:
        if path != chosen:
            return tensor
        dimension = next(axis for axis, size in enumerate(tensor.shape) if size > 1)
        return tensor.roll(1, dimension)

    return change
