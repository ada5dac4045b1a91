"""Loads the oracle of a task: the ``reference.py`` beside its ``task.toml``.

``reference.py`` defines

``reference(module, *args, **kwargs)``
    The target's result in plain PyTorch, in the dtype of its floating point arguments (float64 included), with the
    target's own parameter names. It changes no argument. For a target that writes to arguments it returns their new
    values, in the order of the task's ``mutates``, followed by the target's result if it has one.
``samples(seed, dtype, device="cpu")``
    Yields :class:`fk_overlay.core.Case`: few, small, awkward. A seed gives the same values, rounded to ``dtype``.
``sglang(module, *args, **kwargs)``, or another engine's name (optional)
    Restates that engine's call, under its own parameter names, as the :class:`fk_overlay.core.Case` that ``reference``
    knows. Needed where an engine calls the target in another way, or its modules have other attributes; a call that
    the oracle cannot judge is refused with :class:`ValueError`.
``canonical(case, results)`` (optional)
    Brings results, a tuple of tensors, into a form that does not depend on what the target is free to choose, such as
    the order of equal routes. Candidate and oracle are both brought into it before they are compared.
``fresh(module, arguments, seed)`` (optional)
    Draws arguments whose values steer the work, by name, from ``arguments`` as they were captured: other values of the
    same shapes, as a model could give them, without ties that a rounding decides. The bench needs it where another
    order of the captured rows is no new input.
``cost(module, *args, **kwargs)`` (optional)
    The :class:`fk_overlay.core.Cost` of a call: bytes that must be read and written once, and arithmetic operations. It
    has the parameters of ``reference``.
``kept(module)`` (of a task that is ``paged``)
    Bytes of keys and values that the cache holds of one token.
``DRAWN`` (optional)
    Names of engines whose target does not return what ``reference`` does, logits, but draws a token from each row of
    them: [rows] of int.
``UNUSED`` (optional)
    Names of arguments whose values do not steer the result, such as scratch buffers.
``INFINITE`` (optional)
    True if infinities are proper results, as in masked logits.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from fk_overlay.core import Case, Cost, Task
from fk_overlay.errors import FileError

FILE = "reference.py"


@dataclass(frozen=True, slots=True)
class Oracle:
    """A loaded ``reference.py``."""

    reference: Callable[..., Any]
    samples: Callable[..., Iterator[Case]]
    canonical: Callable[[Case, tuple[Any, ...]], tuple[Any, ...]]
    unused: frozenset[str] = frozenset()
    infinite: bool = False
    dialects: Mapping[str, Callable[..., Case]] = field(default_factory=dict)
    fresh: Callable[..., Mapping[str, Any]] | None = None
    cost: Callable[..., Cost] | None = None
    kept: Callable[[Any], int] | None = None
    drawn: frozenset[str] = frozenset()

    def restated(self, engine: str, case: Case) -> Case:
        """A call as the engine makes it, in the oracle's own words. Raises :class:`ValueError` if the oracle cannot
        judge it."""
        restate = self.dialects.get(engine)
        return case if restate is None else restate(case.module, *case.args, **case.kwargs)

    def results(self, case: Case) -> tuple[Any, ...]:
        """The oracle's results for a case, as a tuple of tensors."""
        return as_tuple(self.reference(case.module, *case.args, **case.kwargs))


def load_oracle(task: Task) -> Oracle:
    """Load a task's ``reference.py`` from its folder.

    Raises:
        FileError: there is none, it cannot be imported, or it lacks ``reference`` or ``samples``.
    """
    path = task.folder / FILE
    spec = importlib.util.spec_from_file_location(f"fk_overlay_oracle_{task.name}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileError(f"task {task.name!r} has no oracle; write {path}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError, NameError, AttributeError) as error:
        raise FileError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    spoken = {target.engine: getattr(module, target.engine, None) for target in task.targets}
    return Oracle(
        reference=_function(module, "reference"),
        samples=_function(module, "samples"),
        canonical=getattr(module, "canonical", _as_they_are),
        unused=frozenset(getattr(module, "UNUSED", ())),
        infinite=getattr(module, "INFINITE", False),
        dialects={engine: restate for engine, restate in spoken.items() if callable(restate)},
        fresh=getattr(module, "fresh", None),
        cost=getattr(module, "cost", None),
        kept=_function(module, "kept") if task.paged else None,
        drawn=frozenset(getattr(module, "DRAWN", ())),
    )


def as_tuple(result: Any) -> tuple[Any, ...]:
    """Results as a flat tuple without the ones that are None."""
    results = result if isinstance(result, tuple | list) else (result,)
    return tuple(one for one in results if one is not None)


def _as_they_are(case: Case, results: tuple[Any, ...]) -> tuple[Any, ...]:
    return results


def _function(module: ModuleType, name: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        raise FileError(f"{module.__file__} defines no function {name!r}")
    found: Callable[..., Any] = function
    return found
