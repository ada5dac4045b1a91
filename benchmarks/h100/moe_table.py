"""Writes ``tiles.json`` of patches/h100-moe: by card, shape of the layer and tokens of a step, the tiles of both
products, or ``null`` where the engine's own kernels are as fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LEAST = 1.01
"""How much faster than the engine's layer the pack's must be, under every law of routing."""


def write(pack: Path, shape: str, rows: dict[int, Any]) -> None:
    """This card's rows for the measured numbers of tokens; it keeps those for others. Below the least of all, the
    engine's own kernels run.

    Args:
        rows: by tokens; ``chosen``: the two cuts and whether launches are early, or None; ``whole``: by law, the
            seconds of the engine's layer and of the pack's.
    """
    import torch

    from fk_overlay.tuning import shapes

    layer = shapes.get(shape)
    key = f"{layer.experts} experts, hidden {layer.hidden}, inner {layer.inter}, top {layer.top_k}"
    path = pack / "tiles.json"
    held = json.loads(path.read_text())
    shapes_of_card = held.setdefault(torch.cuda.get_device_name(), {})
    table: dict[str, Any] = {"1": None, **shapes_of_card.get(key, {})}
    for tokens in rows:
        whole, chosen = rows[tokens]["whole"].values(), rows[tokens]["chosen"]
        table[str(tokens)] = None
        if chosen and all(each["engine"] >= LEAST * each["pack"] for each in whole):
            flags = {"packed": chosen["second"].packed, "early": chosen["early"]}
            table[str(tokens)] = {name: _product(chosen[name]) for name in ("first", "second")} | flags
    shapes_of_card[key] = {tokens: table[tokens] for tokens in sorted(table, key=int)}
    path.write_text(
        "{\n" + ",\n".join(f'  "{card}": {{\n{_shapes(found)}\n  }}' for card, found in held.items()) + "\n}\n"
    )


def _product(cut: Any) -> dict[str, Any]:
    more = {name: True for name in ("joined", "resident") if getattr(cut, name)}
    return {"tile": list(cut.tile), "described": cut.described, **more}


def _shapes(found: dict[str, Any]) -> str:
    """A line for each number of tokens."""
    told = []
    for shape, rows in found.items():
        lines = ",\n".join(f'      "{tokens}": {json.dumps(cut)}' for tokens, cut in rows.items())
        told.append(f'    "{shape}": {{\n{lines}\n    }}')
    return ",\n".join(told)
