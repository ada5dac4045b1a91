"""Stored releases: what goes in comes out, one file an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy_package

from fk_overlay.contract.archive import find, load, store, stored
from fk_overlay.contract.release import Release
from fk_overlay.contract.sources import Sources
from fk_overlay.errors import FileError, UsageError


@pytest.fixture
def release(tmp_path: Path) -> Release:
    root = toy_package.make(tmp_path / "engine")
    (root / "toy" / "ops.py").write_text("from toy.layers import Norm, TABLE\nclass Fast(Norm): pass\n")
    return Release("toy", "1.10.0", Sources(root, ["toy"]))


def other(release: Release, version: str) -> Release:
    return Release(release.engine, version, {"toy.layers": release.modules["toy.layers"]})


def test_a_release_comes_back_as_it_was(release: Release, tmp_path: Path) -> None:
    path = store(release, tmp_path)
    assert path == tmp_path / "toy.jsonl.xz"
    back = load("toy==1.10", [tmp_path])
    assert (back.engine, back.version, str(back)) == ("toy", "1.10.0", "toy 1.10.0")
    assert dict(back.modules.items()) == {
        **release.modules,
        "toy.ops": type(release.modules["toy.ops"])(
            release.modules["toy.ops"].places, {"Fast": ("toy.layers:Norm",)}, {"Norm": "toy.layers:Norm"}
        ),
    }
    assert back.origin("toy.ops:Fast.forward") == toy_package.NORM
    assert back.origin("toy.lost:f") is None


def test_releases_of_one_engine_share_a_file_and_replace_only_themselves(release: Release, tmp_path: Path) -> None:
    for each in (release, other(release, "1.9.0"), other(release, "2.0rc1"), other(release, "1.10.0")):
        store(each, tmp_path)
    assert [path.name for path in tmp_path.glob("*.xz")] == ["toy.jsonl.xz"]
    assert stored([tmp_path]) == {"toy": ["1.9.0", "1.10.0", "2.0rc1"]}
    assert len(load("toy==1.10.0", [tmp_path]).modules) == 1


def test_the_first_folder_wins_and_folders_may_be_missing(release: Release, tmp_path: Path) -> None:
    store(release, tmp_path / "shipped")
    store(other(release, "1.10.0"), tmp_path / "mine")
    store(other(release, "1.9.0"), tmp_path / "mine")
    folders = [tmp_path / "none", tmp_path / "mine", tmp_path / "shipped"]
    assert len(load("toy==1.10.0", folders).modules) == 1
    assert stored(folders) == {"toy": ["1.9.0", "1.10.0"]}
    assert find("toy", "3.0", folders) is None
    assert find("lost", "1.9.0", folders) is None


def test_an_unknown_release_is_answered_with_the_stored_ones_and_what_to_do(release: Release, tmp_path: Path) -> None:
    store(release, tmp_path)
    with pytest.raises(UsageError, match=r"no index of toy 1\.11 is stored; stored are: toy==1\.10\.0.* --wheel FILE"):
        load("toy==1.11", [tmp_path])
    with pytest.raises(UsageError, match="stored are: none"):
        load("toy==1.11", [])


@pytest.mark.parametrize("wanted", ["toy", "toy>=1.10", "toy==1.*", "toy==1.10,==1.11", "", "1.10", "toy=1.10"])
def test_what_names_no_release_is_refused(wanted: str) -> None:
    with pytest.raises(UsageError, match="names no release; write engine==version"):
        load(wanted, [])


@pytest.mark.parametrize("keep", [0, 30, 300])
def test_a_damaged_archive_is_named(release: Release, tmp_path: Path, keep: int) -> None:
    path = store(release, tmp_path)
    path.write_bytes(path.read_bytes()[:keep] + b"noise")
    with pytest.raises(FileError, match=r"toy\.jsonl\.xz is damaged"):
        load("toy==1.10.0", [tmp_path])
