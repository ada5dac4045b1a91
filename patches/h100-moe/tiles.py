"""Which tiles the two products take for a layer's shape and a number of tokens, as measured on this card.

``tiles.json`` is written by ``benchmarks/h100/moe_tiles.py`` and says for every card and shape, by tokens of a step,
the tiles of both products, or ``null`` where the engine's own kernels are as fast.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Product:
    """How one grouped product is cut.

    Attributes:
        tile: BLOCK_M, BLOCK_N, BLOCK_K, GROUP_M, warps, stages.
        described, joined, resident: see :func:`grouped.grouped`.
    """

    tile: tuple[int, int, int, int, int, int]
    described: bool
    joined: bool = False
    resident: bool = False


@dataclass(frozen=True, slots=True)
class Tiles:
    """Of both products. They share BLOCK_M, for which the pairs are sorted.

    Attributes:
        packed, early: see :mod:`grouped`.
    """

    first: Product
    second: Product
    packed: bool = False
    early: bool = False


def tiles_for(experts: int, hidden: int, inner: int, top_k: int, tokens: int) -> Tiles | None:
    """Of the measured number of tokens that is nearest, as the engine chooses among its own; None where the engine's
    own kernels are to run."""
    measured = _measured(_named(experts, hidden, inner, top_k))
    return measured[min(measured, key=lambda count: abs(count - tokens))] if measured else None


def why_none(experts: int, hidden: int, inner: int, top_k: int) -> str:
    """Why there are no tiles for some number of tokens of this shape."""
    name = _named(experts, hidden, inner, top_k)
    if _measured(name):
        return f"with some numbers of tokens the engine's own kernels are as fast ({name})"
    return f"no tile was measured for {name} on {card() or 'a machine without a GPU'}"


def _named(experts: int, hidden: int, inner: int, top_k: int) -> str:
    return f"{experts} experts, hidden {hidden}, inner {inner}, top {top_k}"


def _measured(shape: str) -> dict[int, Tiles | None]:
    return MEASURED.get(card(), {}).get(shape, {})


@functools.cache
def card() -> str:
    """The name of this process's GPU; empty if it has none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def _read(path: Path) -> dict[str, dict[str, dict[int, Tiles | None]]]:
    """By card, shape and tokens."""
    return {
        name: {
            shape: {int(tokens): _tiles(said) if said else None for tokens, said in rows.items()}
            for shape, rows in shapes.items()
        }
        for name, shapes in json.loads(path.read_text()).items()
    }


def _tiles(said: dict[str, Any]) -> Tiles:
    first, second = (
        Product(tuple(cut["tile"]), cut["described"], cut.get("joined", False), cut.get("resident", False))
        for cut in (said["first"], said["second"])
    )
    return Tiles(first, second, said.get("packed", False), said.get("early", False))


MEASURED = _read(Path(__file__).with_name("tiles.json"))
