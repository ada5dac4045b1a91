"""A tuning from end to end: one search for each number of tokens, a journal, and the engine's file after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fk_overlay.errors import UsageError
from fk_overlay.tuning import files, roofline
from fk_overlay.tuning.bench import Bench
from fk_overlay.tuning.config import Config, Space
from fk_overlay.tuning.halving import Effort, Outcome, Search, Slot
from fk_overlay.tuning.journal import Journal
from fk_overlay.tuning.routing import Routing, touched
from fk_overlay.tuning.shapes import Experts

PENDING: Mapping[str, Any] = {"state": "pending", "reason": "no time was left to begin", "baseline_s": None}
COMPILING_SHARE = 0.4
"""Share of a search's time after which nothing more is compiled ahead."""
Compiled = Callable[[int, Sequence[Config], float], int]
"""See :meth:`fk_overlay.tuning.ahead.Ahead.__call__`."""
Tell = Callable[[str, int, int], None]
"""``tell(what, done, total)``; counts are numbers of tokens."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to tune.

    Attributes:
        ranks: tensor parallelism; ``shape`` is one rank's part already.
        tokens: batch sizes, each a search of its own, in the order in which they are searched.
        facts: engine, engine_version, triton, gpu: what the figures hold for.
        file: name of the file that the engine looks for.
        triton: version to write into it, None where the engine cannot read that.
        budget_s: seconds for all searches together; what one leaves over goes to those after it.
        least_s: seconds below which no search is begun after the first: rather few sizes well now and the others in
            another session, since most of a search is spent on compiling.
    """

    shape: Experts
    ranks: int
    tokens: tuple[int, ...]
    facts: Mapping[str, str]
    file: str
    triton: str | None
    routing: Routing = field(default_factory=Routing)
    space: Space = field(default_factory=Space)
    effort: Effort = field(default_factory=Effort)
    budget_s: float = 480.0
    least_s: float = 120.0

    @property
    def key(self) -> dict[str, Any]:
        said: dict[str, Any] = {**self.facts, "shape": asdict(self.shape), "ranks": self.ranks}
        return said | {"routing": asdict(self.routing)}

    def journal(self, out: Path) -> Path:
        return out / "journal" / f"{self.facts['engine']}-{self.shape.name}-tp{self.ranks}"

    def written(self, out: Path) -> Path:
        return out / self.facts["engine"] / self.file


def parse_tokens(text: str) -> tuple[int, ...]:
    """``1..8192`` is every power of two between the two, both of them included; ``256,24,1`` is itself, in that order.

    Raises:
        UsageError: it is neither.
    """
    try:
        first, dots, last = text.partition("..")
        if not dots:
            found = list(dict.fromkeys(int(part) for part in text.split(",")))
        else:
            low, high = int(first), int(last)
            powers = (1 << power for power in range(32))
            found = sorted({low, high, *(power for power in powers if low <= power <= high)}) if low <= high else []
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise UsageError(f"--tokens {text!r} names no batch sizes; write 1..8192 or 1,24,256")
    return tuple(found)


def tune(
    order: Order,
    bench_of: Callable[[int], Bench],
    out: Path,
    tell: Tell = lambda what, done, total: None,
    clock: Callable[[], float] = time.monotonic,
    ahead: Compiled = lambda tokens, configs, timeout_s: 0,
) -> dict[int, Mapping[str, Any]]:
    """Search whatever the journal in ``out`` has not settled, and write the engine's file.

    Args:
        bench_of: the bench for a number of tokens.
        ahead: compiles configurations before any is timed.

    Returns the result for each number of tokens, as the journal has it; one that there was no time to begin is
    ``pending``.

    Raises:
        RecordError: ``out`` holds figures for another card, engine, shape or routing.
    """
    with Journal(order.journal(out), order.key) as journal:
        results: dict[int, Mapping[str, Any]] = dict(journal.results())
        end = clock() + order.budget_s
        pending = [tokens for tokens in order.tokens if tokens not in results]
        for number, tokens in enumerate(pending):
            begin = clock()
            left = end - begin
            if number and left < order.least_s:
                break
            slot = Slot(clock, begin, min(left, max(order.least_s, left / (len(pending) - number))))
            done = len(order.tokens) - len(pending) + number
            told = _teller(tell, tokens, done, len(order.tokens))
            results[tokens] = _settle(order, tokens, bench_of(tokens), journal, slot, results, told, ahead)
            _write(order, results, out)
    return {tokens: results.get(tokens, PENDING) for tokens in sorted({*results, *order.tokens})}


