"""The folder that SGLang takes for its own configurations: the pack's files in front, its own behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fk_overlay.engines.sglang import config_dir

OURS, THEIRS, BOTH, OLDER = "E=8.json", "E=16.json", "E=32.json", "triton_3_5_1"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(config_dir.metadata, "version", lambda name: "3.6.0")
    own = tmp_path / "site" / config_dir.OWN
    for folder, names in (("triton_3_6_0", (THEIRS, BOTH)), (OLDER, (THEIRS,)), (".", ("silu.json",))):
        (own / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (own / folder / name).write_text(f"theirs, {folder}")
    return tmp_path / "site"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    for name in (OURS, BOTH):
        (folder / name).write_text("ours")
    return folder


def held(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root / "configs")): path.read_text() for path in (root / "configs").rglob("*.json")}


def test_the_pack_comes_first_and_the_engines_own_files_stay(source: Path, pack: Path) -> None:
    assert held(config_dir.lay_out(pack, source)) == {
        f"triton_3_6_0/{OURS}": "ours",
        f"triton_3_6_0/{BOTH}": "ours",
        f"triton_3_6_0/{THEIRS}": "theirs, triton_3_6_0",
        f"{OLDER}/{THEIRS}": f"theirs, {OLDER}",
        "silu.json": "theirs, .",
    }
    assert (source / config_dir.OWN / "triton_3_6_0" / BOTH).read_text() == "theirs, triton_3_6_0"


def test_every_process_is_given_the_same_folder_and_a_changed_pack_another(source: Path, pack: Path) -> None:
    first = config_dir.lay_out(pack, source)
    assert config_dir.lay_out(pack, source) == first
    (pack / OURS).rename(pack / "E=64.json")
    second = config_dir.lay_out(pack, source)
    assert second != first
    assert f"triton_3_6_0/{OURS}" not in held(second)
    assert sorted(first.parent.iterdir()) == sorted([first, second]), "no draft is left"


def test_two_processes_at_once_end_with_one_folder(source: Path, pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slower(folder: str) -> str:
        monkeypatch.setattr(config_dir, "mkdtemp", lambda dir: str(Path(dir, "draft-2")))
        Path(folder, "draft-2").mkdir()
        config_dir.lay_out(pack, source)  # another process, which is done first
        Path(folder, "draft-1").mkdir()
        return str(Path(folder, "draft-1"))

    monkeypatch.setattr(config_dir, "mkdtemp", lambda dir: slower(dir))
    root = config_dir.lay_out(pack, source)
    assert f"triton_3_6_0/{OURS}" in held(root)
    assert list(root.parent.iterdir()) == [root]


def test_without_configurations_of_its_own_the_pack_s_are_there(tmp_path: Path, source: Path, pack: Path) -> None:
    assert set(held(config_dir.lay_out(pack, tmp_path / "no-sglang"))) == {
        f"triton_3_6_0/{OURS}",
        f"triton_3_6_0/{BOTH}",
    }
