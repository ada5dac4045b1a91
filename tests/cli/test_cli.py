"""The verbs as a user meets them: what they print, and the code they end with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import fakes_records
import pytest
from fakes.engine import FakeEngine, Manner
from overlay.toy_engine import VERSION, write_engine, write_pack, write_task

from fk_overlay import __version__
from fk_overlay.cli.main import main
from fk_overlay.engines import base
from fk_overlay.engines.vllm import DISTRIBUTIONS
from fk_overlay.lineage.record import read
from fk_overlay.serving import judge, launch, machine

TINY = Path(__file__).parents[1] / "models" / "tiny-llama"
KERNEL = {"kernel": "class Norm:\n    def forward(self, x, residual=None):\n        return x + 1\n"}
SCENARIO = """
name: small
summary: a toy load
model: {{source: {source}}}
workloads:
  - {{name: chat, requests: 4, input_len: 8, output_len: 8, concurrency: 2}}
correctness: {{requests: 2}}
minimum_effect: 0.01
"""


@dataclass
class Answer:
    code: int
    out: str
    err: str


class Shell:
    """Runs ``fk-overlay`` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["fk-overlay", *map(str, words)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        printed = self._capsys.readouterr()
        return Answer(int(left.value.code or 0), printed.out, printed.err)


@pytest.fixture
def fk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    monkeypatch.setenv("COLUMNS", "200")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Shell(monkeypatch, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """A root with a toy engine, task, pack and scenario; ``--engine toy`` is a fake."""
    root = write_engine(tmp_path / "toys")
    write_task(root, "norm", "toy.layers:Norm", members=["forward_native"])
    write_pack(root, "fast", [("norm", "kernel.py", "Norm")], **KERNEL)
    (root / "scenarios").mkdir()
    (root / "scenarios" / "small.yaml").write_text(SCENARIO.format(source=TINY))
    engine = FakeEngine(root)
    known = base.get_engine
    monkeypatch.setattr(base, "get_engine", lambda name: engine if name == "toy" else known(name))
    monkeypatch.setenv("FK_OVERLAY_PATH", str(root))
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for module in (machine, launch):
        monkeypatch.setattr(module, "gpus", list)
    monkeypatch.setattr(machine, "uuids", tuple)
    monkeypatch.setattr(judge, "names", tuple)
    return engine


def installed() -> bool:
    for name in DISTRIBUTIONS:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return util.find_spec("vllm") is not None
    return False


needs_vllm = pytest.mark.skipif(not installed(), reason="vLLM is not installed here")


# ---------------------------------------------------------------- the whole


def test_help_lists_the_verbs(fk: Shell) -> None:
    answer = fk("--help")
    assert answer.code == 0
    for verb in ("run", "selftest", "report", "check", "serve", "task", "pack", "contract"):
        assert f" {verb} " in answer.out


def test_the_version_is_printed(fk: Shell) -> None:
    assert fk("--version").out == f"fk-overlay {__version__}\n"


@pytest.mark.parametrize(("words", "nouns"), [(["--help"], []), (["task", "list"], ["fk_overlay.core"])])
def test_nothing_heavy_is_imported_for_it(words: list[str], nouns: list[str]) -> None:
    code = (
        "import sys; from fk_overlay.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "watched = {'fk_overlay.core', 'torch', 'vllm', 'pandas', 'matplotlib', 'transformers', 'scipy'}\n"
        "print('FOUND', *sorted(watched & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, *words]
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.splitlines()[-1] == " ".join(["FOUND", *nouns])


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "run --engine sglong --scenario small --patch fast",
            "EngineError: no engine called 'sglong'; known engines: ",
        ),
        ("check --engine nope", "EngineError: no engine called 'nope'; known engines: "),
        ("run --engine toy --scenario nope --patch fast", "UsageError: no scenario called 'nope'; known: "),
        ("run --engine toy --scenario small --patch nope", "UsageError: no pack (a folder with a pack.toml) called "),
        ("task show nope", "UsageError: no task called 'nope'; known: "),
        ("task lint nope", "UsageError: no task called 'nope'; known: "),
        ("pack lock nope", "FileError: nope"),
        ("report nope", "RecordError: nope holds no records.jsonl"),
        ("contract snapshot --wheel nope.whl", "FileError: nope.whl is not a wheel"),
    ],
)
def test_an_error_is_one_line_that_names_what_is_known(fk: Shell, toys: FakeEngine, words: str, said: str) -> None:
    answer = fk(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(said)
    assert answer.err.count("\n") == 1
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("task show nope", "norm"),
        ("run --engine toy --scenario nope --patch fast", "small"),
        ("check --engine x", "vllm"),
    ],
)
def test_the_known_names_are_told(fk: Shell, toys: FakeEngine, words: str, known: str) -> None:
    assert known in fk(*words.split()).err.partition("known")[2]


