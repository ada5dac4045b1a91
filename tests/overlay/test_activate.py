"""The overlay from the entry point to the kernel: real plans and packs, a toy engine, a process for every test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from overlay.toy_engine import SOURCES, VERSION, write_engine, write_pack
from overlay.toy_process import KERNELS, SERVE, Toy, toy

from fk_overlay import catalog, packs
from fk_overlay.overlay.receipts import collect, processes
from fk_overlay.plan import Plan

__all__ = ["toy"]


def only(receipts: Path) -> dict[str, Any]:
    (record,) = collect(receipts)
    return record


# ------------------------------------------------------------------------------------------------ seams


def test_a_method_from_entry_to_receipt(toy: Toy) -> None:
    script = """
load_plugins()
assert "toy.layers" not in sys.modules, "the overlay must not import what the engine has not asked for"
from toy.layers import Norm, Child
HOST.become_rank(0, 1, {"dtype": "bfloat16"})
from toy.models import ToyForCausalLM
model = ToyForCausalLM()
HOST.loaded(model)
say(norm=Norm()(1), residual=Norm()(1, residual=2), child=Child()(1),
    prepared=[each.prepared for each in (model.first, model.second, model.child)], entered=HOST.entered)
"""
    said = toy.run(script, toy.plan("norm")).said
    assert said == {"norm": 1001, "residual": 1003, "child": 10010, "prepared": [1, 1, 1], "entered": ["norm"]}
    record = only(toy.receipts)
    pack = packs.trusted(catalog.load_pack(toy.root / "patches" / "norm"))
    plan = Plan.read(toy.root / "plan.json")
    expected = {
        "role": "worker",
        "rank": 0,
        "world_size": 1,
        "engine": "toy",
        "version": VERSION,
        "loaded": True,
        "errors": [],
        "task": "norm",
        "target": "toy.layers:Norm.forward_native",
        "seam": "method",
        "pack": "norm",
        "pack_digest": pack.digest,
        "baseline_body": plan.swaps[0].expected["toy.layers:Norm.forward_native"].body,
        "aliases": [],
        "instances": 3,
        "prepared": 3,
        "calls_eager": 3,
        "calls_traced": 0,
        "fallbacks": 0,
    }
    assert {key: record[key] for key in expected} == expected
    assert processes(toy.receipts)[0]["config"] == {"dtype": "bfloat16"}


def test_a_static_method(toy: Toy) -> None:
    write_pack(toy.root, "scale", [("scale", "kernels.py", "Scaled")], kernels=KERNELS)
    script = """
load_plugins()
from toy.layers import Norm
say(instance=Norm().scale(1), bare=Norm.scale(1))
"""
    assert toy.run(script, toy.plan("scale")).said == {"instance": 1002.0, "bare": 2.0}
    assert only(toy.receipts)["calls_eager"] == 1


def test_fallbacks_are_counted(toy: Toy) -> None:
    write_pack(toy.root, "picky", [("norm", "kernels.py", "Refusing")], kernels=KERNELS)
    script = """
load_plugins()
from toy.layers import Norm
say(refused=Norm()(1), taken=Norm()(1, 2))
"""
    assert toy.run(script, toy.plan("picky")).said == {"refused": 2, "taken": 1003}
    record = only(toy.receipts)
    assert (record["calls_eager"], record["fallbacks"]) == (1, 1)


def test_a_patch_says_why_it_refused_calls_and_is_asked_ever_less_often(toy: Toy) -> None:
    write_pack(toy.root, "picky", [("norm", "kernels.py", "Refusing")], kernels=KERNELS)
    script = """
load_plugins()
from toy.layers import Norm
for x in (1, 2, 3, 4, 4, 4, 4, 1, 5):
    Norm()(x)
