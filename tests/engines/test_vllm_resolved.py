import json
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

from fk_overlay.engines.vllm.resolved import resolved_config


class Backend(Enum):
    FLASH = "flash_attn"


@dataclass
class Inner:
    level: int = 3
    sizes: list[int] = field(default_factory=lambda: [1, 2, 4])


@dataclass
class Cache:
    block_size: int = 16
    prefix: bool = False
    num_gpu_blocks: int = 1234
    cache_dir: str = "/caches/d1"
    _hidden: int = 1
    missing: int | None = None


@dataclass
class Attention:
    backend: Backend = Backend.FLASH
    inner: Inner = field(default_factory=Inner)
    names: set[str] = field(default_factory=lambda: {"b", "a"})
    handle: Any = field(default_factory=object)
    handles: list[Any] = field(default_factory=lambda: [object()])


def config(**changed: Any) -> Any:
    sections = {"cache_config": Cache(), "attention_config": Attention(), "quant_config": Backend.FLASH}
    return SimpleNamespace(**{**sections, "use_v2_model_runner": True, **changed})


def test_settings_are_flat_and_plain() -> None:
    assert resolved_config(config()) == {
        "use_v2_model_runner": True,
        "cache.block_size": 16,
        "cache.prefix": False,
        "attention.backend": "FLASH",
        "attention.inner.level": 3,
        "attention.inner.sizes": "[1, 2, 4]",
        "attention.names": "['a', 'b']",
        "quant": "Backend",
    }


def test_settings_survive_json() -> None:
    found = resolved_config(config())
    assert json.loads(json.dumps(found)) == found


def test_two_launches_of_one_arm_have_equal_settings_and_a_changed_one_shows() -> None:
    assert resolved_config(config()) == resolved_config(config(cache_config=Cache(num_gpu_blocks=9, cache_dir="/d2")))
    assert resolved_config(config()) != resolved_config(config(cache_config=Cache(block_size=32)))


def test_sections_that_a_release_does_not_have_are_left_out() -> None:
    assert resolved_config(SimpleNamespace(cache_config=None)) == {"use_v2_model_runner": None}


def test_torch_types_are_named() -> None:
    import torch

    @dataclass
    class Model:
        dtype: Any = torch.bfloat16

    assert resolved_config(SimpleNamespace(model_config=Model()))["model.dtype"] == "torch.bfloat16"
