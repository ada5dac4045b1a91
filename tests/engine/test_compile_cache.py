"""vLLM's ahead-of-time compile cache is keyed by the *unpatched* source: shared between arms, it serves the baseline's
graph under the candidate's name. The arms' own caches prevent that; the first test shows that they are needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fk_overlay import catalog, packs
from fk_overlay.core import Arm
from fk_overlay.engines.base import Launch
from fk_overlay.engines.vllm import ENGINE
from fk_overlay.engines.vllm.environment import arguments, environment
from fk_overlay.plan import make

pytest.importorskip("vllm", reason="the real engine is what is tested here")
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
GENERATE = """
import json, sys
from vllm import LLM, SamplingParams
arguments = json.loads(sys.argv[1])
if __name__ == "__main__":
    llm = LLM(**arguments)
    parameters = SamplingParams(temperature=0, max_tokens=16, ignore_eos=True, detokenize=False)
    out = llm.generate({"prompt_token_ids": list(range(20, 36))}, parameters, use_tqdm=False)
    print("TOKENS", list(out[0].outputs[0].token_ids))
"""


def launch(folder: Path, pack: Path | None, cache: Path, *, digest: str | None = None) -> str:
    """Generate with an arm in a process of its own; returns the tokens as text."""
    folder.mkdir(parents=True)
    scenario = catalog.scenario(HERE.parents[1] / "scenarios/tiny-llama.yaml")
    arm = Arm("arm", (packs.trusted(catalog.load_pack(pack)),) if pack else ())
    plan = make(arm, catalog.tasks(), "vllm", ENGINE.version(), purpose="timed", receipts=folder / "receipts")
    order = Launch(
        name=folder.name,
        scenario=scenario,
        model=HERE.parent / "models/tiny-llama",
        folder=folder,
        plan=plan.write(folder / "plan.json"),
        cache=cache,
        digest=digest or arm.digest,
    )
    wanted = {**arguments(order), "enforce_eager": False, "compilation_config": {"mode": 3, "cudagraph_mode": "NONE"}}
    info = folder / "piecewise/test_piecewise-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-piecewise\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[vllm.general_plugins]\npiecewise = piecewise:register\n")
    env = environment(order)
    del env["TORCH_COMPILE_DISABLE"]
    paths = [str(info.parent), str(HERE), env.get("PYTHONPATH", "")]
    env = {**env, "PYTHONPATH": os.pathsep.join(paths), "FK_TEST_FACTOR": "2"}
    script = folder / "generate.py"
    script.write_text(GENERATE, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, str(script), json.dumps(wanted)],
        env=env,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("TOKENS")]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    return lines[0]


def test_a_shared_cache_serves_the_baseline_and_own_caches_do_not(tmp_path: Path) -> None:
    wrong = HERE.parent / "packs/wrong-sign"
    baseline = launch(tmp_path / "baseline", None, tmp_path / "cache")
    patched = launch(tmp_path / "own", wrong, tmp_path / "cache")
    assert patched != baseline, "with a cache of its own the patch must show"
    shared = launch(tmp_path / "shared", wrong, tmp_path / "cache", digest=Arm("arm").digest)
    assert shared == baseline, "vLLM no longer ignores a patch under a warm cache; the separation may be dropped"
