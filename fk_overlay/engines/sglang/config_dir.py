"""A folder that SGLang takes for its own folder of kernel configurations, with a pack's files in front.

SGLang reads ``SGLANG_MOE_CONFIG_DIR/configs/triton_<version>/<file>``, then the folders of other Triton versions there,
and nothing of its own any more. So its own files are linked beside the pack's: a shape that the pack does not know
runs as it would without the pack.
"""

from __future__ import annotations

import hashlib
import shutil
from importlib import metadata
from pathlib import Path
from tempfile import mkdtemp

from fk_overlay import environment

OWN = Path("sglang", "srt", "layers", "moe", "moe_runner", "triton_utils", "configs")


def lay_out(folder: Path, source_root: Path) -> Path:
    """The folder for ``SGLANG_MOE_CONFIG_DIR``, in the overlay's home. ``source_root`` holds SGLang's package."""
    version = metadata.version("triton")
    own = source_root / OWN
    names = [path.name for path in sorted(folder.glob("*.json"))]
    made_of = f"{folder.absolute()} {names} {own.absolute()} {version}"
    root = environment.home() / "moe-configs" / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(dir=root.parent))
        _link(own, draft / "configs")
        _link(folder, draft / "configs" / f"triton_{version.replace('.', '_')}")
        try:
            draft.rename(root)
        except OSError:  # another rank, or another launch, was faster
            shutil.rmtree(draft)
    return root


def _link(source: Path, target: Path) -> None:
    """Links to every file under ``source``, in front of those that are there."""
    for path in sorted(source.rglob("*.json")):
        link = target / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path.absolute())
    target.mkdir(parents=True, exist_ok=True)
