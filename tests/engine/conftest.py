from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from engine.real_engine import installed

from fk_overlay.engines.base import Engine, get_engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The adapter of the engine that is installed in this environment."""
    names = installed()
    if not names:
        pytest.skip("no engine is installed in this environment; .ci/setup vllm makes one with it")
    return get_engine(names[0])


@pytest.fixture(autouse=True)
def _sglang_stays_out_of_this_process() -> Iterator[None]:
    """Its schedulers kill the tree of processes above them when they fail."""
    yield
    assert "sglang" not in sys.modules
