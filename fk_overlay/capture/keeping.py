"""Which values are kept: of every case a few calls drawn uniformly, of these what the task asks for, and of ordinary
tensors as much as fits."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.describe import Call
from fk_overlay.capture.signature import Argument, Moments, Snapshot
from fk_overlay.capture.values import aligned

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 32 << 20
"""Bytes of one memory that is kept at most, whatever the task says."""
LOOKED_AT = 1 << 16
"""Elements from which moments are taken at most."""
WANTED_SHARE = 0.6
"""Share of the room that only tensors whose values steer the work may use."""


@dataclass(slots=True)
class Room:
    """Bytes that may still be kept in this process for one place."""

    wanted: int
    ordinary: int

    @classmethod
    def of(cls, size: int) -> Room:
        return cls(int(size * WANTED_SHARE), int(size * (1 - WANTED_SHARE)))


@dataclass(slots=True)
class Held:
    """One call's values in host memory, not on disk yet."""

    call: int
    arguments: tuple[Argument, ...] = ()
    surroundings: tuple[Argument, ...] = ()
    memory: dict[str, Tensor] = field(default_factory=dict)
    scalars: dict[str, Any] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)
    wanted: int = 0
    ordinary: int = 0


class Reservoir:
    """Up to ``size`` of the calls of one case, each equally likely (Vitter 1985, algorithm R)."""

    def __init__(self, size: int, seed: str) -> None:
        self._size = size
        self._random = random.Random(seed)
        self.held: list[Held] = []

    def place(self, call: int) -> int | None:
        """Where call number ``call`` goes, None if it is not drawn."""
        if call < self._size:
            return call
        place = int(self._random.random() * (call + 1))
        return place if place < self._size else None

    def put(self, place: int, held: Held, room: Room) -> None:
        if place < len(self.held):
            room.wanted += self.held[place].wanted
            room.ordinary += self.held[place].ordinary
            self.held[place] = held
        else:
            self.held.append(held)


def take(call: Call, number: int, wanted: Callable[[str], bool], room: Room) -> Held:
    """Copy what may be kept of a call that has been noted; take moments of the rest.

    Args:
        wanted: whether the tensor at this path steers the work.
    """
    held = Held(number, scalars=dict(call.scalars))
    groups: dict[int, list[str]] = {}
    for path, tensor in call.tensors.items():
        groups.setdefault(call.storage(tensor)[0], []).append(path)
    for storage, paths in groups.items():
        tensors = [call.tensors[path] for path in paths]
        base = call.storage(tensors[0])[1]
        size = aligned(max(map(_end, tensors)) - base)
        if _fits(size, any(map(wanted, paths)), held, room):
            held.memory[f"storage.{storage}"] = _bytes(tensors[0], base, size)
        else:
            held.moments.update({path: moments(call.tensors[path]) for path in paths})
    return held


def _fits(size: int, wanted: bool, held: Held, room: Room) -> bool:
    if size > LARGEST:
        return False
    if wanted and size <= room.wanted:
        room.wanted -= size
        held.wanted += size
        return True
    if size <= room.ordinary:
        room.ordinary -= size
        held.ordinary += size
        return True
    return False


def _end(tensor: Tensor) -> int:
    """One byte after the last that the tensor reaches in its memory."""
    reach = sum((length - 1) * step for length, step in zip(tensor.shape, tensor.stride(), strict=True))
    last = tensor.storage_offset() + (reach + 1 if tensor.numel() else 0)
    return int(last * tensor.itemsize)


def _bytes(tensor: Tensor, base: int, size: int) -> Tensor:
    """``size`` bytes of the tensor's memory from ``base`` on, in host memory, zeros behind its end."""
    import torch

    storage = tensor.untyped_storage()
    there = max(0, min(size, storage.nbytes() - base))
    view = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage, base, (there,))
    copy = torch.zeros(size, dtype=torch.uint8)
    copy[:there] = view.cpu()
    return copy


def moments(tensor: Tensor) -> Moments:
    """Of at most :data:`LOOKED_AT` elements, the first ones in memory order of a contiguous copy."""
    import torch

    flat = tensor.detach()
    while flat.dim() > 1 and flat.numel() > LOOKED_AT:
        flat = flat[: max(1, LOOKED_AT * len(flat) // flat.numel())] if len(flat) > 1 else flat[0]
    values = flat.flatten()[:LOOKED_AT].to("cpu", torch.float64)
    values = values[torch.isfinite(values)]
    if not len(values):
        return Moments(0.0, 0.0, 0.0, 0.0)
    return Moments(float(values.mean()), float(values.std(correction=0)), float(values.min()), float(values.max()))


def store(held: Held, folder: Path) -> Snapshot:
    """Write a held call under the hash of its content."""
    name = _write(held.memory, folder) if held.memory else ""
    return Snapshot(held.call, name, held.arguments, held.surroundings, held.scalars, held.moments)


def _write(memory: dict[str, Tensor], folder: Path) -> str:
    from safetensors.torch import save

    content = save(memory)
    name = hashlib.sha256(content).hexdigest()
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        draft = folder / f"{name}.{id(memory):x}.draft"
        draft.write_bytes(content)
        draft.replace(path)
    return name
