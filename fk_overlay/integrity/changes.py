"""What changed in an arm's process from before its candidate came until after its last call, held against the
baseline's process, which shows what the engine itself changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fk_overlay.core import BASELINE
from fk_overlay.integrity.guards import Rejection
from fk_overlay.integrity.process import NETWORK

CANDIDATE = "candidate"
Said = Mapping[str, Mapping[str, Any]]
"""By arm, what it told of itself."""
SHOWN = 4


def after(before: Said, placed: Said, ended: Said, outside: Mapping[str, Mapping[str, int]]) -> Iterator[Rejection]:
    """Rejections of the candidate when its last call is over.

    Args:
        before, placed, ended: what the arms said when they were opened, when the candidate was in its place, and now.
        outside: children, sockets and threads of each process as the system counts them.
    """
    for what in ("functions", "flags"):
        changed = _changed(before[CANDIDATE], ended[CANDIDATE], what)
        more = [name for name in changed if name not in _changed(before[BASELINE], ended[BASELINE], what)]
        if more:
            yield _integrity(f"{what} changed: {_shown(more)}")
    timing = _changed(placed[CANDIDATE], ended[CANDIDATE], "caller")
    if timing:
        yield _integrity(f"what times a call was replaced: {_shown(timing)}")
    weights = _changed(placed[CANDIDATE], ended[CANDIDATE], "weights")
    if weights:
        yield Rejection("g.immutable", f"weights changed: {_shown(weights)}")
    for what in ("children", "sockets"):
        mine, theirs = outside[CANDIDATE][what], outside[BASELINE][what]
        if mine > theirs:
            yield _integrity(f"its process has {mine} {what}, the baseline's {theirs}")
    running = {arm: Counter(map(str, ended[arm].get("threads", ()))) for arm in (CANDIDATE, BASELINE)}
    if own := sorted(running[CANDIDATE] - running[BASELINE]):
        yield _integrity(f"it runs threads of its own: {_shown(own)}")
    yield from events([placed[CANDIDATE], ended[CANDIDATE]], [placed[BASELINE], ended[BASELINE]], NETWORK)


def events(mine: Sequence[Any], theirs: Sequence[Any], kinds: frozenset[str] | None = None) -> Iterator[Rejection]:
    """What a process has started or connected to that the baseline's has not, of these kinds; of any for None."""
    counts = [Counter(event for said in each for event in said.get("events", ())) for each in (mine, theirs)]
    more = [event for event in counts[0] - counts[1] if kinds is None or event in kinds]
    if more:
        yield _integrity(f"it did what no call needs: {_shown(sorted(map(str, more)))}")


def timed_events(pairs: Sequence[Mapping[str, Any]]) -> Iterator[Rejection]:
    """The same for timed calls, between which nothing may be started: compilers have had the warm-up for that."""
    told = {arm: [{"events": pair[arm].events} for pair in pairs] for arm in (CANDIDATE, BASELINE)}
    yield from events(told[CANDIDATE], told[BASELINE])


def _changed(before: Mapping[str, Any], now: Mapping[str, Any], what: str) -> list[str]:
    old, new = before.get(what, {}), now.get(what, {})
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _integrity(reason: str) -> Rejection:
    return Rejection("g.integrity", reason)


def _shown(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
