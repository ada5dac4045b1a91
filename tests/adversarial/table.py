"""Writes ``README.md`` of this folder from the suite itself: ``python tests/adversarial/table.py``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from adversarial.controls import CONTROLS
from adversarial.frame import GUARDS, Hack, scenes
from adversarial.not_shown import ITEMS, NotShown

README = Path(__file__).parent / "README.md"
HEAD = """# Cheats, and who catches them

Written by `python tests/adversarial/table.py` from the modules beside it; a test fails when it is out of date.

Each item is a way in which a patch can look faster or righter than it is, or break in a way that looks like it. A
module `bNN_*.py` plays it and its honest twin. The suite asserts that the cheat ends in the verdict that its guard
gives, in that guard's words, and that the twin passes: a guard that rejects everything would not do.

```
python -m pytest tests/adversarial            # all that needs no GPU
python -m pytest tests/adversarial -m gpu     # the rest
```

"""
WHERE = {"cpu": "any machine", "engine": "real engine", "gpu": "GPU"}


def rows() -> Iterator[tuple[str, ...]]:
    """Number, what it does, guard, where it runs, state."""
    shown = {number: module.HACK for number, module in scenes().items()}
    missing = {item.id: item for item in ITEMS}
    for number in sorted(shown.keys() | missing.keys(), key=lambda each: int(each[1:])):
        yield _shown(shown[number]) if number in shown else _not_shown(missing[number])


def _shown(hack: Hack) -> tuple[str, ...]:
    guard = " or ".join(f"`{each}`" for each in (hack.guard, *hack.also))
    verb = "asserted on a GPU" if hack.where == "gpu" else "caught"
    state = f"{verb}: {hack.state}" + (f". In part: {hack.part}" if hack.part else "")
    return hack.id, hack.title, guard, WHERE[hack.where], state


def _not_shown(item: NotShown) -> tuple[str, ...]:
    return item.id, item.title, "", WHERE[item.needs], f"not shown: {item.reason}"


def text() -> str:
    body = list(rows())
    kinds = Counter("in part" if "In part" in row[4] else row[4].partition(":")[0] for row in body)
    parts = kinds["in part"]
    lines = [
        f"{len(body)} items: {kinds['caught'] + parts} are played and caught on any machine ({parts} of them in part), "
        f"{kinds['asserted on a GPU']} need a GPU, {kinds['not shown']} are not shown.",
        "",
        "| item | what it does | guard | where | state |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in body),
        "",
        "Honest kernels that a guard could mistake for a cheat, and that must pass (`controls.py`):",
        "",
        *(f"- {control.title}{' (GPU)' if control.gpu else ''}" for control in CONTROLS.values()),
        "",
        "| guard | what it stands for |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in GUARDS.items()),
        "",
    ]
    return HEAD + "\n".join(lines)


if __name__ == "__main__":
    README.write_text(text(), encoding="utf-8")
