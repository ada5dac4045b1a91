from pathlib import Path

import pytest

from fk_overlay.core import BASELINE, Arm
from fk_overlay.engines.caches import hand_on

OWN = Arm(BASELINE).digest


def held(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def caches(tmp_path: Path) -> Path:
    for name in ("kernels/a/binary", "kernels/b", "graphs/c"):
        path = tmp_path / OWN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("the baseline's")
    return tmp_path


def test_what_is_named_is_copied_and_nothing_else(caches: Path) -> None:
    hand_on(caches, "d1", "kernels", "absent")
    assert set(held(caches / "d1")) == {"kernels/a/binary", "kernels/b"}
    assert not (caches / "d1" / "absent").exists()


def test_nothing_comes_back_and_what_an_arm_has_stays(caches: Path) -> None:
    before = held(caches / OWN)
    hand_on(caches, "d1", "kernels")
    for path in (caches / "d1" / "kernels" / "b", caches / "d1" / "kernels" / "own"):
        path.write_text("written by a patch")
    hand_on(caches, "d1", "kernels")
    hand_on(caches, OWN, "kernels")
    assert held(caches / OWN) == before
    assert held(caches / "d1")["kernels/b"] == "written by a patch"


def test_arms_hand_nothing_to_each_other(caches: Path) -> None:
    (caches / "d1" / "kernels").mkdir(parents=True)
    (caches / "d1" / "kernels" / "own").write_text("written by a patch")
    hand_on(caches, "d2", "kernels")
    assert set(held(caches / "d2")) == {"kernels/a/binary", "kernels/b"}
