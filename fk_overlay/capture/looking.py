"""One watched function, and one look at a call of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fk_overlay.capture.describe import Call, Named, quick, rough
from fk_overlay.capture.recipes import Recipes
from fk_overlay.capture.signature import Argument
from fk_overlay.plan import Watch

Function = Callable[..., Any]
Surroundings = Callable[[Any], Any]
"""What a module reads from the engine's forward context; None for nothing."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a close look at a call found.

    Attributes:
        recipe: id of the instance's recipe, empty for a function.
        key: equal for calls of one case, in every process.
    """

    call: Call
    given: list[Named]
    context: Any
    recipe: str
    key: object

    def signature(self) -> tuple[Argument, ...]:
        return self.call.describe(self.given)

    def surroundings(self) -> tuple[Argument, ...]:
        return () if self.context is None else self.call.describe([("context", True, self.context)])

    def results(self, result: Any) -> tuple[Argument, ...]:
        """What came back, told in the memories of the arguments. To be asked for after the arguments."""
        each = result if isinstance(result, tuple | list) else (result,)
        named: list[Named] = [(str(index), False, value) for index, value in enumerate(each)]
        self.call.note(named)
        return self.call.describe(named)


class Watched:
    """A function whose calls are recorded.

    Args:
        path: ``module:Qualified.name``.
        method: whether its first argument is an instance.
    """

    def __init__(
        self, watch: Watch, path: str, function: Function, surroundings: Surroundings | None, *, method: bool
    ) -> None:
        self.watch, self.path, self.function, self.method = watch, path, function, method
        self._surroundings = surroundings
        self._names = list(inspect.signature(function).parameters)[method:]

    def quick(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object | None:
        """A key for calls that are alike to the last number, None if only a look can tell."""
        found = quick((*args[self.method :], *kwargs.values()))
        if found is None:
            return None
        context = self.context(args)
        around = rough(context) if context is not None else ()
        return self.path, id(args[0]) if self.method else 0, found, around, *kwargs

    def look(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], recipes: Recipes) -> Look:
        given = [*self._positional(args[self.method :]), *((name, True, value) for name, value in kwargs.items())]
        call, context = Call(recipes), self.context(args)
        recipe = recipes(args[0]) if self.method else ""
        key = call.note(given)
        around = call.note_loosely("context", context) if context is not None else ()
        return Look(call, given, context, recipe, (self.watch.task, self.path, recipe, key, around))

    def context(self, args: tuple[Any, ...]) -> Any:
        return self._surroundings(args[0]) if self.method and self._surroundings is not None else None

    def _positional(self, args: tuple[Any, ...]) -> list[Named]:
        names = [*self._names, *(f"args{index}" for index in range(len(self._names), len(args)))]
        return [(name, False, value) for name, value in zip(names, args, strict=False)]
