from __future__ import annotations

import re
from pathlib import Path

import pytest

from fk_overlay import catalog
from fk_overlay.core import Slo, Target, Tolerance, Workload
from fk_overlay.errors import FileError, UsageError

TASK = """
name = "norm"
level = "L1"
summary = "RMS norm"
families = ["dense", "moe"]
mutates = ["residual"]

[aliases]
out = "x"

[[target]]
engine = "toy"
versions = ">=1.0,<2.0"
path = "toy.layers:Norm"
members = ["forward"]

[[target]]
engine = "toy"
versions = ">=2.0"
path = "toy.norm:rms_norm"
seam = "function"

[tolerance.bfloat16]
rtol = 1e-2
atol = 1e-2
"""
PACK = """
name = "fast"
summary = "faster"

[[patch]]
task = "norm"
file = "norm.py"
symbol = "Norm"
options = {provider = "mine"}

[requires]
engines = {toy = ">=1.0"}
gpus = ["NVIDIA *"]
"""
SCENARIO = """
name: small
summary: a small model
model: {source: "wheel:tiny", dtype: bfloat16}
headline: long
workloads:
  - {name: short, requests: 4, input_len: 8, output_len: 8}
  - {name: long, requests: 2, input_len: 64, output_len: 8, loop: open, load: 0.5}
engine_args:
  vllm: {max_model_len: 256, enforce_eager: true}
env: {OMP_NUM_THREADS: "1"}
slo: {ttft_ms: 100}
"""


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def put_task(root: Path, text: str = TASK, level: str = "L1", name: str = "norm") -> Path:
    return put(root / "tasks" / level / name / "task.toml", text)


def put_pack(root: Path, text: str = PACK, name: str = "fast") -> Path:
    put(root / "patches" / name / "norm.py", "class Norm: ...\n")
    return put(root / "patches" / name / "pack.toml", text).parent


