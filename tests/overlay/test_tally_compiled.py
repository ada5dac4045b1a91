"""What the wrapper does to a compiled graph: nothing."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from fk_overlay.overlay.counters import Counters, Slot
from fk_overlay.overlay.seams import method
from fk_overlay.overlay.tally import Tally, counted, guarded


class Graphs:
    """A compiler back end that keeps what it is given and runs it as it is."""

    def __init__(self) -> None:
        self.graphs: list[torch.fx.GraphModule] = []

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        self.graphs.append(graph)
        return graph.forward

    @property
    def nodes(self) -> list[tuple[str, Any, Any, Any]]:
        """Operation, target and arguments of each node of the only graph; other nodes by position, not by name."""
        (graph,) = self.graphs
        place = {node: f"node {index}" for index, node in enumerate(graph.graph.nodes)}
        return [
            (node.op, node.target, *torch.fx.map_arg((node.args, node.kwargs), place.__getitem__)) for node in place
        ]


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True):
        yield
    torch._dynamo.reset()


@pytest.fixture
def graphs() -> Graphs:
    return Graphs()


def compiled(function: Callable[..., Any], graphs: Graphs) -> Callable[..., Any]:
    return torch.compile(function, backend=graphs, fullgraph=True)


def original(x: torch.Tensor, by: float = 2.0) -> torch.Tensor:
    return torch.relu(x) * by


def other(x: torch.Tensor, by: float = 2.0) -> torch.Tensor:
    return torch.clamp(x, min=0) * by


X = torch.tensor([[-1.0, 2.0, 3.0]])


def counts(counters: Counters, row: int = 1) -> dict[str, int]:
    return {slot.name: counters.get(row, slot) for slot in Slot if counters.get(row, slot)}


def test_a_trace_counts_once_and_runs_count_nothing(graphs: Graphs, tally: Tally, counters: Counters) -> None:
    patched = guarded(original, other, None, tally)
    run = compiled(lambda x: patched(x) + patched(x, by=3.0), graphs)
    for _ in range(5):
        assert torch.equal(run(X), original(X) * 2.5)
    assert counts(counters) == {"TRACED": 2}
    patched(X)
    assert counts(counters) == {"TRACED": 2, "EAGER": 1}


def test_a_new_trace_counts_again(graphs: Graphs, tally: Tally, counters: Counters) -> None:
    patched = guarded(original, other, None, tally)
    compiled(lambda x: patched(x), graphs)(X)
    compiled(lambda x: patched(x) + 1, graphs)(X)
    assert counts(counters) == {"TRACED": 2}


def test_the_graph_holds_the_kernel_and_no_trace_of_the_counting(graphs: Graphs, tally: Tally) -> None:
    patched = guarded(original, other, None, tally)
    compiled(lambda x: patched(x), graphs)(X)
    assert [(op, target) for op, target, *_ in graphs.nodes] == [
        ("placeholder", "L_x_"),
        ("call_function", torch.clamp),
        ("call_function", operator.mul),
        ("output", "output"),
    ]


def test_with_the_original_as_its_kernel_the_graph_is_node_for_node_the_unpatched_one(tally: Tally) -> None:
    def graph_of(function: Callable[..., Any]) -> list[tuple[str, Any, Any, Any]]:
        torch._dynamo.reset()
        graphs = Graphs()
        compiled(lambda x: function(x) - function(x, 4.0), graphs)(X)
        return graphs.nodes

    def always(x: torch.Tensor, by: float = 2.0) -> bool:
        return x.ndim == 2

    def never(x: torch.Tensor, by: float = 2.0) -> bool:
        return x.ndim == 3

    nodes = graph_of(original)
    assert len([node for node in nodes if node[0] == "call_function"]) == 5
    assert graph_of(guarded(original, original, None, tally)) == nodes
    assert graph_of(guarded(original, original, always, tally)) == nodes
    assert graph_of(guarded(original, other, never, tally)) == nodes
    assert graph_of(guarded(original, original, None, Tally(None, 0))) == nodes
    assert graph_of(guarded(original, other, None, tally)) != nodes


def test_counting_causes_no_recompile(graphs: Graphs, tally: Tally, counters: Counters) -> None:
    """The counters change all the time; no guard may look at them. ``error_on_recompile`` is set for this file."""
    patched = guarded(original, other, None, tally)
    run = compiled(lambda x: patched(x), graphs)
    for _ in range(3):
        run(X)
        patched(X)
        counters.add(tally.row, Slot.EAGER, 1000)
        counters.add(tally.row, Slot.TRACED, 1000)
    assert len(graphs.graphs) == 1


def test_supports_is_decided_while_tracing(graphs: Graphs, tally: Tally, counters: Counters) -> None:
    def small(x: torch.Tensor, by: float = 2.0) -> bool:
        return x.shape[-1] <= 3

    patched = guarded(original, other, small, tally)
    run = compiled(lambda x: patched(x), graphs)
    with torch._dynamo.config.patch(error_on_recompile=False, automatic_dynamic_shapes=False):
        narrow, wide = run(X), run(torch.cat([X, X], dim=1))
    assert torch.equal(narrow, original(X))
    assert torch.equal(wide, original(torch.cat([X, X], dim=1)))
    assert counts(counters) == {"TRACED": 1, "FALLBACK": 1}
    targets = [[node.target for node in graph.graph.nodes] for graph in graphs.graphs]
    assert torch.clamp in targets[0]
    assert torch.relu not in targets[0]
    assert torch.relu in targets[1]
    assert torch.clamp not in targets[1]


def test_eager_and_compiled_agree(tally: Tally) -> None:
    patched = guarded(original, other, None, tally)
    run = torch.compile(lambda x: patched(x), backend="aot_eager", fullgraph=True)
    assert torch.equal(run(X), patched(X))


def test_nothing_is_counted_without_counters(graphs: Graphs) -> None:
    patched = guarded(original, other, lambda x: x.ndim == 2, Tally(None, 0))
    assert torch.equal(compiled(lambda x: patched(x), graphs)(X), original(X))
    assert torch.equal(patched(X[0]), original(X[0]))


def test_counted_keeps_the_kernel_as_it_is(tally: Tally, counters: Counters) -> None:
    kernel = counted(other, tally)
    assert kernel.__wrapped__ is other  # type: ignore[attr-defined]
    assert torch.equal(kernel(X, by=1.0), other(X, by=1.0))
    assert counts(counters) == {"EAGER": 1}


# ------------------------------------------------------------------------------------------------ methods


class Clamp:
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(x, min=0)


@pytest.fixture
def activation(tally: Tally) -> type[torch.nn.Module]:
    """The shape of vLLM's ``SiluAndMul``: a static method, bound at construction."""

    class Activation(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bound = self.forward_native

        @staticmethod
        def forward_native(x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x)

        def forward_kernel(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bound(x)

    method.swap(Activation, "forward_native", Clamp, tally)
    method.swap(Activation, "forward_kernel", Clamp, tally)
    return Activation


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda layer, x: layer(x), torch.clamp),
        (lambda layer, x: layer.forward_native(x), torch.clamp),
        (lambda layer, x: layer.forward_kernel(x), torch.clamp),
        (lambda layer, x: type(layer).forward_kernel(layer, x), torch.clamp),
        (lambda layer, x: type(layer).forward_native(x), torch.relu),
    ],
    ids=["bound", "static on instance", "method", "method on class", "static on class"],
)
def test_methods_are_traced_as_they_run(
    call: Any, expected: Any, activation: type[Any], graphs: Graphs, counters: Counters
) -> None:
    layer = activation()
    run = compiled(lambda x: call(layer, x), graphs)
    assert torch.equal(run(X), torch.relu(X))
    assert torch.equal(run(X), call(layer, X))
    (node,) = [node for node in graphs.graphs[0].graph.nodes if node.op == "call_function"]
    assert node.target is expected
    assert counts(counters) == ({"TRACED": 1, "EAGER": 1} if expected is torch.clamp else {})
