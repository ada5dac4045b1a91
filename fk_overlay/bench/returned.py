"""What a call gave back, told by the arm and checked by the parent; the bytes lie in memory that both can see.

An arm writes its results into the outbox before it answers, the parent copies them before it asks for anything else:
from then on nobody can change them.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fk_overlay.bench.channel import forged

if TYPE_CHECKING:
    from torch import Tensor

PLAIN_TENSOR = "torch:Tensor"
PARAMETER = "torch.nn.parameter:Parameter"


@dataclass(frozen=True, slots=True)
class Returned:
    """One tensor, or something that is none.

    Attributes:
        type: ``module:Qualified.name`` of its class.
        alias: dotted path of the argument whose memory it lies in; empty for memory of its own.
        odd: what a plain result has not: attributes of its own, a lazy conjugation.
        value: the frozen copy, contiguous, on the parent's side; None for what is no tensor.
    """

    type: str
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dtype: str = ""
    device: str = ""
    alias: str = ""
    odd: str = ""
    value: Tensor | None = None

    @property
    def is_tensor(self) -> bool:
        return bool(self.dtype)


class Outbox:
    """A piece of memory that the arm writes to and the parent reads.

    Args:
        path: of the file behind it; made by the parent (``size`` given), opened by the arm.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        if size is not None:
            with path.open("wb") as file:
                file.truncate(max(size, mmap.PAGESIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.size = len(self._map)
        self._used = 0
        self._bytes: Any = None

    # ------------------------------------------------------------------------------------------------ the arm's side

    def clear(self) -> None:
        self._used = 0

    def put(self, tensor: Tensor) -> int:
        """Copy a tensor behind what is there and return where it begins; -1 if there is no room."""
        import torch

        if self._bytes is None:
            self._bytes = torch.frombuffer(self._map, dtype=torch.uint8)
        begin, size = self._used, tensor.numel() * tensor.itemsize
        if begin + size > self.size:
            return -1
        if size:
            self._bytes[begin : begin + size].view(tensor.dtype).view(tensor.shape).copy_(tensor)
        self._used = -(-(begin + size) // 64) * 64
        return begin

    # ------------------------------------------------------------------------------------------------ the parent's side

    def take(self, begin: int, shape: tuple[int, ...], dtype: str) -> Tensor:
        """A copy of a tensor in it. Raises :class:`ArmFailed` for one that cannot lie there."""
        import torch

        kind = getattr(torch, dtype, None)
        if not isinstance(kind, torch.dtype):
            raise forged(f"there is no dtype {dtype!r}")
        size = kind.itemsize
        for length in shape:
            size *= length
        if begin < 0 or begin + size > self.size:
            raise forged("a result lies outside of where results are put")
        if not size:
            return torch.empty(shape, dtype=kind)
        return torch.frombuffer(memoryview(self._map)[begin : begin + size], dtype=kind).reshape(shape).clone()


def tell(value: Any, outbox: Outbox, arguments: Mapping[str, Tensor]) -> dict[str, Any]:
    """Describe one result, on the arm's side, and put its bytes into the outbox."""
    import torch

    kind = type(value)
    said: dict[str, Any] = {"type": f"{kind.__module__}:{kind.__qualname__}"}
    if kind is not torch.Tensor and kind is not torch.nn.Parameter:
        return said
    odd = [name for name in ("is_conj", "is_neg") if getattr(torch.Tensor, name)(value)]
    if vars(value):
        odd.append(f"attributes {', '.join(sorted(map(str, vars(value))))}")
    return {
        **said,
        "shape": list(value.shape),
        "stride": list(value.stride()),
        "dtype": str(value.dtype).removeprefix("torch."),
        "device": value.device.type,
        "alias": alias_of(value, arguments),
        "odd": "; ".join(odd),
        "begin": outbox.put(value),
    }


def alias_of(value: Tensor, arguments: Mapping[str, Tensor]) -> str:
    """Path of the argument that a tensor overlaps with; an argument that begins where it does comes first."""
    if not value.numel():
        return ""
    memory = value.untyped_storage().data_ptr()
    same = [path for path, tensor in arguments.items() if tensor.untyped_storage().data_ptr() == memory]
    return next((path for path in same if arguments[path].data_ptr() == value.data_ptr()), next(iter(same), ""))


def hear(said: Any, outbox: Outbox) -> Returned:
    """What :func:`tell` described, on the parent's side, with a copy of its bytes.

    Raises:
        ArmFailed: it is not such a description.
    """
    try:
        if not said.get("dtype"):
            return Returned(str(said["type"]))
        shape, stride = (tuple(int(length) for length in said[name]) for name in ("shape", "stride"))
        texts = {name: str(said[name]) for name in ("type", "dtype", "device", "alias", "odd")}
        begin = int(said["begin"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise forged("a result is described as none can be") from None
    if any(length < 0 for length in shape) or len(shape) != len(stride):
        raise forged("a result has a shape that none can have")
    value = outbox.take(begin, shape, texts["dtype"]) if begin >= 0 else None
    return Returned(shape=shape, stride=stride, value=value, **texts)
