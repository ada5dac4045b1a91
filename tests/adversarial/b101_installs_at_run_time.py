"""A pack that fetches a prebuilt kernel when it is imported."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage, read

from fk_overlay import catalog, packs
from fk_overlay.errors import PackError

HACK = Hack(
    "B101",
    "Installs or downloads a prebuilt kernel at run time",
    guard="g.static",
    state="blocked",
    said=r"starts processes: subprocess|talks to the network: urllib",
    part="the source is read; nothing cuts a running engine off the network",
)
VARIANTS = ("pip", "download")
SOURCES = {
    "pip": "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'fast-kernels'])\n",
    "download": "from urllib.request import urlretrieve\nurlretrieve('https://example.org/k.so', '/tmp/k.so')\n",
}


def hack(stage: Stage, variant: str) -> Finding:
    return read(SOURCES[variant], "starts processes")


def honest(stage: Stage, variant: str) -> Finding:
    """A pack that says which packages it needs, and is refused where they are missing."""
    folder = stage.tmp_path / "declared"
    folder.mkdir()
    (folder / "kernel.py").write_text("class Norm:\n    def forward(self, x):\n        return x\n")
    text = 'name = "declared"\nsummary = "s"\n[[patch]]\ntask = "norm"\nfile = "kernel.py"\nsymbol = "Norm"\n'
    (folder / "pack.toml").write_text(text + '[requires.packages]\nno-such-package = ">=1"\n')
    try:
        packs.require(catalog.load_pack(folder), packs.Machine("toy", "1.0", ()))
    except PackError as error:
        return Finding("passed" if "no-such-package" in str(error) else "failed", (str(error),))
    return Finding("failed", ("a missing package was not noticed",))
