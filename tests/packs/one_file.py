"""Imports a kernel file that needs no neighbours."""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def import_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"one_file_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where Dynamo looks for a function's globals
    spec.loader.exec_module(module)
    return module
