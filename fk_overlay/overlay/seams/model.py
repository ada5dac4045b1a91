"""The model seam: a whole model class of the pack, served under the architecture's name."""

from __future__ import annotations

from fk_overlay.errors import SeamError
from fk_overlay.overlay.host import Host
from fk_overlay.overlay.tally import Tally, counted


def swap(host: Host, architecture: str, patch: object, tally: Tally) -> None:
    """Register the class ``patch`` for ``architecture``; its ``forward`` is counted.

    Raises:
        SeamError: ``patch`` is not a class with a ``forward`` of its own.
    """
    if not isinstance(patch, type) or "forward" not in vars(patch):
        raise SeamError(f"a model patch is a class with its own forward; {patch!r} is not")
    patch.forward = counted(vars(patch)["forward"], tally)  # type: ignore[attr-defined]
    host.register_model(architecture, patch.__module__, patch.__name__)
