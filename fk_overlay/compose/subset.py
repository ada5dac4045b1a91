"""A pack with some of its patches: a folder of its own, with a digest of its own.

The digest keys the compile caches of an arm and is checked in every engine process, so that no subset is served another
one's compiled code. All files stay, since patches may import their neighbours.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fk_overlay import catalog, packs
from fk_overlay.core import Pack, Patch
from fk_overlay.errors import PackError

TABLE = re.compile(r"\s*\[")
PATCH = re.compile(r"\s*\[\[\s*patch\s*\]\]")
INSIDE_PATCH = re.compile(r"\s*\[\[?\s*patch\s*\.")


def named(pack: Pack, engine: str) -> Mapping[str, Patch]:
    """The patches that are meant for ``engine``, by task; a second patch for a task is ``task#2``."""
    found: dict[str, Patch] = {}
    seen: Counter[str] = Counter()
    for patch in pack.patches:
        if patch.meant_for(engine):
            seen[patch.task] += 1
            found[patch.task if seen[patch.task] == 1 else f"{patch.task}#{seen[patch.task]}"] = patch
    return found


def write(pack: Pack, dropped: Collection[Patch], folder: Path) -> Pack:
    """Write the pack without ``dropped`` to ``folder``, replacing what is there. It has no lock yet.

    Raises:
        PackError: its ``pack.toml`` is written in a way from which single patches cannot be taken.
    """
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(pack.folder, folder, symlinks=True, ignore=shutil.ignore_patterns(*packs.IGNORED))
    path = folder / catalog.PACK_FILE
    numbers = {number for number, patch in enumerate(pack.patches) if any(patch is each for each in dropped)}
    path.write_text("".join(_without(path.read_text(encoding="utf-8"), numbers)), encoding="utf-8")
    written = catalog.load_pack(folder)
    kept = tuple(patch for number, patch in enumerate(pack.patches) if number not in numbers)
    if written != replace(pack, patches=kept, folder=written.folder, digest=written.digest):
        raise PackError(
            f"{pack.folder / catalog.PACK_FILE}: single patches cannot be taken from it; write each below a line "
            "[[patch]], with its arrays on one line"
        )
    return packs.trusted(written)


def _without(text: str, numbers: Collection[int]) -> Iterator[str]:
    """The lines of a ``pack.toml`` without the patches of these numbers, counted from 0."""
    number, inside = -1, False
    for line in text.splitlines(keepends=True):
        if PATCH.match(line):
            number, inside = number + 1, True
        elif TABLE.match(line):
            inside = inside and INSIDE_PATCH.match(line) is not None
        if not (inside and number in numbers):
            yield line
