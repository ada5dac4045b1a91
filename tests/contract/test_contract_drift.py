"""Tasks held against a release that is not installed: the state of every place, and where it went."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy_package

from fk_overlay.contract.check import Finding
from fk_overlay.contract.drift import drift
from fk_overlay.contract.release import Release
from fk_overlay.contract.snapshot import release as release_in
from fk_overlay.contract.snapshot import snapshot
from fk_overlay.contract.store import write
from fk_overlay.core import Target, Task
from fk_overlay.errors import UsageError

OPS = "class Other:\n    def forward(self, x): return 2\n"


def made(root: Path, layers: str = toy_package.LAYERS, **others: str) -> Path:
    toy_package.make(root, layers)
    for name, text in {"ops": OPS, **others}.items():
        (root / "toy" / f"{name}.py").write_text(text)
    return root


@pytest.fixture
def task(tmp_path: Path) -> Task:
    task = toy_package.task(tmp_path / "norm")
    write(task.folder, snapshot(task, "vllm", "1.0.0", made(tmp_path)))
    return task


def against(task: Task, root: Path, version: str = "2.0.0", *, known: bool = True) -> Finding:
    """The task's only finding; ``known``: the release of its contract is stored too."""
    before = release_in([task], "vllm", "1.0.0", root.parent)
    (finding,) = drift([task], release_in([task], "vllm", version, root), lambda *_: before if known else None)
    return finding


def edited(tmp_path: Path, old: str, new: str, **others: str) -> Path:
    assert old in toy_package.LAYERS
    return made(tmp_path / "edited", toy_package.LAYERS.replace(old, new), **others)


@pytest.mark.parametrize(
    ("old", "new", "state", "detail", "diff"),
    [
        ("# a comment", "# another", "same", "", ()),
        (
            '| None" = None)',
            '| None" = None, scale=1.0)',
            "compatible",
            "+{scale = 1.0}",
            (" residual: 'Tensor | None' = None", "+scale = 1.0"),
        ),
        ("return (x, residual, text)", "return (residual, x, text)", "body", "its statements differ", ()),
        (
            'x: "Tensor", residual',
            "hidden, residual",
            "changed",
            "-{x: 'Tensor'} +{hidden}",
            (" self", "-x: 'Tensor'", "+hidden", " residual: 'Tensor | None' = None"),
        ),
        ("def forward(", "def forward_cuda(", "moved", "same statements are now at toy.layers:Norm.forward_cuda", ()),
        ("class Norm:", "class RootNorm:", "moved", "same statements are now at toy.layers:RootNorm.forward", ()),
    ],
)
def test_the_state_of_a_place(
    task: Task, tmp_path: Path, old: str, new: str, state: str, detail: str, diff: tuple[str, ...]
) -> None:
    finding = against(task, edited(tmp_path, old, new))
    assert (finding.task, finding.place, finding.release) == ("norm", toy_package.NORM, "1.0.0")
    assert (finding.state, finding.diff, finding.outside) == (state, diff, "")
    assert detail in finding.detail
    assert bool(finding.detail) == (state != "same")


def test_a_class_that_moved_is_found_in_another_module(task: Task, tmp_path: Path) -> None:
    root = made(tmp_path / "edited", "GAP = 1\n", norms=toy_package.LAYERS)
    finding = against(task, root)
    assert (finding.state, finding.detail) == ("moved", "it is now at toy.norms:Norm.forward, unchanged")


def test_a_move_tells_how_the_signature_changed_on_the_way(task: Task, tmp_path: Path) -> None:
    moved = toy_package.LAYERS.replace('x: "Tensor", residual', "hidden, residual")
    finding = against(task, made(tmp_path / "edited", "GAP = 1\n", norms=moved))
    assert finding.detail == "it is now at toy.norms:Norm.forward, -{x: 'Tensor'} +{hidden}"
    assert "+hidden" in finding.diff


def test_the_likeliest_of_several_new_places_comes_first(task: Task, tmp_path: Path) -> None:
    changed = toy_package.LAYERS.replace('x: "Tensor", residual', "hidden, residual")
    finding = against(task, made(tmp_path / "edited", "GAP = 1\n", a=changed, b=toy_package.LAYERS))
    assert finding.detail == "it is now at toy.b:Norm.forward, unchanged; also at toy.a:Norm.forward"


def test_a_name_that_is_only_passed_on_is_followed(task: Task, tmp_path: Path) -> None:
    layers = "from toy.norms import Norm\n"
    finding = against(task, made(tmp_path / "edited", layers, norms=toy_package.LAYERS, a=toy_package.LAYERS))
    assert finding.detail == "it is now passed on from toy.norms:Norm.forward, unchanged"


def test_a_method_that_is_now_inherited_is_followed_to_its_class(task: Task, tmp_path: Path) -> None:
    layers = "from toy.ops import Other\nclass Norm(Other):\n    def native(self): pass\n"
    finding = against(task, made(tmp_path / "edited", layers))
    assert finding.state == "moved"
    assert finding.detail.startswith("it is now inherited from toy.ops:Other.forward, -{x: 'Tensor'} -{residual")


