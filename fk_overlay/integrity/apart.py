"""A look at a plan's patches in a process of its own, which a kernel may end or hang."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from fk_overlay.errors import PackError
from fk_overlay.plan import Plan

TIMEOUT_S = 600.0
"""How long a look at one plan may take."""


def run_apart(module: str, plan: Plan, *words: str, without: Collection[str] = ()) -> str:
    """``python -m MODULE PLAN WORD...``.

    Args:
        without: environment variables that the process must not have.

    Returns:
        What it printed.

    Raises:
        PackError: it failed, with the last line of what it said, or took more than :data:`TIMEOUT_S`.
    """
    env = {name: value for name, value in os.environ.items() if name not in without}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", module, str(plan.write(Path(folder) / "plan.json")), *words]
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise PackError(f"{module} was not done with the pack within {TIMEOUT_S:.0f} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise PackError(said[-1] if said else f"{module} ended with code {done.returncode}")
    return done.stdout
