"""The file that an engine reads: token count -> configuration. The engine takes the nearest count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fk_overlay.tuning.config import Config


def write(path: Path, configs: Mapping[int, Config], triton: str | None) -> None:
    """Replace ``path`` in one step.

    Args:
        triton: version that the configurations were tuned with, kept under ``triton_version`` where the engine can
            read it; None for SGLang, which takes every key for a number of tokens and has the version in the folder's
            name.

    Raises:
        ValueError: there is no configuration to write; an engine could not choose from an empty file.
    """
    if not configs:
        raise ValueError(f"nothing to write to {path}")
    held: dict[str, object] = {} if triton is None else {"triton_version": triton}
    held.update((str(tokens), configs[tokens].engine()) for tokens in sorted(configs))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(held, indent=4) + "\n", encoding="utf-8")
    draft.replace(path)
