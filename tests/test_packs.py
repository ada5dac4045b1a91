from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from fk_overlay import catalog, packs
from fk_overlay.core import Pack, Patch, Requirements
from fk_overlay.errors import PackError
from fk_overlay.packs import Machine

HERE = Machine("vllm", "0.32.0+cpu", ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"))
LAPTOP = replace(HERE, gpus=())


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    folder = tmp_path / "fast"
    (folder / "inner").mkdir(parents=True)
    (folder / "pack.toml").write_text("name = 'fast'\n")
    (folder / "norm.py").write_text("class Norm: ...\n")
    (folder / "inner" / "tile.py").write_text("TILE = 64\n")
    return Pack("fast", "a toy", (Patch("norm", "norm.py", "Norm"),), folder=folder)


# ------------------------------------------------------------------------------------------------ digest


def test_the_digest_is_of_names_and_contents_only(pack: Pack) -> None:
    before = packs.digest(pack.folder)
    os.utime(pack.folder / "norm.py", (1, 1))
    (pack.folder / "norm.py").chmod(0o600)
    (pack.folder / "__pycache__").mkdir()
    (pack.folder / "__pycache__" / "norm.pyc").write_bytes(b"x")
    (pack.folder / "pack.lock").write_text("{}")
    (pack.folder / "empty").mkdir()
    assert packs.digest(pack.folder) == before


def test_the_digest_does_not_depend_on_where_the_pack_lies(pack: Pack, tmp_path: Path) -> None:
    before = packs.digest(pack.folder)
    assert packs.digest(pack.folder.rename(tmp_path / "elsewhere")) == before


def test_every_change_changes_the_digest(pack: Pack) -> None:
    digests = [packs.digest(pack.folder)]
    for change in (
        lambda folder: (folder / "norm.py").write_text("class Norm: ... \n"),
        lambda folder: (folder / "inner" / "tile.py").rename(folder / "inner" / "tiles.py"),
        lambda folder: (folder / "inner" / "tiles.py").rename(folder / "tiles.py"),
        lambda folder: (folder / "empty.py").touch(),
        lambda folder: (folder / "empty.py").unlink(),
    ):
        change(pack.folder)
        digests.append(packs.digest(pack.folder))
    assert len(set(digests[:-1])) == 5
    assert digests[-1] == digests[-3]


def test_hashes_are_sha256_by_posix_path(pack: Pack) -> None:
    assert list(packs.hashes(pack.folder)) == ["inner/tile.py", "norm.py", "pack.toml"]
    assert packs.hashes(pack.folder)["inner/tile.py"] == hashlib.sha256(b"TILE = 64\n").hexdigest()


def test_trusted_packs_know_their_digest(pack: Pack) -> None:
    assert packs.trusted(pack) == replace(pack, digest=packs.digest(pack.folder))


def test_an_unchanged_pack_is_the_one_that_was_planned(pack: Pack) -> None:
    digest = packs.trusted(pack).digest
    packs.unchanged(pack.folder, digest)
    (pack.folder / "inner" / "tile.py").write_text("TILE = 128\n")
    with pytest.raises(PackError, match="changed since the run was planned"):
        packs.unchanged(pack.folder, digest)
    with pytest.raises(PackError, match="is gone"):
        packs.unchanged(pack.folder / "nowhere", digest)


# ------------------------------------------------------------------------------------------------ lock


def test_a_lock_that_fits(pack: Pack) -> None:
    assert packs.read_lock(pack) is None
    path = packs.write_lock(pack, {"norm": ["contract"]})
    assert path == pack.folder / "pack.lock"
    lock = packs.read_lock(pack)
    assert lock == {"pack": "fast", "files": packs.hashes(pack.folder), "contracts": {"norm": ["contract"]}}
    assert packs.trusted(pack).digest == packs.digest(pack.folder)
    assert packs.write_lock(pack, {"norm": ["contract"]}).read_bytes() == path.read_bytes()


def test_a_lock_that_does_not_fit_names_the_files(pack: Pack) -> None:
    packs.write_lock(pack, {})
    (pack.folder / "norm.py").write_text("changed")
    (pack.folder / "added.py").write_text("")
    (pack.folder / "inner" / "tile.py").unlink()
    with pytest.raises(PackError) as refused:
        packs.trusted(pack)
    assert str(refused.value) == (
        "pack 'fast' is not what its lock says: added.py, inner/tile.py, norm.py. "
        f"If you changed it on purpose: fk-overlay pack lock {pack.folder}"
    )


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"files": {}}', '{"files": [], "contracts": {}}', '{"files": 3, "contracts": {}}'],
)
def test_a_lock_that_cannot_be_read(text: str, pack: Pack) -> None:
    (pack.folder / "pack.lock").write_text(text)
    with pytest.raises(PackError, match="make it again: fk-overlay pack lock"):
        packs.trusted(pack)


# ------------------------------------------------------------------------------------------------ who may write


@pytest.mark.parametrize("name", [".", "norm.py", "inner", "inner/tile.py", "pack.toml"])
def test_a_pack_that_everybody_may_write(name: str, pack: Pack) -> None:
    path = pack.folder / name
    path.chmod(path.stat().st_mode | 0o002)
    with pytest.raises(PackError, match=r"may be written by everyone; a pack is code: chmod -R o-w"):
        packs.trusted(pack)


def test_links_may_not_lead_out_of_the_pack(pack: Pack, tmp_path: Path) -> None:
    (pack.folder / "alias.py").symlink_to("norm.py")
    (pack.folder / "inner" / "up.py").symlink_to("../norm.py")
    packs.trusted(pack)
    (tmp_path / "outside.py").write_text("")
    (pack.folder / "inner" / "out.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(
        PackError, match=r"inner/out\.py leads out of the pack, to .*outside\.py; copy the file instead"
    ):
        packs.trusted(pack)


