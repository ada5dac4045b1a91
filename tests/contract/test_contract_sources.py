"""A package's index: what counts as a definition, what is inherited and what is passed on."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import toy_package

from fk_overlay.contract.definition import find
from fk_overlay.contract.release import DIGITS, Release
from fk_overlay.contract.sources import Sources, describe
from fk_overlay.errors import ContractError

FILES = {
    "__init__": """
        from toy.layers import Norm
        from .layers import align as arrange, TABLE
    """,
    "layers": toy_package.LAYERS,
    "base": """
        class Op:
            def forward(self, x): return x
            class Inner:
                def deep(self): return 1
    """,
    "kernels": """
        import os
        from typing import TYPE_CHECKING
        import toy.base
        from toy import base
        from .base import Op as Base
        if TYPE_CHECKING:
            from toy.layers import Norm
            def unseen(x): ...
        else:
            def seen(x): return x
        if not TYPE_CHECKING:
            def chosen(x, y): return x
        else:
            def chosen(x): ...
        class Silu(Base):
            quick = True
            def native(self, x): return x
            @property
            def size(self): return 1
            @size.setter
            def size(self, value): self._size = value
            forward_cuda = native
        class Gelu(base.Op, os.PathLike): pass
        class Twice(Gelu): pass
        class Whole(toy.base.Op): pass
        fast_align = toy.layers.align
        forward = Silu.native
        silu = Silu()
        if os.name == "nt":
            seen = chosen
            Silu = Gelu
    """,
}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    root = tmp_path_factory.mktemp("engine")
    (root / "toy" / "tests").mkdir(parents=True)
    (root / "toy" / "tests" / "test_layers.py").write_text("def test_it(): pass\n")
    for name, text in FILES.items():
        (root / "toy" / f"{name}.py").write_text(textwrap.dedent(text))
    return Release("vllm", "1.0", Sources(root, ["toy"]))


def test_every_module_but_tests_is_there(release: Release) -> None:
    assert sorted(release.modules) == ["toy", "toy.base", "toy.kernels", "toy.layers"]
    assert len(release.modules) == 4


def test_an_index_says_the_same_as_a_search_for_one_place(tmp_path: Path) -> None:
    root = toy_package.make(tmp_path)
    places = Sources(root, ["toy"])["toy.layers"].places
    assert {"Norm", "Norm.forward", "align", "fallback", "traced"} <= places.keys()
    for qualname, found in places.items():
        whole = find(root, f"toy.layers:{qualname}")
        assert (found.signature, found.body) == (whole.signature, whole.body[:DIGITS])


@pytest.mark.parametrize(
    ("qualname", "signature"),
    [
        ("seen", "(x)"),
        ("unseen", None),
        ("chosen", "(x, y)"),
        ("Silu.size", "(self)"),
        ("Silu.quick", None),
        ("silu", None),
        ("Silu", "(*args, **kwargs)"),
    ],
)
def test_what_runs_counts(release: Release, qualname: str, signature: str | None) -> None:
    found = release.get(f"toy.kernels:{qualname}")
    assert (found.signature if found else None) == signature


def test_classes_in_classes_are_reached_and_functions_in_functions_are_not(release: Release) -> None:
    assert release.get("toy.base:Op.Inner.deep") is not None
    assert release.get("toy.layers:traced") is not None
    assert release.get("toy.layers:traced.call") is None


@pytest.mark.parametrize(
    ("place", "origin"),
    [
        ("toy:Norm", "toy.layers:Norm"),
        ("toy:Norm.forward", "toy.layers:Norm.forward"),
        ("toy:arrange", "toy.layers:align"),
        ("toy:TABLE", None),
        ("toy.kernels:Norm", None),
        ("toy.kernels:Silu.forward", "toy.base:Op.forward"),
        ("toy.kernels:Silu.Inner.deep", "toy.base:Op.Inner.deep"),
        ("toy.kernels:Silu.forward_cuda", "toy.kernels:Silu.native"),
        ("toy.kernels:Gelu.forward", "toy.base:Op.forward"),
        ("toy.kernels:Twice.forward", "toy.base:Op.forward"),
        ("toy.kernels:Whole.forward", "toy.base:Op.forward"),
        ("toy.kernels:forward", "toy.kernels:Silu.native"),
        ("toy.kernels:fast_align", "toy.layers:align"),
        ("toy.kernels:Gelu.__fspath__", None),
        ("toy.kernels:Base.forward", "toy.base:Op.forward"),
        ("toy.lost:Norm", None),
    ],
)
def test_what_is_named_elsewhere_is_followed_to_its_definition(
    release: Release, place: str, origin: str | None
) -> None:
    assert release.get(place) is None
    assert release.origin(place) == origin


def test_names_that_go_round_in_circles_lead_nowhere() -> None:
    modules = {"toy.a": "from toy.b import f", "toy.b": "from toy.a import f\nclass C(C): pass"}
    release = Release("vllm", "1.0", {name: describe(text, name, modules) for name, text in modules.items()})
    assert release.origin("toy.a:f") is None
    assert release.origin("toy.b:C.forward") is None


@pytest.mark.parametrize(
    ("classes", "owner"),
    [
        ("class Op:\n def f(self): 1\nclass Left(Op): 1\nclass Right:\n def f(self): 2", "Op"),
        ("class Op:\n def f(self): 1\nclass Left(Op): 1\nclass Right(Op):\n def f(self): 2", "Right"),
        ("class Op:\n def f(self): 1\nclass Left(Op): 1\nclass Right(Op): 1", "Op"),
    ],
)
def test_bases_are_searched_in_the_order_of_python(classes: str, owner: str) -> None:
    module = describe(f"{classes}\nclass Norm(Left, Right): 1\n", "toy", ("toy",))
    assert Release("vllm", "1.0", {"toy": module}).origin("toy:Norm.f") == f"toy:{owner}.f"
    scope: dict[str, Any] = {}
    exec(f"{classes}\nclass Norm(Left, Right): 1\n", scope)
    assert scope["Norm"].f is scope[owner].f


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("from . import f", "toy.sub:f"),
        ("from .deep import f", "toy.sub.deep:f"),
        ("from ..layers import f", "toy.layers:f"),
        ("from .. import layers\nf = layers.f", "toy.layers:f"),
        ("from toy.layers import *", None),
        ("import torch\nf = torch.add", None),
    ],
)
def test_relative_imports(written: str, origin: str | None) -> None:
    modules = ("toy", "toy.layers", "toy.sub", "toy.sub.deep")
    assert describe(written, "toy.sub", modules, is_package=True).names.get("f") == origin


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    root = toy_package.make(tmp_path)
    (root / "toy" / "layers.py").write_text(toy_package.LAYERS, encoding="utf-8-sig")
    assert Sources(root, ["toy"])["toy.layers"].places.keys() >= {"Norm.forward"}
    assert find(root, toy_package.NORM).signature.startswith("(self, x")


def test_a_file_that_does_not_parse_is_named(tmp_path: Path) -> None:
    root = toy_package.make(tmp_path, "def broken(:\n")
    with pytest.raises(ContractError, match=r"layers\.py does not parse"):
        Sources(root, ["toy"])["toy.layers"]
