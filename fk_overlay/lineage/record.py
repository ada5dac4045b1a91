"""The record of a run: a folder with ``records.jsonl``, appended line by line as things happen and never rewritten.

A line is one JSON object with a ``kind``. A process that dies leaves at most its last line torn; the reader drops a
torn last line and refuses damage anywhere else. What each kind holds:

``run``      first line: run_id, created, engine, engine_version, mode, design, scenario, arms, tasks (digests of their
             folders), environment, command
``launch``   one server launch is over: launch, arm, restart, order, purpose (``timed`` or ``witness``), state (``ok``,
             ``crashed``, ``hung``, ``refused``, ``not_engaged``), reason, load_s, config, kv_blocks, peak_rss_bytes,
             peak_gpu_bytes, clocks, withheld (seconds ``of`` measuring, and what of them the machine withheld), log
``receipt``  one process, one target: see :mod:`fk_overlay.overlay.receipts`
``sample``   one :class:`fk_overlay.core.Sample`, the key ``pass`` for ``pass_``
``request``  one request of a timed pass: launch, arm, restart, pass, workload, request, ttft_s, latency_s,
             itl_s (list, seconds between tokens), tokens (list), error
``forced``   one request of a forced decode: launch, arm, restart, variant, request, tokens, logprobs (of each forced
             token, raw, nats), ranks (1 = top, k + 1 = outside the recorded k), top1 (tokens), margins
             (log-probability of the top token minus that of the second)
``verdict``  one :class:`fk_overlay.core.Verdict`
``trial``    one subset of a pack in a composition: :class:`fk_overlay.compose.trials.Trial`
``composition``  its end: :class:`fk_overlay.compose.outcome.Composition`
``note``     anything a reader should know, such as an interruption: text; where the run went on on another machine also
             host (that machine) and sets_aside (launches before this line that count for nothing)
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fk_overlay.errors import RecordError

FILE = "records.jsonl"
ARCHIVE = FILE + ".xz"
"""A finished record may be kept compressed; it is read as it is and never appended to."""


class Recorder:
    """Appends records to ``folder/records.jsonl``; every line is on disk before :meth:`add` returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        path = folder / FILE
        _drop_torn_tail(path)
        self._file = path.open("a", encoding="utf-8")

    def add(self, kind: str, **values: Any) -> None:
        self.add_all([{"kind": kind, **values}])

    def add_all(self, records: list[dict[str, Any]]) -> None:
        self._file.writelines(json.dumps(record, separators=(",", ":"), default=str) + "\n" for record in records)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a run, oldest first.

    Raises:
        RecordError: there is no record in ``folder``, or a line other than the last is damaged.
    """
    path = next((folder / name for name in (FILE, ARCHIVE) if (folder / name).is_file()), None)
    if path is None:
        raise RecordError(f"{folder} holds no {FILE}; give the folder that `fk-overlay run` printed")
    opened = lzma.open if path.name == ARCHIVE else open
    with opened(path, "rb") as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError as error:  # not JSON, or not even UTF-8
            if number == len(lines):
                return
            raise RecordError(f"{path}:{number} is damaged ({error}); restore the file or start a new run") from error


def _drop_torn_tail(path: Path) -> None:
    """A writer that was killed may have left half a line; what is appended must not continue it."""
    if not path.is_file():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        path.write_bytes(data[: data.rfind(b"\n") + 1])
