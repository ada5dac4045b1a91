"""Builds an engine's module from the recipe of one that was recorded: the engine's own class, the recorded
constructor's arguments, the recorded weights in their recorded layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Argument, Module
from fk_overlay.capture.values import reach
from fk_overlay.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

Maker = Callable[[Module], Any]
"""Makes, for a recipe, an object of the engine's own that its constructor was given and a capture can only name."""


def build(recipe: Module, tensors: Mapping[str, Tensor], makers: Mapping[str, Maker] | None = None) -> Any:
    """A module like the recorded one.

    Args:
        tensors: parameters and buffers by dotted path, as they were when the model served.
        makers: class -> how to make one for this recipe.

    Raises:
        EngineError: the constructor takes something that nobody can make, or the module has no place for a weight.
    """
    owner = reach(recipe.type)
    module = constructed(owner, recipe, makers or {}) if recipe.constructor else bare(owner, recipe)
    for path, tensor in tensors.items():
        place(module, path, tensor)
    return module.eval() if hasattr(module, "eval") else module


def constructed(owner: Any, recipe: Module, makers: Mapping[str, Maker]) -> Any:
    """By the constructor, whose arguments were recorded. A subclass passes other ones on to it, so it is built bare, or
    by its parent's constructor alone if that makes parts."""
    if recipe.constructor != recipe.type and not recipe.parts:
        return bare(owner, recipe)
    args = [_argument(each, recipe, makers) for each in recipe.init if not each.keyword]
    kwargs = {each.name: _argument(each, recipe, makers) for each in recipe.init if each.keyword}
    if recipe.constructor == recipe.type:
        return owner(*args, **kwargs)
    module = object.__new__(owner)
    _attribute(module, recipe)  # what a subclass sets before its parent's constructor, which may read it
    reach(recipe.constructor).__init__(module, *args, **kwargs)
    _attribute(module, recipe)
    return module


def bare(owner: Any, recipe: Module) -> Any:
    """Without a constructor: an object of the class that has the recorded attributes.

    Raises:
        EngineError: it had modules inside, of which only the classes are known.
    """
    import torch

    if recipe.parts:
        raise EngineError(
            f"{recipe.type} has parts and its constructor was not recorded; capture it from its own class"
        )
    module = object.__new__(owner)
    if isinstance(module, torch.nn.Module):
        torch.nn.Module.__init__(module)
    _attribute(module, recipe)
    return module


def _attribute(module: Any, recipe: Module) -> None:
    for name, value in recipe.attributes.items():
        if "." not in name:
            object.__setattr__(module, name, value)


def place(module: Any, path: str, tensor: Tensor) -> None:
    """Put one weight where the recorded module had it, in the recorded layout."""
    import torch

    *way, name = path.split(".")
    held = module
    for part in way:
        held = held[int(part)] if part.isdigit() and isinstance(held, torch.nn.ModuleList) else getattr(held, part)
    known = getattr(held, name, None)
    if name in getattr(held, "_buffers", {}):
        held._buffers[name] = tensor
    elif isinstance(known, torch.nn.Parameter) and known.shape == tensor.shape:
        known.requires_grad_(False)
        known.data = tensor
    elif isinstance(vars(held).get(name), torch.Tensor):
        vars(held)[name] = tensor  # neither a parameter nor a buffer
    elif known is None or isinstance(known, torch.Tensor):
        held.register_parameter(name, torch.nn.Parameter(tensor, requires_grad=False))
    else:
        raise EngineError(f"{type(module).__name__} has no weight {path}; capture again with this release")


def _argument(argument: Argument, recipe: Module, makers: Mapping[str, Maker]) -> Any:
    import torch

    match argument.kind:
        case "scalar":
            return argument.scalar
        case "none":
            return None
        case "symbol":
            return reach(argument.type)
        case "device":
            return torch.device(str(argument.scalar))
        case "sequence":
            items = [_argument(each, recipe, makers) for each in argument.items]
            return tuple(items) if argument.type == "builtins:tuple" else items
        case "mapping":
            return {each.name: _argument(each, recipe, makers) for each in argument.items}
    if argument.type in makers:
        return makers[argument.type](recipe)
    raise EngineError(
        f"{recipe.type} was given {argument.name} of {argument.type or argument.kind}, which a capture does not hold"
    )
