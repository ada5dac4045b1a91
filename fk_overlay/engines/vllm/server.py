"""``vllm serve``, and how its requests and metrics look."""

from __future__ import annotations

import re
from typing import Any

from fk_overlay.core import Request
from fk_overlay.engines.base import Launch
from fk_overlay.engines.http.ports import free_port
from fk_overlay.engines.http.session import HttpSession
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.engines.vllm.environment import arguments, command_line, environment
from fk_overlay.engines.vllm.protocol import WIRE, completion_body

KV_BLOCKS = re.compile(r'vllm:cache_config_info\{[^}]*num_gpu_blocks="(\d+)"')


class ServerSession(HttpSession):
    """Construction starts the server."""

    wire = WIRE

    def __init__(self, launch: Launch) -> None:
        from fk_overlay.engines.vllm import ENGINE

        port = free_port()
        options = [*command_line(arguments(launch)), "--host", "127.0.0.1", "--port", str(port)]
        process = EngineProcess.start(ENGINE.serve_command(options), environment(launch), launch.log)
        super().__init__(process, f"http://127.0.0.1:{port}", launch.scenario.model.tensor_parallel)
        self._model = str(launch.model)

    def body(self, request: Request) -> dict[str, Any]:
        return completion_body(self._model, request)

    def kv_blocks(self) -> int | None:
        found = KV_BLOCKS.search(self.fetch("/metrics"))
        return int(found.group(1)) if found else None
