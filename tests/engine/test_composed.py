"""A pack of kernels good and bad, composed in the real vLLM: what stays must be the good ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from engine.real_engine import PACKS, REPOSITORY, only

from fk_overlay import catalog, packs

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1000), only("vllm")]
KERNELS = {
    "good.py": "identity/vllm_layers.py",
    "crashing.py": "crashing/kernel.py",
    "wrong.py": "wrong-sign/kernel.py",
}
SLOW = """
import time


class Embedding:
    def forward(self, input_):
        time.sleep(0.05)
        return self.quant_method.embedding(self, input_.long())
"""
PATCHES = (
    ("llama_mlp", "wrong.py", "LlamaMLP"),
    ("rms_norm", "good.py", "RMSNorm"),
    ("silu_and_mul", "crashing.py", "SiluAndMul"),
    ("vocab_parallel_embedding", "slow.py", "Embedding"),
)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("composed")
    pack = folder / "mixed"
    pack.mkdir()
    for name, source in KERNELS.items():
        shutil.copyfile(PACKS / source, pack / name)
    (pack / "slow.py").write_text(SLOW)
    patches = (f'[[patch]]\ntask = "{task}"\nfile = "{file}"\nsymbol = "{symbol}"\n' for task, file, symbol in PATCHES)
    (pack / "pack.toml").write_text('name = "mixed"\nsummary = "good and bad"\n' + "".join(patches))
    command = [sys.executable, "-m", "fk_overlay.cli.main", "compose", str(pack), "--mode", "screen", "--passes", "1"]
    command += ["--scenario", str(REPOSITORY / "scenarios/tiny-llama.yaml")]
    command += ["--record", str(folder / "record"), "--out", str(folder / "repaired")]
    env = {**os.environ, "FK_OVERLAY_HOME": str(folder / "home")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900, check=False)
    path = folder / "record/composition.json"
    assert path.is_file(), done.stdout + done.stderr
    return folder, json.loads(path.read_text()), done


def test_the_good_one_stays(composed: Any) -> None:
    _, found, _ = composed
    assert found["repaired"]["patches"] == ["rms_norm"]
    assert found["repaired"]["correctness"] == pytest.approx(1.0)
    assert found["repaired"]["state"] == "unresolved", "a screen praises nobody"


def test_every_other_one_is_dropped_for_what_it_does(composed: Any) -> None:
    _, found, _ = composed
    states = {each["patch"]: (each["state"], each["how"]) for each in found["dropped"]}
    assert states == {
        "silu_and_mul": ("crashed", "traceback"),
        "llama_mlp": ("incorrect", "alone"),
        "vocab_parallel_embedding": ("regressed", "measured"),
    }
    assert found["as_is"]["state"] == "crashed"


def test_the_repaired_pack_is_locked_and_holds_what_stays(composed: Any) -> None:
    pack = packs.trusted(catalog.load_pack(composed[0] / "repaired"))
    assert [patch.task for patch in pack.patches] == ["rms_norm"]
    assert packs.read_lock(pack) is not None


def test_the_report_says_so(composed: Any) -> None:
    folder, _, done = composed
    report = (folder / "record/composition.md").read_text()
    assert "1 of 4 patches of mixed hold together" in report
    assert "as it was told to" in report
    assert "1 of 4 patches of mixed hold together" in done.stdout
