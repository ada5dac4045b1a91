"""patches/example-cpu by itself: what it computes, and what it leaves to the engine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from one_file import import_file

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
PACK = Path(__file__).parents[2] / "patches" / "example-cpu"


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = import_file(PACK / "linear.py")
    if not torch.cpu.get_capabilities().get("avx2", False):
        pytest.skip("FBGEMM needs AVX2")
    monkeypatch.setattr(module, "WORTH_IT", True)
    return module


def layer(outputs: int = 33, inputs: int = 48, scale: float = 0.05) -> SimpleNamespace:
    weight = (torch.randn(outputs, inputs) * scale).to(torch.bfloat16)
    return SimpleNamespace(weight=torch.nn.Parameter(weight, requires_grad=False))


def prepared(linear: Any, made: SimpleNamespace) -> SimpleNamespace:
    linear.Linear.prepare(made)
    return made


@pytest.mark.parametrize("shape", [(1, 48), (8, 48), (2, 3, 48), (0, 48)])
@pytest.mark.parametrize("biased", [False, True])
def test_a_product_is_rounded_once(linear: Any, shape: tuple[int, ...], biased: bool) -> None:
    torch.manual_seed(1)
    made, x = prepared(linear, layer()), torch.randn(shape).to(torch.bfloat16)
    bias = torch.randn(33).to(torch.bfloat16) if biased else None
    assert linear.Linear.supports(None, made, x, bias)
    found = linear.Linear.apply(None, made, x, bias)
    exact = torch.nn.functional.linear(x.double(), made.weight.double(), None if bias is None else bias.double())
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-6)


def test_inputs_need_not_be_contiguous(linear: Any) -> None:
    made, x = prepared(linear, layer()), torch.randn(5, 96).to(torch.bfloat16)[:, ::2]
    assert torch.equal(linear.Linear.apply(None, made, x), linear.Linear.apply(None, made, x.contiguous()))


def test_small_weights_are_kept_to_half_a_float16_step(linear: Any) -> None:
    made = prepared(linear, layer(scale=1e-5))
    product = torch.ops._quantized.wrapped_fbgemm_linear_fp16_weight(
        torch.eye(48), made.fk_example_cpu_packed, torch.zeros(33), 33
    )
    assert (product.T - made.weight.float()).abs().max() <= 2**-25


def test_layers_that_share_a_weight_share_its_copy(linear: Any) -> None:
    one, table = layer(), layer()
    other = SimpleNamespace(weight=one.weight)
    for each in (one, other, table):
        linear.Linear.prepare(each)
    assert one.fk_example_cpu_packed is other.fk_example_cpu_packed
    assert one.fk_example_cpu_packed is not table.fk_example_cpu_packed


class VocabParallelEmbedding(SimpleNamespace):
    """Named like vLLM's: a table whose rows are looked up."""


@pytest.mark.parametrize(
    "made",
    [
        VocabParallelEmbedding(weight=torch.ones(4, 8, dtype=torch.bfloat16)),
        SimpleNamespace(weight=torch.ones(4, 8)),
        SimpleNamespace(weight=torch.empty(0, dtype=torch.bfloat16)),
        SimpleNamespace(weight=torch.full((4, 8), 1e5, dtype=torch.bfloat16)),
        SimpleNamespace(weight=torch.ones(2, 4, 8, dtype=torch.bfloat16)),
    ],
    ids=["looked up", "float32", "taken away", "too large", "stack of experts"],
)
def test_the_engine_keeps_what_cannot_be_packed(linear: Any, made: SimpleNamespace) -> None:
    x = torch.ones(2, 8, dtype=torch.bfloat16)
    assert not linear.Linear.supports(None, prepared(linear, made), x)


def test_the_engine_keeps_other_dtypes(linear: Any) -> None:
    assert not linear.Linear.supports(None, prepared(linear, layer()), torch.ones(2, 48, dtype=torch.float16))


def test_a_processor_that_multiplies_bfloat16_keeps_everything(linear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(2, 48, dtype=torch.bfloat16)
    for can, expected in (({"avx2": True}, True), ({"avx2": True, "amx_tile": True}, False), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda can=can: can)
        monkeypatch.setattr(linear, "WORTH_IT", linear._worth_it())
        assert linear.Linear.supports(None, prepared(linear, layer()), x) is expected


def test_dynamo_traces_it_whole(linear: Any) -> None:
    module = torch.nn.Module()
    module.weight = layer().weight
    linear.Linear.prepare(module)

    def call(x: Any) -> Any:
        assert linear.Linear.supports(None, module, x)
        return linear.Linear.apply(None, module, x)

    x = torch.randn(3, 48).to(torch.bfloat16)
    assert torch.equal(torch.compile(call, fullgraph=True, backend="aot_eager")(x), call(x))
