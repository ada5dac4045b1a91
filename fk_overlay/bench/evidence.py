"""What the calls of a case have shown, gathered while they are made."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fk_overlay.bench.arm import Frozen
from fk_overlay.bench.expected import Expected, Truth
from fk_overlay.bench.inputs import Ticket
from fk_overlay.core import BASELINE, Tolerance
from fk_overlay.integrity import claims
from fk_overlay.integrity.distribution import Draws
from fk_overlay.integrity.elementwise import agree
from fk_overlay.integrity.error_ratio import Errors
from fk_overlay.integrity.guards import Rejection
from fk_overlay.integrity.probes import EVERY
from fk_overlay.integrity.results import contract

if TYPE_CHECKING:
    from torch import Tensor

CANDIDATE = "candidate"
LOOKED_AT = 1 << 20
"""Bytes of a result that name it, when results of several calls are compared."""
CHANCE = 0.01
"""Share of a wrong result that may be the poison's number by chance: bfloat16 has 128 numbers between 1 and 2."""
Pair = Mapping[str, Frozen]
"""One call in both arms, from the same ticket."""


@dataclass(slots=True)
class Times:
    """Of one arm: for every round, medians in seconds as claimed, as the parent saw them, and of what came late."""

    claimed: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def round(self, calls: Sequence[Frozen]) -> None:
        self.claimed.append(statistics.median(call.seconds for call in calls))
        self.walls.append(statistics.median(call.wall_s for call in calls))
        self.late.append(statistics.median(call.late_s for call in calls))


class Evidence:
    """Rejections of the candidate, errors and times of both arms.

    Attributes:
        sittings: for every pair of processes, the number of its first round.
        draws: of an arm whose target draws tokens.
        checked: calls that were held against the oracle; undecided: of these, the ones that the baseline got wrong.
        doubt: what the baseline got wrong last.
    """

    def __init__(self, expected: Expected, tolerance: Tolerance) -> None:
        self._expected, self._tolerance = expected, tolerance
        task, oracle = expected.task, expected.oracle
        self._mutable = {*task.mutates, *task.aliases.values(), *oracle.unused}
        self._seen: dict[str, int] = {}
        self._before: Truth | None = None
        self.rejections: list[Rejection] = []
        self.errors = {BASELINE: Errors(), CANDIDATE: Errors()}
        self.times = {BASELINE: Times(), CANDIDATE: Times()}
        self.draws = {BASELINE: Draws(), CANDIDATE: Draws()}
        self.sittings: list[int] = []
        self.calls = self.checked = self.undecided = 0
        self.doubt = ""

    @property
    def hopeless(self) -> bool:
        """Nothing that is still to come can save the case."""
        return bool(self.rejections)

    def turn_to(self, expected: Expected) -> None:
        """What comes now are calls like another one that was kept of the same case."""
        self._expected, self._before = expected, None

    def look(self, pair: Pair) -> None:
        """What needs no oracle: what kind of thing came back, and whether the claimed time is possible."""
        mine, theirs = pair[CANDIDATE], pair[BASELINE]
        self.calls += 1
        for frozen in pair.values():
            self._reject(claims.impossible(frozen.seconds, frozen.wall_s))
        alike = mine.single == theirs.single and theirs.names in ((), mine.names)
        shape = [] if alike else [Rejection("g.contract", f"{_kind(mine)} instead of {_kind(theirs)}")]
        for rejection in shape or contract(mine.results, theirs.results, self._expected.task.aliases):
            self._reject(rejection)
        moved = set(mine.moved) - set(theirs.moved)
        if moved:
            self._reject(Rejection("g.immutable", f"memory, shape or layout changed of {', '.join(sorted(moved))}"))
        beside = set(mine.overrun) - set(theirs.overrun)
        if beside:
            self._reject(Rejection("g.immutable", f"memory beside {', '.join(sorted(beside))} was written to"))

    def check(self, ticket: Ticket, pair: Pair) -> None:
        """Hold results and arguments of both arms against the oracle."""
        truth = self._expected.of(ticket)
        self.checked += 1
        mine, theirs = (self._outputs(pair[arm], truth) for arm in (CANDIDATE, BASELINE))
        doubt, wrong = self._wrong(BASELINE, theirs, truth), self._wrong(CANDIDATE, mine, truth)
        if doubt:
            self.undecided += 1
            self.doubt = doubt
            return
        name = _named(mine)
        if wrong:
            self._reject(self._why(wrong, ticket, mine, truth, name))
        else:
            self.errors[CANDIDATE].add(mine, truth.results)
            self.errors[BASELINE].add(theirs, truth.results)
            if not self._expected.drawn:  # tokens may well come twice
                self._seen.setdefault(name, self.checked)
        self._before = truth
        self._arguments(pair, truth)

    def round(self, pairs: Sequence[Pair]) -> None:
        for arm, times in self.times.items():
            times.round([pair[arm] for pair in pairs])

    def _outputs(self, frozen: Frozen, truth: Truth) -> tuple[Tensor, ...]:
        """Mutated arguments, then results, as the oracle orders them, canonical."""
        written = [frozen.arguments[name] for name in self._expected.task.mutates if name in frozen.arguments]
        results = [each.value for each in frozen.results if each.value is not None]
        device = truth.results[0].device if truth.results else "cpu"
        found = tuple(each.to(device) for each in (*written, *results))
        if truth.rows is not None:
            last = int(truth.rows.max())
            found = tuple(each[truth.rows] if each.dim() and len(each) > last else each for each in found)
        return self._expected.canonical(truth.call, found)

    def _wrong(self, arm: str, outputs: Sequence[Tensor], truth: Truth) -> str:
        """Why an arm's results cannot be right; what is drawn is kept, for only many draws tell."""
        if not self._expected.drawn:
            return self._disagreement(outputs, truth)
        if len(outputs) != 1:
            return f"{len(outputs)} results, a draw has 1"
        return self.draws[arm].add(outputs[0], truth.results[0])

    def _disagreement(self, outputs: Sequence[Tensor], truth: Truth) -> str:
        if not truth.results:
            return "there is nothing to compare: no result and no argument that the task says is written"
        if len(outputs) != len(truth.results):
            return f"{len(outputs)} results, the oracle has {len(truth.results)}"
        for number, (out, reference) in enumerate(zip(outputs, truth.results, strict=True)):
            agreement = agree(out, reference, scaled(self._tolerance, reference))
            if not agreement.agrees:
                return f"result {number}: {agreement.reason}"
        return ""

    def _why(self, wrong: str, ticket: Ticket, outputs: Sequence[Tensor], truth: Truth, name: str) -> Rejection:
        """The guard that a wrong result is for."""
        if name in self._seen:
            return Rejection("g.fresh", f"checked call {self.checked} got what {self._seen[name]} had got; {wrong}")
        if self._before is not None and not self._disagreement(outputs, self._before):
            return Rejection("g.fresh", f"checked call {self.checked} got the result of the one before; {wrong}")
        left = max(
            (poisoned(out, ref, ticket.poison) for out, ref in zip(outputs, truth.results, strict=False)), default=0.0
        )
        if left > (CHANCE if ticket.poison is not None else 0):
            return Rejection("g.poison", f"{left:.1%} of a result is what its memory held before; {wrong}")
        return Rejection("g.variation" if ticket.rows else "g.recheck", f"checked call {self.checked}: {wrong}")

    def _arguments(self, pair: Pair, truth: Truth) -> None:
        """Arguments that only the candidate changed, and that the task does not let it change."""
        import torch

        theirs = pair[BASELINE].arguments
        for path, value in pair[CANDIDATE].arguments.items():
            before = truth.made.tensors[path].cpu()
            if path.partition(".")[0] in self._mutable or _same(value, before):
                continue
            if path in theirs and not _same(theirs[path], before):
                continue
            changed = (
                int((value.view(torch.uint8) != before.contiguous().view(torch.uint8)).sum()) if value.dim() else 1
            )
            self._reject(Rejection("g.immutable", f"the argument {path} is another after the call ({changed} bytes)"))

    def _reject(self, rejection: Rejection | None) -> None:
        if rejection is not None and rejection.guard not in {each.guard for each in self.rejections}:
            self.rejections.append(rejection)


