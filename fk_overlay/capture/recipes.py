"""Recipes of modules: what a bench needs to build one like it, and what tells two kinds of modules apart."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.describe import Call, Named, generalised, kind_of, place_of
from fk_overlay.capture.signature import Module, Scalar, Snapshot

if TYPE_CHECKING:
    from torch import Tensor

DIGEST_LIMIT = 256 << 20
"""Bytes of weights that are read to name them; a large model's are named by its checkpoint."""
_SEEN = "_fk_overlay_init"
_LAYER_NUMBER = re.compile(r"(^|_)(layer|idx|index)(_?(idx|id|index|num|number))?$|(^|_)layer_(idx|id)")
"""Attributes that number the layer: every layer would be a module of its own kind."""
Keep = Callable[[Call], Snapshot]
"""Keeps what it can of a call's tensors."""


class Recipes:
    """The recipes of this process, by id. Modules are looked at once, when they are first called: by then their
    weights are loaded and laid out for kernels."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._ids: dict[int, str] = {}
        self._alive: list[Any] = []
        self.found: dict[str, Module] = {}

    def __call__(self, module: Any) -> str:
        """Id of the module's recipe."""
        known = self._ids.get(id(module))
        return known if known is not None else self._look(module)

    def _look(self, module: Any) -> str:
        self._alive.append(module)  # an id must not be given to another object
        call = Call(recipe=lambda other: place_of(type(other)))
        own: list[Named] = [(path, False, tensor) for path, tensor in _tensors(module, "_parameters", "_buffers")]
        held: list[Named] = [(path, False, tensor) for path, tensor in _tensors(module, "__dict__")]
        call.note([*own, *held])
        constructor, init = getattr(module, _SEEN, ("", ()))
        recipe = Module(
            type=place_of(type(module)),
            constructor=constructor,
            init=init,
            attributes=dict(_attributes(module)),
            parts={path: place_of(type(part)) for path, part in _submodules(module) if path},
            tensors=call.describe(own),
            held=call.describe(held),
        )
        name = identity(recipe)
        if name in self.found:
            self.found[name] = replace(self.found[name], instances=self.found[name].instances + 1)
        else:
            self.found[name] = replace(recipe, digest=_digest(module), snapshot=self._keep(call))
        self._ids[id(module)] = name
        return name


def remember_constructor(owner: type) -> None:
    """Let every instance of ``owner`` carry a description of what its ``__init__`` was given."""
    init = owner.__init__  # type: ignore[misc]
    parameters = list(inspect.signature(init).parameters)[1:]

    @functools.wraps(init)
    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        named: list[Named] = [(name, False, value) for name, value in zip(parameters, args, strict=False)]
        named += [(name, True, value) for name, value in kwargs.items()]
        call = Call(recipe=lambda other: place_of(type(other)))
        call.note(named)
        described = call.describe(named)
        init(self, *args, **kwargs)
        object.__setattr__(self, _SEEN, (place_of(owner), described))

    owner.__init__ = remembering  # type: ignore[misc]


def identity(module: Module) -> str:
    """Names a recipe by what matters to a kernel: class, parts, attributes and tensors, not names and layer numbers."""
    attributes = sorted(
        (path, generalised(value))
        for path, value in module.attributes.items()
        if not _LAYER_NUMBER.search(path.rpartition(".")[2])
    )
    tensors = [(each.name, each.shape, each.stride, each.dtype, each.storage) for each in module.tensors]
    content = [module.type, sorted(module.parts.items()), attributes, tensors]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:16]


def _submodules(module: Any, path: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The module and those inside it, one that several share under each of its paths."""
    yield path, module
    for name, part in getattr(module, "_modules", {}).items():
        if part is not None and id(part) not in above:
            yield from _submodules(part, f"{path}.{name}".lstrip("."), (*above, id(module)))


def _attributes(module: Any) -> Iterator[tuple[str, Scalar]]:
    """Plain attributes, those of dataclasses that are attributes, and parameters that the module does without."""
    for path, part in _submodules(module):
        absent = {name: None for name, value in getattr(part, "_parameters", {}).items() if value is None}
        own = {**absent, **getattr(part, "__dict__", {})}
        grouped = {f"{name}.{inner}": value for name, held in own.items() for inner, value in _fields(held)}
        for name, value in {**own, **grouped}.items():
            if not name.startswith("_") and (kind_of(value) == "scalar" or value is None):
                yield f"{path}.{name}".lstrip("."), value


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Of a dataclass's instance, such as how a layer routes, which lies beside the layer's own attributes."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if not field.name.startswith("_") and hasattr(value, field.name):
                yield field.name, getattr(value, field.name)


def _tensors(module: Any, *places: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors in these dictionaries of the module and its submodules, by dotted path."""
    for path, part in _submodules(module):
        for name, value in [item for place in places for item in getattr(part, place, {}).items()]:
            if not name.startswith("_") and kind_of(value) == "tensor":
                yield f"{path}.{name}".lstrip("."), value


def _digest(module: Any) -> str:
    import torch

    if not isinstance(module, torch.nn.Module):
        return ""
    held = [tensor for tensor in (*module.parameters(), *module.buffers()) if kind_of(tensor) == "tensor"]
    if not held or sum(tensor.nbytes for tensor in held) > DIGEST_LIMIT:
        return ""
    digest = hashlib.sha256()
    for tensor in held:
        flat = tensor.detach().contiguous().flatten().cpu()
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
