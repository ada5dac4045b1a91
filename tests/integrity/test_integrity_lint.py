"""The lint of oracles: a sound task passes, and each way to be unsound is named."""

from pathlib import Path

import pytest
import torch

from fk_overlay.core import Task, Tolerance
from fk_overlay.errors import FileError
from fk_overlay.integrity.calls import changed, tensors
from fk_overlay.integrity.discriminate import lint
from fk_overlay.integrity.oracle import load_oracle

SOUND = """
from types import SimpleNamespace
import torch
from fk_overlay.core import Case
from fk_overlay.integrity.draw import Draw

UNUSED = ("scratch",)

def reference(module, x, scratch=None):
    return x * module.weight

def samples(seed, dtype, device="cpu"):
    draw = Draw(seed, dtype, device)
    for rows in (1, 7):
        module = SimpleNamespace(weight=draw.normal(9, mean=2.0))
        yield Case(module, (draw.normal(rows, 9),), {"scratch": draw.normal(3)})
"""

TIGHT = {"float32": Tolerance(1e-5, 1e-6), "bfloat16": Tolerance(0.0157, 0.001)}


def task(folder: Path, source: str = SOUND, **values: object) -> Task:
    (folder / "reference.py").write_text(source)
    settings = {"tolerance": TIGHT, **values}
    return Task("toy", "L1", "A toy.", ("dense",), (), folder=folder, **settings)  # type: ignore[arg-type]


def found(task: Task) -> set[tuple[str, str]]:
    return {(problem.probe, problem.dtype) for problem in lint(task)}


def test_a_sound_task_has_no_problems(tmp_path: Path) -> None:
    assert lint(task(tmp_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "probe"),
    [
        ("return x * module.weight", "return x.mul_(module.weight)", "purity"),
        ("return x * module.weight", "return (x * module.weight).float().sub(2).log()", "finite"),
        ("return x * module.weight", "return x * module.weight / (x - x)", "finite"),
        ("return x * module.weight", "return (x + 1e6) * module.weight - 1e6 * module.weight", "precision"),
        ("Draw(seed, dtype, device)", "Draw(0, dtype, device)", "samples"),
        ("Draw(seed, dtype, device)", "Draw(int(torch.randint(99999, ())), dtype, device)", "samples"),
        ("for rows in (1, 7)", "for rows in ()", "samples"),
        ("for rows in (1, 7)", "for rows in (1, 2)", "samples"),
        ("draw.normal(9, mean=2.0)", "torch.ones(9, dtype=dtype)", "module.weight is permuted"),
        ("draw.normal(9, mean=2.0)", "torch.ones(9, dtype=dtype)", "result 0 is x passed through"),
        ("draw.normal(9, mean=2.0)", "torch.zeros(9, dtype=dtype)", "result 0 is zeros"),
        ("draw.normal(9, mean=2.0)", "torch.zeros(9, dtype=dtype)", "module.weight is ignored"),
        ("draw.normal(9, mean=2.0)", "draw.normal(9) * (torch.arange(9) < 8)", "result 0 is without its last column"),
        ("draw.normal(rows, 9)", "draw.normal(rows, 1).repeat(1, 9)", "x is permuted along axis 1"),
        ("Draw(seed, dtype, device)", "Draw(0, dtype, device)", "those of other inputs"),
        ('UNUSED = ("scratch",)', "UNUSED = ()", "scratch is permuted"),
        ('UNUSED = ("scratch",)', 'UNUSED = ("scratch", "buffer")', "names"),
    ],
)
def test_an_unsound_oracle_is_named(tmp_path: Path, old: str, new: str, probe: str) -> None:
    assert old in SOUND
    assert probe in {name for name, _ in found(task(tmp_path, SOUND.replace(old, new)))}


def test_a_loose_tolerance_is_named_in_its_dtype(tmp_path: Path) -> None:
    loose = task(tmp_path, tolerance={**TIGHT, "float32": Tolerance(0.02, 1e-6)})
    assert found(loose) == {
        ("result 0 is off by 1.00% in 2% of its elements", "float32"),
        ("made from inputs in bfloat16", "float32"),
    }


def test_inputs_that_a_coarser_dtype_holds_exactly_tell_nothing_of_precision(tmp_path: Path) -> None:
    whole = SOUND.replace("draw.normal(rows, 9)", "draw.integers(9, rows, 9).to(dtype)")
    whole = whole.replace("draw.normal(9, mean=2.0)", "draw.integers(5, 9).to(dtype) + 1")
    assert lint(task(tmp_path, whole, tolerance={"float32": Tolerance(1e-5, 1e-6)})) == []


def test_a_ratio_that_lets_too_much_pass_is_named(tmp_path: Path) -> None:
    lax = task(tmp_path, tolerance={"float32": Tolerance(1e-5, 1e-6, ratio=0.9, cap=1e9)})
    assert ("result 0 is off by 1.00% in 2% of its elements", "float32") in found(lax)


def test_a_tolerance_larger_than_the_results_lets_everything_pass(tmp_path: Path) -> None:
    probes = {name for name, _ in found(task(tmp_path, tolerance={"float32": Tolerance(0, 1000)}))}
    assert {"result 0 is zeros", "result 0 is ones", "result 0 is its own mean", "x is permuted"} <= probes


def test_promises_about_unknown_arguments_are_named(tmp_path: Path) -> None:
    (problem,) = lint(task(tmp_path, mutates=("out",)))
    assert str(problem) == "names: 'out' is not an argument of the oracle (module, x, scratch)"


def test_a_task_without_tolerance_cannot_judge(tmp_path: Path) -> None:
    assert found(task(tmp_path, tolerance={})) == {("samples", "")}


def test_an_unknown_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"tolerance\.float31"):
        lint(task(tmp_path, tolerance={"float31": Tolerance(0, 0)}))


@pytest.mark.parametrize(
    ("source", "message"),
    [("import nowhere_to_be_found", "cannot be imported"), ("def samples(): ...", "no function 'reference'")],
)
def test_a_broken_reference_is_refused(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        load_oracle(task(tmp_path, source))


def test_a_missing_reference_is_refused_with_its_path(tmp_path: Path) -> None:
    missing = task(tmp_path)
    (tmp_path / "reference.py").unlink()
    with pytest.raises(FileError, match=r"has no oracle; write .*reference\.py"):
        load_oracle(missing)


def test_changed_reaches_nested_tensors_by_path() -> None:
    value = {"layers": [{"weight": torch.ones(2)}, {"weight": torch.zeros(2)}], "count": 2}
    assert list(tensors(value)) == ["layers.0.weight", "layers.1.weight"]
    doubled = changed(value, lambda path, tensor: tensor + 1 if path == "layers.1.weight" else tensor)
    assert doubled["layers"][1]["weight"].tolist() == [1, 1]
    assert doubled["layers"][0]["weight"] is value["layers"][0]["weight"]
    assert doubled["count"] == 2