say(done=True)
"""
    ended = toy.run(script, toy.plan("picky"))
    reasons = [f"no residual was given with {x}" for x in (1, 2, 4)]  # the first, second, fourth and eighth call
    record = only(toy.receipts)
    assert (record["fallbacks"], record["refusals"]) == (9, reasons)
    assert [line.partition(": ")[2] for line in ended.err.splitlines() if "left to the engine" in line] == reasons


def test_why_not_takes_what_the_target_takes(toy: Toy) -> None:
    kernels = KERNELS.replace("def why_not(self, x, residual=None)", "def why_not(self, x)")
    write_pack(toy.root, "picky", [("norm", "kernels.py", "Refusing")], kernels=kernels)
    toy.refused(toy.plan("picky"), "SeamError")


def test_a_function_everywhere(toy: Toy) -> None:
    script = """
import toy.early
load_plugins()
import toy.late
say(early=toy.early.twice(1), late=toy.late.double(1), home=toy.arithmetic.double(1, by=3))
"""
    assert toy.run(script, toy.plan("double")).said == {"early": -2, "late": -2, "home": -3}
    record = only(toy.receipts)
    assert record["aliases"] == ["toy.arithmetic:double", "toy.early:twice"]
    assert record["calls_eager"] == 3


def test_an_ir_operator(toy: Toy) -> None:
    write_pack(toy.root, "ir", [("rms", "kernels.py", "rms")], "[patch.options]\nprovider = 'mine'\n", kernels=KERNELS)
    script = """
load_plugins()
from toy.ir import rms_norm
say(taken=rms_norm(1), refused=rms_norm(-1), providers=[name for name, _, _ in rms_norm.providers])
"""
    assert toy.run(script, toy.plan("ir")).said == {"taken": 1001, "refused": 0, "providers": ["mine"]}
    assert only(toy.receipts)["calls_eager"] == 1


def test_tuned_configurations(toy: Toy) -> None:
    pack = write_pack(toy.root, "tuned", [("tuning", "configs", "")])
    (pack / "configs").mkdir()
    (pack / "configs" / "moe.json").write_text('{"8": {"block": 64}}')
    plan = toy.plan("tuned")
    script = """
load_plugins()
from toy import tuning
say(found=tuning.get_configs("moe.json"), missing=tuning.get_configs("other.json"))
"""
    assert toy.run(script, plan).said == {"found": {"8": {"block": 64}}, "missing": None}
    record = only(toy.receipts)
    assert (record["seam"], record["aliases"]) == ("tuning", ["TOY_TUNED_FOLDER"])
    assert (record["calls_eager"], record["fallbacks"]) == (1, 1)
    assert record["files"] == ["moe.json"]
    assert record["lookups"] == {"moe.json": True, "other.json": False}


def test_a_whole_model(toy: Toy) -> None:
    source = """
from toy.models import ToyForCausalLM as Original


class Mine(Original):
    def forward(self, x):
        return super().forward(x) + 0.5
"""
    write_pack(toy.root, "model", [("model", "mine.py", "Mine")], mine=source)
    script = """
load_plugins()
from toy.registry import CLASSES
model = CLASSES["ToyForCausalLM"]()
HOST.loaded(model)
say(output=model(1), name=type(model).__name__)
"""
    assert toy.run(script, toy.plan("model")).said == {"output": 40.5, "name": "Mine"}
    record = only(toy.receipts)
    assert (record["seam"], record["calls_eager"], record["loaded"]) == ("model", 1, True)


def test_several_packs_at_once(toy: Toy) -> None:
    script = """
load_plugins()
import toy.layers, toy.arithmetic
say(norm=toy.layers.Norm()(1), double=toy.arithmetic.double(1))
"""
    assert toy.run(script, toy.plan("norm", "double")).said == {"norm": 1001, "double": -2}
    assert [(record["pack"], record["calls_eager"]) for record in collect(toy.receipts)] == [("norm", 1), ("double", 1)]


def test_the_baseline_has_the_overlay_and_no_patch(toy: Toy) -> None:
    script = """
