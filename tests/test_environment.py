from __future__ import annotations

from pathlib import Path

import pytest

from fk_overlay import environment
from fk_overlay.errors import UsageError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.TABLE:
        monkeypatch.delenv(name, raising=False)


def test_unset_and_empty_mean_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (None, ""):
        if text is not None:
            for name in environment.TABLE:
                monkeypatch.setenv(name, text)
        assert environment.overlay() == ()
        assert environment.search_path() == ()
        assert environment.receipts() is None
    monkeypatch.delenv("FK_OVERLAY_HOME")
    assert environment.home() == Path.home() / ".cache" / "fk-overlay"


def test_lists_of_paths_keep_their_order_and_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("FK_OVERLAY", "b::a:")
    monkeypatch.setenv("FK_OVERLAY_PATH", str(tmp_path))
    assert environment.overlay() == (tmp_path / "b", tmp_path / "a")
    assert environment.search_path() == (tmp_path,)


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "packs").mkdir()
    monkeypatch.setenv("FK_OVERLAY", "~/packs")
    assert environment.overlay() == (tmp_path / "packs",)


def test_a_folder_may_be_one_that_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_OVERLAY_RECEIPTS", str(tmp_path / "later"))
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path / "home"))
    assert environment.receipts() == tmp_path / "later"
    assert environment.home() == tmp_path / "home"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("FK_OVERLAY", "/nowhere/plan.json", "/nowhere/plan.json does not exist"),
        ("FK_OVERLAY", ":", "it names nothing"),
        ("FK_OVERLAY_PATH", "/:/nowhere", "/nowhere does not exist"),
        ("FK_OVERLAY_HOME", "/etc/passwd", "/etc/passwd is not a folder"),
        ("FK_OVERLAY_RECEIPTS", "/etc/passwd", "/etc/passwd is not a folder"),
    ],
)
def test_a_bad_value_is_refused_with_the_variable_and_its_meaning(
    name: str, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    read = {
        "FK_OVERLAY": environment.overlay,
        "FK_OVERLAY_PATH": environment.search_path,
        "FK_OVERLAY_HOME": environment.home,
        "FK_OVERLAY_RECEIPTS": environment.receipts,
    }[name]
    with pytest.raises(UsageError) as refused:
        read()
    assert str(refused.value) == f"{name}={text!r}: {reason} ({name} is {environment.TABLE[name].meaning})"


def test_misspelt_variables_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_OVERLAY_RECIEPTS", "x")
    monkeypatch.setenv("FK_OVERLAYS", "x")
    monkeypatch.setenv("FK_OVERLAY", "x")
    monkeypatch.setenv("MY_FK_OVERLAY_THING", "x")
    assert environment.unknown() == ["FK_OVERLAYS", "FK_OVERLAY_RECIEPTS"]
