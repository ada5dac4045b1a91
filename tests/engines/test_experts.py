"""The override through which configurations reach an engine's lookup."""

from __future__ import annotations

from types import ModuleType

import pytest

from fk_overlay.engines.experts import overriding
from fk_overlay.errors import EngineError


def test_a_failed_launch_leaves_no_override() -> None:
    package = ModuleType("package")
    vars(package)["_config"] = None
    seen = []

    def launch() -> None:
        with overriding(package, {"BLOCK_SIZE_M": 16}):
            seen.append(package._config)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        launch()
    assert seen == [{"BLOCK_SIZE_M": 16}]
    assert package._config is None


def test_a_release_without_an_override_is_refused() -> None:
    with pytest.raises(EngineError, match="cannot be tuned"), overriding(ModuleType("package"), {}):
        pass
