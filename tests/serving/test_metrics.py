import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.core import Slo
from fk_overlay.engines.base import PassResult, Trace
from fk_overlay.serving.metrics import percentile, samples

SLOW = Trace(0, sent=0.0, arrivals=(0.5, 0.6, 0.6, 1.0), tokens=(1, 2, 3, 4))
QUICK = Trace(1, sent=1.0, arrivals=(1.1,), tokens=(1,))
FAILED = Trace(2, sent=1.0, arrivals=(1.9,), tokens=(9,), error="HTTP 500")


def values(*traces: Trace, wall_s: float = 2.0, slo: Slo | None = None) -> dict[str, float]:
    return {each.metric: each.value for each in samples(PassResult(traces, wall_s), slo or Slo())}


def test_every_formula() -> None:
    found = values(SLOW, QUICK, FAILED, slo=Slo(ttft_ms=200.0, tpot_ms=1000.0))
    assert found.pop("output_throughput") == 5 / 2.0
    assert found.pop("request_throughput") == 2 / 2.0
    assert found.pop("failed_requests") == 1
    assert found.pop("goodput") == 1 / 2.0
    expected = {
        "ttft": (500.0, 100.0),
        "tpot": (500.0 / 3,),
        "itl": (100.0, 400.0),
        "e2e": (1000.0, 100.0),
    }
    for name, parts in expected.items():
        for percent in (50, 95, 99) if name != "e2e" else (50, 95):
            assert found.pop(f"{name}_p{percent}") == pytest.approx(np.percentile(parts, percent))
    assert not found


def test_directions_and_units() -> None:
    for each in samples(PassResult((SLOW,), 1.0), Slo()):
        assert each.higher_is_better == (each.metric in {"output_throughput", "request_throughput", "goodput"})
        assert each.unit == "ms" if "_p" in each.metric else each.unit in {"tokens/s", "requests/s", "requests"}


@pytest.mark.parametrize(
    ("slo", "good"),
    [(Slo(500.0, 167.0), 1), (Slo(499.0, 167.0), 0), (Slo(500.0, 166.0), 0)],
    ids=["ok", "ttft", "tpot"],
)
def test_goodput_wants_both(slo: Slo, good: int) -> None:
    assert values(SLOW, wall_s=1.0, slo=slo)["goodput"] == good


def test_an_offline_pass_has_no_latencies() -> None:
    offline = [Trace(index, sent=0.0, arrivals=(2.0, 2.0), tokens=(1, 2)) for index in range(3)]
    assert values(*offline) == {"output_throughput": 3.0, "request_throughput": 1.5, "failed_requests": 0}


def test_nothing_done_is_a_throughput_of_zero() -> None:
    assert values(FAILED, wall_s=0.0) == {"output_throughput": 0.0, "request_throughput": 0.0, "failed_requests": 1}


def test_single_tokens_have_no_time_between_tokens() -> None:
    assert not [name for name in values(QUICK) if name.startswith(("tpot", "itl"))]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.integers(1, 99))
def test_percentiles_are_numpys(data: list[float], percent: int) -> None:
    assert percentile(data, percent) == pytest.approx(np.percentile(data, percent), rel=1e-9, abs=1e-9)
