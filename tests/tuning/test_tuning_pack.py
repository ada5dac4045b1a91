"""A pack of what was tuned, and where it refuses to run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_tuning_run import FACTS, FILE, an_order, run
from typer.testing import CliRunner

from fk_overlay import catalog, packs
from fk_overlay.cli.main import app
from fk_overlay.errors import PackError, UsageError
from fk_overlay.packs import Machine
from fk_overlay.tuning import pack

CARD = FACTS["gpu"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packs.metadata, "version", lambda name: "3.6.0")
    run(an_order((1, 64)), tmp_path / "tuned")
    result = CliRunner().invoke(app, ["tune", "pack", str(tmp_path / "tuned"), str(tmp_path / "h100-moe-tuned")])
    assert result.exception is None
    return tmp_path / "h100-moe-tuned"


def test_it_is_a_locked_pack_of_the_tuning_seam(made: Path) -> None:
    found = packs.trusted(catalog.load_pack(made))
    (patch,) = found.patches
    assert (found.name, patch.task, patch.seam, patch.engines) == (
        "h100-moe-tuned",
        "fused_experts",
        "tuning",
        ("vllm",),
    )
    assert "qwen3-30b-a3b tp 1 on NVIDIA H100 80GB HBM3, tuned under skewed routing" in found.summary
    assert [path.name for path in (made / patch.file).iterdir()] == [FILE]
    assert set(json.loads((made / patch.file / FILE).read_text())) == {"triton_version", "1", "64"}


def test_it_runs_where_it_was_tuned(made: Path) -> None:
    packs.require(catalog.load_pack(made), Machine("vllm", "0.32.0", (CARD,)))


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Machine("vllm", "0.32.0", ("NVIDIA H200",)), "needs a GPU of NVIDIA H100 80GB HBM3, here is NVIDIA H200"),
        (Machine("vllm", "0.32.0", ()), "here is none"),
        (Machine("vllm", "0.26.0", (CARD,)), "needs vllm ==0.32.0, this is 0.26.0"),
        (Machine("sglang", "0.5.17", (CARD,)), "it is for vllm, this is sglang"),
    ],
)
def test_it_refuses_elsewhere_and_says_why(made: Path, machine: Machine, said: str) -> None:
    with pytest.raises(PackError, match=said):
        packs.require(catalog.load_pack(made), machine)


def test_it_refuses_another_triton(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs.metadata, "version", lambda name: "3.5.1")
    with pytest.raises(PackError, match=r"it needs triton ==3\.6\.0, here is 3\.5\.1"):
        packs.require(catalog.load_pack(made), Machine("vllm", "0.32.0", (CARD,)))


def test_nothing_tuned_no_pack(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds nothing tuned for sglang"):
        pack.make(tmp_path, "sglang", tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_a_pack_that_is_there_is_kept(made: Path) -> None:
    with pytest.raises(UsageError, match="holds a pack already"):
        pack.make(made.parent / "tuned", "vllm", made)


def test_files_of_two_cards_make_no_pack(tmp_path: Path) -> None:
    run(an_order((1,)), tmp_path)
    other = replace(an_order((1,)), ranks=2, facts=FACTS | {"gpu": "NVIDIA H200"})
    run(other, tmp_path)
    with pytest.raises(UsageError, match="several cards or versions"):
        pack.make(tmp_path, "vllm", tmp_path / "pack")
