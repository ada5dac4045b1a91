"""Calls of the toy engine, recorded by the real recorder: the cases that kernels are benched on."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import torch
from adversarial.toy_place import TOYS
from capture.desk import Desk

from fk_overlay.capture.recipes import remember_constructor
from fk_overlay.capture.signal import State
from fk_overlay.capture.store import Case

ROWS, WIDTH, DRAWN = 7, 64, 32
PLACES = {"norm": "Norm.forward", "add": "add_into", "mix": "mix", "pick": "pick"}


def layers() -> ModuleType:
    if str(TOYS) not in sys.path:
        sys.path.append(str(TOYS))
    import cheat_toy.layers

    return cheat_toy.layers


def record(folder: Path) -> dict[str, Case]:
    """One case each: the norm as ``float32``, ``bfloat16``, ``strided`` and, if there is a GPU, ``cuda``; ``add``;
    ``mix``; ``pick``."""
    module, desk = layers(), Desk(folder)
    watches = {task: desk.watch(f"cheat_toy.layers:{place}", task=task) for task, place in PLACES.items()}
    draw = torch.Generator().manual_seed(1)
    norms = {dtype: module.Norm(WIDTH, dtype) for dtype in (torch.float32, torch.bfloat16)}
    remember_constructor(module.Norm)
    norms = {dtype: module.Norm(WIDTH, dtype) for dtype in norms}
    calls = {
        task: desk.recorder.recording(
            watch, f"cheat_toy.layers:{PLACES[task]}", _original(module, task), None, method=task == "norm"
        )
        for task, watch in watches.items()
    }
    x = torch.randn(ROWS, WIDTH, generator=draw)
    desk.say(State.RECORDING)
    calls["norm"](norms[torch.float32], x)
    calls["norm"](norms[torch.bfloat16], x.bfloat16())
    calls["norm"](norms[torch.float32], torch.randn(WIDTH, ROWS, generator=draw).t())
    calls["add"](x, torch.randn(ROWS, WIDTH, generator=draw))
    calls["mix"](torch.randn(ROWS, 12, generator=draw) * 40, torch.randn(12, 16, generator=draw))
    calls["pick"](torch.randn(DRAWN, 50, generator=draw) * 2)
    if torch.cuda.is_available():
        calls["norm"](module.Norm(WIDTH).cuda(), x.cuda())
    cases = desk.finish().cases
    return {_name(case): case for case in cases}


def _original(module: ModuleType, task: str) -> object:
    return module.Norm.forward if task == "norm" else getattr(module, PLACES[task])


def _name(case: Case) -> str:
    if case.task != "norm":
        return case.task
    (x,) = case.signature
    if x.device.startswith("cuda"):
        return "cuda"
    return "strided" if x.stride[-1] != 1 else x.dtype
