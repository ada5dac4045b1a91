"""Contracts on disk, and which one holds in a release."""

from pathlib import Path

import pytest
import toy_package

from fk_overlay.contract.store import contract_for, read, write
from fk_overlay.core import Contract, Fingerprint, Target, Task
from fk_overlay.errors import ContractError, EngineError, FileError

OLD = Target("vllm", ">=1,<2", "toy.layers:Norm", members=("forward",))
NEW = Target("vllm", ">=2,<3", "toy.layers:Norm", members=("forward", "native"))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    task = toy_package.task(tmp_path / "norm", OLD, NEW)
    for version, target in (("1.4.0", OLD), ("1.10.0", OLD), ("2.0.0", NEW)):
        write(task.folder, Contract("vllm", version, {place: Fingerprint("(x)", version) for place in target.places}))
    return task


@pytest.mark.parametrize(
    ("version", "release", "places"),
    [
        ("1.4.0", "1.4.0", 1),
        ("1.9.3", "1.4.0", 1),
        ("1.99", "1.10.0", 1),
        ("2.0.0+cpu", "2.0.0", 2),
        ("2.5", "2.0.0", 2),
    ],
)
def test_the_nearest_lower_release_holds(task: Task, version: str, release: str, places: int) -> None:
    contract = contract_for(task, "vllm", version)
    assert (contract.version, len(contract.places)) == (release, places)


def test_a_release_below_every_contract_is_refused_with_the_known_ones(task: Task) -> None:
    with pytest.raises(ContractError, match=r"known releases: 1\.4\.0, 1\.10\.0, 2\.0\.0"):
        contract_for(task, "vllm", "1.0")


@pytest.mark.parametrize(("engine", "version"), [("vllm", "3.0"), ("sglang", "1.4.0")])
def test_a_release_without_a_target_is_refused(task: Task, engine: str, version: str) -> None:
    with pytest.raises(EngineError, match=r"vllm >=1,<2, vllm >=2,<3"):
        contract_for(task, engine, version)


def test_a_contract_of_an_older_line_does_not_hold_in_a_newer_one(task: Task) -> None:
    """Release 1.10 lies below 2.0, but its target is another."""
    (task.folder / "contract.json").write_text(
        '{"vllm": {"1.10.0": {"toy.layers:Norm.forward": {"signature": "(x)", "body": "aa"}}}}'
    )
    with pytest.raises(ContractError, match=r"no contract for vllm 2\.0\.0"):
        contract_for(task, "vllm", "2.0.0")


def test_writing_replaces_one_release_and_keeps_the_others(task: Task) -> None:
    path = write(task.folder, Contract("vllm", "1.4.0", {"toy.layers:Norm.forward": Fingerprint("(y)", "new")}))
    assert [contract.version for contract in read(task.folder)] == ["1.4.0", "1.10.0", "2.0.0"]
    assert contract_for(task, "vllm", "1.4.0").places["toy.layers:Norm.forward"].signature == "(y)"
    assert path.read_text().endswith("}\n")


def test_a_damaged_file_is_named(task: Task) -> None:
    (task.folder / "contract.json").write_text('{"vllm": {"1.4.0": {"toy.layers:Norm.forward": {"hash": 1}}}}')
    with pytest.raises(FileError, match=r"contract\.json is not a contract file"):
        contract_for(task, "vllm", "1.4.0")
