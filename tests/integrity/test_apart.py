"""Looks at a pack that happen in a process of their own."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from fk_overlay.errors import PackError
from fk_overlay.integrity import apart
from fk_overlay.integrity.apart import run_apart
from fk_overlay.plan import Plan

PLAN = Plan("toy", "arm", "digest", "production", None)


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of one's own, importable by the process."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SECRET", "1")
    return tmp_path / "look.py"


def test_it_reads_the_plan_and_its_words(look: Path) -> None:
    look.write_text(
        textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from fk_overlay.plan import Plan

        plan = Plan.read(Path(sys.argv[1]))
        print(plan.engine, sys.argv[2:], "SECRET" in os.environ)
        """)
    )
    assert run_apart("look", PLAN, "90", without={"SECRET"}).strip() == "toy ['90'] False"
    assert run_apart("look", PLAN).strip() == "toy [] True"


def test_its_last_word_is_why_it_failed(look: Path) -> None:
    look.write_text("import sys\nprint('a warning', file=sys.stderr)\nsys.exit('no such kernel')\n")
    with pytest.raises(PackError, match=r"^no such kernel$"):
        run_apart("look", PLAN)


def test_a_process_that_dies_without_a_word(look: Path) -> None:
    look.write_text("import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(PackError, match="look ended with code -9"):
        run_apart("look", PLAN)


def test_a_kernel_that_hangs(look: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "TIMEOUT_S", 0.5)
    look.write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(PackError, match="look was not done with the pack within 0 s"):
        run_apart("look", PLAN)
