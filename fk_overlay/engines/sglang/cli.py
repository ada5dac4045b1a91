"""``python -m fk_overlay.engines.sglang.cli ...``: SGLang's own server, also on a machine without a GPU.

Importing this module has an effect on purpose: SGLang's schedulers import it as their main module. So they end with
their parent from their beginning on; SGLang sees to that only when they have imported everything.
"""

from __future__ import annotations

import os
import sys

from fk_overlay.engines.gpus import names
from fk_overlay.engines.processes import die_with_parent
from fk_overlay.engines.sglang import standins
from fk_overlay.engines.sglang.environment import CPU_ENGINE
from fk_overlay.stacks import listen

if not names():
    os.environ.setdefault(CPU_ENGINE, "1")
standins.install()
die_with_parent()
listen()


def main() -> None:
    from sglang.launch_server import run_server
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    load_plugins()
    try:
        run_server(prepare_server_args(sys.argv[1:]))
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


if __name__ == "__main__":
    main()
