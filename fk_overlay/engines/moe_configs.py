"""Watches which fused-MoE configurations an engine looks up: vLLM and SGLang do it in functions of the same names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from types import ModuleType
from typing import Any

from fk_overlay.overlay.aliases import replace_everywhere
from fk_overlay.overlay.imports import reach
from fk_overlay.tuned import Tuned

Asked = Callable[[str, bool], None]


def watch_lookups(module: ModuleType, held: Mapping[str, Tuned], asked: Asked) -> None:
    """Call ``asked(file, found)`` whenever ``module.get_moe_configs`` is called: the file that the engine wanted, and
    whether the answer is one of ``held``.

    An answer is told by its values, once for each set of arguments: engines keep answers, and ask at every layer of
    every step.

    Raises:
        ContractError: the module has no such functions.
    """
    look_up, name_file = reach(module, "get_moe_configs"), reach(module, "get_config_file_name")
    named: list[str] = []
    answers: dict[Hashable, tuple[str, bool]] = {}

    @functools.wraps(name_file)
    def naming(*args: Any, **kwargs: Any) -> Any:
        named.append(name_file(*args, **kwargs))
        return named[-1]

    @functools.wraps(look_up)
    def watched(*args: Any, **kwargs: Any) -> Any:
        before = len(named)
        configs = look_up(*args, **kwargs)
        key = args, tuple(sorted(kwargs.items()))
        if key not in answers:
            # An engine that is told to compute the same in every batch names no file: it uses none.
            wanted = named[before] if len(named) > before else f"no file for {_arguments(args, kwargs)}"
            answers[key] = wanted, any(configs == each.by_tokens for each in held.values())
        asked(*answers[key])
        return configs

    replace_everywhere(name_file, naming)
    replace_everywhere(look_up, watched)


def _arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return ", ".join([*map(str, args), *(f"{name}={value}" for name, value in kwargs.items())])
