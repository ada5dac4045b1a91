"""The table says what the suite does: every item once, nothing out of date."""

from __future__ import annotations

from adversarial.frame import GUARDS, scenes
from adversarial.not_shown import ITEMS
from adversarial.table import README, text

EVERY = [f"B{number:02d}" for number in range(1, 135)]


def test_every_item_is_played_or_has_its_reason() -> None:
    assert sorted([*scenes(), *(item.id for item in ITEMS)]) == sorted(EVERY)
    assert all(item.reason for item in ITEMS)


def test_the_readme_is_up_to_date() -> None:
    assert README.read_text(encoding="utf-8") == text(), "python tests/adversarial/table.py writes it"


def test_a_module_is_called_after_its_item() -> None:
    for number, module in scenes().items():
        assert module.__name__.rpartition(".")[2].partition("_")[0] == number.lower()
        assert module.HACK.guard in GUARDS


def test_most_of_what_needs_no_gpu_is_played() -> None:
    assert sum(module.HACK.where == "cpu" for module in scenes().values()) >= 81
