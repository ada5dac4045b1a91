"""Copied as it is into an exported plugin, where it needs nothing but SGLang: registers a pack's kernels with SGLang's
``HookRegistry``.

``hooks.json`` beside it says which kernel goes where, and the release for which that was checked. SGLang logs what goes
wrong in a plugin and serves without it, so here whatever goes wrong ends the process.
"""

from __future__ import annotations

import functools
import json
import pkgutil
import sys
from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

LOAD = "sglang.srt.model_executor.model_runner.ModelRunner.load_model"


def register() -> None:
    """What SGLang calls in its main process and in every scheduler."""
    try:
        said = json.loads(Path(__file__).with_name("hooks.json").read_text(encoding="utf-8"))
        release = metadata.version("sglang")
        if release != said["release"]:
            raise RuntimeError(f"{said['pack']} was exported for SGLang {said['release']}, this is {release}")
        for hook in said["hooks"]:
            _place(hook)
    except BaseException as error:
        raise SystemExit(f"{__name__}: {type(error).__name__}: {error}") from error


def _place(hook: Mapping[str, Any]) -> None:
    """A target that is not there raises now; SGLang would only log it."""
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    patch = getattr(import_module(f"{__name__}.kernels.{hook['module']}"), hook["symbol"])
    if hook["seam"] == "model":
        registry = import_module("sglang.srt.models.registry").ModelRegistry
        registry.models[hook["name"]] = patch
        return
    owner = pkgutil.resolve_name(hook["owner"])
    for member in hook["members"]:
        engines_own = vars(owner)[member]
        if isinstance(engines_own, staticmethod):
            raise TypeError(f"{hook['owner']}.{member} is a static method, which gives no instance to a kernel")
        hooked = around(patch, member, _imported_here(engines_own))
        HookRegistry.register(f"{hook['owner']}.{member}", hooked, HookType.AROUND)
    if prepare := getattr(patch, "prepare", None):
        HookRegistry.register(LOAD, functools.partial(_prepared, owner, prepare), HookType.AFTER)


def around(patch: Any, member: str, imported: list[tuple[ModuleType, str]]) -> Callable[..., Any]:
    """The hook: the patch's method for the member, else its ``forward``, where its ``supports`` agrees.

    Args:
        imported: where the pack's own modules hold what is hooked. SGLang rebinds those names too, and a kernel that
            falls back to what it replaces would call itself; the first call gives them the original back.
    """
    kernel = getattr(patch, member, None) or getattr(patch, "forward", patch)
    supports = getattr(patch, "supports", None)

    def hook(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        while imported:
            setattr(*imported.pop(), original)
        if supports is not None and not supports(*args, **kwargs):
            return original(*args, **kwargs)
        return kernel(*args, **kwargs)

    return hook


def _imported_here(function: Any) -> list[tuple[ModuleType, str]]:
    ours = [module for name, module in sys.modules.items() if name.startswith(f"{__name__}.kernels.")]
    return [(module, name) for module in ours for name, value in vars(module).items() if value is function]


def _prepared(
    owner: type, prepare: Callable[[Any], None], result: Any, runner: Any, *rest: Any, **options: Any
) -> None:
    """After a model's weights are in place. None leaves SGLang's result as it is."""
    for module in runner.model.modules():
        if isinstance(module, owner) or isinstance(getattr(module, "quant_method", None), owner):
            prepare(module)
