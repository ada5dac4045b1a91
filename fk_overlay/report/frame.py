"""A run as pandas frames, one observation a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fk_overlay.lineage.record import read
from fk_overlay.scoring.evidence import Evidence, Record

if TYPE_CHECKING:
    import pandas as pd

KEY = ["run_id", "engine", "scenario", "arm", "launch", "restart", "pass", "workload"]
SAMPLE = [*KEY, "metric", "value", "unit", "higher_is_better"]
REQUEST = [*KEY, "request", "ttft_s", "tpot_s", "latency_s", "itl_s", "tokens", "error"]


def frame(folder: Path) -> pd.DataFrame:
    """Every sample of launches that were timed and ended well, columns ``SAMPLE``.

    Raises:
        RecordError: ``folder`` holds no readable record.
    """
    evidence = Evidence.of(read(folder))
    return _frame(evidence, evidence.timed(evidence.samples), SAMPLE)


def request_frame(folder: Path) -> pd.DataFrame:
    """Every request of the same launches, columns ``REQUEST``: times in seconds, ``tokens`` counts them, ``itl_s`` is a
    list (``DataFrame.explode`` gives one gap a row).

    Raises:
        RecordError: ``folder`` holds no readable record.
    """
    evidence = Evidence.of(read(folder))
    rows = [
        {**record, "tpot_s": tpot(record), "tokens": len(record["tokens"])}
        for record in evidence.timed(evidence.requests)
    ]
    return _frame(evidence, rows, REQUEST)


def tpot(request: Record) -> float | None:
    """Mean seconds per output token without the first; None for a request without a second token."""
    count = len(request["tokens"])
    if count < 2 or request["latency_s"] is None:
        return None
    return float((request["latency_s"] - request["ttft_s"]) / (count - 1))


def _frame(evidence: Evidence, rows: list[Record] | list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    run = evidence.run
    constant = {"run_id": run["run_id"], "engine": run["engine"], "scenario": run["scenario"]["name"]}
    return pd.DataFrame([{**row, **constant} for row in rows], columns=columns)
