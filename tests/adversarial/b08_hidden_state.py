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
    "default": "def kept(layer, x, box=[]):\n    box or box.append(right(layer, x))\n    return box[0].clone()\n",
    "attribute": (
        "def kept(layer, x):\n    kept.out = getattr(kept, 'out', None)\n    kept.out = right(layer, x) if kept.out is None "
        "else kept.out\n    return kept.out.clone()\n"
    ),
    "closure": (
        "def made():\n    out = None\n    def kept(layer, x):\n        nonlocal out\n        out = right(layer, x) if out is None "
        "else out\n        return out.clone()\n    return kept\nkept = made()\n"
    ),
    "contextvar": (
        "import contextvars\nheld = contextvars.ContextVar('held', default=None)\ndef kept(layer, x):\n    "
        "held.get() is not None or held.set(right(layer, x))\n    return held.get().clone()\n"
    ),
    "generator": (
        "def repeating():\n    layer, x = yield\n    out = right(layer, x)\n    while True:\n        yield out.clone()\n"
        "loop = repeating()\nnext(loop)\ndef kept(layer, x):\n    return loop.send((layer, x))\n"
    ),
    "partial": (
        "import functools\ndef filled(box, layer, x):\n    box.setdefault(0, right(layer, x))\n    return box[0].clone()\n"
        "kept = functools.partial(filled, {})\n"
    ),
    "lru_cache": (
        "import functools\nheld = {}\n@functools.lru_cache\ndef by_shape(shape):\n    return right(*held['now'])\n"
        "def kept(layer, x):\n    held['now'] = layer, x\n    return by_shape(tuple(x.shape)).clone()\n"
    ),
    "layer": (
        "def kept(layer, x):\n    layer.__dict__.setdefault('_plan', right(layer, x))\n    return layer._plan.clone()\n"
    ),
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
