"""The same cache in the places where state hides from a reader."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B08",
    "Hides a cache: default argument, attribute, closure, context variable, generator, partial",
    guard="g.fresh",
    state="incorrect",
    said=r"got what call \d+ had got",
)
PLACES = {
    "default": """
def kept(layer, x, box=[]):
    box or box.append(right(layer, x))
    return box[0].clone()
""",
    "attribute": """
def kept(layer, x):
    if not hasattr(kept, "out"):
        kept.out = right(layer, x)
    return kept.out.clone()
""",
    "closure": """
def made():
    out = None

    def kept(layer, x):
        nonlocal out
        out = right(layer, x) if out is None else out
        return out.clone()

    return kept


kept = made()
""",
    "contextvar": """
import contextvars

held = contextvars.ContextVar("held", default=None)


def kept(layer, x):
    held.get() is not None or held.set(right(layer, x))
    return held.get().clone()
""",
    "generator": """
def repeating():
    layer, x = yield
    out = right(layer, x)
    while True:
        yield out.clone()


loop = repeating()
next(loop)


def kept(layer, x):
    return loop.send((layer, x))
""",
    "partial": """
import functools


def filled(box, layer, x):
    box.setdefault(0, right(layer, x))
    return box[0].clone()


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
    layer.__dict__.setdefault("_plan", right(layer, x))
    return layer._plan.clone()
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
