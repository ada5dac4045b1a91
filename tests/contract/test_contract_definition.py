"""Definitions read from source: found, hashed without noise, and missed with a useful message."""

from pathlib import Path

import pytest
import toy_package

from fk_overlay.contract.definition import DefinitionNotFound, find
from fk_overlay.errors import ContractError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return toy_package.make(tmp_path)


def body_after(root: Path, place: str, old: str, new: str) -> str:
    """The body hash of ``place`` once ``old`` has been replaced by ``new`` in the source."""
    assert old in toy_package.LAYERS
    return find(toy_package.make(root / "edited", toy_package.LAYERS.replace(old, new)), place).body


def test_a_method_is_described(root: Path) -> None:
    found = find(root, toy_package.NORM)
    assert found.signature == "(self, x: 'Tensor', residual: 'Tensor | None'=None) -> 'Tensor'"
    assert found.source.splitlines()[0].strip() == "@traced"
    assert found.source.rstrip().endswith("return (x, residual, text)")
    assert toy_package.LAYERS.splitlines()[found.lineno - 1].strip() == "@traced"
    assert found.file == root / "toy" / "layers.py"


def test_hashes_do_not_depend_on_the_version_of_python(root: Path) -> None:
    """The constants were taken under 3.11; every other version must come to the same."""
    places = ("Norm", "Norm.forward", "align", "fallback", "TABLE")
    assert {place: find(root, f"toy.layers:{place}").body for place in places} == {
        "Norm": "d349ed713d5ceb60",
        "Norm.forward": "4c49d3cacf65ab6c",
        "align": "d04918dfdb54b4fc",
        "fallback": "0cc093318fa7891a",
        "TABLE": "88b9f80f97287d5c",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # a comment", ""),
        ("# a comment", "# another comment: 'with quotes'"),
        ('"# no comment"  # a comment\n\n', '"# no comment"   \n'),
        ("With a second paragraph.", "Reworded."),
        ('"""Normalises."""', '"""Says more."""'),
        ("class Norm:", "GAP = 1\n\n\nclass Norm:"),
        ('x: "Tensor", residual', 'x: "Any", residual'),
    ],
)
def test_noise_does_not_change_a_body(root: Path, old: str, new: str) -> None:
    assert body_after(root, toy_package.NORM, old, new) == find(root, toy_package.NORM).body


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"# no comment"', '"# a comment"'),
        ("return (x, residual, text)", "return (residual, x, text)"),
        ("    @traced\n", ""),
    ],
)
def test_a_change_of_what_runs_changes_the_body(root: Path, old: str, new: str) -> None:
    assert body_after(root, toy_package.NORM, old, new) != find(root, toy_package.NORM).body


def test_indentation_does_not_change_a_body(root: Path) -> None:
    shifted = "if True:\n" + "".join(f"    {line}\n" if line else "\n" for line in toy_package.LAYERS.splitlines())
    moved = toy_package.make(root / "shifted", shifted)
    assert find(moved, "toy.layers:Norm.native").body == find(root, "toy.layers:Norm.native").body


def test_a_class_has_the_signature_of_its_constructor_and_a_body_of_everything(root: Path) -> None:
    found = find(root, "toy.layers:Norm")
    assert found.signature == "(self, size: int, eps: float=1e-06) -> None"
    assert body_after(root, "toy.layers:Norm", "return x\n\n\n@overload", "return 2 * x\n\n\n@overload") != found.body
    assert body_after(root, "toy.layers:Norm", "class Norm:", "class Norm(dict):") != found.body


def test_overloads_are_passed_over(root: Path) -> None:
    assert find(root, "toy.layers:align").signature == "(ids, size=4)"


def test_definitions_in_branches_one_liners_and_values_are_found(root: Path) -> None:
    assert find(root, "toy.layers:fallback").signature == "(x)"
    assert body_after(root, "toy.layers:fallback", "(x): return x + 1", "(y, z): return x + 1") == (
        find(root, "toy.layers:fallback").body
    )
    assert find(root, "toy.layers:TABLE").source == 'TABLE: dict[str, int] = {"a": 1}\n'
    assert find(root, "toy:top").signature == "(x)"


def test_a_missing_member_is_answered_with_the_ones_there_are(root: Path) -> None:
    with pytest.raises(DefinitionNotFound, match=r"has no forward_cuda of its own, only __init__, forward, native"):
        find(root, "toy.layers:Norm.forward_cuda")


def test_a_moved_definition_is_answered_with_its_new_place(root: Path) -> None:
    with pytest.raises(DefinitionNotFound, match=r"one is now at toy\.layers:Norm\.forward") as caught:
        find(root, "toy.old.norms:Norm.forward")
    assert caught.value.moved == ("toy.layers:Norm.forward",)


def test_a_definition_that_is_gone_is_said_to_be(root: Path) -> None:
    with pytest.raises(DefinitionNotFound, match="gone from this release") as caught:
        find(root, "toy.layers:Softmax")
    assert caught.value.moved == ()


def test_a_damaged_file_is_an_error(root: Path) -> None:
    (root / "toy" / "layers.py").write_text("def broken(:\n")
    with pytest.raises(ContractError, match="does not parse"):
        find(root, "toy.layers:broken")


def test_an_edited_file_is_read_again(root: Path) -> None:
    before = find(root, "toy:top").body
    (root / "toy" / "__init__.py").write_text("def top(x): return -x\n")
    assert find(root, "toy:top").body != before
