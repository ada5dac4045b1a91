from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch

from fk_overlay.overlay.counters import Counters, Slot
from fk_overlay.overlay.tally import Tally, guarded
from fk_overlay.overlay.witness import PERIOD_S, Witness

CPU = torch.device("cpu")
ROWS = 3
X = torch.tensor([1.0, 2.0])


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Witness:
    """One for the file: its operator is registered once per process."""
    return Witness(Counters(tmp_path_factory.mktemp("witness") / "1.counters", ROWS), ROWS)


@pytest.fixture
def executions(witness: Witness) -> Iterator[Callable[[], list[int]]]:
    """Executions of each row since the test began."""
    torch._dynamo.reset()
    before = witness._counts(CPU).clone()
    yield lambda: (witness._counts(CPU) - before).tolist()
    torch._dynamo.reset()


Executions = Callable[[], list[int]]


def test_the_result_is_unchanged_and_counted(witness: Witness, executions: Executions) -> None:
    mark = witness.mark(1)
    assert torch.equal(mark(X), X)
    assert mark(X.to(torch.bfloat16)).dtype is torch.bfloat16
    assert executions() == [0, 2, 0]


class Pair(NamedTuple):
    values: torch.Tensor
    indices: torch.Tensor


@pytest.mark.parametrize(
    "result",
    [(X, X + 1), [X, X + 1], (None, X), (3, X, "name"), Pair(X, X + 1), torch.max(torch.stack([X, X]), dim=0)],
    ids=["tuple", "list", "none first", "mixed", "named tuple", "torch's own"],
)
def test_of_several_results_one_is_marked_and_all_are_kept(
    result: Any, witness: Witness, executions: Executions
) -> None:
    passed = witness.mark(0)(result)
    assert type(passed) is type(result)
    assert len(passed) == len(result)
    for before, after in zip(result, passed, strict=True):
        assert torch.equal(before, after) if isinstance(before, torch.Tensor) else before == after
    assert executions() == [1, 0, 0]


@pytest.mark.parametrize("result", [None, 3, (), ("a",), {"x": 1}])
def test_what_holds_no_tensor_is_passed_on(result: Any, witness: Witness, executions: Executions) -> None:
    assert witness.mark(0)(result) is result
    assert executions() == [0, 0, 0]


@pytest.mark.parametrize(
    "x",
    [
        torch.ones(3),
        torch.ones(3, 4).t(),
        torch.ones(3, 1).expand(3, 5),
        torch.ones(4, 6)[:, ::2],
        torch.zeros(0, 3, dtype=torch.bfloat16),
        torch.ones(2, 3, dtype=torch.int64),
    ],
    ids=["plain", "transposed", "expanded", "strided", "empty", "integers"],
)
def test_the_operator_keeps_torchs_rules(x: torch.Tensor, witness: Witness) -> None:
    outcome = torch.library.opcheck(torch.ops.fk_overlay.witness.default, (x, 0))
    assert set(outcome.values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", ["aot_eager", "aot_eager_decomp_partition"])
def test_every_run_of_a_compiled_graph_counts(backend: str, witness: Witness, executions: Executions) -> None:
    """Two calls whose results the graph needs, five runs: neither dropped, nor merged, nor counted while tracing."""
    mark = witness.mark(2)

    @torch.compile(backend=backend, fullgraph=True)
    def run(x: torch.Tensor) -> torch.Tensor:
        first = mark(x * 2)
        second, _ = mark((first + 1, x))
        return second.sum()

    for _ in range(5):
        assert float(run(X)) == 8.0
    assert executions() == [0, 0, 10]


def test_it_marks_the_kernel_and_not_the_original(witness: Witness, executions: Executions, counters: Counters) -> None:
    def original(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    def kernel(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    patched = guarded(original, kernel, lambda x: x.ndim == 1, Tally(counters, 1, witness.mark(1)))
    assert torch.equal(patched(X), X + 1)
    assert torch.equal(patched(X[None]), X[None] + 1)
    assert executions() == [0, 1, 0]
    assert counters.get(1, Slot.EAGER) == counters.get(1, Slot.FALLBACK) == 1


def test_inference_mode_and_training_both_count(witness: Witness, executions: Executions) -> None:
    """Engines warm up inside inference mode; the counter made there must go on counting outside of it."""
    witness._device_counts.pop(CPU)
    witness._host_counts.pop(CPU)
    mark = witness.mark(0)
    with torch.inference_mode():
        mark(X)
    mark(X)
    mark(X.clone().requires_grad_())
    assert witness._counts(CPU).tolist() == [3, 0, 0]


def published(witness: Witness, row: int, expected: int) -> int:
    """What the mapped file says, given some time to say ``expected``."""
    deadline = time.monotonic() + 20 * PERIOD_S
    while witness._counters.get(row, Slot.REPLAYS) < expected and time.monotonic() < deadline:
        time.sleep(PERIOD_S / 10)
    return witness._counters.get(row, Slot.REPLAYS)


def test_it_publishes_to_the_mapped_file(witness: Witness) -> None:
    witness._counts(CPU)[1] += 1000  # more than any test before this one has counted
    witness.mark(1)(X)
    expected = int(witness._counts(CPU)[1])
    assert published(witness, 1, expected) == expected


@pytest.mark.gpu
def test_every_replay_of_a_cuda_graph_counts(witness: Witness, counters: Counters) -> None:
    x = torch.ones(8, device="cuda")
    patched = guarded(torch.neg, lambda input: -input, None, Tally(counters, 2, witness.mark(2)))
    before = int(witness._counts(x.device)[2])
    patched(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = patched(x)
    for _ in range(7):
        graph.replay()
    torch.cuda.synchronize()
    assert result.tolist() == [-1.0] * 8
    assert int(witness._counts(x.device)[2]) - before == 8
    assert (counters.get(2, Slot.EAGER), counters.get(2, Slot.CAPTURED)) == (1, 1)
    assert published(witness, 2, before + 8) == before + 8
