"""Every engine process imports the entry module, with or without an overlay: it must cost nothing and touch nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

QUIET = """
import json, sys, time
import collections.abc, typing  # what any engine has loaded long before
before = set(sys.modules)
started = time.perf_counter()
from fk_overlay import entry
imported = time.perf_counter()
entry.vllm()
first = time.perf_counter()
for _ in range(1000):
    entry.vllm()
done = time.perf_counter()
new = sorted(set(sys.modules) - before)
times = {"import_s": imported - started, "first_s": first - imported, "call_s": (done - first) / 1000}
print(json.dumps({"new": new, **times}))
"""


def run(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("FK_OVERLAY")}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env={**own, **env}, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module", params=[{}, {"FK_OVERLAY": ""}], ids=["unset", "empty"])
def quiet(request: pytest.FixtureRequest) -> Any:
    ended = [run(QUIET, **request.param) for _ in range(3)]
    assert [(each.returncode, each.stderr) for each in ended] == [(0, "")] * 3
    said = [json.loads(each.stdout) for each in ended]
    # The machine may be busy: timings are the best of three.
    return {key: min(each[key] for each in said) if key.endswith("_s") else said[0][key] for key in said[0]}


def test_without_an_overlay_only_the_entry_is_imported(quiet: Any) -> None:
    """``fk_overlay.errors`` and everything behind it stay out, and so does whatever an engine may not have."""
    ours = [name for name in quiet["new"] if name.startswith("fk_overlay")]
    assert ours == ["fk_overlay", "fk_overlay.entry"]
    foreign = {name.partition(".")[0] for name in quiet["new"]} - {"fk_overlay"} - sys.stdlib_module_names
    assert foreign == set()


def test_without_an_overlay_a_call_takes_no_time(quiet: Any) -> None:
    assert quiet["first_s"] < 1e-3
    assert quiet["call_s"] < 1e-4


def test_the_import_is_small(quiet: Any) -> None:
    assert quiet["import_s"] < 20e-3


def test_whatever_goes_wrong_ends_the_process() -> None:
    """Engines catch ``Exception`` around plugins and go on; what comes out must be a SystemExit with one line."""
    script = """
import sys
sys.modules["fk_overlay.overlay.activate"] = None
from fk_overlay import entry
try:
    entry.vllm()
except Exception:
    pass
print("SERVED")
"""
    ended = run(script, FK_OVERLAY="/nowhere")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith("fk-overlay: ModuleNotFoundError: ")


@pytest.mark.parametrize("raised", ["KeyboardInterrupt()", "MemoryError('big')", "ValueError('two\\nlines')"])
def test_errors_of_every_kind_are_one_line(raised: str) -> None:
    script = f"""
import sys, types
module = types.ModuleType("fk_overlay.overlay.activate")
def activate(host):
    raise {raised}
module.activate = activate
sys.modules[module.__name__] = module
sys.modules["fk_overlay.engines.vllm.host"] = types.SimpleNamespace(HOST=None)
from fk_overlay import entry
entry.vllm()
print("SERVED")
"""
    ended = run(script, FK_OVERLAY="/nowhere")
    assert ended.returncode == 1
    assert ended.stdout == ""
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("fk-overlay: " + raised.partition("(")[0] + ": ")
    assert ("two" in raised) == last.endswith("two lines")


def test_a_systemexit_passes_as_it_is() -> None:
    script = """
import sys, types
module = types.ModuleType("fk_overlay.overlay.activate")
def activate(host):
    raise SystemExit("fk-overlay: said already")
module.activate = activate
sys.modules[module.__name__] = module
sys.modules["fk_overlay.engines.vllm.host"] = types.SimpleNamespace(HOST=None)
from fk_overlay import entry
entry.vllm()
"""
    ended = run(script, FK_OVERLAY="/nowhere")
    assert ended.returncode == 1
    assert ended.stderr == "fk-overlay: said already\n"
