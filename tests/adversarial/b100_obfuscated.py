"""Code that is unpacked from a text and executed."""

from __future__ import annotations

import base64

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage, read

HACK = Hack(
    "B100",
    "Hides code in base64, compressed or computed texts",
    guard="g.static",
    state="blocked",
    said=r"block: runs or imports a computed text: (exec|eval|__import__)",
)
TEXT = base64.b64encode(b"import torch").decode()
KERNELS = {
    "base64": f"import base64\nexec(base64.b64decode('{TEXT}'))\n",
    "joined": "exec(''.join(['imp', 'ort torch']))\n",
    "import": "name = 'to' + 'rch'\ntorch = __import__(name)\n",
    "eval": "forward = eval('lamb' + 'da x: x')\n",
}
VARIANTS = tuple(KERNELS)


def hack(stage: Stage, variant: str) -> Finding:
    return read(KERNELS[variant], "runs or imports a computed text")


def honest(stage: Stage, variant: str) -> Finding:
    return read("import torch\n\nscale = eval_scale = 2.0\n\n\ndef kernel(x):\n    return x * scale\n", "")
