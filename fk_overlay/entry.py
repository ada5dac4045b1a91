"""What engines call when they start, in every process. Standard library only until a plan is found.

Registered as entry points of ``vllm.general_plugins`` and ``sglang.srt.plugins``. With ``FK_OVERLAY`` unset each
function returns at once. With it set, whatever goes wrong ends the process: an engine that was asked to run a patch
must not serve without it. SystemExit is raised because engines catch and log ordinary exceptions of their plugins and
go on unpatched.
"""

from __future__ import annotations

import os


def vllm() -> None:
    if os.environ.get("FK_OVERLAY"):
        _enter("vllm")


def sglang() -> None:
    if os.environ.get("FK_OVERLAY"):
        _enter("sglang")


def _enter(engine: str) -> None:
    try:
        from importlib import import_module

        from fk_overlay.overlay.activate import activate

        activate(import_module(f"fk_overlay.engines.{engine}.host").HOST)
    except SystemExit:
        raise
    except BaseException as error:
        import sys
        import traceback

        traceback.print_exc(file=sys.stderr)
        raise SystemExit(f"fk-overlay: {type(error).__name__}: {' '.join(str(error).split())}") from error
