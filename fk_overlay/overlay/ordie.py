"""Failing so that it is noticed."""

from __future__ import annotations

import os
import sys
import threading
import traceback

from fk_overlay.overlay.receipts import Receipt


class OrDie:
    """What goes wrong inside the overlay is noted in the receipt and ends the process: engines log and survive ordinary
    exceptions of plugins and of optional imports, and would then serve without the patch."""

    def __init__(self, receipt: Receipt) -> None:
        self._receipt = receipt

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, SystemExit):
            self._receipt.failed(error)
            traceback.print_exception(error, file=sys.stderr)
            last_word = f"fk-overlay: {type(error).__name__}: {' '.join(str(error).split())}"
            if threading.current_thread() is not threading.main_thread():
                print(last_word, file=sys.stderr, flush=True)
                os._exit(1)  # SystemExit would end this thread only
            raise SystemExit(last_word) from error
