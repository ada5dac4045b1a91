"""patches/example-triton under Triton's interpreter, against the oracles of its tasks."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACK = HERE.parents[1] / "patches" / "example-triton"


def test_kernels_agree_with_the_oracles_and_their_operators_are_sound() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TRITON_INTERPRET": "1"}
    command = [sys.executable, str(HERE / "interpret_example_triton.py"), str(PACK)]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    lines = Counter(result.stdout.splitlines())
    assert not [line for line in lines if "False" in line or ("opcheck" in line and not line.endswith(" SUCCESS"))]
    for task in ("rms_norm", "silu_and_mul"):
        assert lines[f"{task} opcheck SUCCESS"] >= 2
        assert lines[f"{task} bfloat16 True"] >= 3
        assert lines[f"{task} float32 True"] >= 3
    assert lines["rms_norm bfloat16 True True"] >= 3, "with a residual there are two results"
    assert lines["rms_norm bfloat16 declined"] == 1, "a norm without weight is the engine's"
