"""From a case back to tensors: what was kept is loaded, the rest is drawn, and memory overlaps as it did."""

from __future__ import annotations

import hashlib
import importlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Argument, Module, Moments, Snapshot
from fk_overlay.errors import FileError

if TYPE_CHECKING:
    from torch import Tensor

    from fk_overlay.capture.store import Case

Draw = Callable[[str, Argument, Moments | None], "Tensor"]
Build = Callable[[Module, Mapping[str, "Tensor"]], Any]

MODULE_LIST = "torch.nn.modules.container:ModuleList"
ALIGNMENT = 16
"""Bytes; no dtype is larger, so a view may begin at any element."""


@dataclass(frozen=True, slots=True)
class Values:
    """One call, ready to be made.

    Attributes:
        module: the instance or its stand-in; None for a function.
        surroundings: ``context``, a stand-in of what the target reads from the engine's forward context; or nothing.
        drawn: dotted paths of tensors whose values were invented; those of modules begin with the recipe's id.
    """

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    surroundings: dict[str, Any] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()


def load(
    case: Case, number: int = 0, *, device: str | None = None, draw: Draw | None = None, build: Build | None = None
) -> Values:
    """See :meth:`fk_overlay.capture.store.Case.values`."""
    snapshot = case.snapshots[number] if case.snapshots else Snapshot(0)
    memory = _Memory(case, snapshot, device, draw or drawn_by(case.id, device))
    modules = {name: _module(case, name, device, memory, build or stand_in) for name in case.modules}
    signature, around = snapshot.arguments or case.signature, snapshot.surroundings
    everything = (*signature, *around)
    memory.hold(part for argument in everything for part in argument.walk())
    make = _Maker(memory, modules, snapshot, device)
    given = [(argument, make(argument.name, argument)) for argument in signature]
    return Values(
        module=modules.get(case.module),
        args=tuple(value for argument, value in given if not argument.keyword),
        kwargs={argument.name: value for argument, value in given if argument.keyword},
        surroundings={argument.name: make(argument.name, argument) for argument in around},
        drawn=tuple(memory.drawn),
    )


def drawn_by(seed: str, device: str | None = None) -> Draw:
    """Normal floats with the recorded mean and deviation (0 and 1 if unknown), uniform integers between the recorded
    bounds (all 0 if unknown); the same for the same seed, path and kind of device. They are drawn on ``device``, or
    where they were captured: the weights of one layer take a CPU seconds."""

    def draw(path: str, argument: Argument, moments: Moments | None) -> Tensor:
        import torch

        where = device or argument.device or "cpu"
        generator = torch.Generator(where).manual_seed(zlib.crc32(f"{seed}/{path}".encode()))
        dtype, given = getattr(torch, argument.dtype), {"generator": generator, "device": where}
        if dtype.is_floating_point:
            mean, std = (moments.mean, moments.std) if moments else (0.0, 1.0)
            return torch.randn(argument.shape, dtype=torch.float32, **given).mul_(std).add_(mean).to(dtype)
        low, high = (int(moments.low), int(moments.high)) if moments else (0, 0)
        return torch.randint(low, high + 1, argument.shape, **given).to(dtype)

    return draw


def stand_in(module: Module, tensors: Mapping[str, Tensor]) -> SimpleNamespace:
    """Attributes and tensors of the recipe, submodules as stand-ins of their own, lists of them as lists. It cannot be
    called."""
    root = SimpleNamespace()
    for path in module.parts:
        _put(root, path, SimpleNamespace())
    for path, value in (*module.attributes.items(), *tensors.items()):
        _put(root, path, value)
    lists = [path for path, kind in module.parts.items() if kind == MODULE_LIST]
    for path in sorted(lists, key=lambda path: -path.count(".")):
        members = [name for name in module.parts if name.rpartition(".")[0] == path]
        _put(root, path, [_get(root, name) for name in members])
    return root


def _get(root: SimpleNamespace, path: str) -> Any:
    held: Any = root
    for name in path.split("."):
        held = getattr(held, name)
    return held


def _put(root: SimpleNamespace, path: str, value: Any) -> None:
    *way, last = path.split(".")
    held = root
    for name in way:
        if not hasattr(held, name):
            setattr(held, name, SimpleNamespace())
        held = getattr(held, name)
    setattr(held, last, value)


