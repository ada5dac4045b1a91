"""Lets SGLang be imported on a machine without a GPU, where no build of ``sgl_kernel`` and no fitting one of
``torchvision`` exist.

SGLang's CPU engine imports eight functions of ``sgl_kernel`` for speculative decoding, and ``torchvision`` for image
models; it calls neither for text. Every other kernel is asked for by feature, found missing, and replaced by SGLang's
own PyTorch code. So a module whose functions raise when called is enough. It exists in memory only: nothing is
installed, and nothing of it is active where there is a GPU.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn

from fk_overlay.engines.gpus import names
from fk_overlay.errors import EngineError

KERNELS = "sgl_kernel"
VISION = "torchvision"
SCHEMAS = ("nms", "qnms")
"""Operators that torchvision's Python code expects its compiled part to have defined."""


class StandIns(MetaPathFinder):
    """Finds a stand-in for ``sgl_kernel``, and gives ``torchvision`` its operators' schemas before it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == KERNELS:
            return importlib.util.spec_from_loader(fullname, _Raising(), is_package=True)
        if fullname == VISION:
            _define_schemas()
        return None


class _Raising(Loader):
    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__version__ = "0.0.0+none"  # type: ignore[attr-defined]
        module.__getattr__ = _missing  # type: ignore[method-assign]


def install() -> None:
    """Make the stand-ins importable in this process, if it is an SGLang process without a GPU.

    SGLang starts its schedulers by importing the main module anew, so a main module that calls this at its top level
    does it for all of them.

    Raises:
        EngineError: there is a GPU, and SGLang is told not to use it or finds a stand-in that was installed.
    """
    wanted = os.environ.get("SGLANG_USE_CPU_ENGINE", "").lower() in ("1", "true")
    if names():
        if wanted:
            raise EngineError("SGLANG_USE_CPU_ENGINE is set on a machine with a GPU; unset it, or hide the GPU")
        refuse_installed()
    elif wanted and not any(isinstance(finder, StandIns) for finder in sys.meta_path):
        sys.meta_path.insert(0, StandIns())


def refuse_installed() -> None:
    """Refuse an ``sgl_kernel`` without compiled code: it would serve a GPU with errors, or slowly.

    Raises:
        EngineError: such a package is on the import path.
    """
    from pathlib import Path

    spec = PathFinder.find_spec(KERNELS)
    if spec is None or not spec.submodule_search_locations:
        return
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not any(folder.rglob("*.so")):
        raise EngineError(
            f"{folder} holds no compiled kernels, but this machine has a GPU; remove it and install sglang-kernel"
        )


def _missing(name: str) -> Callable[..., NoReturn]:
    if name.startswith("__") or name == "scalar_type":
        raise AttributeError(name)

    def kernel(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"sgl_kernel.{name} needs a GPU, and SGLang's CPU engine should not have called it")

    kernel.__name__ = name
    return kernel


_schemas: list[Any] = []
"""Keeps the operator library alive."""


def _define_schemas() -> None:
    import torch

    if hasattr(torch.ops.torchvision, SCHEMAS[0]):
        return
    library = torch.library.Library(VISION, "FRAGMENT")
    for name in SCHEMAS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _schemas.append(library)