load_plugins()
import toy.layers
HOST.become_rank(0, 1, {})
say(norm=toy.layers.Norm()(1), entered=HOST.entered)
"""
    assert toy.run(script, toy.plan()).said == {"norm": 2, "entered": ["baseline"]}
    record = only(toy.receipts)
    assert (record["task"], record["rank"]) == (None, 0)


def test_a_witness_launch_counts_executions(toy: Toy) -> None:
    script = """
load_plugins()
import time, torch
from toy.layers import Norm
norm, x = Norm(), torch.ones(2)
run = torch.compile(lambda x: norm(x), backend="aot_eager", fullgraph=True)
for _ in range(4):
    assert run(x).tolist() == [1001.0, 1001.0]
norm(x)
time.sleep(0.6)
say()
"""
    assert toy.run(script, toy.plan("norm", purpose="witness")).said == {}
    record = only(toy.receipts)
    assert (record["calls_traced"], record["calls_eager"], record["replays"]) == (1, 1, 5)


def test_a_pack_imports_its_neighbours_and_two_packs_may_use_the_same_names(toy: Toy) -> None:
    uses = "from .inner import VALUE\n\ndef double(x, by=2):\n    return VALUE\n"
    write_pack(toy.root, "one", [("double", "kernels.py", "double")], kernels=uses, inner="VALUE = 'one'")
    layers = uses + "class Norm:\n    def forward(self, x, residual=None):\n        return VALUE\n"
    write_pack(toy.root, "two", [("norm", "kernels.py", "Norm")], kernels=layers, inner="VALUE = 'two'")
    script = """
load_plugins()
import toy.layers, toy.arithmetic
say(norm=toy.layers.Norm()(1), double=toy.arithmetic.double(1))
"""
    assert toy.run(script, toy.plan("one", "two")).said == {"norm": "two", "double": "one"}


# ------------------------------------------------------------------------------------------------ processes


def test_plugins_may_be_loaded_twice(toy: Toy) -> None:
    script = """
load_plugins()
import toy.layers
load_plugins()
say(norm=toy.layers.Norm()(1), entered=HOST.entered)
"""
    assert toy.run(script, toy.plan("norm")).said == {"norm": 1001, "entered": ["norm"]}
    assert only(toy.receipts)["calls_eager"] == 1


def test_a_second_try_after_a_swallowed_failure_fails_again(toy: Toy) -> None:
    plan = toy.plan("norm")
    write_engine(toy.root, layers=SOURCES["layers"].replace("residual=None", "rest=None"))
    script = """
try:
    load_plugins()
except BaseException:
    print("swallowed")
load_plugins()
print("SERVED")
"""
    assert "swallowed" in toy.refused(plan, "ContractError", script).out


def test_a_forked_worker_leaves_its_own_receipt(toy: Toy) -> None:
    script = """
import os
load_plugins()
import toy.layers
if os.fork() == 0:
    HOST.become_rank(1, 2, {})
    assert toy.layers.Norm()(1) == 1001
    os._exit(0)
os.wait()
HOST.become_rank(0, 2, {})
toy.layers.Norm()(1), toy.layers.Norm()(1)
say()
"""
    assert toy.run(script, toy.plan("norm")).said == {}
    records = list(collect(toy.receipts))
    assert {(record["rank"], record["calls_eager"]) for record in records} == {(0, 2), (1, 1)}
    assert len({record["pid"] for record in records}) == 2


def test_a_worker_that_never_imports_the_target_says_so(toy: Toy) -> None:
    assert toy.run("load_plugins()\nHOST.become_rank(0, 1, {})\nsay()\n", toy.plan("norm")).said == {}
    assert only(toy.receipts)["task"] is None


# ------------------------------------------------------------------------------------------------ production


def test_pack_folders_in_place_of_a_plan(toy: Toy) -> None:
    env = {"FK_OVERLAY_PATH": str(toy.root), "FK_OVERLAY_RECEIPTS": str(toy.receipts)}
    folders = f"{toy.root / 'patches' / 'norm'}:{toy.root / 'patches' / 'double'}"
    script = """
