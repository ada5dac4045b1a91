"""patches/h100-moe on the card: its products against float64, by every way in which weights and rows come, launched
early and not, also as a CUDA graph, again and again since a race shows now and then; and its sort against torch's."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from packs.interpreting import PATCHES

from fk_overlay.overlay.loader import module_of

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")]

EXPERTS, HIDDEN, INNER, TOP_K = 16, 512, 256, 4
TIMES = 20
WAYS = {
    "pointers": (False, False, False, False),
    "described": (True, False, False, False),
    "joined": (True, True, False, False),
    "packed": (True, True, True, False),
    "resident": (True, True, False, True),
    "resident packed": (True, True, True, True),
}
"""Weights by bulk copies; both halves in one; the rows between the products too; programs that go from tile to tile."""


@pytest.fixture(scope="module")
def pack() -> SimpleNamespace:
    products, sort = (
        module_of(PATCHES / "h100-moe", "h100_moe_on_the_card", name) for name in ("grouped", "moe_align")
    )
    return SimpleNamespace(products=products, sort=sort)


def normal(*size: int) -> Any:
    return torch.randn(size, device="cuda", dtype=torch.bfloat16)


def routed(tokens: int, experts: int, top_k: int) -> Any:
    return torch.rand(tokens, experts, device="cuda").topk(top_k).indices.int()


def sorted_by(pack: Any, ids: Any, block: int, experts: int) -> Any:
    return pack.sort.align(ids, block, experts, pack.sort.length_for(ids.numel(), block, experts, True))


@pytest.mark.parametrize("early", [False, True], ids=["", "early"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tile", [[16, 64, 64, 1, 4, 3], [64, 64, 64, 1, 4, 3], [128, 128, 64, 8, 8, 3]], ids=str)
def test_the_products_are_right_every_time(
    pack: Any, tile: list[int], way: str, early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack.products, "multiprocessors", lambda: 5)  # so that each program has several tiles
    tokens, block, (described, joined, packed, resident) = 700, tile[0], WAYS[way]
    x, w1, w2 = normal(tokens, HIDDEN), normal(EXPERTS, 2 * INNER, HIDDEN), normal(EXPERTS, HIDDEN, INNER)
    w1, w2 = w1 / HIDDEN**0.5, w2 / INNER**0.5
    ids, scale = routed(tokens, EXPERTS, TOP_K), torch.rand(tokens * TOP_K, device="cuda")
    how = described, joined, packed, early, resident
    places = pack.sort.length_for(ids.numel(), block, EXPERTS, True)
    between = torch.empty(places if packed else ids.numel(), INNER, device="cuda", dtype=torch.bfloat16)
    out = torch.empty(ids.numel(), HIDDEN, device="cuda", dtype=torch.bfloat16)

    def layer() -> None:
        between.fill_(float("nan"))
        sorting = sorted_by(pack, ids, block, EXPERTS)
        pack.products.grouped(x, w1, between, *sorting, None, TOP_K, tile, True, *how)
        pack.products.grouped(between, w2, out, *sorting, scale, 1, tile, False, *how)

    layer()
    wanted = reference(x, w1, w2, ids, scale)
    assert distance(out, wanted) < 0.01
    first = out.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        layer()
    for again in (*itertools.repeat(layer, TIMES), *itertools.repeat(graph.replay, TIMES)):
        out.fill_(float("nan"))
        again()
        assert torch.equal(out, first)


def reference(x: Any, w1: Any, w2: Any, ids: Any, scale: Any) -> Any:
    """In float64, an expert at a time."""
    rows, owners = x.double().repeat_interleave(TOP_K, 0), ids.flatten().long()
    out = torch.empty(len(rows), HIDDEN, device="cuda", dtype=torch.float64)
    for expert in range(EXPERTS):
        mine = owners == expert
        gate, up = (rows[mine] @ w1[expert].double().T).chunk(2, 1)
        out[mine] = (torch.nn.functional.silu(gate) * up) @ w2[expert].double().T
    return out * scale.double()[:, None]


def distance(out: Any, wanted: Any) -> float:
    return float((out.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    ("tokens", "experts", "top_k", "block"), [(8, 128, 8, 16), (256, 128, 8, 64), (16384, 128, 8, 128)]
)
def test_the_sort_is_torchs(pack: Any, tokens: int, experts: int, top_k: int, block: int) -> None:
    ids = routed(tokens, experts, top_k)
    order, owners, used = sorted_by(pack, ids, block, experts)
    counts = torch.bincount(ids.flatten().long(), minlength=experts)
    padded = (counts + block - 1) // block * block
    assert int(used) == int(padded.sum())
    assert (
        owners[: int(used) // block].tolist() == torch.arange(experts).repeat_interleave(padded.cpu() // block).tolist()
    )
    real = order[: int(used)]
    real = real[real < ids.numel()].long()
    assert torch.equal(real, torch.sort(ids.flatten(), stable=True).indices)
