"""SGLang's ``Engine`` behind :mod:`fk_overlay.engines.offline.driver`.

Importing this module has an effect on purpose: SGLang's schedulers import it as their main module. So they end with
their parent from their beginning on; SGLang sees to that only when they have imported everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fk_overlay.core import Request
from fk_overlay.engines.offline.driver import drive
from fk_overlay.engines.processes import die_with_parent
from fk_overlay.engines.sglang import standins
from fk_overlay.engines.sglang.protocol import fields
from fk_overlay.engines.sglang.stream import ranked

standins.install()
die_with_parent()


class EngineDriver:
    """See :class:`fk_overlay.engines.offline.driver.Driver`."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        import sglang

        self._engine = sglang.Engine(**arguments)

    def kv_blocks(self) -> int | None:
        """Tokens: SGLang's page is one token unless told otherwise."""
        tokens: int | None = self._engine.get_server_info().get("max_total_num_tokens")
        return tokens

    def prepare(self, requests: Sequence[Request], concurrency: int) -> Callable[[], Sequence[Any]]:
        asked = [fields(request) for request in requests]
        return lambda: self._engine.loop.run_until_complete(_closed_loop(self._engine, asked, concurrency))

    def output(self, request: Request, final: Any) -> dict[str, Any]:
        answer: dict[str, Any] = {"tokens": list(final["output_ids"])}
        said = final["meta_info"]
        if said.get("output_token_logprobs"):
            pairs = zip(said["output_token_logprobs"], said["output_top_logprobs"], strict=True)
            steps = [ranked(own, highest) for own, highest in pairs]
            for key, values in zip(("logprobs", "ranks", "top1", "margins"), zip(*steps, strict=True), strict=True):
                answer[key] = list(values)
        return answer

    def stop(self) -> None:
        self._engine.shutdown()


async def _closed_loop(engine: Any, asked: Sequence[dict[str, Any]], concurrency: int) -> list[Any]:
    """Keep ``concurrency`` requests in the engine until all are done. Returns the final output of each, in order."""
    room = asyncio.Semaphore(concurrency)

    async def one(request: dict[str, Any]) -> Any:
        async with room:
            return await engine.async_generate(**request)

    return await asyncio.gather(*map(one, asked))


if __name__ == "__main__":
    drive(EngineDriver)
