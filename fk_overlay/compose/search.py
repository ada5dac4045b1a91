"""Finds the largest subset of patches that holds, in few trials. Knows patches by name and nothing of engines.

A *core* is a set of patches that fails together. Every failure is shrunk to a core; the next subset to try is what is
left without a smallest set of patches that has one of every core (the duality of conflicts and diagnoses, Reiter 1987).
A core is found by binary search over prefixes: of a single culprit among n in about log2 n trials.

What is guaranteed:

- the result holds: it was tried itself;
- a core fails, and holds without any one of its patches: both were tried (1-minimal, as ddmin's, Zeller and Hildebrandt
  2002). A core that was read off a traceback is taken on trust until the next point;
- with any one of the other patches added the result fails: that was tried too (1-maximal), so a wrong trace is mended;
- if adding a patch never mends a failure, and no trace was wrong, no larger subset holds. Where patches do mend each
  other, a larger one may exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

Subset = frozenset[str]
EMPTY: Subset = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a trial said.

    Attributes:
        blamed: the patch of the subset that the failure was traced to, None if it was not.
        suspects: patches that the failure names; they are tried alone before anything else.
    """

    holds: bool
    blamed: str | None = None
    suspects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Core:
    """Patches that fail together.

    Attributes:
        traced: a traceback said so, and nobody tried it.
    """

    patches: Subset
    traced: bool = False


class Search:
    """A search among ``patches``, in the order in which ties are decided: the first are kept.

    Args:
        ask: tries a subset that is not empty. It is asked once about each.
    """

    def __init__(self, patches: Sequence[str], ask: Callable[[Subset], Answer]) -> None:
        self._order = tuple(patches)
        self._ask = ask
        self.answers: dict[Subset, Answer] = {EMPTY: Answer(True)}
        self.cores: list[Core] = []

    @property
    def patches(self) -> Subset:
        return frozenset(self._order)

    def answer(self, subset: Subset) -> Answer:
        if subset not in self.answers:
            self.answers[subset] = self._ask(subset)
        return self.answers[subset]

    def learn(self, subset: Subset, answer: Answer) -> None:
        """Take what was found out elsewhere for the answer about ``subset``, whatever a trial said."""
        self.answers[subset] = answer

    def leave_out(self, patch: str) -> None:
        """Search on among the others."""
        self._order = tuple(each for each in self._order if each != patch)

    def largest(self) -> Subset:
        """The largest subset that holds, empty if none does. Asked again after :meth:`learn` or :meth:`leave_out`, it
        starts from all that is known."""
        while not self.answer(kept := self.patches - self._dropped()).holds:
            self.cores.append(self._core(self.ordered(kept)))
        return self._grown(kept)

    def ordered(self, subset: Iterable[str]) -> tuple[str, ...]:
        wanted = frozenset(subset)
        return tuple(each for each in self._order if each in wanted)

    def _dropped(self) -> Subset:
        """A smallest set of patches that has one of every core. Of equals, that of the patches that come last."""
        cores = [core.patches & self.patches for core in self.cores if core.patches <= self.patches]
        candidates = [each for each in reversed(self._order) if any(each in core for core in cores)]
        sizes = range(len(candidates) + 1)
        chosen = (frozenset(each) for size in sizes for each in combinations(candidates, size))
        return next(each for each in chosen if all(each & core for core in cores))

    def _grown(self, kept: Subset) -> Subset:
        """``kept``, with every other patch with which it holds too."""
        for patch in self.ordered(self.patches - kept):
            if self.answer(kept | {patch}).holds:
                return self._grown(kept | {patch})
        return kept

    # ---------------------------------------------------------------- from a failure to a core

    def _core(self, failing: Sequence[str]) -> Core:
        answer = self.answer(frozenset(failing))
        if answer.blamed is not None:
            return Core(frozenset({answer.blamed}), traced=True)
        for suspect in answer.suspects:
            if not self.answer(frozenset({suspect})).holds:
                return Core(frozenset({suspect}))
        return self._shrunk(failing)

    def _shrunk(self, failing: Sequence[str]) -> Core:
        """Collects the core's patches from the last to the first: each is the end of the shortest prefix that, with
        those collected, fails."""
        core, rest = EMPTY, tuple(failing)
        while self.answer(core).holds:
            holds, fails = 0, len(rest)
            while fails - holds > 1:
                middle = (holds + fails) // 2
                answer = self.answer(core.union(rest[:middle]))
                if answer.blamed is not None:
                    return Core(frozenset({answer.blamed}), traced=True)
                holds, fails = (middle, fails) if answer.holds else (holds, middle)
            core, rest = core | {rest[fails - 1]}, rest[: fails - 1]
        return self._minimal(core)

    def _minimal(self, core: Subset) -> Core:
        """Where patches mend each other, a part of what was collected may still fail."""
        for patch in self.ordered(core):
            part = core - {patch}
            if not self.answer(part).holds:
                return self._core(self.ordered(part))
        return Core(core)