def _module(case: Case, name: str, device: str | None, memory: _Memory, build: Build) -> Any:
    module = case.modules[name]
    own = _Memory(case, module.snapshot or Snapshot(0), device, drawn_by(name, device))
    wanted = [*module.tensors, *(tensor for tensor in module.held if own.kept(tensor))]
    own.hold((tensor.name, tensor) for tensor in wanted)
    tensors = {tensor.name: own.view(tensor) for tensor in wanted}
    memory.drawn += [f"{name}.{path}" for path in own.drawn]
    return build(module, tensors)


class _Memory:
    """The storages of one call, filled from the file where it has them."""

    def __init__(self, case: Case, snapshot: Snapshot, device: str | None, draw: Draw) -> None:
        self._snapshot, self._device, self._draw = snapshot, device, draw
        self._kept = _tensors(case, snapshot.file) if snapshot.file else {}
        self._bytes: dict[int, Tensor] = {}
        self.drawn: list[str] = []

    def kept(self, part: Argument) -> bool:
        return f"storage.{part.storage}" in self._kept

    def hold(self, parts: Iterable[tuple[str, Argument]]) -> None:
        """Make the memory of all tensors among ``parts``, then draw what was not kept."""
        import torch

        tensors = [(path, part) for path, part in parts if part.kind == "tensor"]
        for number in {part.storage for _, part in tensors if part.storage is not None}:
            mine = [part for _, part in tensors if part.storage == number]
            kept = self._kept.get(f"storage.{number}")
            held = torch.zeros(reach_of(mine), dtype=torch.uint8) if kept is None else kept
            self._bytes[number] = held.to(self._device or mine[0].device)
        for path, part in tensors:
            if not self.kept(part):
                self.drawn.append(path)
                self.view(part).copy_(self._draw(path, part, self._snapshot.moments.get(path)))

    def view(self, part: Argument) -> Tensor:
        import torch

        assert part.storage is not None
        dtype = getattr(torch, part.dtype)
        return self._bytes[part.storage].view(dtype).as_strided(part.shape, part.stride, part.offset)


def reach_of(parts: list[Argument]) -> int:
    """Bytes from the beginning of a memory to the end of the last tensor on it, in whole alignments."""
    import torch

    return max(aligned(end_of(part) * getattr(torch, part.dtype).itemsize) for part in parts)


def end_of(part: Argument) -> int:
    """One element after the last that the tensor reaches."""
    if 0 in part.shape:
        return part.offset
    return part.offset + sum((length - 1) * step for length, step in zip(part.shape, part.stride, strict=True)) + 1


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class _Maker:
    """Turns descriptions into values."""

    def __init__(self, memory: _Memory, modules: Mapping[str, Any], snapshot: Snapshot, device: str | None) -> None:
        self._memory, self._modules, self._snapshot, self._device = memory, modules, snapshot, device

    def __call__(self, path: str, argument: Argument) -> Any:
        inner = {item.name: self(f"{path}.{item.name}", item) for item in argument.items}
        match argument.kind:
            case "tensor":
                return self._memory.view(argument)
            case "scalar":
                return self._snapshot.scalars.get(path, argument.scalar)
            case "none":
                return None
            case "module":
                return self._modules[argument.module]
            case "symbol":
                return reach(argument.type)
            case "device":
                return _device(self._device or str(argument.scalar))
            case "mapping":
                return inner
            case "sequence":
                return _sequence(argument.type, list(inner.values()))
        return SimpleNamespace(**inner)


def _sequence(type_: str, values: list[Any]) -> Any:
    if type_ in ("builtins:list", "builtins:tuple"):
        return values if type_ == "builtins:list" else tuple(values)
    kind = reach(type_)
    if not isinstance(kind, type) or not issubclass(kind, list | tuple):  # a file must not choose what is called
        raise FileError(f"the capture calls {type_} a sequence, which it is not; capture again")
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


def _device(name: str) -> Any:
    import torch

    return torch.device(name)


def reach(place: str) -> Any:
    """What ``module:Qualified.name`` names. Raises :class:`FileError` if it is not there any more."""
    module, _, qualname = place.partition(":")
    try:
        held: Any = importlib.import_module(module)
        for name in qualname.split("."):
            held = getattr(held, name)
    except (ImportError, AttributeError) as error:
        raise FileError(f"the capture refers to {place}, which is not here ({error}); capture again") from error
    return held


def _tensors(case: Case, name: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load as load_bytes

    from fk_overlay.capture.store import tensor_file

    path = tensor_file(case.folder, name)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != name:
            raise FileError(f"{path} is damaged: its content is not what its name says; restore it or capture again")
        tensors: dict[str, Tensor] = load_bytes(content)
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path} cannot be read ({error}); restore it or capture again") from error
    return tensors
