"""The same cache in the places where state hides from a reader."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B08",
    "Hides a cache: default argument, attribute, closure, context variable, generator, partial",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
)
PLACES = {
    "default": """
def kept(layer, x, box={}):
    if x.shape not in box:
        box[x.shape] = right(layer, x)
    return box[x.shape].clone()
""",
    "attribute": """
def kept(layer, x):
    if not hasattr(kept, str(x.shape)):
        setattr(kept, str(x.shape), right(layer, x))
    return getattr(kept, str(x.shape)).clone()
""",
    "closure": """
def made():
    held = {}

    def kept(layer, x):
        if x.shape not in held:
            held[x.shape] = right(layer, x)
        return held[x.shape].clone()

    return kept


kept = made()
""",
    "contextvar": """
import contextvars

held = contextvars.ContextVar("held", default={})


def kept(layer, x):
    if x.shape not in held.get():
        held.set({**held.get(), x.shape: right(layer, x)})
    return held.get()[x.shape].clone()
""",
    "generator": """
def repeating():
    layer, x = yield
    known = {}
    while True:
        if x.shape not in known:
            known[x.shape] = right(layer, x)
        layer, x = yield known[x.shape].clone()


loop = repeating()
next(loop)


def kept(layer, x):
    return loop.send((layer, x))
""",
    "partial": """
import functools


def filled(box, layer, x):
    if x.shape not in box:
        box[x.shape] = right(layer, x)
    return box[x.shape].clone()


kept = functools.partial(filled, {})
""",
    "lru_cache": """
import functools

held = {}


@functools.lru_cache
def by_shape(shape):
    return right(*held["now"])


def kept(layer, x):
    held["now"] = layer, x
    return by_shape(tuple(x.shape)).clone()
""",
    "layer": """
def kept(layer, x):
    plan = layer.__dict__.setdefault("_plan", {})
    if x.shape not in plan:
        plan[x.shape] = right(layer, x)
    return plan[x.shape].clone()
""",
}
VARIANTS = tuple(PLACES)
KERNEL = "\n\nclass Norm:\n    def forward(self, x):\n        return kept(self, x)\n"
HONEST = """
import functools


@functools.lru_cache
def width(columns):
    return 1 << (columns - 1).bit_length()


class Norm:
    def forward(self, x):
        assert width(x.shape[-1]) >= x.shape[-1]
        return right(self, x)
"""


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(PLACES[variant] + KERNEL)


def honest(stage: Stage, variant: str) -> Finding:
    """A cached helper that knows sizes, not values."""
    return stage.benched(HONEST)
