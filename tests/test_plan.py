from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

from fk_overlay.contract import store
from fk_overlay.core import Arm, Contract, Fingerprint, Pack, Patch, Target, Task
from fk_overlay.errors import ContractError, FileError, OverlayError
from fk_overlay.plan import Plan, Swap, make, targets_of

OLD = Target("toy", ">=1.0,<2.0", "toy.layers:Norm", "method", ("forward", "scale"))
NEW = Target("toy", ">=2.0", "toy.norm:RMSNorm", "method", ("forward",))
OTHER = Target("vllm", ">=0.26", "vllm.layernorm:RMSNorm", "method", ("forward",))


def prints(*places: str) -> dict[str, Fingerprint]:
    return {place: Fingerprint(f"(self, {place})", "0123456789abcdef") for place in places}


@pytest.fixture
def task(tmp_path: Path) -> Task:
    folder = tmp_path / "tasks" / "L1" / "norm"
    folder.mkdir(parents=True)
    store.write(folder, Contract("toy", "1.2.0", prints(*OLD.places)))
    return Task("norm", "L1", "a toy", ("dense",), (OLD, NEW, OTHER), folder=folder)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    folder = tmp_path / "patches" / "fast"
    folder.mkdir(parents=True)
    (folder / "norm.py").write_text("class Norm: ...\n")
    patch = Patch("norm", "norm.py", "Norm", options={"provider": "mine", "tiles": [1, 2]})
    return Pack("fast", "a toy", (patch,), folder=folder, digest="d" * 64)


def planned(task: Task, pack: Pack, receipts: Path | None = None, version: str = "1.2.0") -> Plan:
    return make(Arm("fast", (pack,)), {"norm": task}, "toy", version, purpose="timed", receipts=receipts)


def test_a_plan_says_what_goes_where(task: Task, pack: Pack, tmp_path: Path) -> None:
    plan = planned(task, pack, tmp_path)
    assert plan == Plan("toy", "fast", Arm("fast", (pack,)).digest, "timed", tmp_path, plan.swaps, strict=True)
    (swap,) = plan.swaps
    assert swap == Swap(
        pack="fast",
        pack_folder=pack.folder,
        pack_digest="d" * 64,
        task="norm",
        target=OLD,
        seam="method",
        file=pack.folder / "norm.py",
        sha256=hashlib.sha256(b"class Norm: ...\n").hexdigest(),
        symbol="Norm",
        options={"provider": "mine", "tiles": [1, 2]},
        expected=prints("toy.layers:Norm.forward", "toy.layers:Norm.scale"),
    )


@pytest.mark.parametrize("receipts", [None, Path("/somewhere/receipts")])
def test_what_is_written_is_what_is_read(task: Task, pack: Pack, receipts: Path | None, tmp_path: Path) -> None:
    plan = planned(task, pack, receipts)
    path = plan.write(tmp_path / "plan.json")
    again = Plan.read(path)
    assert again == plan
    assert again.write(tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_the_baseline_has_a_plan_without_swaps(tmp_path: Path) -> None:
    plan = make(Arm("baseline"), {}, "toy", "1.2.0", purpose="witness", receipts=tmp_path, strict=False)
    assert plan.swaps == ()
    assert Plan.read(plan.write(tmp_path / "plan.json")) == plan


def test_only_the_owner_may_read_or_write_it(task: Task, pack: Pack, tmp_path: Path) -> None:
    path = planned(task, pack).write(tmp_path / "plan.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_format_is_refused(task: Task, pack: Pack, tmp_path: Path) -> None:
    path = planned(task, pack).write(tmp_path / "plan.json")
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "format": data["format"] - 1}))
    with pytest.raises(FileError, match="is a plan of another version of fk-overlay; start the run again"):
        Plan.read(path)


@pytest.mark.parametrize("damage", ["engine", "swaps", "format", "receipts"])
def test_a_missing_key_is_refused(damage: str, task: Task, pack: Pack, tmp_path: Path) -> None:
    path = planned(task, pack).write(tmp_path / "plan.json")
    data = json.loads(path.read_text())
    del data[damage]
    path.write_text(json.dumps(data))
    with pytest.raises(FileError, match=f"not a readable plan .*{damage}"):
        Plan.read(path)


