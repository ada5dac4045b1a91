"""What a pack's source gives away without being run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fk_overlay import catalog
from fk_overlay.integrity.static import scan, scan_pack


def found(source: str) -> set[tuple[str, str]]:
    return {(finding.level, finding.rule) for finding in scan(source, "kernel.py")}


@pytest.mark.parametrize(
    ("source", "level", "rule"),
    [
        ("exec(decoded)", "block", "runs or imports a computed text"),
        ("import base64\nexec(base64.b64decode('cHJpbnQoKQ=='))", "block", "runs or imports a computed text"),
        ("exec('x = 1')", "review", "runs or imports a computed text"),
        ("import socket as s", "block", "talks to the network"),
        ("from urllib.request import urlopen", "block", "talks to the network"),
        ("import subprocess", "block", "starts processes"),
        ("import os\nos.system('pip install x')", "block", "starts processes"),
        ("from os import fork\nfork()", "block", "starts processes"),
        ("import pickle", "block", "runs code when it reads data"),
        ("import torch\ntorch.load('w.pt')", "block", "runs code when it reads data"),
        ("import ctypes", "review", "calls native code without a kernel language"),
        ("import gc as garbage", "block", "looks into other processes or into memory"),
        ("import sys\nsys._getframe(1)", "block", "looks into other processes or into memory"),
        ("open('/proc/self/mem', 'rb')", "block", "looks into other processes or into memory"),
        ("import sys\nsys.modules['torch']", "review", "looks at loaded modules"),
        ("import time\ntime.perf_counter = lambda: 0", "block", "changes a module that is not its own"),
        ("import time as t\nsetattr(t, 'time', f)", "block", "changes a module that is not its own"),
        ("from torch.cuda import Event\nEvent.elapsed_time = f", "block", "changes a module that is not its own"),
        (
            "import torch\ntorch.backends.cuda.matmul.allow_tf32 = True",
            "block",
            "changes a module that is not its own",
        ),
        ("import vllm.v1\nvllm.v1.Scheduler.schedule = f", "block", "changes a module that is not its own"),
        ("def f(): ...\nf.__code__ = g.__code__", "block", "rewrites a function or an object's class"),
        ("import threading", "review", "works in the background"),
        ("from functools import lru_cache\n@lru_cache\ndef f(): ...", "telemetry", "remembers results of calls"),
        ("def f(x): return x.data_ptr()", "telemetry", "looks at addresses or identities of tensors"),
        ("try: f()\nexcept Exception: g()", "telemetry", "goes on after any error"),
        (f"x = {'A' * 500!r}", "review", "carries a long text without blanks"),
        ("import fk_overlay.scoring", "block", "reaches into its judge"),
        ("def f(:", "block", "unreadable"),
        ("x = '\0'", "block", "unreadable"),
    ],
)
def test_a_rule_finds_what_it_is_for(source: str, level: str, rule: str) -> None:
    assert (level, rule) in found(source)


@pytest.mark.parametrize(
    "source",
    [
        "# import socket; exec(x)\nx = 'os.system'",
        "import torch\n\ndef forward(self, x):\n    self.scale = 2\n    x[0] = 1\n    return torch.empty_like(x)",
        "from .neighbour import kernel",
        "import torch\ntorch.load('w.pt', weights_only=True)",
        "try: f()\nexcept Exception as error: raise ValueError from error",
    ],
)
def test_an_honest_source_is_left_alone(source: str) -> None:
    assert found(source) == set()


def test_shipped_packs_are_not_blocked() -> None:
    folders = [path.parent for path in (catalog.shipped() / "patches").glob("*/pack.toml")]
    assert folders
    assert [str(one) for folder in folders for one in scan_pack(folder) if one.level == "block"] == []


def test_files_that_are_no_source_are_named_and_the_worst_comes_first(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text("import threading")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("")
    for name in ("weights.pkl", "kernel.so"):
        (tmp_path / name).write_bytes(b"")
    assert [str(finding) for finding in scan_pack(tmp_path)] == [
        "torch/__init__.py:0: block: shadows a known module: torch",
        "weights.pkl:0: block: runs code when it reads data: .pkl",
        "kernel.py:1: review: works in the background: threading",
        "kernel.so:0: review: a compiled library: .so",
    ]
