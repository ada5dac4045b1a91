"""What a cheat is to this suite: an item with a number, the guard that must catch it, an honest twin that must pass.

A module ``bNN_name.py`` of this folder holds ``HACK`` and two functions that play one scene each on a :class:`Stage`:
``hack`` and ``honest``. With ``VARIANTS`` both are given one of them as well. That a cheat dies of something else than
its guard proves nothing, so the state, the guard and the words of the finding are all checked.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

FOLDER = Path(__file__).parent
PASSED = ("improved", "neutral", "passed")

GUARDS: Mapping[str, str] = {
    "g.fresh": "every call has inputs of its own, made only when it is due, from a secret number",
    "g.recheck": "what was timed is what is checked",
    "g.poison": "memory of results is overwritten before each call",
    "g.immutable": "arguments and weights are compared before and after",
    "g.contract": "targets, signatures, types, shapes and aliases are what the task says",
    "g.device_sync": "no work is left on the device when the result is there",
    "g.outproc": "clock, counts and judgement live in another process than the patch",
    "g.integrity": "functions, flags, threads, children and engine symbols are as they were",
    "g.static": "the pack's source is read; never the only guard",
    "g.engage": "every rank proves that it ran the patch",
    "g.envelope": "errors are held to the baseline's own",
    "g.variation": "other shapes, layouts and distributions than the captured ones",
    "g.floor": "no time is below what memory and arithmetic allow",
    "g.fingerprint": "settings that the engine resolved are equal in both arms",
    "g.memory": "memory, KV blocks, latency and load time are charged to the patch",
    "g.clean": "processes, caches and files are the arm's own; what is judged cannot be edited",
    "g.lint": "tasks that cannot tell right from wrong are refused",
}


@dataclass(frozen=True, slots=True)
class Hack:
    """One cheat, or one breakage that looks like one.

    Attributes:
        title: what it does, for the table.
        guard: a key of :data:`GUARDS`.
        state: the verdict that it must end in; ``blocked`` where it cannot even begin.
        said: pattern of the sentence that decided.
        where: ``cpu``, ``engine`` (starts a real one) or ``gpu``.
        part: what of the item is not shown, if anything.
        also: guards that may notice it first, by chance: inputs are secret, so is what memory is filled with, and an
            allocator may hand out other memory than what was filled.
    """

    id: str
    title: str
    guard: str
    state: str
    said: str
    where: Literal["cpu", "engine", "gpu"] = "cpu"
    part: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """How a scene ended. ``guard`` is empty where the verdict names none; then the words must tell."""

    state: str
    reasons: Sequence[str] = ()
    guard: str = ""


def scenes() -> dict[str, ModuleType]:
    """The modules of this folder that hold a cheat, by the cheat's number."""
    names = sorted(path.stem for path in FOLDER.glob("b[0-9]*_*.py"))
    modules = [importlib.import_module(f"adversarial.{name}") for name in names]
    return {module.HACK.id: module for module in modules}