def test_a_linked_folder_outside_is_refused(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "fast-2").mkdir()
    (pack.folder / "more").symlink_to(tmp_path / "fast-2")
    with pytest.raises(PackError, match="leads out of the pack"):
        packs.trusted(pack)


# ------------------------------------------------------------------------------------------------ requirements


def requiring(**requirements: object) -> Pack:
    return Pack("fast", "", (), requires=Requirements(**requirements))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "requirements",
    [
        {},
        {"engines": {"vllm": ">=0.26,<0.34", "sglang": ">=0.5"}},
        {"engines": {"vllm": "==0.32.0"}},
        {"engines": {"vllm": ""}},
        {"gpus": ("NVIDIA A100*", "NVIDIA H100*")},
        {"packages": {"packaging": ">=1"}},
    ],
)
def test_a_pack_runs_where_it_says(requirements: dict[str, object]) -> None:
    packs.require(requiring(**requirements), HERE)


def test_pre_releases_of_an_engine_are_compared_like_releases() -> None:
    packs.require(requiring(engines={"vllm": ">=0.32"}), replace(HERE, version="0.33.0rc1+cu130"))


INSTALLED = metadata.version("packaging")


@pytest.mark.parametrize(
    ("requirements", "machine", "reason"),
    [
        ({"engines": {"sglang": ">=0.5", "mini": ""}}, HERE, "it is for mini, sglang, this is vllm"),
        ({"engines": {"vllm": "<0.30"}}, HERE, "it needs vllm <0.30, this is 0.32.0+cpu"),
        ({"gpus": ("NVIDIA H200*",)}, HERE, "it needs a GPU of NVIDIA H200*, here is NVIDIA H100 80GB HBM3"),
        ({"gpus": ("NVIDIA *",)}, LAPTOP, "it needs a GPU of NVIDIA *, here is none"),
        ({"packages": {"no-such-thing": ">=1"}}, HERE, "it needs no-such-thing >=1, which is not installed"),
        ({"packages": {"packaging": ">=9999"}}, HERE, f"it needs packaging >=9999, here is {INSTALLED}"),
    ],
    ids=["engine", "version", "other GPU", "no GPU", "not installed", "too old"],
)
def test_a_pack_is_refused_with_the_reason(requirements: dict[str, object], machine: Machine, reason: str) -> None:
    with pytest.raises(PackError, match="pack 'fast' does not run here: ") as refused:
        packs.require(requiring(**requirements), machine)
    assert reason in str(refused.value)


def tuned(folder: Path, *tritons: str, engines: tuple[str, ...] = ()) -> Pack:
    """A pack with one file of kernel configurations for each Triton; an empty one is not said."""
    (folder / "configs").mkdir()
    for number, triton in enumerate(tritons):
        said = {"triton_version": triton} if triton else {}
        (folder / "configs" / f"E={number}.json").write_text(json.dumps({**said, "1": {"BLOCK_SIZE_M": 16}}))
    return Pack("fast", "", (Patch("experts", "configs", engines=engines, seam="tuning"),), folder=folder)


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs.metadata, "version", lambda name: {"triton": "3.6.0"}[name])


@pytest.mark.usefixtures("triton")
@pytest.mark.parametrize("tritons", [["3.6.0"], ["3.6.0", ""], [""]])
def test_configurations_run_on_the_triton_that_they_were_tuned_with(tmp_path: Path, tritons: list[str]) -> None:
    packs.require(tuned(tmp_path, *tritons), HERE)


@pytest.mark.usefixtures("triton")
@pytest.mark.parametrize(("tritons", "said"), [(["3.5.1"], "3.5.1"), (["3.6.0", "3.5.1"], "3.5.1, 3.6.0")])
def test_configurations_of_another_triton_are_refused(tmp_path: Path, tritons: list[str], said: str) -> None:
    with pytest.raises(PackError, match=f"does not run here: configs was tuned with triton {said}, here is 3.6.0"):
        packs.require(tuned(tmp_path, *tritons), HERE)


@pytest.mark.usefixtures("triton")
def test_configurations_of_another_engine_are_not_asked(tmp_path: Path) -> None:
    packs.require(tuned(tmp_path, "3.5.1", engines=("sglang",)), HERE)


def test_a_folder_of_configurations_that_is_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="holds no kernel configurations"):
        packs.require(tuned(tmp_path), HERE)


def test_all_reasons_are_given_at_once() -> None:
    pack = requiring(engines={"vllm": "<0.30"}, gpus=("NVIDIA H200",), packages={"packaging": ">=9999"})
    with pytest.raises(PackError) as refused:
        packs.require(pack, LAPTOP)
    assert str(refused.value).count("; ") == 2


@pytest.mark.parametrize("requirements", [{"engines": {"vllm": "0.26 or so"}}, {"packages": {"packaging": "new"}}])
def test_a_bad_specifier_is_named(requirements: dict[str, object]) -> None:
    with pytest.raises(PackError, match=r"is not a version specifier such as '>=0\.26,<0\.34'"):
        packs.require(requiring(**requirements), HERE)


def test_the_lock_is_sorted_json(pack: Pack) -> None:
    text = packs.write_lock(pack, {}).read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


SHIPPED = sorted(path.parent for path in (Path(__file__).parents[1] / "patches").glob("*/pack.toml"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_pack_is_what_its_lock_says(folder: Path) -> None:
    pack = catalog.load_pack(folder)
    lock = packs.read_lock(pack)
    assert lock is not None
    assert lock["contracts"].keys() == {patch.task for patch in pack.patches}
