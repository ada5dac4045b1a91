"""What a composition looks like on a terminal, in Markdown and in JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fk_overlay.compose.outcome import Composition, Dropped, Marginal, Side
from fk_overlay.core import Effect
from fk_overlay.report import composition


def effect(ratio: float, pairs: int = 5) -> Effect:
    low, high = (ratio - 0.01, ratio + 0.01) if pairs > 1 else (0.0, math.inf)
    return Effect("chat", "output_throughput", ratio, low, high, pairs, 0.001 if pairs > 1 else math.nan, "improved")


FOUND = Composition(
    pack="mixed",
    digest="0123456789abcdef",
    engine="vllm",
    engine_version="0.32.0",
    scenario="tiny",
    mode="decide",
    minimum_effect=0.005,
    as_is=Side(("a", "b", "c", "d", "e"), "crashed", reasons=("launch 01-mixed crashed: c | raised",)),
    repaired=Side(("a", "b"), "improved", effect(1.2), 0.99, ("output throughput of chat: +20.0 %",)),
    dropped=(
        Dropped("c", "crashed", ("c",), "traceback", "launch 01-mixed crashed: c | raised"),
        Dropped("d", "incorrect", ("a", "d"), "together", "tokens changed"),
        Dropped("e", "regressed", ("e",), "measured", "with it the others are 7.0 % slower"),
    ),
    marginal=(Marginal("a", effect(1.05)), Marginal("b", effect(1.15))),
    other_engines=("h (sglang)",),
    trials=4,
    rounds=2,
    launches=31,
)


def rows(found: Composition) -> dict[str, tuple[str, ...]]:
    return {row[0]: tuple(row[1:]) for row in composition.patches(found)}


def test_both_results_stand_side_by_side() -> None:
    as_is, repaired = composition.sides(FOUND)
    assert as_is == ("as is", "5", "crashed", "\u2013", "\u2013", "\u2013", "\u2013")
    assert repaired == ("repaired", "2", "improved", "+20.0 %", "+19.0 % to +21.0 %", "5", "0.9900")


def test_what_adds_most_comes_first_and_what_went_says_why() -> None:
    found = rows(FOUND)
    assert list(found) == ["b", "a", "c", "d", "e"]
    assert found["a"] == ("kept", "+5.0 %", "+4.0 % to +6.0 %", "5", "")
    assert found["c"][0] == "dropped: crashed"
    assert found["c"][-1] == "traceback: launch 01-mixed crashed: c | raised"
    assert found["d"][-1] == "together with a: tokens changed"


def test_one_launch_is_no_measurement() -> None:
    found = Composition(**{**vars_of(FOUND), "as_is": Side(("a",), "incorrect", effect(1.3, pairs=1), 0.2)})
    assert next(iter(composition.sides(found)))[3:5] == ("\u2013", "\u2013")


def vars_of(found: Composition) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__slots__}


@pytest.mark.parametrize(
    ("repaired", "claim"),
    [
        (FOUND.repaired, "2 of 5 patches of mixed hold together: improved, +20.0 %"),
        (Side(FOUND.as_is.patches, "unresolved"), "All 5 patches of mixed hold together: unresolved"),
        (None, "No patch of mixed holds"),
    ],
)
def test_the_claim(repaired: Side | None, claim: str) -> None:
    found = Composition(**{**vars_of(FOUND), "repaired": repaired})  # type: ignore[arg-type]
    assert composition.claim(found) == claim
    assert composition.render_markdown(found).startswith(f"# {claim}\n")


def test_nothing_that_holds_is_a_failure() -> None:
    assert Composition(**{**vars_of(FOUND), "repaired": None}).exit_code == 5  # type: ignore[arg-type]
    assert FOUND.exit_code == 0


def test_the_markdown_is_a_table_that_a_pipe_does_not_break() -> None:
    text = composition.render_markdown(FOUND)
    assert "c \\| raised" in text
    assert "31 launches: 4 subsets tried, 2 rounds measured (mode decide)" in text
    assert "Not judged, for other engines: h (sglang)" in text


def test_the_json_is_strict(tmp_path: Path) -> None:
    found = Composition(**{**vars_of(FOUND), "as_is": Side(("a",), "incorrect", effect(1.3, pairs=1))})  # type: ignore[arg-type]
    (path, _) = composition.write(found, tmp_path)
    said = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert said["as_is"]["effect"]["high"] is None
    assert said["marginal"][1]["effect"]["ratio"] == 1.15


def test_the_terminal_shows_both_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    composition.show(FOUND, [Path("somewhere")])
    said = capsys.readouterr().out
    for word in ("as is", "repaired", "dropped: incorrect", "2 of 5 patches", "somewhere"):
        assert word in said
