"""The conversation between the judging process and an arm: one JSON object a line, each answer with its question's
secret, and nothing unasked.

What an arm says is a claim by a stranger's process. It is parsed, never executed, and checked before it is used.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

from fk_overlay.errors import ArmFailed

LONGEST = 1 << 20
"""Bytes of one message at most."""
READ = 1 << 16


class ParentEnd:
    """The judging process's end. Times are its own: seconds on its monotonic clock."""

    def __init__(self, writes: IO[bytes], reads: IO[bytes]) -> None:
        self._writes, self._reads = writes.fileno(), reads.fileno()
        self._held = b""
        self._began = 0.0

    def ask(self, nonce: str, message: dict[str, Any], timeout_s: float) -> tuple[dict[str, Any], float]:
        """Send a message and wait for its answer. Returns the answer and how long it took.

        Raises:
            ArmFailed: there was no answer in time (``hung``), the arm is gone (``crashed``), or it said something else
                than an answer to this message (``invalid``, by ``g.outproc``).
        """
        self.tell(nonce, message)
        return self.hear(nonce, timeout_s)

    def tell(self, nonce: str, message: dict[str, Any]) -> None:
        """Send a message; its answer is for :meth:`hear`."""
        if self._held or (select.select([self._reads], [], [], 0)[0] and self._unasked()):
            raise forged("it spoke before it was asked")
        line = json.dumps({**message, "nonce": nonce}).encode() + b"\n"
        self._began = time.perf_counter()
        try:
            os.write(self._writes, line)
        except BrokenPipeError:
            raise ArmFailed("the process is gone") from None

    def hear(self, nonce: str, timeout_s: float) -> tuple[dict[str, Any], float]:
        """Wait for the answer to what was said last, as :meth:`ask` does."""
        answer = self._line(self._began + timeout_s)
        took = time.perf_counter() - self._began
        return parsed(answer, nonce), took

    def _unasked(self) -> bool:
        self._held = os.read(self._reads, READ)
        return bool(self._held)

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._held:
            left = deadline - time.perf_counter()
            if left <= 0 or not select.select([self._reads], [], [], left)[0]:
                raise ArmFailed("it did not answer in time", state="hung")
            chunk = os.read(self._reads, READ)
            if not chunk:
                raise ArmFailed("the process ended without an answer")
            self._held += chunk
            if len(self._held) > LONGEST:
                raise forged("its answer is longer than any answer can be")
        line, _, self._held = self._held.partition(b"\n")
        return line


def parsed(line: bytes, nonce: str) -> dict[str, Any]:
    """The answer that a line holds. Raises :class:`ArmFailed` if it is none to this question."""
    try:
        answer = json.loads(line)
    except ValueError:
        raise forged("its answer is no JSON") from None
    if not isinstance(answer, dict) or answer.pop("nonce", None) != nonce:
        raise forged("its answer is not one to what was asked")
    return answer


def forged(what: str) -> ArmFailed:
    return ArmFailed(f"{what}; its answers cannot be believed", state="invalid", guard="g.outproc")


class ArmEnd:
    """The arm's end, on descriptors of its own: whatever is printed goes to the log."""

    def __init__(self) -> None:
        self._reads, self._writes = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open as long as the process

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the parent says, until it is gone."""
        with open(self._reads, "rb", closefd=False) as lines:
            for line in lines:
                yield json.loads(line)

    def answer(self, nonce: str, reply: dict[str, Any]) -> None:
        os.write(self._writes, json.dumps({**reply, "nonce": nonce}).encode() + b"\n")
