"""From live arguments to a key (is it a call like one that was seen?) and to a description (what does it look like?).

The key is made for every call and must be cheap; the description once for every new key. Both generalise what would
make every call a new one: large integers fall into classes between powers of two, floats keep three digits, digits in
text (layer names, request ids) do not count.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Argument, Kind, Scalar
from fk_overlay.capture.values import ALIGNMENT

if TYPE_CHECKING:
    from torch import Tensor

EXACT = 64
"""Integers up to here count as they are: block sizes, heads, experts, top-k of most models."""
LONGEST = 64
"""Items of a list that are described; a longer one is an object."""
Named = tuple[str, bool, Any]
"""Name, whether given by keyword, value."""
_PLAIN = frozenset({bool, int, float, str, type(None)})
_DIGITS = re.compile(r"\d+")


@dataclass(slots=True)
class Call:
    """One call being looked at: which memories its tensors lie on, and every tensor and scalar in it by path.

    Attributes:
        recipe: gives the id of a module's recipe.
        loose: names of objects, whose parts differ in length between calls of one case.
    """

    recipe: Callable[[Any], str]
    loose: set[str] = field(default_factory=set)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    scalars: dict[str, Scalar] = field(default_factory=dict)
    _storages: dict[int, int] = field(default_factory=dict)
    _bases: dict[int, int] = field(default_factory=dict)
    _described: bool = False

    def note(self, arguments: list[Named]) -> tuple[object, ...]:
        """The key of these arguments, whose tensors and scalars are noted on the way. Of objects only the classes of
        size count: an engine's batch description has other lengths at every step."""
        firm = [each for each in arguments if kind_of(each[2]) != "object"]
        key = tuple((name, keyword, self._note(name, value)) for name, keyword, value in firm)
        placed = tuple(self._place(tensor) for tensor in self.tensors.values())
        loose = [each for each in arguments if kind_of(each[2]) == "object"]
        return key, placed, *((name, keyword, self.note_loosely(name, value)) for name, keyword, value in loose)

    def note_loosely(self, name: str, value: Any) -> tuple[object, ...]:
        """As :meth:`note` for one object, whose tensors steer the work."""
        self.loose.add(name)
        self._note(name, value)
        return rough(value)

    def describe(self, arguments: list[Named]) -> tuple[Argument, ...]:
        """What the arguments look like. They must have been noted; what is noted later moves no memory's beginning."""
        self._described = True
        return tuple(self._describe(name, value, keyword) for name, keyword, value in arguments)

    def storage(self, tensor: Tensor) -> tuple[int, int]:
        """Number of the tensor's memory, and the first byte of it that this call uses, rounded down."""
        number = self._storages[tensor.untyped_storage()._cdata]
        return number, self._bases[number]

    def _note(self, path: str, value: Any) -> object:
        kind = kind_of(value)
        if kind == "tensor":
            self._enter(path, value)
            return value.shape, value.stride(), value.dtype, value.device
        if kind == "scalar":
            self.scalars[path] = value
            return generalised(value)
        if kind == "module":
            return self.recipe(value)
        if kind in ("none", "symbol", "device"):
            return symbol(value) if kind == "symbol" else str(value)
        return type(value), tuple((name, self._note(f"{path}.{name}", part)) for name, part in parts(value))

    def _enter(self, path: str, tensor: Tensor) -> None:
        number = self._storages.setdefault(tensor.untyped_storage()._cdata, len(self._storages))
        base = tensor.storage_offset() * tensor.itemsize // ALIGNMENT * ALIGNMENT
        if number not in self._bases or (base < self._bases[number] and not self._described):
            self._bases[number] = base
        self.tensors[path] = tensor

    def _place(self, tensor: Tensor) -> tuple[int, int]:
        number, base = self.storage(tensor)
        return number, tensor.storage_offset() - base // tensor.itemsize

    def _describe(self, name: str, value: Any, keyword: bool = False) -> Argument:
        kind = kind_of(value)
        if kind == "tensor":
            return self._tensor(name, value, keyword)
        if kind == "scalar":
            return Argument(name, kind, keyword, scalar=value, type=place_of(type(value)))
        if kind == "module":
            return Argument(name, kind, keyword, type=place_of(type(value)), module=self.recipe(value))
        if kind == "none":
            return Argument(name, kind, keyword)
        if kind == "device":
            return Argument(name, kind, keyword, scalar=str(value))
        if kind == "symbol":
            return Argument(name, kind, keyword, type=symbol(value))
        items = tuple(self._describe(part, held) for part, held in parts(value))
        return Argument(name, kind, keyword, type=place_of(type(value)), items=items)

    def _tensor(self, name: str, value: Tensor, keyword: bool) -> Argument:
        number, offset = self._place(value)
        return Argument(
            name,
            "tensor",
            keyword,
            shape=tuple(value.shape),
            stride=tuple(value.stride()),
            dtype=str(value.dtype).removeprefix("torch."),
            device=str(value.device),
            storage=number,
            offset=offset,
        )