def scaled(tolerance: Tolerance, reference: Tensor) -> Tolerance:
    """The tolerance for results of this scale and number.

    Tasks state ``atol`` for results of scale 1, as their samples have; real ones are larger or smaller. And where
    ``ratio`` lets less than one element be outside of its bound, one may be, up to the cap: roundings are not
    distributed in shares of an element.
    """
    import torch

    if not reference.is_floating_point() or not reference.numel():
        return tolerance
    finite = reference[torch.isfinite(reference)]
    scale = float(finite.square().mean().sqrt()) if finite.numel() else 1.0
    some = 1 - 1 / reference.numel() if reference.numel() >= EVERY else 1.0
    return replace(tolerance, atol=tolerance.atol * scale, ratio=min(tolerance.ratio, some))


def _kind(frozen: Frozen) -> str:
    if frozen.single:
        return "one thing"
    return f"{len(frozen.results)} in a sequence" + (f" named {', '.join(frozen.names)}" if frozen.names else "")


def _named(outputs: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for each in outputs:
        digest.update(_bytes(each.contiguous())[:LOOKED_AT].cpu().numpy())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Tensor:
    import torch

    return tensor.reshape(-1).view(torch.uint8) if tensor.numel() else torch.empty(0, dtype=torch.uint8)


def _same(one: Tensor, other: Tensor) -> bool:
    import torch

    return bool(torch.equal(_bytes(one), _bytes(other.contiguous())))


def poisoned(out: Tensor, reference: Tensor, poison: float | None) -> float:
    """Share of the elements that hold the poison where the oracle has something else."""
    import torch

    if out.shape != reference.shape or not out.numel() or not out.is_floating_point():
        return 0.0
    if poison is None:
        return float((out.isnan() & ~reference.isnan()).double().mean())
    mark = torch.tensor(poison, dtype=out.dtype, device=out.device)
    return float(((out == mark) & (reference.to(out.device) != mark.double())).double().mean())
