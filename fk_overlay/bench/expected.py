"""What a call must give: the task's oracle in float64, on the parent's own inputs, in the parent's memory."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fk_overlay.bench.history import History
from fk_overlay.bench.inputs import Inputs, Made, Ticket
from fk_overlay.bench.subject import inputs_of
from fk_overlay.capture import store
from fk_overlay.capture.values import Values, stand_in
from fk_overlay.core import Case, Cost, Task
from fk_overlay.engines import sequences
from fk_overlay.engines.sequences import Step
from fk_overlay.engines.workbench import Workbench
from fk_overlay.integrity.calls import changed, named, results_of
from fk_overlay.integrity.oracle import Oracle, load_oracle
from fk_overlay.integrity.weights import fingerprint

if TYPE_CHECKING:
    from torch import Tensor


MOST_TOKENS = 1 << 13
"""Tokens that are computed again for one call: of a batch of long sequences a secret choice is."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One call's expected results, canonical, in float64, and the call in the oracle's words.

    Attributes:
        rows: the rows of the call that the results are of; None for all.
    """

    call: Case
    results: tuple[Tensor, ...]
    made: Made
    rows: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Of the results."""
        return sum(result.nbytes for result in self.results)


class Expected:
    """The oracle of one case.

    Raises:
        ValueError: (of :meth:`of`) the oracle cannot judge such a call.
    """

    def __init__(self, task: Task, case: store.Case, snapshot: int, device: str, workbench: Workbench) -> None:
        self.task, self.case = task, case
        self.oracle: Oracle = load_oracle(task)
        self._secret = secrets.token_hex(16)
        self._built: dict[str, Any] = {}
        self._tensors: dict[str, Tensor] = {}
        self._values = case.values(snapshot, device=device, build=self._build)
        self._precise = _with_precise_modules(self._values, list(self._built.values()))
        self.inputs: Inputs
        self.inputs, self._history = inputs_of(workbench, case, snapshot, self._precise, task, self.oracle)

    @property
    def weights(self) -> dict[str, str]:
        """Fingerprints of the recorded weights, by recipe and dotted path."""
        return {name: fingerprint(tensor) for name, tensor in self._tensors.items()}

    @property
    def drawn(self) -> bool:
        """Whether results are tokens drawn from the logits that the oracle gives."""
        return self.case.engine in self.oracle.drawn

    def cost(self) -> Cost | None:
        """What a call of this case cannot do without, if the task says so."""
        if self.oracle.cost is None:
            return None
        if self._history is not None:
            return self._cost_with_history(self._history)
        return self._cost(self._values.args, self._values.kwargs)

    def of(self, ticket: Ticket) -> Truth:
        """The expected results of one call. The oracle runs in float64, its arguments are as the target gets them."""
        import torch

        with torch.inference_mode():
            made = self.inputs.make(replace(ticket, reuse=False))
            call = self.restated(made)
            rows = None
            if self._history is None:
                results = self._results(call)
            else:
                results, rows = self._of_some(self._history, ticket, made)
            results = self.oracle.canonical(call, results)
        return Truth(call, results, made, rows)

    def _results(self, call: Case) -> tuple[Tensor, ...]:
        precise = {name: _double(value) for name, value in named(self.oracle, call).items()}
        return results_of(self.oracle, precise)

    def _of_some(self, history: History, ticket: Ticket, made: Made) -> tuple[tuple[Tensor, ...], Tensor]:
        """Results for the call's own tokens of some sequences, each computed as a whole, and which rows these are."""
        import torch

        found: list[list[Tensor]] = []
        rows: list[int] = []
        for span, own, whole in history.whole(ticket, made, self._chosen(history.of(ticket), ticket)):
            found.append([result[span.begin :] for result in self._results(self.restated(whole))])
            rows += own
        results = tuple(torch.cat(parts) for parts in zip(*found, strict=True))
        return results, torch.tensor(rows, device=results[0].device)

    def _chosen(self, step: Step, ticket: Ticket) -> set[int]:
        """The same sequences for all calls with the same past, so that their results can be told apart."""
        drawn = random.Random(f"{self._secret}/{ticket.past}")
        chosen: set[int] = set()
        tokens = 0
        for span in drawn.sample(step, len(step)):
            tokens += span.end
            if chosen and tokens > MOST_TOKENS:
                break
            chosen.add(span.sequence)
        return chosen

    def canonical(self, call: Case, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Results in the form in which they are compared; as they are, where they cannot be brought into it."""
        try:
            return self.oracle.canonical(call, results)
        except (ValueError, IndexError, RuntimeError, TypeError):
            return results

    def restated(self, made: Made) -> Case:
        return self.oracle.restated(self.case.engine, Case(self._precise.module, made.args, made.kwargs))

    def _cost(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Cost:
        assert self.oracle.cost is not None
        restated = self.oracle.restated(self.case.engine, Case(self._values.module, args, kwargs))
        return self.oracle.cost(**named(self.oracle, restated))

    def _cost_with_history(self, history: History) -> Cost:
        """Weights and the call's own tokens move once, keys and values of earlier tokens are read; the arithmetic of a
        token is what one more of it adds to its sequence."""
        assert self.oracle.kept is not None
        own = self._cost(*history.shaped(sequences.rows(history.step)))
        flops, read = 0, own.read
        for span in history.step:
            flops += self._cost(*history.shaped(span.end)).flops - self._cost(*history.shaped(span.begin)).flops
            read += span.begin * self.oracle.kept(self._values.module)
        return Cost(read, own.written, flops)

    def _build(self, recipe: Any, tensors: Any) -> Any:
        name = next(name for name, known in self.case.modules.items() if known is recipe)
        self._tensors.update({f"{name}/{path}": tensor for path, tensor in tensors.items()})
        self._built[name] = stand_in(recipe, tensors)
        return self._built[name]


def _with_precise_modules(values: Values, modules: list[Any]) -> Values:
    """The same call with its modules in float64, converted once and not for every call."""
    precise = {id(module): _double(module) for module in modules}
    args = tuple(precise.get(id(value), value) for value in values.args)
    kwargs = {name: precise.get(id(value), value) for name, value in values.kwargs.items()}
    return replace(values, module=precise.get(id(values.module)), args=args, kwargs=kwargs)


def _double(value: Any) -> Any:
    """Floating point tensors in float64; of a module too, whose stand-in is copied."""
    return changed(value, lambda path, tensor: tensor.double() if tensor.is_floating_point() else tensor)
