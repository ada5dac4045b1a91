"""``fk-overlay bench``: what is refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fk_overlay.cli.main import app
from fk_overlay.errors import EngineError, UsageError


@pytest.mark.parametrize("arguments", [[], ["--patch", "example-cpu", "--selftest"]])
def test_either_a_pack_or_the_selftest(arguments: list[str]) -> None:
    ended = CliRunner().invoke(app, ["bench", *arguments])
    assert isinstance(ended.exception, UsageError)
    assert "--selftest" in str(ended.exception)


def test_an_engine_that_nobody_knows(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["bench", "--selftest", "--engine", "none", "--out", str(tmp_path)])
    assert isinstance(ended.exception, EngineError)


def test_one_round_is_no_interval() -> None:
    ended = CliRunner().invoke(app, ["bench", "--selftest", "--rounds", "1"])
    assert ended.exit_code == 2
