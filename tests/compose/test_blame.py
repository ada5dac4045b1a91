from __future__ import annotations

from pathlib import Path

import pytest

from fk_overlay.compose.blame import blamed
from fk_overlay.core import Patch

SHARED = """import torch


def helper(x):
    return x / 0


class Norm:
    def forward(self, x):
        return helper(x)


class Mlp:
    def forward(self, x):
        return helper(x)
"""
PATCHES = {
    "norm": Patch("norm", "shared.py", "Norm"),
    "mlp": Patch("mlp", "shared.py", "Mlp"),
    "rope": Patch("rope", "sub/rope.py", "Rope"),
}
WORKER = "(EngineCore pid=41) ERROR 11-27 01:02:03 [core.py:708] "


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    (folder / "sub").mkdir(parents=True)
    (folder / "shared.py").write_text(SHARED)
    (folder / "sub" / "rope.py").write_text("def turn(x):\n    return x\n\n\nclass Rope:\n    pass\n")
    return folder


def log(pack: Path, *stacks: str) -> Path:
    path = pack.parent / "engine.log"
    path.write_text("\n".join(("INFO starting", *stacks, "the end")).replace("PACK", str(pack)))
    return path


def traceback(*frames: str, prefix: str = "") -> str:
    lines = ("Traceback (most recent call last):", *(f"  File {frame}" for frame in frames), "ValueError: no")
    return "\n".join(prefix + line for line in lines)


ENGINE, TORCH = '"/site/engine.py", line 7, in step', '"/site/torch/nn.py", line 9, in relu'
NORM, MLP = '"PACK/shared.py", line 10, in forward', '"PACK/shared.py", line 15, in forward'
HELPER, ROPE = '"PACK/shared.py", line 5, in helper', '"PACK/sub/rope.py", line 2, in turn'


@pytest.mark.parametrize(
    ("stacks", "expected"),
    [
        ([traceback(ENGINE, NORM, TORCH)], "norm"),
        ([traceback(ENGINE, MLP, HELPER)], "mlp"),
        ([traceback(ENGINE, ROPE)], "rope"),
        ([traceback(ENGINE, NORM, ROPE)], "rope"),
        ([traceback(ENGINE, NORM, prefix=WORKER)], "norm"),
        ([traceback(ENGINE, TORCH), traceback(ENGINE, NORM), traceback(ENGINE, ROPE)], "norm"),
        ([traceback(ENGINE, HELPER)], None),
        ([traceback(ENGINE, TORCH)], None),
        ([], None),
        ([f"  File {NORM}"], None),
        ([traceback('"/elsewhere/shared.py", line 10, in forward')], None),
    ],
    ids=[
        "in a patch",
        "helper of a file with two",
        "helper of a file with one",
        "innermost",
        "prefix of a worker",
        "first that passes through the pack",
        "helper alone",
        "engine",
        "nothing",
        "a warning is no traceback",
        "another folder",
    ],
)
def test_the_innermost_frame_in_a_patch_is_blamed(pack: Path, stacks: list[str], expected: str | None) -> None:
    assert blamed(log(pack, *stacks), pack, PATCHES) == expected


def test_a_process_that_dies_of_a_signal_prints_its_innermost_frame_first(pack: Path) -> None:
    frames = (
        '"/lib/ctypes.py", line 3 in call',
        '"PACK/sub/rope.py", line 2 in turn',
        '"PACK/shared.py", line 10 in x',
    )
    died = "\n".join(("Fatal Python error: Segmentation fault", "Current thread 0x1 (most recent call first):"))
    assert blamed(log(pack, died, *(f"  File {frame}" for frame in frames)), pack, PATCHES) == "rope"


def test_a_patch_that_was_not_in_the_subset_is_not_blamed(pack: Path) -> None:
    there = {"mlp": PATCHES["mlp"]}
    assert blamed(log(pack, traceback(ENGINE, ROPE)), pack, there) is None


def test_a_file_that_python_cannot_read_is_blamed_on_its_only_patch(pack: Path) -> None:
    (pack / "sub" / "rope.py").write_text("def turn(x:\n")
    syntax = traceback(ENGINE, '"PACK/sub/rope.py", line 1')
    assert blamed(log(pack, syntax), pack, PATCHES) == "rope"


def test_a_launch_without_a_log_blames_nobody(pack: Path) -> None:
    assert blamed(pack / "engine.log", pack, PATCHES) is None
