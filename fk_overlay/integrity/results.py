"""Whether results keep the contract: what kind of thing came back, and whose memory it lies in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from fk_overlay.integrity.guards import Rejection


class Result(Protocol):
    """One thing that a call returned, see :class:`fk_overlay.bench.returned.Returned`."""

    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def alias(self) -> str: ...
    @property
    def odd(self) -> str: ...
    @property
    def is_tensor(self) -> bool: ...


def contract(
    results: Sequence[Result], baseline: Sequence[Result], aliases: Mapping[str, str], parameters: Iterable[str] = ()
) -> list[Rejection]:
    """What of a call's results the task does not promise, held against what the baseline returned for the same call.

    Layouts may be the baseline's or contiguous. Results may lie in the memory of the argument that ``aliases`` names,
    or where the baseline's does.

    Args:
        aliases: number of the result -> argument, from :class:`fk_overlay.core.Task`.
    """
    if len(results) != len(baseline):
        return [_broken(f"{_counted(results)} instead of {_counted(baseline)}")]
    return [
        _broken(f"result {number}: {what}")
        for number, (mine, theirs) in enumerate(zip(results, baseline, strict=True))
        for what in _differences(mine, theirs, aliases.get(str(number), ""))
    ]


def _differences(mine: Result, theirs: Result, allowed: str) -> Iterable[str]:
    if mine.type != theirs.type:
        yield f"a {mine.type} instead of a {theirs.type}"
        return
    for name in ("shape", "dtype", "device"):
        if getattr(mine, name) != getattr(theirs, name):
            yield f"{name} {getattr(mine, name)} instead of {getattr(theirs, name)}"
            return
    if not mine.is_tensor:
        return
    if not _same_layout(mine, theirs.stride) and not _same_layout(mine, contiguous(mine.shape)):
        yield f"stride {mine.stride} instead of {theirs.stride}"
    if mine.alias and mine.alias.partition(".")[0] != allowed and mine.alias != theirs.alias:
        yield f"it lies in the memory of the argument {mine.alias}"
    if mine.odd and mine.odd != theirs.odd:
        yield f"it has {mine.odd}"


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(1, length)
    return tuple(reversed(strides))


def _same_layout(result: Result, stride: Sequence[int]) -> bool:
    """Steps along dimensions of length 1 mean nothing, and an empty tensor has no layout."""
    steps = zip(result.shape, result.stride, stride, strict=True)
    return 0 in result.shape or all(mine == theirs for length, mine, theirs in steps if length != 1)


def _counted(results: Sequence[Result]) -> str:
    return "nothing" if not results else f"{len(results)} results"


def _broken(reason: str) -> Rejection:
    return Rejection("g.contract", reason)
