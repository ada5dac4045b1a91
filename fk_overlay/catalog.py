"""Finds tasks, packs and scenarios on a search path, loads and validates them.

The search path is ``FK_OVERLAY_PATH``, the working folder, then what is shipped. A root holds
``tasks/<level>/<name>/``,
``patches/<name>/`` and ``scenarios/<name>.yaml``; the first root that has a name wins.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from fk_overlay import environment
from fk_overlay.core import Pack, Scenario, Target, Task
from fk_overlay.errors import FileError, UsageError

TASK_FILE, PACK_FILE = "task.toml", "pack.toml"
Noun = TypeVar("Noun", Task, Pack, Scenario)


def shipped() -> Path:
    """The root that came with fk-overlay: inside the wheel, or the checkout that the package lies in."""
    package = Path(__file__).parent
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parent


def roots() -> tuple[Path, ...]:
    found = dict.fromkeys((*environment.search_path(), Path.cwd(), shipped()))
    return tuple(root for root in found if root.is_dir())


def tasks() -> Mapping[str, Task]:
    """Every task on the search path, by name."""
    return {task.name: task for task in reversed([*_every("tasks/L[1-4]/*/" + TASK_FILE, load_task)])}


def task(name: str) -> Task:
    """Raises :class:`UsageError` naming the known tasks."""
    return _named(name, tasks(), "task")


def pack(where: str | Path) -> Pack:
    """A pack by folder, or by name on the search path. Raises :class:`UsageError` naming the known packs."""
    folder = Path(where)
    if (folder / PACK_FILE).is_file():
        return load_pack(folder)
    found = (path.parent for root in reversed(roots()) for path in root.glob(f"patches/*/{PACK_FILE}"))
    known = {path.name: path for path in found}
    return load_pack(_named(str(where), known, f"pack (a folder with a {PACK_FILE})"))


def scenario(where: str | Path) -> Scenario:
    """A scenario by file, or by name on the search path. Raises :class:`UsageError` naming the known scenarios."""
    path = Path(where)
    if path.is_file():
        return load_scenario(path)
    known = {path.stem: path for root in reversed(roots()) for path in root.glob("scenarios/*.yaml")}
    return load_scenario(_named(str(where), known, "scenario"))


def load_task(path: Path) -> Task:
    loaded = replace(_validated(Task, _toml(path, table="target"), path), folder=path.parent)
    if loaded.name != path.parent.name or loaded.level != path.parent.parent.name:
        where = f"{path.parent.parent.name}/{path.parent.name}"
        raise FileError(f"{path}: name and level must be those of the folders, {where}")
    for target in loaded.targets:
        _check_target(target, path)
    return loaded


def _check_target(target: Target, path: Path) -> None:
    if not target.module or not target.qualname:
        raise FileError(f"{path}: target: path: {target.path!r} is not of the form package.module:Qualified.name")
    if bool(target.members) != (target.seam == "method"):
        raise FileError(f"{path}: target {target.path}: the method seam needs members, seam {target.seam!r} takes none")
    try:
        SpecifierSet(target.versions)
    except InvalidSpecifier as error:
        raise FileError(f"{path}: target {target.path}: versions: {error}; write them like '>=0.26,<0.34'") from error


def load_pack(folder: Path) -> Pack:
    """Load and validate ``folder/pack.toml``; the digest is taken by :mod:`fk_overlay.packs`."""
    path = folder / PACK_FILE
    loaded = replace(_validated(Pack, _toml(path, table="patch"), path), folder=folder.absolute())
    for patch in loaded.patches:
        if not (folder / patch.file).resolve().is_relative_to(folder.resolve()):
            raise FileError(f"{path}: patch for task {patch.task!r}: {patch.file!r} lies outside of the pack")
        if not (folder / patch.file).exists():
            raise FileError(f"{path}: patch for task {patch.task!r}: there is no {patch.file!r} in {folder}")
    return loaded


def load_scenario(path: Path) -> Scenario:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileError(f"{path}: {error}") from error
    loaded = replace(_validated(Scenario, data, path), folder=path.parent.absolute())
    names = [workload.name for workload in loaded.workloads]
    if not names:
        raise FileError(f"{path}: workloads: at least one is needed")
    if len(set(names)) < len(names):
        raise FileError(f"{path}: workloads: names must differ: {', '.join(names)}")
    if loaded.headline and loaded.headline not in names:
        raise FileError(f"{path}: headline: {loaded.headline!r} is not one of the workloads {', '.join(names)}")
    _check_sampling(loaded, path)
    return loaded


def _check_sampling(scenario: Scenario, path: Path) -> None:
    """What is drawn has bounds, and the headline is not drawn."""
    for workload in scenario.workloads:
        drawn, where = workload.sampling, f"{path}: workload {workload.name!r}: sampling"
        if drawn is None:
            continue
        if drawn.temperature <= 0:
            raise FileError(f"{where}.temperature: {drawn.temperature:g} is not above 0; leave sampling out for greedy")
        if drawn.top_k < 1 and drawn.top_k != -1:
            raise FileError(f"{where}.top_k: {drawn.top_k} is no number of tokens; -1 means all")
        if not 0 < drawn.top_p <= 1:
            raise FileError(f"{where}.top_p: {drawn.top_p:g} is not above 0 and at most 1")
        if workload == scenario.headline_workload:
            raise FileError(
                f"{where}: tokens of the headline are compared, so it must be greedy; name another headline"
            )


def _every(pattern: str, load: Any) -> Iterator[Any]:
    for root in roots():
        for path in sorted(root.glob(pattern)):
            yield load(path)


Found = TypeVar("Found")


def _named(name: str, known: Mapping[str, Found], kind: str) -> Found:
    if name not in known:
        raise UsageError(f"no {kind} called {name!r}; known: {', '.join(sorted(known)) or 'none'}")
    return known[name]


FIELD = {"target": "targets", "patch": "patches"}
"""Name of a table in a file -> the field that holds all of them."""


def _toml(path: Path, *, table: str) -> dict[str, Any]:
    """The file's keys, with its ``[[table]]`` entries under the name of their field."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileError(f"{path}: {error}") from error
    if FIELD[table] in data or not isinstance(data.get(table), list) or not data[table]:
        raise FileError(f"{path}: at least one [[{table}]] is needed, each under its own heading")
    data[FIELD[table]] = data.pop(table)
    return data


