"""What an engine's cache holds before a call: earlier tokens of its sequences, made from the call's ticket.

The module under test writes them itself, in calls that nobody times (:func:`fk_overlay.engines.sequences.before`), so
what it writes is judged by what the timed call reads. The oracle knows no cache: it is given each sequence whole.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fk_overlay.bench.inputs import Inputs, Made, Ticket
from fk_overlay.engines import sequences
from fk_overlay.engines.sequences import Span, Step

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class History:
    """Of one case.

    Args:
        step: the captured call.
        positions: name of the argument that says which token of its sequence a row is.

    Raises:
        ValueError: the rows of the call's tensors are not the tokens of its batch.
    """

    inputs: Inputs
    step: Step
    positions: str

    def __post_init__(self) -> None:
        tokens = sequences.rows(self.step)
        shapes = {path: tuple(tensor.shape) for path, tensor in self.inputs.base.items()}
        if any(not shape or shape[0] != tokens for shape in shapes.values()):
            raise ValueError(f"its batch has {tokens} tokens, its tensors {shapes}")
        if len(shapes.get(self.positions, ())) != 1:
            raise ValueError(f"{self.positions} is {shapes.get(self.positions, 'not there')}, not one number a token")

    def of(self, ticket: Ticket) -> Step:
        """The call that a ticket is for."""
        return sequences.first(self.step, ticket.rows) if ticket.rows else self.step

    def calls(self, ticket: Ticket) -> Iterator[tuple[Step, Made]]:
        """The calls that fill the cache, in their order."""
        begins, earlier = self._earlier(ticket)
        for step in sequences.before(self.step):
            rows = [begins[span.sequence] + token for span in step for token in range(span.begin, span.end)]
            yield step, self._made(step, {path: tensor[rows] for path, tensor in earlier.items()})

    def whole(self, ticket: Ticket, made: Made, chosen: Container[int]) -> Iterator[tuple[Span, range, Made]]:
        """The chosen sequences of the call, each from its first token on and as one call, and which rows of the call
        its last ones are. ``made``: the call's own arguments."""
        import torch

        begins, earlier = self._earlier(ticket)
        end = 0
        for span in self.of(ticket):
            begin, end = end, end + span.rows
            if span.sequence not in chosen:
                continue
            first = begins[span.sequence]
            before, now = slice(first, first + span.begin), slice(begin, end)
            joined = {path: torch.cat([earlier[path][before], made.tensors[path][now]]) for path in made.tensors}
            yield span, range(begin, end), self._made((Span(span.sequence, 0, span.end),), joined)

    def shaped(self, count: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of so many tokens that have shapes and no values."""
        base = self.inputs.base
        empty = {path: tensor.new_empty((count, *tensor.shape[1:]), device="meta") for path, tensor in base.items()}
        made = self.inputs.arranged(empty)
        return made.args, made.kwargs

    def _earlier(self, ticket: Ticket) -> tuple[dict[int, int], dict[str, Tensor]]:
        """Where the earlier tokens of each sequence begin, and all of them, one sequence after the other."""
        begins, count = {}, 0
        for span in self.step:
            begins[span.sequence] = count
            count += span.begin
        return begins, self.inputs.more(ticket.past, count)

    def _made(self, step: Step, tensors: Mapping[str, Tensor]) -> Made:
        return self.inputs.arranged({**tensors, self.positions: positions(step, tensors[self.positions])})


def positions(step: Step, like: Tensor) -> Tensor:
    """Which token of its sequence each row of the step is: [rows], in dtype and on the device of ``like``."""
    import torch

    return torch.tensor(sequences.positions(step), dtype=like.dtype, device=like.device)
