from __future__ import annotations

from pathlib import Path

import pytest

from fk_overlay import catalog, packs
from fk_overlay.compose.subset import named, write
from fk_overlay.core import Pack
from fk_overlay.errors import PackError

TOML = """# who made this
name = "mixed"
summary = "three of [[patch]]"

[requires.engines]
toy = ">=1"

[[patch]]
task = "norm"
file = "kernel.py"
symbol = "Norm"

[patch.options]
fast = true

[[ patch ]]  # the second
task = "mlp"
file = "kernel.py"
symbol = "Mlp"
engines = [
  "toy",
]

[[patch]]
task = "norm"
file = "kernel.py"
symbol = "Other"
engines = ["other"]

[[patch]]
task = "norm"
file = "kernel.py"
symbol = "Twin"
"""


def pack_of(folder: Path, text: str = TOML) -> Pack:
    folder.mkdir(parents=True)
    (folder / "pack.toml").write_text(text)
    (folder / "kernel.py").write_text("from .neighbour import x\n")
    (folder / "neighbour.py").write_text("x = 1\n")
    return packs.trusted(catalog.load_pack(folder))


def test_patches_are_named_by_task(tmp_path: Path) -> None:
    pack = pack_of(tmp_path / "pack")
    assert {name: patch.symbol for name, patch in named(pack, "toy").items()} == {
        "norm": "Norm",
        "mlp": "Mlp",
        "norm#2": "Twin",
    }
    assert [patch.symbol for patch in named(pack, "other").values()] == ["Norm", "Other", "Twin"]


@pytest.mark.parametrize("dropped", [(), (0,), (1,), (2,), (0, 2), (1, 2, 3)])
def test_what_is_written_is_the_pack_without_the_dropped(tmp_path: Path, dropped: tuple[int, ...]) -> None:
    pack = pack_of(tmp_path / "pack")
    packs.write_lock(pack, {})
    written = write(pack, [pack.patches[number] for number in dropped], tmp_path / "out")
    assert written.patches == tuple(patch for number, patch in enumerate(pack.patches) if number not in dropped)
    assert (written.name, written.requires) == (pack.name, pack.requires)
    assert {path.name for path in written.folder.iterdir()} == {"pack.toml", "kernel.py", "neighbour.py"}
    assert (written.digest == pack.digest) is (not dropped)
    assert (written.folder / "pack.toml").read_text().startswith("# who made this\n")


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    pack = pack_of(tmp_path / "pack")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stale.py").write_text("")
    assert not (write(pack, [], tmp_path / "out").folder / "stale.py").exists()


def test_patches_in_an_array_cannot_be_taken_apart(tmp_path: Path) -> None:
    text = 'name = "p"\nsummary = ""\npatch = [{task = "a", file = "kernel.py"}, {task = "b", file = "kernel.py"}]\n'
    pack = pack_of(tmp_path / "pack", text)
    with pytest.raises(PackError, match="single patches cannot be taken from it"):
        write(pack, pack.patches[:1], tmp_path / "out")
