"""What every arm of a bench on SGLang needs, imported once; on a machine without a GPU behind SGLang's stand-ins."""

from fk_overlay.engines.sglang import standins

standins.install()

import sglang.srt.distributed.parallel_state  # noqa: E402
import sglang.srt.layers.dp_attention  # noqa: E402
import sglang.srt.layers.layernorm  # noqa: E402
import sglang.srt.layers.linear  # noqa: E402
import sglang.srt.server_args  # noqa: E402, F401
