from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.core import Cost
from fk_overlay.errors import RecordError
from fk_overlay.integrity.roofline import PEAKS
from fk_overlay.lineage.record import Recorder
from fk_overlay.profiling.achieved import achieved

GPU = "NVIDIA H200"
MICROSECOND_OF_BYTES = int(PEAKS[GPU].bytes_s * 1e-6)


def case(task: str, seconds: float, weight: float, **more: Any) -> CaseVerdict:
    """A call that must move as many bytes as take a microsecond."""
    held = {"cost": Cost(MICROSECOND_OF_BYTES, 0), "dtype": "bfloat16", "captured_s": weight, **more}
    return CaseVerdict(task, "id", "place", "passed", baseline_s=seconds, **held)


def write(folder: Path, *cases: CaseVerdict, gpu: str = GPU, kind: str = "bench") -> Path:
    with Recorder(folder) as recorder:
        recorder.add(kind, engine="toy", gpus=[gpu] if gpu else [])
        for each in cases:
            recorder.add("case", **each.plain())
    return folder


def test_cases_are_weighed_by_the_time_spent_in_them(tmp_path: Path) -> None:
    folder = write(tmp_path, case("norm", 2e-6, 3.0), case("norm", 1e-5, 1.0), case("mlp", 1e-6, 1.0))
    assert achieved(folder, "toy") == {"norm": pytest.approx((3 * 0.5 + 0.1) / 4), "mlp": pytest.approx(1.0)}


def test_a_clock_that_ran_higher_than_stated_is_no_more_than_the_roof(tmp_path: Path) -> None:
    assert achieved(write(tmp_path, case("norm", 0.95e-6, 1.0)), "toy") == {"norm": 1.0}


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    unknown = case("norm", 1e-6, 1.0, cost=None), case("mlp", 0.0, 1.0), case("rope", 1e-6, 0.0)
    assert achieved(write(tmp_path, *unknown), "toy") == {}


def test_a_machine_without_known_peaks_says_nothing(tmp_path: Path) -> None:
    assert achieved(write(tmp_path, case("norm", 2e-6, 1.0), gpu=""), "toy") == {}


@pytest.mark.parametrize(("kind", "engine"), [("run", "toy"), ("bench", "other")])
def test_what_is_no_bench_of_this_engine_is_refused(tmp_path: Path, kind: str, engine: str) -> None:
    with pytest.raises(RecordError, match=f"is no bench of {engine}"):
        achieved(write(tmp_path, kind=kind), engine)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"holds no records\.jsonl"):
        achieved(tmp_path / "nowhere", "toy")
