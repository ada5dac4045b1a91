"""What a call looks like, as plain data: arguments, module recipes, and which values were kept. No torch.

Everything here goes through JSON (:func:`plain` and ``revive_*``), since the engine's processes write it and others
read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal

Scalar = bool | int | float | str | None
Kind = Literal["tensor", "scalar", "none", "sequence", "mapping", "module", "symbol", "device", "object"]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, or one part of it.

    Attributes:
        name: the parameter's name in the target; of a part, its index, key or attribute.
        kind: ``tensor``; ``scalar`` (bool, int, float, str); ``none``; ``sequence`` and ``mapping`` with ``items``;
            ``module`` (see ``module``); ``symbol`` (something importable, such as a dtype or a member of an enum, named
            by ``type``); ``device``; ``object`` (anything else: its class in ``type``, its plain attributes in
            ``items``).
        keyword: whether the engine gives it by keyword.
        shape, stride: in elements. dtype: such as ``bfloat16``. device: such as ``cuda:0``.
        storage: arguments, results and surroundings of one call with the same number share memory; ``offset``: where
            the tensor begins, in elements, counted from the first used byte of that memory rounded down to 16.
        scalar: an example. Numbers from ``low`` to ``high`` were seen under this signature.
        type: ``module:Qualified.name`` of the class, or of the symbol itself.
        module: id of the recipe in :attr:`fk_overlay.capture.store.Case.modules`.
    """

    name: str
    kind: Kind
    keyword: bool = False
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dtype: str = ""
    device: str = ""
    storage: int | None = None
    offset: int = 0
    scalar: Scalar = None
    low: float | None = None
    high: float | None = None
    type: str = ""
    module: str = ""
    items: tuple[Argument, ...] = ()

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Argument]]:
        """This argument and all its parts, by dotted path."""
        path = f"{prefix}.{self.name}" if prefix else self.name
        yield path, self
        for item in self.items:
            yield from item.walk(path)


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of a tensor whose values were not kept. NaN and infinity are left out; all 0 if nothing is left."""

    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The values of one call, taken before it.

    Attributes:
        call: how many calls of the case came before it.
        file: sha256 of ``tensors/<file>.safetensors``; empty if no tensor was kept.
        arguments: the call's own signature, where objects in it may have other lengths than in the case's; else empty.
        surroundings: see :class:`fk_overlay.capture.store.Case`; this call's own.
        scalars: exact values of this call, by dotted path.
        moments: tensors whose values were not kept, by dotted path.
    """

    call: int
    file: str = ""
    arguments: tuple[Argument, ...] = ()
    surroundings: tuple[Argument, ...] = ()
    scalars: Mapping[str, Scalar] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Module:
    """How to build the module that a target belongs to, or receives.

    Attributes:
        type: class of the instance.
        constructor: ``module:Qualified.name`` of the class whose ``__init__`` was seen; ``init``: what it was given.
            Both are empty if it was not seen. A subclass may take other arguments.
        attributes: plain attributes, by dotted path through submodules.
        parts: submodules and their classes, by dotted path.
        tensors: parameters and buffers as they are when the model serves; the name of each is its dotted path.
        held: tensors that are plain attributes, such as a KV cache or packed weights. Those whose values were not kept
            are not made again.
        digest: sha256 over the bytes of one instance's parameters and buffers; empty if they are too many to read.
        instances: modules of this recipe that were called.
        snapshot: values of the tensors of one instance. Large ones are not kept.
    """

    type: str
    constructor: str = ""
    init: tuple[Argument, ...] = ()
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    tensors: tuple[Argument, ...] = ()
    held: tuple[Argument, ...] = ()
    digest: str = ""
    instances: int = 1
    snapshot: Snapshot | None = None


def used(arguments: Iterable[Argument]) -> set[str]:
    """Ids of the recipes that these arguments refer to."""
    return {part.module for argument in arguments for _, part in argument.walk() if part.module}


def plain(value: Any) -> Any:
    """A dataclass of this module as JSON can hold it, without what is as by default."""
    if is_dataclass(value):
        held = ((each, getattr(value, each.name)) for each in fields(value))
        return {each.name: plain(value) for each, value in held if value != _default(each)}
    if isinstance(value, Mapping):
        return {name: plain(held) for name, held in value.items()}
    return [plain(held) for held in value] if isinstance(value, list | tuple) else value


def _default(field_: Field[Any]) -> Any:
    return field_.default_factory() if field_.default_factory is not MISSING else field_.default


def revive_argument(data: Mapping[str, Any]) -> Argument:
    """Raises TypeError, ValueError or AttributeError for what is not an argument."""
    sequences: dict[str, Any] = {name: tuple(data[name]) for name in ("shape", "stride") if name in data}
    return Argument(**{**data, **sequences, "items": revive_arguments(data.get("items", ()))})


def revive_arguments(data: Sequence[Mapping[str, Any]]) -> tuple[Argument, ...]:
    return tuple(revive_argument(each) for each in data)


def revive_snapshot(data: Mapping[str, Any]) -> Snapshot:
    moments = {path: Moments(**each) for path, each in data.get("moments", {}).items()}
    own = {name: revive_arguments(data.get(name, ())) for name in ("arguments", "surroundings")}
    return Snapshot(**{**data, **own, "moments": moments})


def revive_module(data: Mapping[str, Any]) -> Module:
    parts: dict[str, Any] = {name: revive_arguments(data.get(name, ())) for name in ("init", "tensors", "held")}
    snapshot = revive_snapshot(data["snapshot"]) if "snapshot" in data else None
    return Module(**{**data, **parts, "snapshot": snapshot})
