"""The live target of one case: the engine's own class or function, found where the engine has it, with the plan's patch
placed by the same seam that serves."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fk_overlay import catalog
from fk_overlay.bench.history import History, positions
from fk_overlay.bench.inputs import Fresh, Inputs
from fk_overlay.bench.order import ORIGINALS, Order
from fk_overlay.capture import store
from fk_overlay.capture.signature import Module
from fk_overlay.capture.values import Values, reach
from fk_overlay.core import Task
from fk_overlay.engines.sequences import Step
from fk_overlay.engines.workbench import Pages, Workbench
from fk_overlay.integrity import original
from fk_overlay.integrity.oracle import Oracle, load_oracle
from fk_overlay.overlay.activate import Overlay
from fk_overlay.overlay.counters import Counters
from fk_overlay.overlay.host import Host
from fk_overlay.overlay.tally import Tally
from fk_overlay.plan import Plan

if TYPE_CHECKING:
    from torch import Tensor, dtype


class BenchHost:
    """An engine's host, of which only placing is asked: there is no model to load and no rank to become."""

    def __init__(self, inner: Host) -> None:
        self._inner = inner
        self.engine = inner.engine
        self.loaded: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def enter(self, plan: Plan) -> None:
        return None

    def on_rank(self, tell: Any) -> None:
        return None

    def on_loaded(self, tell: Any) -> None:
        self.loaded = tell


class Subject:
    """What is called.

    Attributes:
        function: the target as its caller reaches it.
        results: shape and dtype of what it returned when it was captured.
    """

    function: Any
    values: Values

    def __init__(self, order: Order) -> None:
        self._order = order
        capture = store.read(order.capture)
        self.case = next(case for case in capture.cases if case.id == order.case)
        self.task = catalog.load_task(Path(order.task) / catalog.TASK_FILE)
        self._workbench: Workbench = named(order.workbench)
        self._built: dict[str, Any] = {}
        self.results: list[tuple[tuple[int, ...], dtype]] = []

    def environment(self) -> AbstractContextManager[None]:
        return self._workbench.opened(Path(self._order.folder), self._order.dtype)

    def place(self) -> None:
        """Put the patch in, then build what it is called on: engines bind methods when they build."""
        host = BenchHost(named(self._order.host))
        plan = Plan.read(Path(self._order.plan))
        overlay = Overlay(host, plan)
        overlay.enter()
        for module in {swap.target.module for swap in plan.swaps}:
            importlib.import_module(module)
        self._count_originals(plan)
        self._workbench.settle()
        self.values = self.case.values(self._order.snapshot, device=self._order.device, build=self._build)
        given = [*self.values.args, *self.values.kwargs.values()]
        for module in given:
            if any(module is built for built in self._built.values()):
                self._workbench.attach(self.values.module, module)
        host.loaded(_Model([self.values.module, *self._built.values()]))
        self.function = self._reach()
        self.results = self._specs()

    def inputs(self) -> tuple[Inputs, History | None]:
        """See :func:`inputs_of`."""
        oracle = load_oracle(self.task)
        return inputs_of(self._workbench, self.case, self._order.snapshot, self.values, self.task, oracle)

    def pages(self, step: Step) -> Pages:
        """The engine's cache around the module. After :meth:`place`."""
        return self._workbench.pages(self.values.module, self.case.modules[self.case.module], step)

    def module_tensors(self) -> dict[str, Tensor]:
        """Weights and buffers of every module of the case, by recipe and dotted path."""
        import torch

        found = {}
        for name, module in self._built.items():
            if isinstance(module, torch.nn.Module):
                named_tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers()]
                found.update({f"{name}/{path}": tensor for path, tensor in named_tensors})
        return found

    def _build(self, recipe: Module, tensors: Mapping[str, Tensor]) -> Any:
        name = next(name for name, known in self.case.modules.items() if known is recipe)
        self._built[name] = self._workbench.build(recipe, tensors)
        return self._built[name]

    def _reach(self) -> Any:
        member = self.case.target.rpartition(".")[2]
        return getattr(self.values.module, member) if self.case.module else reach(self.case.target)

    def _specs(self) -> list[tuple[tuple[int, ...], dtype]]:
        import torch

        return [(each.shape, getattr(torch, each.dtype)) for each in self.case.results if each.kind == "tensor"]

    def _count_originals(self, plan: Plan) -> None:
        places = [place for swap in plan.swaps for place in swap.target.places]
        counters = Counters(Path(self._order.folder) / ORIGINALS, len(places))
        for row, place in enumerate(places):
            behind = original.behind(reach(place))
            if behind is not None:
                original.count_entries(behind, Tally(counters, row))


def inputs_of(
    workbench: Workbench, case: store.Case, snapshot: int, values: Values, task: Task, oracle: Oracle
) -> tuple[Inputs, History | None]:
    """The same inputs in an arm and in its parent, and what comes before them where the engine keeps keys and values of
    earlier tokens."""
    signature = (case.snapshots[snapshot].arguments if case.snapshots else ()) or case.signature
    poisoned = sorted(oracle.unused & set(task.mutates))
    fresh: Fresh | None = None if oracle.fresh is None else partial(oracle.fresh, values.module)
    step = workbench.step(values) if task.paged else None
    if step is not None:
        fresh = partial(_placed, task.paged, step)
    inputs = Inputs(values, signature, task.data_dependent, poisoned, fresh, workbench.batch)
    return inputs, None if step is None else History(inputs, step, task.paged)


def _placed(argument: str, step: Step, given: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """Positions are what the batch says, whatever the seed."""
    return {argument: positions(step, given[argument])}


def named(place: str) -> Any:
    """The object at ``module:NAME``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


class _Model:
    """Stands for the model that the modules belong to."""

    def __init__(self, parts: list[Any]) -> None:
        import torch

        self._parts = [part for part in parts if isinstance(part, torch.nn.Module)]

    def modules(self) -> list[Any]:
        return list({id(each): each for part in self._parts for each in part.modules()}.values())
