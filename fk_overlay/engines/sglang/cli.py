"""``python -m fk_overlay.engines.sglang.cli ...``: SGLang's own server, also on a machine without a GPU.

Importing this module has an effect on purpose: SGLang's schedulers import it as their main module.
"""

from __future__ import annotations

import os
import sys

from fk_overlay.engines.gpus import names
from fk_overlay.engines.sglang import standins
from fk_overlay.engines.sglang.environment import CPU_ENGINE

if not names():
    os.environ.setdefault(CPU_ENGINE, "1")
standins.install()


def main() -> None:
    from fk_overlay.engines.processes import die_with_parent

    die_with_parent()
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
