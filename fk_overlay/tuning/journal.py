"""What was measured so far, line by line in ``records.jsonl``: a tuning goes on where an earlier session stopped.

``tune``    first line: what the figures hold for (engine, versions, card, shape, routing)
``timing``  one configuration on one rung: tokens, rung, config, seconds (None if it cannot run, with the reason),
            baseline_s
``pair``    one pair of the confirmation: tokens, config, seconds, baseline_s
``result``  one number of tokens is done: tokens, state, config, ratio, low, high, baseline_s, floor_s, reason
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fk_overlay.errors import RecordError
from fk_overlay.lineage import record
from fk_overlay.tuning.config import Config


class Journal(record.Recorder):
    """The journal in ``folder``, begun or gone on with.

    Raises:
        RecordError: it holds figures of something else than ``key``.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        found = list(record.read(folder)) if (folder / record.FILE).is_file() else []
        if found:
            _compare(folder, found[0], key)
        super().__init__(folder)
        if not found:
            self.add("tune", **key)
        self._found = found

    def known(self, tokens: int) -> dict[tuple[int, Config], float]:
        """Ratios to the baseline by rung and configuration, from earlier sessions."""
        return {
            (line["rung"], Config.parse(line["config"])): line["seconds"] / line["baseline_s"]
            for line in self._found
            if line["kind"] == "timing" and line["tokens"] == tokens and line["seconds"] is not None
        }

    def unfit(self, tokens: int) -> set[Config]:
        """Configurations that could not run."""
        timings = (line for line in self._found if line["kind"] == "timing" and line["tokens"] == tokens)
        return {Config.parse(line["config"]) for line in timings if line["seconds"] is None}

    def results(self) -> dict[int, dict[str, Any]]:
        """The last result for each number of tokens that was settled in an earlier session."""
        settled = (line for line in self._found if line["kind"] == "result" and line["state"] != "unresolved")
        return {line["tokens"]: line for line in settled}


def _compare(folder: Path, head: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    different = [name for name, value in key.items() if head.get(name) != value]
    if head.get("kind") != "tune" or different:
        was = ", ".join(f"{name} {head.get(name)} (here {key[name]})" for name in different)
        raise RecordError(f"{folder} holds figures for something else: {was}; give another --out")