def test_a_key_too_many_is_refused(task: Task, pack: Pack, tmp_path: Path) -> None:
    path = planned(task, pack).write(tmp_path / "plan.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "extra": 1}))
    with pytest.raises(FileError, match="extra"):
        Plan.read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe"])
def test_what_is_no_plan_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match="is not a readable plan"):
        Plan.read(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(FileError, match="is not a readable plan"):
            Plan.read(path)


def test_a_plan_that_everybody_may_write_is_refused(task: Task, pack: Pack, tmp_path: Path) -> None:
    path = planned(task, pack).write(tmp_path / "plan.json")
    path.chmod(0o646)
    with pytest.raises(FileError, match=r"may be written by everyone; .* chmod o-w"):
        Plan.read(path)


# ------------------------------------------------------------------------------------------------ targets


@pytest.mark.parametrize(
    ("version", "found"), [("1.0", OLD), ("1.9.9", OLD), ("1.2.0+cpu", OLD), ("2.0.0rc1", None), ("2.0", NEW)]
)
def test_targets_are_those_of_the_release(version: str, found: Target | None, task: Task) -> None:
    """A pre-release of 2.0 is before 2.0 and not below it: nobody has described it."""
    if found is None:
        with pytest.raises(OverlayError):
            targets_of(task, "toy", version)
    else:
        assert targets_of(task, "toy", version) == (found,)


@pytest.mark.parametrize(("engine", "version"), [("toy", "0.9"), ("vllm", "0.25"), ("sglang", "0.5")])
def test_an_undescribed_release_names_what_is_described(engine: str, version: str, task: Task) -> None:
    with pytest.raises(OverlayError) as refused:
        targets_of(task, engine, version)
    assert f"'norm' describes no target in {engine} {version}" in str(refused.value)
    assert "toy >=1.0,<2.0, toy >=2.0, vllm >=0.26" in str(refused.value)


def test_an_unknown_task_names_the_known_ones(task: Task, pack: Pack) -> None:
    with pytest.raises(ContractError, match="pack 'fast': no task called 'norm'; known: gelu, rope"):
        make(Arm("fast", (pack,)), {"rope": task, "gelu": task}, "toy", "1.2.0", purpose="timed", receipts=None)


def test_a_place_without_a_contract_is_refused(task: Task, pack: Pack) -> None:
    store.write(task.folder, Contract("toy", "1.2.0", prints("toy.layers:Norm.forward")))
    with pytest.raises(ContractError, match=r"no contract for toy\.layers:Norm\.scale in toy 1\.2\.0"):
        planned(task, pack)


def test_a_release_without_a_contract_is_refused(task: Task, pack: Pack) -> None:
    with pytest.raises(OverlayError, match=r"no contract for toy 2\.1"):
        planned(task, pack, version="2.1")


# ------------------------------------------------------------------------------------------------ patches


def test_a_patch_may_choose_another_seam(task: Task, pack: Pack) -> None:
    (patch,) = pack.patches
    other = Patch(patch.task, patch.file, patch.symbol, seam="function")
    assert planned(task, Pack("fast", "", (other,), folder=pack.folder)).swaps[0].seam == "function"


def test_a_folder_of_configurations_goes_by_the_packs_digest(task: Task, pack: Pack) -> None:
    (pack.folder / "configs").mkdir()
    swap = planned(task, Pack("fast", "", (Patch("norm", "configs"),), folder=pack.folder, digest="e" * 64)).swaps[0]
    assert (swap.file, swap.sha256) == (pack.folder / "configs", "e" * 64)


def test_swaps_are_in_the_order_of_packs_and_patches(task: Task, pack: Pack) -> None:
    second = Pack("second", "", (*pack.patches, *pack.patches), folder=pack.folder, digest="f" * 64)
    plan = make(Arm("both", (second, pack)), {"norm": task}, "toy", "1.2.0", purpose="timed", receipts=None)
    assert [swap.pack for swap in plan.swaps] == ["second", "second", "fast"]
    assert plan.digest == Arm("other name", (second, pack)).digest != Arm("both", (pack, second)).digest
