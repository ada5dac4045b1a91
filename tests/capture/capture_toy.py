"""A small engine package, written to a folder: a function, an operator, a layer with a static method, a model."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fk_overlay.core import Target

SOURCE = """
import torch


def double(x, by=2):
    return x * by


class Operator:
    def __init__(self, native):
        self.native = native

    def __call__(self, *args):
        return self.native(*args)


@Operator
def negative(x):
    return -x


class Layer(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.bound = self.forward_native

    def forward_native(self, x):
        return self.gate(x) * self.scale

    @staticmethod
    def gate(x, by=2.0):
        return x * by

    def forward(self, x):
        return self.bound(x)


class ModelForCausalLM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Layer(3.0)

    def forward(self, x):
        return self.layer(x)
"""
PACKAGE = "recorded_toy"
TARGETS = {
    "double": Target("toy", ">=1", f"{PACKAGE}.layers:double", "function"),
    "layer": Target("toy", ">=1", f"{PACKAGE}.layers:Layer", "method", ("forward_native",)),
    "gate": Target("toy", ">=1", f"{PACKAGE}.layers:Layer", "method", ("gate",)),
    "negative": Target("toy", ">=1", f"{PACKAGE}.layers:negative", "ir"),
    "model": Target("toy", ">=1", f"{PACKAGE}.layers:ModelForCausalLM", "model"),
}


class ToyHost:
    engine = "toy"

    def __init__(self, root: Path) -> None:
        self.root = root

    def source_root(self) -> Path:
        return self.root

    def version(self) -> str:
        return "1.2.0"

    def role(self) -> str:
        return "worker"

    def watch_ir(self, path: str, recording: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        module, _, name = path.partition(":")
        operator = getattr(importlib.import_module(module), name)
        operator.native = recording(operator.native)


def write_package(root: Path) -> None:
    (root / PACKAGE).mkdir(parents=True)
    (root / PACKAGE / "__init__.py").write_text("")
    (root / PACKAGE / "layers.py").write_text(SOURCE)
    (root / PACKAGE / "user.py").write_text(f"from {PACKAGE}.layers import double\n")