DERIVED = frozenset({"folder", "digest"})
"""Fields that the loader fills in; a file that sets them is wrong."""


@cache
def _adapter(noun: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(noun)


def _validated(noun: type[Noun], data: Any, path: Path) -> Noun:
    from pydantic import ValidationError

    if not isinstance(data, dict):
        raise FileError(f"{path}: expected keys and values, found {type(data).__name__}")
    if derived := DERIVED & data.keys():
        raise FileError(f"{path}: {', '.join(sorted(derived))}: not a key; allowed: {_allowed(noun, ())}")
    try:
        checked: Noun = _adapter(cast(Any, noun)).validate_python(data)
    except ValidationError as error:
        raise FileError("\n".join(f"{path}: {_explained(noun, item)}" for item in error.errors())) from error
    return checked


def _explained(noun: type[Any], item: Any) -> str:
    where = ".".join(_written(part) for part in item["loc"])
    if item["type"] in ("missing", "missing_argument"):
        return f"{where}: is missing"
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where}: unknown key; allowed: {_allowed(noun, item['loc'][:-1])}"
    return f"{where}: {item['msg']} (found {item.get('input')!r})"


def _allowed(noun: type[Any], loc: tuple[Any, ...]) -> str:
    """Keys of the dataclass that a location inside ``noun`` belongs to."""
    from typing import get_args, get_type_hints

    for part in loc:
        hint = get_type_hints(noun).get(part) if isinstance(part, str) else None
        inner = [arg for arg in (hint, *get_args(hint)) if isinstance(arg, type) and is_dataclass(arg)]
        noun = inner[0] if inner else noun
    return ", ".join(_written(field.name) for field in fields(noun) if field.name not in DERIVED)


def _written(part: object) -> str:
    """A field's name as files spell it."""
    return next((table for table, name in FIELD.items() if name == part), str(part))
