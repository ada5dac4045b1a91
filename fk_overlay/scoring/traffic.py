"""Correctness on timed traffic: a kernel cannot tell these requests from any others.

Without forcing, two runs part at the first token that differs, and everything after it differs for no new reason. So
each timed output counts once: at its first divergence from what the baseline said, judged by the baseline's margin
there (known where the baseline's forced decode followed the same tokens). Requests that were not forced have no
margins; their divergences must not come more often, per token, than those of forced requests, or the kernel recognises
what it is tested with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fk_overlay.core import Scenario
from fk_overlay.scoring.evidence import Record

Item = tuple[str, int]
"""Workload and request."""
Tokens = tuple[int, ...]

SIGNIFICANCE = 0.001
"""Chance of the excess in :func:`excess` under equal rates, below which it is an error."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """First token at which a timed output leaves every output of the baseline; ``position`` is the output's length if
    it never does. ``margin`` is the baseline's in nats, None where the baseline was not forced along these tokens."""

    workload: str
    request: int
    position: int
    length: int
    margin: float | None

    @property
    def happened(self) -> bool:
        return self.position < self.length


def failures(requests: Iterable[Record], baseline: Iterable[Record], scenario: Scenario) -> list[str]:
    """A sentence for every request that errored, or came back with another number of tokens than was asked for: tokens
    that nobody asked for are as easy to count, and easier to make."""
    asked = {workload.name: workload.output_len for workload in scenario.workloads if not workload.range_ratio}
    given: dict[Item, int] = {}
    for record in baseline:
        given[_item(record)] = max(len(record["tokens"]), given.get(_item(record), 0))
    found = []
    for record in requests:
        wanted = asked.get(record["workload"], given.get(_item(record), len(record["tokens"]) or 1))
        where = f"request {record['request']} of {record['workload']} in launch {record['launch']}"
        if record.get("error"):
            found.append(f"{where} failed: {record['error']}")
        elif len(record["tokens"]) != wanted:
            found.append(f"{where} returned {len(record['tokens'])} of {wanted} tokens")
    return found


def unaccounted(requests: Iterable[Record], scenario: Scenario) -> list[str]:
    """A sentence for every pass that does not hold exactly the requests that were sent: a request that was dropped
    would leave the others faster, and no trace."""
    sent = {workload.name: workload.requests for workload in scenario.workloads}
    passes: dict[tuple[str, int, str], set[int]] = {}
    for record in requests:
        passes.setdefault((record["launch"], record["pass"], record["workload"]), set()).add(record["request"])
    return [
        f"pass {number} of {workload} in launch {launch} holds {len(came & wanted)} of the {len(wanted)} requests sent"
        + (f" and {len(came - wanted)} that nobody sent" if came - wanted else "")
        for (launch, number, workload), came in passes.items()
        if came != (wanted := set(range(sent.get(workload, 0))))
    ]


def divergences(
    requests: Iterable[Record], references: Iterable[Record], forced: Iterable[Record], headline: str
) -> list[Divergence]:
    """Where each distinct output leaves the baseline. ``forced`` are the baseline's forced decodes of ``headline``."""
    said: dict[Item, set[Tokens]] = {}
    margins: dict[Item, list[tuple[Tokens, list[float]]]] = {}
    for record in references:
        if not record.get("error"):
            said.setdefault(_item(record), set()).add(tuple(record["tokens"]))
    for record in forced:
        item, tokens = (headline, record["request"]), tuple(record["tokens"])
        said.setdefault(item, set()).add(tokens)
        margins.setdefault(item, []).append((tokens, record["margins"]))
    outputs = {(_item(record), tuple(record["tokens"])) for record in requests if not record.get("error")}
    return [
        _divergence(item, output, said[item], margins.get(item, [])) for item, output in sorted(outputs) if item in said
    ]


def excess(found: Iterable[Divergence], headline: str, forced: set[int]) -> float | None:
    """Chance that requests which were not forced diverge this much more often per token than forced ones by accident.

    Each request of the headline workload counts once, at its earliest divergence: repetitions are not independent.
    Given n divergences in all, those outside the forced set are binomial with the outside's share of the tokens that
    were followed (the conditional test for two Poisson rates, Przyborowski and Wilenski 1940).

    Returns:
        None where there is nothing to compare: no divergence, or all or none of the requests were forced.
    """
    from scipy.special import bdtrc  # type: ignore[import-untyped]

    earliest: dict[int, Divergence] = {}
    for divergence in found:
        first = earliest.setdefault(divergence.request, divergence) if divergence.workload == headline else divergence
        if divergence.position < first.position:
            earliest[divergence.request] = divergence
    outside = [divergence for request, divergence in earliest.items() if request not in forced]
    parted = sum(divergence.happened for divergence in earliest.values())
    if not parted or len(outside) in (0, len(earliest)):
        return None
    share = sum(map(_followed, outside)) / sum(map(_followed, earliest.values()))
    return float(bdtrc(sum(divergence.happened for divergence in outside) - 1, parted, share))


def _followed(divergence: Divergence) -> int:
    """Tokens at which the output could have parted from the baseline, the one at which it did included."""
    return divergence.position + divergence.happened


def _item(record: Record) -> Item:
    return record["workload"], record["request"]


def _divergence(item: Item, output: Tokens, said: set[Tokens], margins: list[tuple[Tokens, list[float]]]) -> Divergence:
    position = max(_common(output, reference) for reference in said)
    known = [
        values[position]
        for tokens, values in margins
        if position < len(values) and tokens[:position] == output[:position]
    ]
    return Divergence(*item, position, len(output), min(known) if known and position < len(output) else None)


def _common(one: Tokens, other: Tokens) -> int:
    """Length of the common beginning."""
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return position
    return min(len(one), len(other))