load_plugins()
import toy.layers, toy.arithmetic
say(norm=toy.layers.Norm()(1), double=toy.arithmetic.double(1), arm=HOST.entered)
"""
    assert toy.run(script, folders, env).said == {"norm": 1001, "double": -2, "arm": ["norm+double"]}
    assert [record["task"] for record in collect(toy.receipts)] == ["norm", "double"]


def test_production_without_receipts_writes_nothing(toy: Toy) -> None:
    before = set(toy.root.rglob("*.json"))
    ended = toy.run(SERVE, toy.root / "patches" / "norm", {"FK_OVERLAY_PATH": str(toy.root)})
    assert ended.out == "SERVED 1001 4\n"
    assert set(toy.root.rglob("*.json")) == before


def test_production_warns_of_a_changed_body_and_goes_on(toy: Toy) -> None:
    write_engine(toy.root, layers=SOURCES["layers"].replace("x + residual", "residual + x"))
    ended = toy.run(SERVE, toy.root / "patches" / "norm", {"FK_OVERLAY_PATH": str(toy.root)})
    assert ended.out == "SERVED 1001 4\n"
    assert "toy.layers:Norm.forward_native: its body is not the one" in ended.err
    assert "fk-overlay: " not in ended.err


def test_production_checks_where_a_pack_may_run(toy: Toy) -> None:
    pack = toy.root / "patches" / "norm" / "pack.toml"
    pack.write_text(pack.read_text() + '[requires]\nengines = {toy = ">=9"}\n')
    ended = toy.refused(toy.root / "patches" / "norm", "PackError", env={"FK_OVERLAY_PATH": str(toy.root)})
    assert "it needs toy >=9, this is 1.2.0" in ended.last_word


# ------------------------------------------------------------------------------------------------ refusals


def test_a_changed_signature(toy: Toy) -> None:
    plan = toy.plan("norm", strict=False)
    write_engine(toy.root, layers=SOURCES["layers"].replace("residual=None", "rest=None").replace("residual", "rest"))
    ended = toy.refused(plan, "ContractError")
    assert "toy.layers:Norm.forward_native" in ended.last_word
    assert "-{residual = None} +{rest = None}" in ended.last_word
    assert toy.errors()[0].startswith("ContractError: ")


def test_a_changed_body(toy: Toy) -> None:
    plan = toy.plan("norm")
    write_engine(toy.root, layers=SOURCES["layers"].replace("x + residual", "residual + x"))
    ended = toy.refused(plan, "ContractError")
    assert "toy.layers:Norm.forward_native: body" in ended.last_word
    assert len(toy.errors()) == 1


def test_a_target_that_is_gone(toy: Toy) -> None:
    plan = toy.plan("double")
    write_engine(toy.root, arithmetic="def triple(x):\n    return x * 3\n", early="", late="")
    assert "double" in toy.refused(plan, "ContractError").last_word


def test_nothing_is_patched_if_one_contract_of_two_is_broken(toy: Toy) -> None:
    plan = toy.plan("double", "norm")
    write_engine(toy.root, layers=SOURCES["layers"].replace("residual=None", "rest=None"))
    toy.refused(plan, "ContractError")
    assert processes(toy.receipts)[0]["places"] == []


def test_a_function_that_another_plugin_has_wrapped(toy: Toy) -> None:
    script = (
        """
