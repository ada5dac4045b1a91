"""Forced decode in Model Runner V1: a logits processor among vLLM's own, without vLLM."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fk_overlay.engines.vllm import forced
from fk_overlay.errors import SeamError

torch = pytest.importorskip("torch")


class Adapter:
    """Stands for vLLM's ``AdapterLogitsProcessor``."""

    def __init__(self, config: Any, device: Any, pinned: bool) -> None:
        self.made_with = (config, device, pinned)


def module() -> Any:
    made = ModuleType("vllm.v1.sample.logits_processor")
    made.AdapterLogitsProcessor, made.BUILTIN_LOGITS_PROCESSORS = Adapter, ["min_p"]  # type: ignore[attr-defined]
    return made


def processor() -> Any:
    held = module()
    forced.add_v1_processor(held)
    assert held.BUILTIN_LOGITS_PROCESSORS[0] == "min_p"
    return held.BUILTIN_LOGITS_PROCESSORS[1]("config", "cpu", False)


def params(tokens: list[int] | None) -> Any:
    return SimpleNamespace(extra_args={forced.ARGUMENT: tokens} if tokens else None)


def test_it_is_one_of_vllms_own() -> None:
    made = processor()
    assert isinstance(made, Adapter)
    assert isinstance(made, forced.ForcedTokens)
    assert made.made_with == ("config", "cpu", False)
    assert not made.is_argmax_invariant()


def test_requests_without_forced_tokens_are_left_alone() -> None:
    assert processor().new_req_logits_processor(params(None)) is None


def test_one_finite_logit_a_step() -> None:
    force = processor().new_req_logits_processor(params([3, 1]))
    for emitted, token in (([], 3), ([-1], 1)):
        logits = torch.tensor([5.0, float("-inf"), 2.0, float("-inf")])
        assert force(emitted, logits).argmax() == token, "also where another processor masked it"
        assert torch.isfinite(logits).sum() == 1


def test_afterwards_the_model_chooses() -> None:
    force = processor().new_req_logits_processor(params([3]))
    logits = torch.tensor([5.0, 1.0, 2.0, 0.0])
    assert force([3], logits.clone()).equal(logits)


def test_an_unknown_release_is_refused() -> None:
    with pytest.raises(SeamError, match="BUILTIN_LOGITS_PROCESSORS"):
        forced.add_v1_processor(ModuleType("other"))