def _settle(
    order: Order,
    tokens: int,
    bench: Bench,
    journal: Journal,
    slot: Slot,
    results: Mapping[int, Mapping[str, Any]],
    tell: Callable[[str], None],
    ahead: Compiled,
) -> dict[str, Any]:
    def log(kind: str, **values: Any) -> None:
        journal.add(kind, tokens=tokens, **values)

    known = journal.known(tokens)
    candidates = _candidates(order, tokens, journal.unfit(tokens), results)
    new = [config for config in candidates if (0, config) not in known]
    tell(f"compiling {len(new)} configurations")
    ahead(tokens, new, COMPILING_SHARE * slot.seconds)
    found = Search(bench, order.effort, slot, log, known, tell).run(candidates)
    result = {"tokens": tokens, **_said(found), **_floor(order, tokens, found)}
    journal.add("result", **result)
    return result


def _candidates(
    order: Order, tokens: int, unfit: set[Config], results: Mapping[int, Mapping[str, Any]]
) -> Sequence[Config]:
    """What won at the nearest batch sizes comes first: neighbours often agree, and the time may not reach further."""
    tuned = sorted((abs(each - tokens), each) for each, result in results.items() if result["state"] == "tuned")
    near = [Config.parse(results[each]["config"]) for _, each in tuned[:3]]
    drawn = order.space.sample(order.shape, tokens, order.effort.candidates, order.routing.seed)
    return [config for config in dict.fromkeys([*near, *drawn]) if config not in unfit]


def _said(found: Outcome) -> dict[str, Any]:
    ratio = found.ratio
    interval = {"ratio": ratio.ratio, "low": ratio.low, "high": ratio.high} if ratio else {}
    said = {"state": found.state, "config": found.config.engine(), "measured": found.measured, "reason": found.reason}
    return {**said, **interval, "baseline_s": found.baseline_s if ratio else None}


def _floor(order: Order, tokens: int, found: Outcome) -> dict[str, Any]:
    """The roofline of the first draw, and how many times faster than the baseline it is; None where the card's peaks
    are not known, or nothing was measured."""
    shape, peaks = order.shape, roofline.Peaks.reachable(order.facts["gpu"])
    if peaks is None:
        return {"floor_s": None, "bound": None, "headroom": None}
    ids = order.routing.draw(tokens, shape.experts, shape.top_k)
    least = roofline.floor(shape, tokens, touched(ids), peaks)
    headroom = least.headroom(found.baseline_s) if found.ratio else None
    return {"floor_s": least.seconds, "bound": least.bound, "headroom": headroom}


def _write(order: Order, results: Mapping[int, Mapping[str, Any]], out: Path) -> None:
    """Unresolved sizes are left out; the engine takes the nearest that is there."""
    settled = {
        tokens: Config.parse(result["config"]) for tokens, result in results.items() if result["state"] != "unresolved"
    }
    if settled:
        files.write(order.written(out), settled, order.triton)


def _teller(tell: Tell, tokens: int, done: int, total: int) -> Callable[[str], None]:
    return lambda what: tell(f"{tokens} tokens: {what}", done, total)


def lines(results: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each result: what was gained, the baseline's time, the roofline."""
    for tokens, result in results.items():
        yield f"{tokens:6} tokens: {result['state']}{_gain(result)}; {_limit(result)}"


def _gain(result: Mapping[str, Any]) -> str:
    if result["baseline_s"] is None:
        return f": {result['reason']}"
    gained = f"{1 / result['ratio']:.3f}x [{1 / result['high']:.3f}, {1 / result['low']:.3f}]"
    return f" {gained}; the baseline takes {1e6 * result['baseline_s']:.0f} us"


def _limit(result: Mapping[str, Any]) -> str:
    if result["state"] == "pending":
        return "the same call again goes on with it"
    if result["floor_s"] is None:
        return "no roofline is known for this card"
    most = "" if result["headroom"] is None else f", at most {result['headroom']:.2f}x"
    return f"roofline {1e6 * result['floor_s']:.0f} us ({result['bound']}){most}"