import toy.arithmetic
inner = toy.arithmetic.double
toy.arithmetic.double = lambda x, by=2: inner(x, by)
"""
        + SERVE
    )
    ended = toy.refused(toy.plan("double"), "ContractError", script)
    assert "load no other plugin" in ended.last_word
    assert len(toy.errors()) == 1


def test_two_packs_on_one_place(toy: Toy) -> None:
    write_pack(toy.root, "rival", [("norm", "kernels.py", "Tenfold")], kernels=KERNELS)
    ended = toy.refused(toy.plan("norm", "rival"), "SeamError")
    assert "packs 'norm' and 'rival' both replace toy.layers:Norm.forward_native" in ended.last_word
    assert len(toy.errors()) == 1


@pytest.mark.parametrize("name", ["kernels.py", "inner.py"])
def test_a_file_of_the_pack_changed_after_planning(name: str, toy: Toy) -> None:
    source = "from .inner import *\n" + KERNELS
    pack = write_pack(toy.root, "late", [("norm", "kernels.py", "Tenfold")], kernels=source, inner="VALUE = 1\n")
    plan = toy.plan("late")
    (pack / name).write_text((pack / name).read_text() + "\n# a comment\n")
    assert "changed since the run was planned" in toy.refused(plan, "PackError").last_word
    assert len(toy.errors()) == 1


def test_a_pack_that_is_gone(toy: Toy) -> None:
    plan = toy.plan("norm")
    folder = toy.root / "patches" / "norm"
    folder.rename(folder.with_name("moved"))
    assert "is gone" in toy.refused(plan, "PackError").last_word


def test_a_plan_for_another_engine(toy: Toy) -> None:
    path = toy.plan("norm")
    replace(Plan.read(path), engine="sglang").write(path)
    assert "the plan is for sglang, this process is toy" in toy.refused(path, "UsageError").last_word
    assert len(toy.errors()) == 1


def test_a_symbol_that_the_file_does_not_define(toy: Toy) -> None:
    write_pack(toy.root, "typo", [("norm", "kernels.py", "Tenfolt")], kernels=KERNELS)
    ended = toy.refused(toy.plan("typo"), "PackError")
    assert "kernels.py defines no 'Tenfolt'" in ended.last_word
    assert len(toy.errors()) == 1


def test_a_patch_that_does_not_import(toy: Toy) -> None:
    write_pack(toy.root, "broken", [("norm", "kernels.py", "Tenfold")], kernels="import not_installed_anywhere\n")
    ended = toy.refused(toy.plan("broken"), "ModuleNotFoundError")
    assert "kernels.py" in ended.err
    assert len(toy.errors()) == 1


def test_a_kernel_with_other_parameters(toy: Toy) -> None:
    source = "class Norm:\n    def forward(self, hidden):\n        return hidden\n"
    write_pack(toy.root, "other", [("norm", "kernels.py", "Norm")], kernels=source)
    ended = toy.refused(toy.plan("other"), "SeamError")
    assert "takes (hidden); the engine calls it with (x, residual=None)" in ended.last_word


def test_a_prepare_that_fails(toy: Toy) -> None:
    source = KERNELS.replace('self.prepared = getattr(self, "prepared", 0) + 1', 'raise ValueError("weights")')
    write_pack(toy.root, "unprepared", [("norm", "kernels.py", "Tenfold")], kernels=source)
    script = """
load_plugins()
from toy.models import ToyForCausalLM
try:
    HOST.loaded(ToyForCausalLM())
except Exception:
    pass
print("SERVED")
"""
    toy.refused(toy.plan("unprepared"), "ValueError", script)
    assert toy.errors() == ["ValueError: weights"]
    assert only(toy.receipts)["loaded"] is False


def test_a_failure_inside_an_optional_import_of_the_engine(toy: Toy) -> None:
    """Engines wrap imports of optional parts in ``except Exception`` and go on without them."""
    write_pack(toy.root, "typo", [("norm", "kernels.py", "Tenfolt")], kernels=KERNELS)
    script = "load_plugins()\nimport toy.optional\nprint('SERVED', toy.optional.PRESENT)\n"
    toy.refused(toy.plan("typo"), "PackError", script)


def test_a_failure_in_another_thread_ends_the_process_too(toy: Toy) -> None:
    """SystemExit would end the thread only, and the process would go on serving."""
    write_pack(toy.root, "typo", [("norm", "kernels.py", "Tenfolt")], kernels=KERNELS)
    script = """