def test_a_moved_class_may_inherit_what_it_had(task: Task, tmp_path: Path) -> None:
    norms = "from toy.ops import Other\nclass Norm(Other): pass\n"
    finding = against(task, made(tmp_path / "edited", "GAP = 1\n", norms=norms, ops=OPS))
    assert finding.detail.startswith("it is now at toy.ops:Other.forward, ")


@pytest.mark.parametrize("known", [True, False])
def test_what_had_the_same_name_before_is_no_move(task: Task, tmp_path: Path, known: bool) -> None:
    """Many engines have several classes of one name. Without the earlier index nobody can tell."""
    stranger = "class Norm:\n    def forward(self): return 7\n"
    (tmp_path / "toy" / "strange.py").write_text(stranger)
    finding = against(task, made(tmp_path / "edited", "GAP = 1\n", strange=stranger), known=known)
    assert finding.state == ("gone" if known else "moved")


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        (None, "there is no module toy.layers any more"),
        ("GAP = 1\n", "toy.layers defines no Norm any more"),
        (
            "class Norm:\n    def native(self): return 3\n    def _own(self): pass\n",
            "Norm has no forward any more, only native",
        ),
        ("class Norm:\n    size = 3\n", "Norm has no forward any more, only private methods"),
    ],
)
def test_what_is_gone_is_told_with_what_is_left(task: Task, tmp_path: Path, layers: str | None, left: str) -> None:
    root = made(tmp_path / "edited", layers or "")
    if layers is None:
        (root / "toy" / "layers.py").unlink()
    finding = against(task, root)
    assert (finding.state, finding.detail) == ("gone", left)


def test_plain_statements_that_many_share_are_no_move(task: Task, tmp_path: Path) -> None:
    many = "".join(f"class C{number}:\n    def step(self): return 1\n" for number in range(4))
    layers = toy_package.LAYERS + "\nclass Plain:\n    def step(self): return 1\n"
    target = Target("vllm", ">=1,<3", "toy.layers:Plain", members=("step",))
    plain = toy_package.task(tmp_path / "plain", target)
    write(plain.folder, snapshot(plain, "vllm", "1.0.0", made(tmp_path, layers)))
    assert against(plain, made(tmp_path / "edited", many)).state == "gone"


def test_a_release_that_no_target_admits_is_held_against_the_nearest_contract(task: Task, tmp_path: Path) -> None:
    for version in ("0.5.0", "3.5.0"):
        finding = against(task, made(tmp_path / "edited"), version)
        assert (finding.state, finding.release, finding.outside) == ("same", "1.0.0", ">=1,<3")


def test_the_contract_must_be_of_the_targets_that_the_release_has(tmp_path: Path) -> None:
    old = Target("vllm", "<2", "toy.layers:Norm", members=("native",))
    task = toy_package.task(tmp_path / "norm", old, Target("vllm", ">=2", "toy.layers:Norm", members=("forward",)))
    root = made(tmp_path / "edited")
    for version in ("1.0.0", "2.5.0"):
        write(task.folder, snapshot(task, "vllm", version, root))
    assert (against(task, root, "1.5").place, against(task, root, "1.5").release) == (
        "toy.layers:Norm.native",
        "1.0.0",
    )
    assert (against(task, root, "2.1").place, against(task, root, "2.1").release) == (toy_package.NORM, "2.5.0")


def test_a_task_without_a_contract_is_new(task: Task, tmp_path: Path) -> None:
    (task.folder / "contract.json").unlink()
    finding = against(task, made(tmp_path / "edited"))
    assert (finding.state, finding.release) == ("new", "")


def test_an_engine_without_targets_is_refused(task: Task, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no task on the search path has a target in sglang"):
        drift([task], Release("sglang", "1.0", {}), lambda *_: None)


def test_two_releases_are_compared_whatever_the_contracts_say(task: Task, tmp_path: Path) -> None:
    """A task that has a contract for the release itself is the same there; what changed since an older one shows."""
    root = edited(tmp_path, "return (x, residual, text)", "return (residual, x, text)")
    write(task.folder, snapshot(task, "vllm", "2.0.0", root))
    assert against(task, root).state == "same"
    old, new = (release_in([task], "vllm", version, at) for version, at in (("1.0.0", tmp_path), ("2.0.0", root)))
    (finding,) = drift([task], new, lambda *_: old, old)
    assert (finding.state, finding.release) == ("body", "1.0.0")
    (finding,) = drift([task], new, lambda *_: old, new)
    assert (finding.state, finding.release) == ("same", "2.0.0")


def test_what_an_older_release_did_not_have_is_new(task: Task, tmp_path: Path) -> None:
    old = release_in([task], "vllm", "0.1.0", made(tmp_path / "older", "GAP = 1\n"))
    (finding,) = drift([task], release_in([task], "vllm", "1.0.0", tmp_path), lambda *_: old, old)
    assert (finding.state, finding.release) == ("new", "0.1.0")