def put_scenario(root: Path, text: str = SCENARIO, name: str = "small") -> Path:
    return put(root / "scenarios" / f"{name}.yaml", text)


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A search path of three empty roots: named by the variable, the working folder, and what is shipped."""
    found = {name: tmp_path / name for name in ("first", "second", "here", "shipped")}
    for folder in found.values():
        folder.mkdir()
    monkeypatch.setenv("FK_OVERLAY_PATH", f"{found['first']}:{found['second']}")
    monkeypatch.chdir(found["here"])
    monkeypatch.setattr(catalog, "shipped", lambda: found["shipped"])
    return found


# ------------------------------------------------------------------------------------------------ what is loaded


def test_a_task(tmp_path: Path) -> None:
    task = catalog.load_task(put_task(tmp_path))
    assert task.targets == (
        Target("toy", ">=1.0,<2.0", "toy.layers:Norm", "method", ("forward",)),
        Target("toy", ">=2.0", "toy.norm:rms_norm", "function", ()),
    )
    assert task.families == ("dense", "moe")
    assert (task.mutates, task.aliases) == (("residual",), {"out": "x"})
    assert task.tolerance == {"bfloat16": Tolerance(1e-2, 1e-2)}
    assert task.folder == tmp_path / "tasks" / "L1" / "norm"


def test_a_pack(tmp_path: Path) -> None:
    pack = catalog.load_pack(put_pack(tmp_path))
    (patch,) = pack.patches
    assert (patch.task, patch.file, patch.symbol, patch.seam, patch.options) == (
        "norm",
        "norm.py",
        "Norm",
        None,
        {"provider": "mine"},
    )
    assert pack.requires.engines == {"toy": ">=1.0"}
    assert pack.requires.gpus == ("NVIDIA *",)
    assert pack.folder == tmp_path / "patches" / "fast"
    assert pack.digest == ""


def test_a_scenario(tmp_path: Path) -> None:
    scenario = catalog.load_scenario(put_scenario(tmp_path))
    assert scenario.workloads == (
        Workload("short", 4, 8, 8),
        Workload("long", 2, 64, 8, loop="open", load=0.5),
    )
    assert scenario.headline_workload.name == "long"
    assert scenario.engine_args == {"vllm": {"max_model_len": 256, "enforce_eager": True}}
    assert scenario.slo == Slo(ttft_ms=100.0, tpot_ms=Slo().tpot_ms)
    assert scenario.folder == tmp_path / "scenarios"


def test_the_first_workload_is_the_headline_if_none_is_named(tmp_path: Path) -> None:
    path = put_scenario(tmp_path, SCENARIO.replace("headline: long", ""))
    assert catalog.load_scenario(path).headline_workload.name == "short"


def test_a_folder_of_configurations_is_a_patch_file(tmp_path: Path) -> None:
    folder = put_pack(tmp_path, PACK.replace("norm.py", "configs"))
    (folder / "configs").mkdir()
    assert catalog.load_pack(folder).patches[0].file == "configs"


# ------------------------------------------------------------------------------------------------ search path


def test_roots_are_variable_then_working_folder_then_shipped(roots: dict[str, Path]) -> None:
    assert catalog.roots() == (roots["first"], roots["second"], roots["here"], roots["shipped"])


def test_a_root_counts_once(roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(roots["second"])
    assert catalog.roots() == (roots["first"], roots["second"], roots["shipped"])


def test_the_first_root_that_has_a_name_wins(roots: dict[str, Path]) -> None:
    order = ["shipped", "here", "second", "first"]
    for root in order:
        put_task(roots[root], TASK.replace("RMS norm", root))
        put_pack(roots[root], PACK.replace("faster", root))
        put_scenario(roots[root], SCENARIO.replace("a small model", root))
        assert catalog.task("norm").summary == root
        assert catalog.pack("fast").summary == root
        assert catalog.scenario("small").summary == root
        assert list(catalog.tasks()) == ["norm"]


def test_roots_add_up(roots: dict[str, Path]) -> None:
    put_task(roots["shipped"])
    put_task(roots["first"], TASK.replace('"norm"', '"rope"'), name="rope")
    put_task(roots["here"], TASK.replace('"norm"', '"mlp"').replace('"L1"', '"L2"'), level="L2", name="mlp")
    assert sorted(catalog.tasks()) == ["mlp", "norm", "rope"]


def test_packs_and_scenarios_by_path(roots: dict[str, Path], tmp_path: Path) -> None:
    put_pack(roots["first"])
    elsewhere = put_pack(tmp_path / "elsewhere", PACK.replace("faster", "by path"))
    assert catalog.pack(elsewhere).summary == catalog.pack(str(elsewhere)).summary == "by path"
    file = put_scenario(tmp_path / "elsewhere", name="other")
    assert catalog.scenario(str(file)).name == "small"


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (catalog.task, "no task called 'gelu'; known: norm"),
        (catalog.pack, "no pack (a folder with a pack.toml) called 'gelu'; known: fast, slow"),
        (catalog.scenario, "no scenario called 'gelu'; known: small"),
    ],
)
def test_unknown_names_list_the_known_ones(look_up: object, message: str, roots: dict[str, Path]) -> None:
    put_task(roots["first"])
    put_pack(roots["first"])
    put_pack(roots["here"], PACK.replace('"fast"', '"slow"'), name="slow")
    put_scenario(roots["shipped"])
    with pytest.raises(UsageError, match=re.escape(message)):
        look_up("gelu")  # type: ignore[operator]


def test_nothing_known_is_said_too(roots: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="known: none"):
        catalog.scenario("small")


# ------------------------------------------------------------------------------------------------ bad task files


def test_a_missing_file() -> None:
    with pytest.raises(FileError, match=r"nowhere/task\.toml"):
        catalog.load_task(Path("nowhere/task.toml"))


TASK_KEYS = "name, level, summary, families, target, mutates, aliases, data_dependent, paged, tolerance"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TASK, "", "at least one [[target]] is needed"),
        (TASK, "name = [", "Invalid value"),
        (TASK, "target = []", "at least one [[target]] is needed"),
        ("[[target]]", "[[targets]]", "at least one [[target]] is needed"),
        ('summary = "RMS norm"', "", "summary: is missing"),
        ('summary = "RMS norm"', "summary = 3", "summary: Input should be a valid string (found 3)"),
        ('summary = "RMS norm"', 'summary = "x"\nsumary = "y"', f"sumary: unknown key; allowed: {TASK_KEYS}"),
        ('summary = "RMS norm"', 'summary = "x"\nfolder = "y"', f"folder: not a key; allowed: {TASK_KEYS}"),
        ('level = "L1"', 'level = "L7"', "level: Input should be 'L1', 'L2', 'L3' or 'L4' (found 'L7')"),
        ('level = "L1"', 'level = "L2"', "name and level must be those of the folders, L1/norm"),
        ('name = "norm"', 'name = "nrom"', "name and level must be those of the folders, L1/norm"),
        (
            'families = ["dense", "moe"]',
            'families = "dense"',
            "families: Input should be a valid tuple (found 'dense')",
        ),
        ('versions = ">=2.0"', "", "target.1.versions: is missing"),
        ('versions = ">=2.0"', 'versions = "two"', "target toy.norm:rms_norm: versions: Invalid specifier: 'two'"),
        (
            'seam = "function"',
            'seam = "hook"',
            "target.1.seam: Input should be 'method', 'function', 'ir', 'tuning' or",
        ),
        ('seam = "function"', "", "target toy.norm:rms_norm: the method seam needs members"),
        ('members = ["forward"]', "", "target toy.layers:Norm: the method seam needs members"),
        ('seam = "function"', 'seam = "function"\nmembers = ["x"]', "seam 'function' takes none"),
        ("toy.layers:Norm", "toy.layers.Norm", "'toy.layers.Norm' is not of the form package.module:Qualified.name"),
        (
            'members = ["forward"]',
            'member = ["x"]',
            "target.0.member: unknown key; allowed: engine, versions, path, seam,",
        ),
        ("rtol = 1e-2", "rtl = 1e-2", "tolerance.bfloat16.rtl: unknown key; allowed: rtol, atol, ratio, cap"),
        ("rtol = 1e-2", "", "tolerance.bfloat16.rtol: is missing"),
        ("rtol = 1e-2", 'rtol = "small"', "tolerance.bfloat16.rtol: Input should be a valid number"),
    ],
)
def test_a_bad_task_says_where_and_what_instead(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in TASK
    path = put_task(tmp_path, TASK.replace(old, new))
    with pytest.raises(FileError) as refused:
        catalog.load_task(path)
    assert all(line.startswith(f"{path}: ") for line in str(refused.value).splitlines())
    assert message in str(refused.value)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    path = put_task(tmp_path, TASK.replace("rtol", "rtl").replace("summary", "sumary"))
    with pytest.raises(FileError) as refused:
        catalog.load_task(path)
    assert len(str(refused.value).splitlines()) == 4


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    task, scenario = put_task(tmp_path), put_scenario(tmp_path)
    for path, load in ((task, catalog.load_task), (scenario, catalog.load_scenario)):
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(FileError, match="utf-8"):
            load(path)


# ------------------------------------------------------------------------------------------------ bad packs


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (PACK, "", "at least one [[patch]] is needed"),
        ("[[patch]]", "[patch]", "at least one [[patch]] is needed"),
        ("[[patch]]", "[[patches]]", "at least one [[patch]] is needed"),
        ('file = "norm.py"', 'file = "rope.py"', "patch for task 'norm': there is no 'rope.py' in"),
        (
            'file = "norm.py"',
            'file = "../outside.py"',
            "patch for task 'norm': '../outside.py' lies outside of the pack",
        ),
        ('file = "norm.py"', 'file = "/etc/passwd"', "patch for task 'norm': '/etc/passwd' lies outside of the pack"),
        ('file = "norm.py"', "", "patch.0.file: is missing"),
        (
            'symbol = "Norm"',
            'class = "Norm"',
            "patch.0.class: unknown key; allowed: task, file, symbol, engines, seam, options",
        ),
        (
            'symbol = "Norm"',
            'seam = "hook"',
            "patch.0.seam: Input should be 'method', 'function', 'ir', 'tuning' or 'model'",
        ),
        ('name = "fast"', 'name = "fast"\ndigest = "0"', "digest: not a key; allowed: name, summary, patch, requires"),
        ("gpus =", "gpu =", "requires.gpu: unknown key; allowed: engines, gpus, packages"),
        ('engines = {toy = ">=1.0"}', 'engines = ["toy"]', "requires.engines: Input should be a valid "),
    ],
)
def test_a_bad_pack_says_where_and_what_instead(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in PACK
    put(tmp_path / "patches" / "outside.py", "")
    folder = put_pack(tmp_path, PACK.replace(old, new))
    with pytest.raises(FileError, match=re.escape(message)):
        catalog.load_pack(folder)


# ------------------------------------------------------------------------------------------------ bad scenarios


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SCENARIO, "", "expected keys and values, found NoneType"),
        (SCENARIO, "- a\n- b\n", "expected keys and values, found list"),
        (SCENARIO, "just words", "expected keys and values, found str"),
        (SCENARIO, "name: [", "expected the node content"),
        ("name: small", "name: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("name: small", "1: small\nname: small", "1: Keys should be strings"),
        ("summary: a small model", "", "summary: is missing"),
        (
            "summary: a small model",
            "sumary: a",
            "sumary: unknown key; allowed: name, summary, model, workloads, driver,",
        ),
        ("summary: a small model", "summary: a\nfolder: x", "folder: not a key"),
        ("headline: long", "headline: longest", "headline: 'longest' is not one of the workloads short, long"),
        ("name: long,", "name: short,", "workloads: names must differ: short, short"),
        ("requests: 4", "requests: many", "workloads.0.requests: Input should be a valid integer"),
        (
            "requests: 4",
            "request: 4",
            "workloads.0.request: unknown key; allowed: name, requests, input_len, output_len,",
        ),
        ("loop: open", "loop: both", "workloads.1.loop: Input should be 'closed' or 'open' (found 'both')"),
        ("dtype: bfloat16", "type: bfloat16", "model.type: unknown key; allowed: source, dtype, tensor_parallel"),
        ("ttft_ms: 100", "ttft: 100", "slo.ttft: unknown key; allowed: ttft_ms, tpot_ms"),
        (
            "load: 0.5",
            "sampling: {temperature: 0.8}",
            "workload 'long': sampling: tokens of the headline are compared, so it must be greedy",
        ),
        ("output_len: 8}", "output_len: 8, sampling: {temperature: 0}}", "sampling.temperature: 0 is not above 0"),
        (
            "output_len: 8}",
            "output_len: 8, sampling: {top_k: 0}}",
            "sampling.top_k: 0 is no number of tokens; -1 means",
        ),
        ("output_len: 8}", "output_len: 8, sampling: {top_p: 1.5}}", "sampling.top_p: 1.5 is not above 0 and at most"),
        (
            "output_len: 8}",
            "output_len: 8, sampling: {min_p: 0.1}}",
            "workloads.0.sampling.min_p: unknown key; allowed: temperature, top_k, top_p",
        ),
        ('OMP_NUM_THREADS: "1"', "OMP_NUM_THREADS: 1", "env.OMP_NUM_THREADS: Input should be a valid string (found 1)"),
    ],
)
def test_a_bad_scenario_says_where_and_what_instead(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in SCENARIO
    path = put_scenario(tmp_path, SCENARIO.replace(old, new))
    with pytest.raises(FileError, match=re.escape(message)):
        catalog.load_scenario(path)


def test_a_scenario_without_workloads(tmp_path: Path) -> None:
    text = re.sub(r"  - .*\n", "", SCENARIO).replace("workloads:", "workloads: []")
    with pytest.raises(FileError, match="workloads: at least one is needed"):
        catalog.load_scenario(put_scenario(tmp_path, text))


# ------------------------------------------------------------------------------------------------ what is shipped

CHECKOUT = Path(__file__).parents[1]


def _named(pattern: str) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(CHECKOUT))) for path in sorted(CHECKOUT.glob(pattern))]


@pytest.mark.parametrize("path", _named("tasks/L[1-4]/*/task.toml"))
def test_shipped_tasks_load(path: Path) -> None:
    task = catalog.load_task(path)
    assert task.summary
    assert task.families
    assert (path.parent / "reference.py").is_file()
    assert (path.parent / "contract.json").is_file()


@pytest.mark.parametrize("path", _named("patches/*/pack.toml"))
def test_shipped_packs_load_and_patch_known_tasks(path: Path) -> None:
    pack = catalog.load_pack(path.parent)
    assert pack.name == path.parent.name
    assert {patch.task for patch in pack.patches} <= {
        each.parent.name for each in CHECKOUT.glob("tasks/L*/*/task.toml")
    }


@pytest.mark.parametrize("path", _named("scenarios/*.yaml"))
def test_shipped_scenarios_load(path: Path) -> None:
    assert catalog.load_scenario(path).name == path.stem


def test_every_folder_below_tasks_is_a_task() -> None:
    folders = [path for path in CHECKOUT.glob("tasks/L*/*") if path.is_dir() and path.name != "__pycache__"]
    assert [path for path in folders if not (path / "task.toml").is_file()] == []
    names = [path.name for path in folders]
    assert len(names) == len(set(names))


def test_a_checkout_ships_itself() -> None:
    assert catalog.shipped() == CHECKOUT