import importlib, threading
load_plugins()
thread = threading.Thread(target=importlib.import_module, args=("toy.layers",))
thread.start()
thread.join()
print("SERVED")
"""
    toy.refused(toy.plan("typo"), "PackError", script)
    assert len(toy.errors()) == 1


# ------------------------------------------------------------------------------------------------ what FK_OVERLAY names


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '"plan"', '{"format": 1}', '{"format": 1, "swaps": [3], "receipts": null}']
)
def test_a_plan_that_is_none(text: str, toy: Toy) -> None:
    path = toy.root / "plan.json"
    path.write_text(text)
    assert f"{path} is not a readable plan" in toy.refused(path, "FileError").last_word


def test_a_plan_that_everybody_may_write(toy: Toy) -> None:
    path = toy.plan("norm")
    path.chmod(0o666)
    assert f"may be written by everyone; a plan decides what code runs: chmod o-w {path}" in (
        toy.refused(path, "FileError").last_word
    )


def test_a_path_that_does_not_exist(toy: Toy) -> None:
    ended = toy.refused(toy.root / "nowhere.json", "UsageError")
    assert f"{toy.root / 'nowhere.json'} does not exist" in ended.last_word
    assert "FK_OVERLAY is a plan file, or pack folders" in ended.last_word


def test_a_list_of_nothing(toy: Toy) -> None:
    assert "FK_OVERLAY=':': it names nothing" in toy.refused(":", "UsageError").last_word


def test_a_folder_that_is_no_pack(toy: Toy) -> None:
    assert "no pack (a folder with a pack.toml) called" in toy.refused(toy.root, "UsageError").last_word


def test_a_misspelt_variable(toy: Toy) -> None:
    ended = toy.refused(toy.plan("norm"), "UsageError", env={"FK_OVERLAY_RECEIPT": "x"})
    assert "unknown environment variables: FK_OVERLAY_RECEIPT; known: FK_OVERLAY, " in ended.last_word


@pytest.mark.parametrize("planned", [True, False])
def test_a_pack_that_everybody_may_write(planned: bool, toy: Toy) -> None:
    pack = toy.root / "patches" / "norm"
    overlay = toy.plan("norm") if planned else pack
    (pack / "kernels.py").chmod(0o666)
    ended = toy.refused(overlay, "PackError", env={"FK_OVERLAY_PATH": str(toy.root)})
    assert "kernels.py may be written by everyone" in ended.last_word


@pytest.mark.parametrize("planned", [True, False])
def test_a_link_out_of_the_pack(planned: bool, toy: Toy) -> None:
    pack = toy.root / "patches" / "norm"
    overlay = toy.plan("norm") if planned else pack
    outside = toy.root / "outside.py"
    outside.write_text("")
    (pack / "helper.py").symlink_to(outside)
    ended = toy.refused(overlay, "PackError", env={"FK_OVERLAY_PATH": str(toy.root)})
    assert f"leads out of the pack, to {outside}" in ended.last_word


def test_a_pack_that_is_not_what_its_lock_says(toy: Toy) -> None:
    folder = toy.root / "patches" / "norm"
    packs.write_lock(catalog.load_pack(folder), {})
    (folder / "kernels.py").write_text(KERNELS + "\n# changed\n")
    ended = toy.refused(folder, "PackError", env={"FK_OVERLAY_PATH": str(toy.root)})
    assert "pack 'norm' is not what its lock says: kernels.py" in ended.last_word


def test_the_error_is_said_once_on_one_line(toy: Toy) -> None:
    """The launcher quotes this line as the reason of a failed start."""
    plan = toy.plan("norm")
    write_engine(toy.root, layers=SOURCES["layers"].replace("residual=None", "rest=None"))
    ended = toy.refused(plan, "ContractError")
    assert [line for line in ended.err.splitlines() if line.startswith("fk-overlay: ")] == [ended.last_word]
    assert json.loads((next(toy.receipts.glob("*.json"))).read_text())["errors"]
