from pathlib import Path

import pytest

from fk_overlay.engines import gpus

TOOL = """#!/usr/bin/env python3
import sys

CARDS = [
    {"index": "0", "uuid": "GPU-aa11", "name": "NVIDIA H100 80GB HBM3", "driver_version": "580.1", "clocks.sm": "1980"},
    {"index": "1", "uuid": "GPU-bb22", "name": "NVIDIA H200", "driver_version": "580.1", "clocks.sm": "[N/A]"},
]
(query,) = [word.partition("=")[2].split(",") for word in sys.argv if word.startswith("--query-gpu=")]
for card in CARDS:
    print(", ".join(card.get(key, "7") for key in query))
"""


@pytest.fixture(autouse=True)
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two cards, whose driver has a tool."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tool


def test_every_card_is_described() -> None:
    first, second = gpus.gpus()
    assert (first["name"], first["driver_version"], first["clocks.sm"], first["power.draw"]) == (
        "NVIDIA H100 80GB HBM3",
        580.1,
        1980.0,
        7.0,
    )
    assert second["clocks.sm"] == "[N/A]"
    assert gpus.names() == ("NVIDIA H100 80GB HBM3", "NVIDIA H200")
    assert gpus.uuids() == ("GPU-aa11", "GPU-bb22")


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("1", ("NVIDIA H200",)),
        ("1, 0", ("NVIDIA H100 80GB HBM3", "NVIDIA H200")),
        ("GPU-aa", ("NVIDIA H100 80GB HBM3",)),
        ("", ()),
        ("-1", ()),
    ],
)
def test_cards_that_this_process_may_not_use_do_not_count(
    monkeypatch: pytest.MonkeyPatch, visible: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.names() == names


def test_a_driver_that_does_not_answer_and_no_driver_are_no_cards(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write_text("#!/bin/sh\nexit 9\n")
    assert gpus.gpus() == []
    monkeypatch.setenv("PATH", str(driver.parent / "nowhere"))
    assert gpus.gpus() == []
