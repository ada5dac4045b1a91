"""Runs scripts in forks of a process that has torch already: as fresh as new processes, without seconds of import."""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from typing import Any

import torch
import torch._dynamo  # what the first swap of a process imports, and takes longest for


def serve() -> None:
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _become(order: dict[str, Any]) -> None:
    """What the interpreter does with a script: SystemExit with a text is printed and means 1."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.path[:0] = order["path"]
    code: Any = 1
    try:
        runpy.run_path(order["script"], run_name="__main__")
        code = 0
    except SystemExit as leave:
        code = leave.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
    os._exit(0)  # torch takes seconds to take itself apart
