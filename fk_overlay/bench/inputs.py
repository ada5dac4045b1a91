"""The inputs of one call, made from a number that nobody knows before the call is due.

Parent and arm make the same values from the same number, each in its own memory. So no input travels, the next one
cannot exist before the last result was taken, and what an arm does to its own copy changes nothing that it is judged
by: a result is held against the parent's inputs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Argument
from fk_overlay.capture.values import Values
from fk_overlay.integrity.calls import changed, tensors

if TYPE_CHECKING:
    from torch import Generator, Tensor

PADS, PAD = 4, 256
"""A memory begins 1 to 4 times 256 bytes into its block, so that its address says nothing about the call, and ends as
much before the block's end: who writes beyond it is seen."""
FEW = 1000
"""A twist draws one element in so many anew, at least one."""
MORE, SEEDS = 0x9E3779B97F4A7C15, 1 << 63
"""What is added to a call's seed for rows that are not its own (2^64 over the golden ratio), and what bounds a seed."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the inputs of one call are made from.

    Attributes:
        seed: 63 bits, secret until the call is due.
        twist: if not 0, the inputs of ``seed`` with a few elements drawn anew from it.
        rows: leading rows of every tensor; 0 for all.
        reuse: put the values into the memory, and the tensor objects, of the last call, so that neither equal
            addresses nor equal identities mean anything.
        poison: what the memory of results holds before the call; None for NaN.
        past: what earlier tokens in the engine's cache are made from. Many calls have the same ones, as in decoding.
    """

    seed: int
    twist: int = 0
    rows: int = 0
    reuse: bool = False
    poison: float | None = None
    past: int = 0

    def said(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Block:
    """Memory of one or more tensors, with margins that nobody has to do with.

    Attributes:
        path: of the first tensor in it.
        held: all of its bytes; the tensors' own are those from ``begin`` to ``end``.
        mark: what the margins hold.
    """

    path: str
    held: Tensor
    begin: int
    end: int
    mark: int

    @classmethod
    def around(cls, path: str, nbytes: int, device: Any, draw: random.Random) -> Block:
        import torch

        begin, mark = PAD * (1 + draw.randrange(PADS)), draw.randrange(256)
        held = torch.full((2 * begin + nbytes,), mark, dtype=torch.uint8, device=device)
        return cls(path, held, begin, begin + nbytes, mark)

    def overrun(self) -> bool:
        """Whether somebody has written beside the tensors."""
        beside = (self.held[: self.begin], self.held[self.end :])
        return any(bool((margin != self.mark).any()) for margin in beside)


@dataclass(frozen=True, slots=True)
class Made:
    """Arguments of one call. ``tensors``: every tensor in them by dotted path; modules' own are not among them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: Mapping[str, Tensor]
    blocks: tuple[Block, ...] = ()

    def overrun(self) -> list[str]:
        """Arguments beside whose memory somebody has written."""
        return [block.path for block in self.blocks if block.overrun()]


Fresh = Callable[[Mapping[str, Any], int], Mapping[str, "Tensor"]]
"""``fresh(arguments by name, seed)`` draws arguments that steer the work, see :mod:`fk_overlay.integrity.oracle`."""


class Inputs:
    """Makes the arguments of one case's calls.

    Args:
        values: the case as it was captured; its module is left alone.
        signature: describes the arguments of ``values``, in the same order.
        steering: names of arguments whose values steer the work.
        poisoned: names of arguments that are only written to.
        fresh: draws the steering ones; without it rows of the captured values are put in another order and scaled.
        batch: name of the argument that is the engine's own batch; its tensors are not among the inputs.

    Attributes:
        base: the captured tensors, by dotted path.
        rows: rows that a call may have fewer of; 0 if it may not.
    """

    def __init__(
        self,
        values: Values,
        signature: Sequence[Argument],
        steering: Sequence[str] = (),
        poisoned: Sequence[str] = (),
        fresh: Fresh | None = None,
        batch: str = "",
    ) -> None:
        self._given, self._batch = list(_given(values, signature)), batch
        self._steering, self._poisoned, self._fresh = frozenset(steering), frozenset(poisoned), fresh
        others = [(argument, value) for argument, value in self._given if argument.name != batch]
        held = {argument.name: value for argument, value in others if argument.kind != "module"}
        self._held = held
        self.base = tensors(held)
        self._spread = {path: _spread(tensor) for path, tensor in self.base.items() if tensor.is_floating_point()}
        self._memory: dict[int, Block] = {}
        self._objects: dict[str, Tensor] = {}
        self.rows = _rows(self.base, signature)

    @property
    def nbytes(self) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in self.base.values())

    def make(self, ticket: Ticket) -> Made:
        memory = self._allocate(ticket)
        if memory is not self._memory:
            self._objects.clear()
        made = {path: self._view(memory, path, ticket.rows) for path in self.base}
        for path, value in self._values(ticket).items():
            made[path].copy_(value[: ticket.rows] if ticket.rows else value)
        self._memory = memory
        return replace(self.arranged(made), blocks=tuple(memory.values()))

    def more(self, seed: int, count: int) -> dict[str, Tensor]:
        """``count`` rows of every tensor that no call has: normal with the captured mean and deviation, or drawn from
        the captured values. The same in an arm and in its parent."""
        import torch

        found = {}
        for number, (path, base) in enumerate(self.base.items()):
            generator = torch.Generator(base.device).manual_seed((seed + MORE * (number + 1)) % SEEDS)
            shape = (count, *base.shape[1:])
            if path in self._spread:
                found[path] = self._normal(path, shape, generator)
            else:
                flat = base.flatten()
                which = torch.randint(len(flat), shape, generator=generator, device=base.device)
                found[path] = flat[which]
        return found

    def arranged(self, tensors: Mapping[str, Tensor], batch: Any = None) -> Made:
        """The captured arguments with these tensors, and this batch, in their places."""
        structure = changed(self._held, lambda path, _: tensors[path])
        if self._batch:
            structure[self._batch] = batch
        given = [(argument, structure.get(argument.name, value)) for argument, value in self._given]
        args = tuple(value for argument, value in given if not argument.keyword)
        return Made(args, {argument.name: value for argument, value in given if argument.keyword}, tensors)

    def spoil(self, ticket: Ticket) -> None:
        """Overwrite the memory of the last call."""
        for block in self._memory.values():
            block.held[block.begin : block.end].fill_(ticket.seed % 251)

    def _allocate(self, ticket: Ticket) -> dict[int, Block]:
        if ticket.reuse and self._memory:
            return self._memory
        memory: dict[int, Block] = {}
        draw = random.Random(ticket.seed)
        for path, tensor in self.base.items():
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in memory:
                memory[storage.data_ptr()] = Block.around(path, storage.nbytes(), tensor.device, draw)
        return memory

    def _view(self, memory: Mapping[int, Block], path: str, rows: int) -> Tensor:
        """In the last call's memory it is the last call's object as well, as an engine's own buffers are."""
        import torch

        tensor = self.base[path]
        block = memory[tensor.untyped_storage().data_ptr()]
        offset = block.begin // tensor.itemsize + tensor.storage_offset()
        shape = (rows, *tensor.shape[1:]) if rows else tensor.shape
        last = self._objects.get(path)
        if last is None or last.dtype != tensor.dtype:
            last = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        self._objects[path] = last.set_(block.held.untyped_storage(), offset, shape, tensor.stride())
        return self._objects[path]

    def _values(self, ticket: Ticket) -> dict[str, Tensor]:
        import torch

        if not self.base:
            return {}
        style = random.Random(ticket.seed).choice(("drawn", "shuffled"))
        generator = torch.Generator(next(iter(self.base.values())).device).manual_seed(ticket.seed)
        given: dict[str, Tensor] = {}
        if self._fresh is not None:
            with _ordinary_dtype():  # an arm's is the model's, and its parent's is not
                given.update(self._fresh(self._held, ticket.seed))
        values, order = {}, None
        for path, base in self.base.items():
            name = path.partition(".")[0]
            if name in self._poisoned:
                values[path] = _poison(base, ticket.poison)
            elif path in given:
                values[path] = given[path].to(base.device, base.dtype)
            elif name in self._steering:
                order = _order(base, generator) if order is None or len(order) != len(base) else order
                values[path] = _reordered(base, order, generator)
            else:
                values[path] = self._ordinary(path, base, style, generator)
        return self._twisted(values, ticket) if ticket.twist else values

    def _ordinary(self, path: str, base: Tensor, style: str, generator: Generator) -> Tensor:
        import torch

        if base.is_floating_point() and style == "drawn":
            return self._normal(path, base.shape, generator)
        if base.is_floating_point() or base.dtype == torch.bool:
            order = torch.randperm(base.numel(), generator=generator, device=base.device)
            return base.flatten()[order].reshape(base.shape)
        low, high = (int(base.min()), int(base.max())) if base.numel() else (0, 0)
        return torch.randint(low, high + 1, base.shape, generator=generator, device=base.device).to(base.dtype)

    def _normal(self, path: str, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """With the mean and deviation of the captured tensor."""
        import torch

        base, (mean, std) = self.base[path], self._spread[path]
        normal = torch.randn(shape, generator=generator, device=base.device, dtype=torch.float32)
        return (normal * std + mean).to(base.dtype)

    def _twisted(self, values: dict[str, Tensor], ticket: Ticket) -> dict[str, Tensor]:
        """A near-duplicate: one element in :data:`FEW` of the ordinary tensors is another."""
        import torch

        generator = torch.Generator(next(iter(values.values())).device).manual_seed(ticket.twist)
        for path, value in values.items():
            if path in self._spread and path.partition(".")[0] not in self._steering | self._poisoned:
                few = max(1, value.numel() // FEW)
                where = torch.randint(value.numel(), (few,), generator=generator, device=value.device)
                drawn = self._ordinary(path, value, "drawn", generator).flatten()
                flat = value.flatten()
                flat[where] = drawn[where]
                values[path] = flat.reshape(value.shape)
        return values


def _given(values: Values, signature: Sequence[Argument]) -> Iterator[tuple[Argument, Any]]:
    positional = iter(values.args)
    for argument in signature:
        yield argument, values.kwargs[argument.name] if argument.keyword else next(positional)


def _rows(base: Mapping[str, Tensor], signature: Sequence[Argument]) -> int:
    """The number of rows that all tensors share and that no scalar depends on; 0 if there is none above 1."""
    lengths = {len(tensor) if tensor.dim() else 0 for tensor in base.values()}
    scalars = {part.scalar for argument in signature for _, part in argument.walk() if part.kind == "scalar"}
    length = lengths.pop() if len(lengths) == 1 else 0
    return length if length > 1 and length not in scalars else 0


def _spread(tensor: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the finite elements; 0 and 1 where they say nothing."""
    import torch

    values = tensor.double().flatten()
    values = values[torch.isfinite(values)]
    if values.numel() < 2 or float(values.std()) == 0:
        return 0.0, 1.0
    return float(values.mean()), float(values.std())


def _order(base: Tensor, generator: Generator) -> Tensor:
    import torch

    return torch.randperm(len(base) if base.dim() else 1, generator=generator, device=base.device)


def _reordered(base: Tensor, order: Tensor, generator: Generator) -> Tensor:
    """Captured rows in another order; those of floats scaled a little too, which keeps the order within a row."""
    import torch

    if not base.dim():
        return base
    rows = base[order]
    if not base.is_floating_point() or base.dim() < 2:
        return rows
    shape = (len(rows), *(1 for _ in base.shape[1:]))
    scale = torch.rand(shape, generator=generator, device=base.device, dtype=torch.float32) + 0.5
    return (rows.float() * scale).to(base.dtype)


@contextmanager
def _ordinary_dtype() -> Iterator[None]:
    """Floats are drawn in float32, unless the code says otherwise."""
    import torch

    held = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(held)


def _poison(base: Tensor, poison: float | None) -> Tensor:
    import torch

    if base.is_floating_point():
        return torch.full_like(base, float("nan") if poison is None else poison)
    return torch.full_like(base, 0 if poison is None else int(poison))