def quick(values: Iterable[Any]) -> tuple[object, ...] | None:
    """A key that equals another only if the calls are alike to the last number: most calls of a running engine repeat
    one that was seen, and this finds it in a fraction of the time. None where it takes a closer look.

    Modules count by identity; the recorder keeps those alive that it has seen.
    """
    import torch

    found: list[object] = []
    storages: dict[int, int] = {}
    for value in values:
        kind = type(value)
        if kind is torch.Tensor and value.layout is torch.strided:
            number = storages.setdefault(value.untyped_storage()._cdata, len(storages))
            layout = value.shape, value.stride(), value.storage_offset()
            found.append((layout, value.dtype, value.device, number))
        elif kind in _PLAIN:
            found.append((kind, value))
        elif isinstance(value, torch.nn.Module):
            found.append((kind, id(value)))
        elif is_dataclass(value):
            found.append(rough(value))
        else:
            return None
    return tuple(found)


def kind_of(value: Any) -> Kind:
    import torch

    if isinstance(value, torch.Tensor):
        strange = value.layout is not torch.strided or value.is_quantized or value.device.type == "meta"
        return "object" if strange else "tensor"
    if value is None:
        return "none"
    if isinstance(value, torch.nn.Module):
        return "module"
    if isinstance(value, Enum | torch.dtype) or (callable(value) and _importable(value)):
        return "symbol"
    if isinstance(value, bool | int | float | str):
        return "scalar"
    if isinstance(value, torch.device):
        return "device"
    if isinstance(value, list | tuple) and len(value) <= LONGEST:
        return "sequence"
    if isinstance(value, Mapping) and len(value) <= LONGEST and all(isinstance(key, str) for key in value):
        return "mapping"
    return "object"


def generalised(value: Scalar) -> object:
    """What counts of a scalar when calls are compared."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return _DIGITS.sub("#", value)
    if isinstance(value, int) and abs(value) <= EXACT:
        return value
    if isinstance(value, int):
        return f"{'-' if value < 0 else ''}2^{(abs(value) - 1).bit_length()}"
    return f"{value:.3g}"


class _Rough:
    """The key of an object that describes a batch: every length and number in its class of size.

    Every layer of a step gets the same object, so the last key is remembered.
    """

    def __init__(self) -> None:
        self._last: Callable[[], Any] = lambda: None
        self._key: tuple[object, ...] = ()

    def __call__(self, value: Any) -> tuple[object, ...]:
        if self._last() is not value:
            self._key = type(value), *((part, _rough(held)) for part, held in parts(value))
            self._last = weakref.ref(value) if hasattr(value, "__weakref__") else lambda: None
        return self._key


rough = _Rough()


def _rough(value: Any) -> object:
    if kind_of(value) == "tensor":
        return tuple(length.bit_length() for length in value.shape)
    return value.bit_length() if isinstance(value, int) else generalised(value)


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Items of a sequence or mapping; of an object of a data class, the fields that are tensors or scalars."""
    if kind_of(value) == "object":
        if is_dataclass(value):
            held = ((each.name, getattr(value, each.name, None)) for each in fields(value))
            yield from ((name, part) for name, part in held if kind_of(part) in ("tensor", "scalar"))
    elif isinstance(value, Mapping):
        yield from value.items()
    else:
        yield from ((str(index), part) for index, part in enumerate(value))


def place_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def symbol(value: Any) -> str:
    """``module:Qualified.name`` of a dtype, a member of an enum, a function or a class."""
    if isinstance(value, Enum):
        return f"{place_of(type(value))}.{value.name}"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return str(value).replace(".", ":", 1)


def _importable(value: Any) -> bool:
    name = getattr(value, "__qualname__", "<none>")
    return bool(getattr(value, "__module__", "")) and "<" not in name
