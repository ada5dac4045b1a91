"""``sglang.launch_server``, and how its requests and facts look."""

from __future__ import annotations

import json
from typing import Any

from fk_overlay.core import Request
from fk_overlay.engines.base import Launch
from fk_overlay.engines.http.ports import free_port
from fk_overlay.engines.http.session import HttpSession
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.engines.sglang.environment import arguments, command_line, environment
from fk_overlay.engines.sglang.protocol import WIRE, generate_body


class ServerSession(HttpSession):
    """Construction starts the server."""

    wire = WIRE

    def __init__(self, launch: Launch) -> None:
        from fk_overlay.engines.sglang import ENGINE

        port = free_port()
        options = [*command_line(arguments(launch)), "--host", "127.0.0.1", "--port", str(port)]
        process = EngineProcess.start(ENGINE.serve_command(options), environment(launch), launch.log)
        super().__init__(process, f"http://127.0.0.1:{port}", launch.scenario.model.tensor_parallel)

    def body(self, request: Request) -> dict[str, Any]:
        return generate_body(request)

    def kv_blocks(self) -> int | None:
        """Tokens: SGLang's page is one token unless told otherwise."""
        tokens: int | None = json.loads(self.fetch("/server_info")).get("max_total_num_tokens")
        return tokens
