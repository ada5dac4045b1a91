"""What counts as a change, and how bad it is."""

import pytest

from fk_overlay.contract.compare import compare
from fk_overlay.core import Fingerprint

BEFORE = "(self, x: Tensor, residual: Tensor | None=None) -> Tensor"


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (BEFORE, "same"),
        ("(self, x: Tensor, residual: Tensor | None=None, scale: float=1.0) -> Tensor", "compatible"),
        ("(self, x: Tensor, residual: Tensor | None=None, *, scale: float=1.0) -> Tensor", "compatible"),
        ("(self, x: Tensor, residual: Tensor | None=None, **kwargs) -> Tensor", "compatible"),
        ("(self, x: Any, residual: Tensor | None=None) -> Any", "compatible"),
        ("(self, x: Tensor, residual: Tensor | None=None, *, scale: float) -> Tensor", "changed"),
        ("(self, x: Tensor, scale: float=1.0, residual: Tensor | None=None) -> Tensor", "changed"),
        ("(self, x: Tensor, residual: Tensor) -> Tensor", "changed"),
        ("(self, x: Tensor, residual: Tensor | None=ZERO) -> Tensor", "changed"),
        ("(self, x: Tensor, *, residual: Tensor | None=None) -> Tensor", "changed"),
        ("(self, hidden: Tensor, residual: Tensor | None=None) -> Tensor", "changed"),
        ("(self, x: Tensor) -> Tensor", "changed"),
        ("(self, x: Tensor, /, residual: Tensor | None=None) -> Tensor", "changed"),
        ("(*args, **kwargs)", "changed"),
    ],
)
def test_signatures(after: str, state: str) -> None:
    assert compare(Fingerprint(BEFORE, "aa"), Fingerprint(after, "aa")).state == state


def test_a_changed_body_is_told_with_the_change_of_signature() -> None:
    change = compare(Fingerprint(BEFORE, "aa"), Fingerprint(BEFORE.replace(")", ", scale: float=1.0)"), "bb"))
    assert change.state == "body"
    assert change.detail == "its statements differ (aa -> bb); +{scale: float = 1.0}"


def test_a_signature_diff_names_what_went_and_what_came() -> None:
    change = compare(Fingerprint(BEFORE, "aa"), Fingerprint("(self, x: Tensor, *, scale: float=1.0)", "bb"))
    assert change.state == "changed"
    assert change.detail == "-{residual: Tensor | None = None} +{scale: float = 1.0}"


def test_a_new_order_is_told_in_words() -> None:
    change = compare(Fingerprint("(a, b)", ""), Fingerprint("(b, a)", ""))
    assert (change.state, change.detail) == ("changed", "order of parameters: a, b -> b, a")
