from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fk_overlay.core import Target
from fk_overlay.errors import PackError
from fk_overlay.overlay.loader import load, load_module, package_name
from fk_overlay.plan import Swap


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("fk_pack_")]:
        del sys.modules[name]


def swap(folder: Path, file: str, symbol: str = "Kernel", digest: str = "a" * 64) -> Swap:
    path = folder / file
    return Swap(
        pack="my-pack",
        pack_folder=folder,
        pack_digest=digest,
        task="norm",
        target=Target("toy", "", "toy.layers:Norm"),
        seam="method",
        file=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        symbol=symbol,
    )


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_file_is_a_module_of_its_pack(tmp_path: Path) -> None:
    put(tmp_path / "norm.py", "class Kernel: ...\n")
    kernel = load(swap(tmp_path, "norm.py"))
    assert kernel.__module__ == "fk_pack_my_pack_aaaaaaaa.norm"
    assert sys.modules[kernel.__module__].__file__ == str(tmp_path / "norm.py")


def test_files_in_folders_import_their_neighbours(tmp_path: Path) -> None:
    put(tmp_path / "tiles.py", "TILE = 64\n")
    put(tmp_path / "kernels" / "shared.py", "FACTOR = 2\n")
    put(
        tmp_path / "kernels" / "rms-norm.py",
        "from ..tiles import TILE\nfrom .shared import FACTOR\nclass Kernel:\n    size = TILE * FACTOR\n",
    )
    assert load(swap(tmp_path, "kernels/rms-norm.py")).size == 128


def test_a_file_that_imports_its_own_target_too_early_is_told_so(tmp_path: Path) -> None:
    """The import of the target asks for the kernel, whose file is still busy with that very import."""
    put(tmp_path / "norm.py", "import builtins\nbuiltins.fk_test_target()\nclass Kernel: ...\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.fk_test_target", lambda: load(swap(tmp_path, "norm.py")), raising=False)
        with pytest.raises(PackError, match="a file of its own"):
            load(swap(tmp_path, "norm.py"))


def test_a_file_is_loaded_once(tmp_path: Path) -> None:
    put(tmp_path / "norm.py", "class Kernel: ...\nclass Other: ...\n")
    assert load_module(swap(tmp_path, "norm.py")) is load_module(swap(tmp_path, "norm.py", symbol="Other"))


def test_two_versions_of_a_pack_are_two_packages(tmp_path: Path) -> None:
    for version in ("one", "two"):
        put(tmp_path / version / "norm.py", f"from .inner import VALUE as Kernel  # {version}\n")
        put(tmp_path / version / "inner.py", f"VALUE = {version!r}\n")
    one, two = swap(tmp_path / "one", "norm.py", digest="1" * 64), swap(tmp_path / "two", "norm.py", digest="2" * 64)
    assert package_name(one) != package_name(two)
    assert (load(one), load(two)) == ("one", "two")


def test_a_file_that_changed_is_not_run(tmp_path: Path) -> None:
    put(tmp_path / "norm.py", "class Kernel: ...\n")
    planned = swap(tmp_path, "norm.py")
    put(tmp_path / "norm.py", "raise SystemExit('it ran')\n")
    with pytest.raises(PackError, match=r"norm\.py changed since the run was planned"):
        load(planned)


def test_a_missing_symbol_is_named(tmp_path: Path) -> None:
    put(tmp_path / "norm.py", "class Kernel: ...\n")
    with pytest.raises(PackError, match=r"norm\.py defines no 'Kernal', the symbol that .*pack\.toml names"):
        load(swap(tmp_path, "norm.py", symbol="Kernal"))


def test_an_error_in_the_file_is_shown_as_it_is(tmp_path: Path) -> None:
    put(tmp_path / "norm.py", "import sys\nclass Kernel: ...\nsys.no_such_name\n")
    with pytest.raises(AttributeError, match="no_such_name"):
        load(swap(tmp_path, "norm.py"))
