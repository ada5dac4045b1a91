"""``vllm serve`` in processes of its own, talked to over HTTP by a client process."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from fk_overlay.core import Request, Workload
from fk_overlay.engines.base import Facts, Launch, PassResult
from fk_overlay.engines.http.load import run_client
from fk_overlay.engines.http.ports import free_port
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.engines.vllm.environment import arguments, command_line, environment
from fk_overlay.engines.vllm.protocol import completion_body
from fk_overlay.errors import LaunchError

KV_BLOCKS = re.compile(r'vllm:cache_config_info\{[^}]*num_gpu_blocks="(\d+)"')


class ServerSession:
    """A running server. Construction starts it; nothing is known of it until :meth:`wait_ready` returns."""

    def __init__(self, launch: Launch) -> None:
        from fk_overlay.engines.vllm import ENGINE

        self._launch = launch
        self.url = f"http://127.0.0.1:{free_port()}"
        options = [*command_line(arguments(launch)), "--host", "127.0.0.1", "--port", self.url.rpartition(":")[2]]
        self.process = EngineProcess.start(ENGINE.serve_command(options), environment(launch), launch.log)

    @property
    def pids(self) -> Sequence[int]:
        return self.process.pids()

    @property
    def peak_bytes(self) -> int:
        return self.process.memory.peak

    def wait_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._healthy():
            if not self.process.alive():
                raise self.process.died()
            if time.monotonic() > deadline:
                message = f"vLLM did not answer on {self.url} within {timeout_s:.0f} s; its log is {self.process.log}"
                raise LaunchError(message, state="hung", log=self.process.tail())
            time.sleep(0.2)

    def facts(self) -> Facts:
        with urllib.request.urlopen(self.url + "/metrics", timeout=30) as answer:
            found = KV_BLOCKS.search(answer.read().decode())
        return Facts(
            kv_blocks=int(found.group(1)) if found else None, ranks=self._launch.scenario.model.tensor_parallel
        )

    def run(
        self, requests: Sequence[Request], workload: Workload, *, arrivals: Sequence[float] | None, timeout_s: float
    ) -> PassResult:
        bodies = [completion_body(str(self._launch.model), request) for request in requests]
        result = run_client(self.url, bodies, arrivals=arrivals, concurrency=workload.concurrency, timeout_s=timeout_s)
        if not self.process.alive():
            raise self.process.died()
        return result

    def stop(self) -> None:
        self.process.stop()

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
