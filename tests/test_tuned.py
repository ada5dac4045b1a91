"""Kernel configurations of a pack: what is read, what is refused, and how an unused folder is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from fk_overlay import tuned
from fk_overlay.errors import PackError

NAME = "E=8,N=64,device_name=NVIDIA_H100_80GB_HBM3.json"


def test_numbers_of_tokens_are_numbers_and_the_triton_is_kept_apart(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"triton_version": "3.6.0", "1": {"BLOCK_SIZE_M": 16}, "64": {"BLOCK_SIZE_M": 64}}')
    (tmp_path / "README.md").write_text("not a configuration")
    (found,) = tuned.read(tmp_path).items()
    assert found == (NAME, tuned.Tuned({1: {"BLOCK_SIZE_M": 16}, 64: {"BLOCK_SIZE_M": 64}}, "3.6.0"))


def test_a_folder_without_configurations_says_what_belongs_there(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PackError, match="holds no kernel configurations; put the files that tuning wrote there"):
            tuned.read(folder)


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{}", '{"triton_version": "3.6.0"}', '{"many": {"BLOCK_SIZE_M": 16}}', '{"1": 16}', '{"1": {}}'],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(PackError, match=r"E=8,N=64,.*json is no table of kernel parameters by number of tokens \("):
        tuned.read(tmp_path)


def test_one_answer_is_enough() -> None:
    assert tuned.unanswered(["a.json"], {"a.json": True, "b.json": False}) is None


def test_an_unused_folder_is_explained_by_what_was_wanted() -> None:
    assert tuned.unanswered(["a.json", "b.json"], {"d.json": False, "c.json": False}) == (
        "the engine looked up c.json, d.json, the pack has a.json, b.json; tune for this shape and GPU"
    )
    assert "looked up no kernel configuration at all" in str(tuned.unanswered(["a.json"], {}))
