"""Runs a program of this folder under Triton's interpreter, in a process of its own: Triton reads the switch once."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATCHES = HERE.parents[1] / "patches"


def lines_of(program: str, pack: str, arguments: Sequence[str] = ()) -> Counter[str]:
    """What it prints when it is given a pack of ``patches/``, line by line."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TRITON_INTERPRET": "1"}
    command = [sys.executable, str(HERE / program), str(PATCHES / pack), *arguments]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return Counter(result.stdout.splitlines())
