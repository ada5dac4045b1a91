"""Forced decode through the real vLLM's HTTP server: the tokens obey, the log-probabilities stay the model's own."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fk_overlay.core import Request, Workload
from fk_overlay.engines.base import PassResult
from fk_overlay.engines.http.load import run_client
from fk_overlay.engines.http.ports import free_port, listening
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.engines.vllm import ENGINE
from fk_overlay.engines.vllm.protocol import WIRE, completion_body
from fk_overlay.serving.forced import forced_records, forced_requests
from fk_overlay.serving.workload import make_requests

pytestmark = pytest.mark.engine

MODEL = str(Path(__file__).parents[2] / "models" / "tiny-llama")
VOCABULARY, END_OF_SEQUENCE = 320, 1
REQUESTS = make_requests(Workload("forced", 6, 24, 16), vocab_size=VOCABULARY, seed=3)
PLUGIN = """
from fk_overlay.engines.vllm.forced import SUPPORT
from fk_overlay.overlay.imports import Watcher

def register(watcher=Watcher()):
    for name, support in SUPPORT.items():
        watcher.after(name, support)
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("forced")
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--max-model-len", "256"]
    process = EngineProcess.start(ENGINE.serve_command([MODEL, *options]), _environment(folder), folder / "engine.log")
    try:
        _wait(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()
    assert not listening(port)


def _environment(folder: Path) -> dict[str, str]:
    """Announces a plugin that does nothing but support forced decode."""
    info = folder / "only_forced-1.dist-info"
    info.mkdir()
    (folder / "only_forced.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: only-forced\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[vllm.general_plugins]\nonly_forced = only_forced:register\n")
    path = os.pathsep.join(
        filter(None, (str(folder), str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")))
    )
    fixed = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    return {**os.environ, **fixed, "VLLM_PLUGINS": "only_forced", "PYTHONPATH": path}


def _wait(process: EngineProcess, port: int) -> None:
    for _ in range(600):
        assert process.alive(), process.tail()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(process.tail())


def send(url: str, requests: Sequence[Request], concurrency: int = 6) -> PassResult:
    bodies = [completion_body(MODEL, request) for request in requests]
    result = run_client(url, WIRE, bodies, arrivals=None, concurrency=concurrency, timeout_s=120.0)
    assert [trace.error for trace in result.traces] == [None] * len(requests)
    return result


def test_its_own_tokens_have_the_same_log_probabilities(url: str) -> None:
    free = send(url, [replace(request, logprobs=5) for request in REQUESTS])
    forced = forced_requests(REQUESTS, {trace.index: trace.tokens for trace in free.traces}, 6, 5)
    for trace, record in zip(free.traces, forced_records(forced, send(url, forced)), strict=True):
        assert record["logprobs"] == list(trace.logprobs)
        assert record["margins"] == list(trace.margins)
        assert record["top1"] == record["tokens"]


def test_foreign_tokens_are_emitted_with_their_true_log_probabilities(url: str) -> None:
    free = send(url, REQUESTS)
    foreign = {trace.index: tuple((token + 7) % VOCABULARY for token in trace.tokens) for trace in free.traces}
    forced = forced_requests(REQUESTS, foreign, 6, 5)
    records = forced_records(forced, send(url, forced, concurrency=2))
    assert all(max(record["logprobs"]) < 0 and record["ranks"][0] > 1 for record in records)
    first = [record["top1"][0] for record in records]
    assert first == [trace.tokens[0] for trace in free.traces], "what it would have said is still known"


def test_the_end_of_sequence_can_be_forced_and_neighbours_are_left_alone(url: str) -> None:
    free = {trace.index: trace.tokens for trace in send(url, REQUESTS).traces}
    ended = forced_requests(REQUESTS, dict.fromkeys(free, (END_OF_SEQUENCE,) * 16), 6, 5)
    mixed = [ended[request.index] if request.index % 2 else request for request in REQUESTS]
    for trace in send(url, mixed).traces:
        assert trace.tokens == ((END_OF_SEQUENCE,) * 16 if trace.index % 2 else free[trace.index])
