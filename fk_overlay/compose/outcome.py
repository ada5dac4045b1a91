"""What a composition found."""

from __future__ import annotations

from dataclasses import dataclass

from fk_overlay.core import EXIT_CODES, Effect, Verdict


@dataclass(frozen=True, slots=True)
class Side:
    """The pack as it is, or repaired.

    Attributes:
        state: a verdict's state; of the pack as it is also how its one launch failed (``crashed``, ``hung``,
            ``refused``).
        effect: headline throughput against the baseline, None where it was not measured.
    """

    patches: tuple[str, ...]
    state: str
    effect: Effect | None = None
    correctness: float | None = None
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, patches: tuple[str, ...], verdict: Verdict) -> Side:
        return cls(patches, verdict.state, verdict.effect, verdict.correctness, verdict.reasons)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A patch that is not in the repaired pack.

    Attributes:
        state: ``crashed``, ``incorrect`` ..., or ``regressed`` for one that holds but costs more than it gives.
        conflict: all patches that fail together, itself included; one that fails alone has none beside it.
        how: what the finding rests on: ``before any launch``, ``traceback``, ``alone``, ``together``, ``measured``.
    """

    patch: str
    state: str
    conflict: tuple[str, ...]
    how: str
    reason: str


@dataclass(frozen=True, slots=True)
class Marginal:
    """What one patch adds to the repaired pack: all of it over all of it without the patch, more than 1 is better.

    Attributes:
        effect: None where the rest cannot be measured without the patch; ``reason`` says why.
    """

    patch: str
    effect: Effect | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Composition:
    """A whole composition.

    Attributes:
        other_engines: patches that were not judged, since they are for other engines; the repaired pack keeps them.
        trials: subsets that were tried with one launch each; ``launches``: all launches, witnesses included.
    """

    pack: str
    digest: str
    engine: str
    engine_version: str
    scenario: str
    mode: str
    minimum_effect: float
    as_is: Side
    repaired: Side | None
    dropped: tuple[Dropped, ...] = ()
    marginal: tuple[Marginal, ...] = ()
    other_engines: tuple[str, ...] = ()
    trials: int = 0
    rounds: int = 0
    launches: int = 0

    @property
    def exit_code(self) -> int:
        """That of the repaired pack's verdict; where nothing holds, 5."""
        return EXIT_CODES[self.repaired.state] if self.repaired is not None else EXIT_CODES["incorrect"]
