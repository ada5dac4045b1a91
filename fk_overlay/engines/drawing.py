"""How a request asks for its tokens to be drawn, in the words that the engines share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fk_overlay.core import Request


def drawing(request: Request) -> dict[str, Any]:
    """Names are those of :class:`fk_overlay.core.Sampling`; a temperature of 0 is greedy."""
    return asdict(request.sampling) if request.sampling is not None else {"temperature": 0.0}