def test_an_engine_that_is_not_installed_says_how_to_install_it(
    fk: Shell, toys: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = metadata.version

    def version(name: str) -> str:
        if name in DISTRIBUTIONS:
            raise metadata.PackageNotFoundError(name)
        return ask(name)

    monkeypatch.setattr(metadata, "version", version)
    for words in (["check"], ["run", "--scenario", "small", "--patch", "fast"]):
        answer = fk(*words)
        assert answer.code == 2
        assert answer.err.startswith("EngineError: vLLM is not installed in this environment: pip install 'vllm>=")


def test_a_model_that_is_not_there_is_named(fk: Shell, toys: FakeEngine, tmp_path: Path) -> None:
    path = tmp_path / "lost.yaml"
    path.write_text(SCENARIO.format(source="./no-such-model"))
    answer = fk("selftest", "--engine", "toy", "--scenario", path, "--out", tmp_path / "run")
    assert answer.code == 2
    assert "UsageError: model './no-such-model': there is no folder" in answer.err
    assert toys.sessions == []


@pytest.mark.parametrize("words", ["run", "nonsense", "run --mode fastest", "selftest --scenario small --restarts 1"])
def test_words_that_make_no_sense_end_with_2(fk: Shell, toys: FakeEngine, words: str) -> None:
    answer = fk(*words.split())
    assert answer.code == 2
    assert "Traceback" not in answer.err


# ---------------------------------------------------------------- run


def test_a_run_prints_its_verdict_writes_its_report_and_ends_with_the_verdicts_code(
    fk: Shell, toys: FakeEngine, tmp_path: Path
) -> None:
    toys.manners = {"fast": Manner(speed=0.8)}
    out = tmp_path / "out"
    answer = fk("run", "--engine", "toy", "--scenario", "small", "--patch", "fast", "--out", out)
    assert answer.code == 1, answer.err
    assert "regressed" in answer.out
    assert (out / "report.json").is_file()
    assert "[1/10] baseline, restart 1 of 5" in answer.err
    assert next(iter(read(out)))["design"] == {"restarts": 5, "passes": 2}


def test_restarts_and_passes_overrule_the_mode(fk: Shell, toys: FakeEngine, tmp_path: Path) -> None:
    words = ["selftest", "--engine", "toy", "--scenario", "small", "--restarts", "3", "--passes", "1", "--out"]
    assert fk(*words, tmp_path / "out").code == 0
    assert len(toys.sessions) == 6
    assert next(iter(read(tmp_path / "out")))["design"] == {"restarts": 3, "passes": 1}


def test_a_folder_that_is_not_empty_is_not_written_to(fk: Shell, toys: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    answer = fk("selftest", "--engine", "toy", "--scenario", "small", "--out", tmp_path / "out")
    assert answer.code == 2
    assert "is not empty" in answer.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_interrupted_run_ends_with_130_and_goes_on_with_resume(fk: Shell, toys: FakeEngine, tmp_path: Path) -> None:
    toys.manners = {"02-fast": Manner(fault="interrupt")}
    words = ["run", "--engine", "toy", "--scenario", "small", "--patch", "fast", "--mode", "screen"]
    answer = fk(*words, "--out", tmp_path / "out")
    assert (answer.code, answer.err.splitlines()[-1]) == (130, f"interrupted; go on with --resume {tmp_path / 'out'}")
    toys.manners = {}
    assert fk(*words, "--resume", tmp_path / "out").code == 4
    closed = [record["launch"] for record in read(tmp_path / "out") if record["kind"] == "launch"]
    assert closed == ["00-baseline", "01-fast", "02-fast", "03-baseline"]


# ---------------------------------------------------------------- report


def test_a_report_is_written_from_the_record(fk: Shell, tmp_path: Path) -> None:
    folder = fakes_records.write(fakes_records.Story(restarts=2, passes=1), tmp_path / "run")
    answer = fk("report", folder, "--markdown", "--json")
    assert answer.code == 0, answer.err
    assert sorted(Path(line).name for line in answer.out.split()) == ["report.json", "report.md"]
    assert json.loads((folder / "report.json").read_text())
    assert not (folder / "report.html").exists()


def test_several_runs_give_one_table_beside_them(fk: Shell, tmp_path: Path) -> None:
    story = fakes_records.Story(restarts=2, passes=1)
    other = story.but(fakes_records.set_("run", {"run_id": "other", "engine": "sglang"}))
    folders = fakes_records.write(story, tmp_path / "one"), fakes_records.write(other, tmp_path / "two")
    answer = fk("report", *folders, "--markdown")
    assert (answer.code, answer.out.split()) == (0, [str(tmp_path / "side-by-side.md")])
    answer = fk("report", *folders, "--json", "--out", tmp_path / "elsewhere")
    assert [row["engine"] for row in json.loads(Path(answer.out.strip()).read_text())["rows"]] == ["vllm", "sglang"]
    assert fk("report", folders[0], "--out", tmp_path / "elsewhere").code == 2


# ---------------------------------------------------------------- task, check, pack, contract


def test_tasks_are_listed_for_people_and_as_json(fk: Shell, toys: FakeEngine) -> None:
    assert "L1  norm" in fk("task", "list").out
    listed = json.loads(fk("task", "list", "--json").out)
    assert {"norm", "rms_norm"} <= {task["name"] for task in listed}


def test_a_task_is_shown_for_people_and_as_json(fk: Shell, toys: FakeEngine) -> None:
    assert "toy >=1.0,<2.0: toy.layers:Norm [forward_native], method seam" in fk("task", "show", "norm").out
    assert json.loads(fk("task", "show", "norm", "--json").out)["targets"][0]["engine"] == "toy"


def test_a_check_ends_with_3_when_a_target_is_gone(fk: Shell, toys: FakeEngine) -> None:
    answer = fk("check", "--engine", "toy")
    assert answer.code == 0
    assert answer.out.splitlines() == [f"toy {VERSION}", f"{'same':10} {'norm':22} toy.layers:Norm.forward_native"]
    source = toys.root / "toy" / "layers.py"
    source.write_text(source.read_text().replace("def forward_native", "def forward_nothing"))
    answer = fk("check", "--engine", "toy", "--json")
    assert answer.code == 3
    assert json.loads(answer.out)[0]["state"] in ("gone", "moved")


@needs_vllm
def test_every_shipped_task_is_checked_against_the_installed_vllm(fk: Shell) -> None:
    answer = fk("check", "--json")
    assert answer.code == 0
    findings = json.loads(answer.out)
    assert {finding["task"] for finding in findings} >= {"rms_norm", "llama_mlp"}
    assert {finding["state"] for finding in findings} <= {"same", "compatible", "body"}


def test_a_pack_is_read_before_it_is_loaded(fk: Shell, toys: FakeEngine) -> None:
    pytest.importorskip("torch")
    kernel = toys.root / "patches" / "fast" / "kernel.py"
    kernel.write_text("import threading\n" + kernel.read_text())
    answer = fk("pack", "lint", kernel.parent, "--engine", "toy")
    assert answer.code == 0
    assert answer.err == "kernel.py:1: review: works in the background: threading\n"
    kernel.write_text("import socket\nraise SystemExit('it was loaded')\n" + kernel.read_text())
    answer = fk("pack", "lint", kernel.parent, "--engine", "toy")
    assert answer.code == 1
    assert answer.err.splitlines()[0] == "kernel.py:1: block: talks to the network: socket"
    assert "it was loaded" not in answer.out + answer.err


def test_a_pack_is_linted_locked_and_refused_when_it_changed(fk: Shell, toys: FakeEngine) -> None:
    pytest.importorskip("torch")
    folder = toys.root / "patches" / "fast"
    assert f"not locked (fk-overlay pack lock {folder})" in fk("pack", "lint", folder, "--engine", "toy").out
    assert fk("pack", "lock", folder).out == f"{folder / 'pack.lock'}\n"
    lock = json.loads((folder / "pack.lock").read_text())
    assert lock["contracts"]["norm"][0]["version"] == VERSION
    answer = fk("pack", "lint", folder, "--engine", "toy")
    assert answer.code == 0
    assert answer.out.endswith(": 1 patches, 0 operator cases checked, locked\n")
    with (folder / "kernel.py").open("a") as kernel:
        kernel.write("# changed\n")
    for words in (["pack", "lint", folder], ["run", "--scenario", "small", "--patch", folder]):
        answer = fk(*words, "--engine", "toy")
        assert answer.code == 2
        assert "PackError: pack 'fast' is not what its lock says: kernel.py." in answer.err


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        ('gpus = ["NVIDIA H100*"]', "it needs a GPU of NVIDIA H100*, here is "),
        ('engines = {toy = ">=9"}', f"it needs toy >=9, this is {VERSION}"),
        ('packages = {packaging = ">=9999"}', "it needs packaging >=9999, here is "),
    ],
)
def test_a_pack_that_may_not_run_here_is_refused_before_anything_starts(
    fk: Shell, toys: FakeEngine, tmp_path: Path, requires: str, reason: str
) -> None:
    """No baseline figure can come to stand under its name: there is no run."""
    with (toys.root / "patches" / "fast" / "pack.toml").open("a") as file:
        file.write(f"[requires]\n{requires}\n")
    words = ["run", "--engine", "toy", "--scenario", "small", "--patch", "fast", "--out", tmp_path / "run"]
    answer = fk(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("PackError: pack 'fast' does not run here: ")
    assert reason in answer.err
    assert not (tmp_path / "run").exists()


def test_a_snapshot_of_a_wheel_is_added_to_the_tasks_contract(fk: Shell, toys: FakeEngine, tmp_path: Path) -> None:
    task = toys.root / "tasks" / "L1" / "norm"
    wheel = tmp_path / "toy-1.3.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in (toys.root / "toy").glob("*.py"):
            source = path.read_text().replace("return x + 1 if", "return x + 2 if")
            archive.writestr(f"toy/{path.name}", source)
    answer = fk("contract", "snapshot", "--wheel", wheel)
    assert answer.code == 0, answer.err
    assert answer.out.split() == [str(task / "contract.json"), str(toys.root / "tasks" / "releases" / "toy.jsonl.xz")]
    releases = json.loads((task / "contract.json").read_text())["toy"]
    bodies = [releases[version]["toy.layers:Norm.forward_native"]["body"] for version in (VERSION, "1.3.0")]
    assert len(set(bodies)) == 2


def test_a_snapshot_of_the_installed_engine_is_what_check_compares_with(fk: Shell, toys: FakeEngine) -> None:
    (toys.root / "tasks" / "L1" / "norm" / "contract.json").unlink()
    assert fk("check", "--engine", "toy").code == 3
    assert fk("contract", "snapshot", "--engine", "toy").code == 0
    assert fk("check", "--engine", "toy").code == 0


# ---------------------------------------------------------------- serve


def test_serve_becomes_the_engines_server_with_the_packs_in_its_environment(
    fk: Shell, toys: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: became.append((path, command)))
    for name in ("FK_OVERLAY", "FK_OVERLAY_RECEIPTS"):
        monkeypatch.setenv(name, "")
    words = ["serve", "--engine", "toy", "--patch", "fast", "--receipts", tmp_path / "r", "--", "model", "--port", 1]
    assert fk(*words).code == 0
    assert became == [("toy", ["toy", "serve", "model", "--port", "1"])]
    assert os.environ["FK_OVERLAY"] == str(toys.root / "patches" / "fast")
    assert os.environ["FK_OVERLAY_RECEIPTS"] == str(tmp_path / "r")


def test_the_program_runs_as_a_module() -> None:
    assert shutil.which(sys.executable)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "fk_overlay.cli.main", "task", "show", "nope"]
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 2
    assert found.stderr.startswith("UsageError: no task called 'nope'")


def test_an_engine_without_hooks_takes_no_export(fk: Shell, tmp_path: Path) -> None:
    answer = fk("pack", "export", tmp_path, "--engine", "vllm", "--out", tmp_path / "out")
    assert answer.code == 2
    assert "fk-overlay serve" in answer.err
