"""The configuration that SGLang resolved to."""

from __future__ import annotations

from typing import Any

from fk_overlay.engines.settings import flatten

PER_LAUNCH = ("port", "host", "nccl_init_addr", "dist_init_addr", "log_", "custom_sigquit_handler", "uuid")
"""Parts of names whose values differ between launches of the same arm and say nothing about the kernels."""


def resolved_config(server_args: Any) -> dict[str, Any]:
    """Plain values of ``ServerArgs`` after SGLang has filled in what was not said, as ``server.field``."""
    return flatten(server_args, "server", lambda name: any(part in name for part in PER_LAUNCH))
