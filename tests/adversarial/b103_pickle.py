"""A kernel or its tables that arrive as a pickle, which runs whatever it likes when it is read."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

from fk_overlay.integrity.static import scan_pack

HACK = Hack(
    "B103",
    "Arrives as a pickle, or reads one",
    guard="g.static",
    state="blocked",
    said=r"runs code when it reads data",
)
VARIANTS = ("file", "load", "weights")
FILES = {
    "file": {"kernel.py": "x = 1\n", "tables.pkl": ""},
    "load": {"kernel.py": "import pickle\ntables = pickle.load(open('t', 'rb'))\n"},
    "weights": {"kernel.py": "import torch\nscales = torch.load('scales.pt')\n"},
}


def scanned(stage: Stage, files: dict[str, str]) -> Finding:
    for name, text in files.items():
        (stage.tmp_path / name).write_text(text)
    blocked = [str(one) for one in scan_pack(stage.tmp_path) if one.level == "block"]
    return Finding("blocked" if blocked else "passed", blocked, "g.static" if blocked else "")


def hack(stage: Stage, variant: str) -> Finding:
    return scanned(stage, FILES[variant])


def honest(stage: Stage, variant: str) -> Finding:
    """Tables as JSON, weights read as data only."""
    source = "import json\nimport torch\nscales = torch.load('scales.npy', weights_only=True)\n"
    return scanned(stage, {"kernel.py": source, "tables.json": "{}"})
