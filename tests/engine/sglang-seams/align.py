"""SGLang's function under a name of the pack's own, which the function seam leaves alone."""

from __future__ import annotations

from typing import Any

from sglang.srt.layers.moe.moe_runner.triton_utils.moe_align_block_size import moe_align_block_size as engine_align


def align(*args: Any, **asked: Any) -> Any:
    """Releases differ in their last parameter."""
    return engine_align(*args, **asked)
