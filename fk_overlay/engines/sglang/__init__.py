"""The SGLang adapter. ``host`` is what runs inside SGLang's processes; everything else runs outside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

from fk_overlay.engines.base import Launch, Session
from fk_overlay.engines.processes import EngineProcess
from fk_overlay.engines.sglang.environment import arguments, environment
from fk_overlay.errors import EngineError


class Sglang:
    """SGLang 0.5.17 to 0.5.23."""

    name = "sglang"

    def version(self) -> str:
        try:
            return metadata.version("sglang")
        except metadata.PackageNotFoundError:
            raise EngineError(
                "SGLang is not installed in this environment: pip install 'sglang>=0.5.17,<0.5.24' on a machine with "
                "a GPU, or `make setup ENGINE=sglang` in a checkout for the CPU"
            ) from None

    def source_root(self) -> Path:
        spec = util.find_spec("sglang")
        if spec is None or not spec.submodule_search_locations:
            raise EngineError("SGLang is not installed in this environment; see fk-overlay check --help")
        return Path(next(iter(spec.submodule_search_locations))).parent

    def start(self, launch: Launch) -> Session:
        if launch.scenario.driver == "offline":
            from fk_overlay.engines.offline.session import OfflineSession

            command = [*launch.prefix, sys.executable, "-P", "-m", "fk_overlay.engines.sglang.offline_process"]
            patience = launch.patience_s
            process = EngineProcess.start(command, environment(launch), launch.log, piped=True, patience_s=patience)
            return OfflineSession(process, arguments(launch), launch.scenario.model.tensor_parallel)
        from fk_overlay.engines.sglang.server import ServerSession

        return ServerSession(launch)

    def serve_command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-P", "-m", "fk_overlay.engines.sglang.cli", *arguments]


ENGINE = Sglang()
