"""Forced decode inside vLLM: a request that carries ``fk_forced`` emits these tokens, whatever the model would choose.

The tokens pass through the ordinary decode path and their log-probabilities are computed from the model's own logits.
Both model runners are served without any engine argument, because ``--logits-processors`` would change the engine that
is measured: vLLM 0.26 leaves Model Runner V2 as soon as one is configured. Speculative decoding is not supported; the
caller sees that from the tokens that come back.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from fk_overlay.engines.forced_slots import Slots
from fk_overlay.errors import SeamError

ARGUMENT = "fk_forced"
"""Key in ``SamplingParams.extra_args``, that is in ``vllm_xargs`` of an HTTP request."""

_HELD = "_fk_forced_slots"


def forced_tokens(params: Any) -> list[int]:
    """The forced tokens of a ``SamplingParams``, empty if there are none."""
    return [int(token) for token in (params.extra_args or {}).get(ARGUMENT, ())]


# ------------------------------------------------------------------------------------------------ Model Runner V1


class ForcedTokens:
    """Mixed into vLLM's ``AdapterLogitsProcessor``: leaves one finite logit a step while forced tokens last.

    vLLM takes raw log-probabilities before logits processors run. Only the *number* of tokens emitted so far is read:
    under asynchronous scheduling their values are placeholders. The logit is set, not kept: another processor may have
    masked it.
    """

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: Any) -> Callable[[list[int], Any], Any] | None:
        forced = forced_tokens(params)
        if not forced:
            return None

        def force(emitted: list[int], logits: Any) -> Any:
            if len(emitted) < len(forced):
                logits.fill_(float("-inf"))
                logits[forced[len(emitted)]] = 0.0
            return logits

        return force


def add_v1_processor(module: ModuleType) -> None:
    """Add :class:`ForcedTokens` to the built-in processors of ``vllm.v1.sample.logits_processor``.

    Raises:
        SeamError: this release has no such list.
    """
    try:
        built_in, adapter = module.BUILTIN_LOGITS_PROCESSORS, module.AdapterLogitsProcessor
    except AttributeError as error:
        raise SeamError(f"forced decode does not know this vLLM: {error}; use a release from 0.26 to 0.33") from error
    built_in.append(type("ForcedTokens", (ForcedTokens, adapter), {}))


# ------------------------------------------------------------------------------------------------ Model Runner V2


class _Picker:
    """Finds arguments of a call by name: releases order and extend the sampler's signatures differently."""

    def __init__(self, function: Callable[..., Any], *wanted: str) -> None:
        names = list(inspect.signature(function).parameters)
        if missing := sorted(set(wanted) - set(names)):
            raise SeamError(
                f"{function.__qualname__} has no parameter {', '.join(missing)}; use a vLLM release from 0.26 to 0.33"
            )
        self._places = [(name, names.index(name)) for name in wanted]

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        return [kwargs[name] if name in kwargs else args[place] for name, place in self._places]


def force_v2_sampler(sampler: type[Any]) -> None:
    """Wrap ``add_request`` and ``sample`` of Model Runner V2's ``Sampler`` class.

    The sampler computes raw log-probabilities after ``sample``, from unmodified logits and the ids that it returned.

    Raises:
        SeamError: the class is not the one of a known release.
    """
    add_request, sample = sampler.add_request, sampler.sample
    added = _Picker(add_request, "self", "req_idx", "sampling_params")
    sampling = _Picker(sample, "self", "expanded_idx_mapping", "idx_mapping_np", "pos")

    @functools.wraps(add_request)
    def remember(*args: Any, **kwargs: Any) -> Any:
        result = add_request(*args, **kwargs)
        owner, slot, params = added(args, kwargs)
        tokens = forced_tokens(params)
        if tokens and not hasattr(owner, _HELD):
            setattr(owner, _HELD, Slots(owner.req_states.max_num_reqs, owner.req_states.device))
        if held := getattr(owner, _HELD, None):
            held.put(slot, int(owner.req_states.prompt_len.np[slot]), tokens)
        return result

    @functools.wraps(sample)
    def replace(*args: Any, **kwargs: Any) -> Any:
        sampled, *rest = sample(*args, **kwargs)
        owner, slots, slots_on_host, positions = sampling(args, kwargs)
        if held := getattr(owner, _HELD, None):
            sampled = held.replace(sampled, slots, slots_on_host, positions)
        return (sampled, *rest)

    setattr(sampler, "add_request", remember)  # noqa: B010
    setattr(sampler, "sample", replace)  # noqa: B010


SUPPORT: Mapping[str, Callable[[ModuleType], None]] = {
    "vllm.v1.sample.logits_processor": add_v1_processor,
    "vllm.v1.worker.gpu.sample.sampler": lambda module: force_v2_sampler(module.Sampler),
}
"""What to do right after vLLM imported a module, by the module's name: all that forced decode needs."""
