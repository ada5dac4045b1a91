"""Whether the times that an arm claims fit what the parent's own clock saw from outside.

An arm's clock lives beside the candidate. The parent sees each call from its signal to its answer: the call, and the
copying of its results, which is the same in both arms. So what the candidate claims to save must be saved there too. A
saving that is smaller than what the parent's clock can tell rests on the arm's own; the verdict says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from fk_overlay.integrity.guards import Rejection
from fk_overlay.stats.pairs import half_width

SHARE = 0.5
"""Part of a claimed saving that the parent's clock must see."""
LATE_S = 50e-6
"""Work on other streams that ends so much later than the baseline's counts as left behind."""


def impossible(seconds: float, wall_s: float) -> Rejection | None:
    """One call's claim: positive, and no longer than it took."""
    if not math.isfinite(seconds) or seconds <= 0 or seconds > wall_s:
        return Rejection("g.outproc", f"a call claims {seconds:.3g} s, it took {wall_s:.3g} s by the parent's clock")
    return None


def unseen_saving(claimed: Sequence[float], walls: Sequence[float]) -> Rejection | None:
    """A saving that the parent's clock does not see, and that no chance explains: a burst of other work on the machine
    lengthens some calls of one arm, and both clocks then see too little to tell.

    Args:
        claimed: of every round, the baseline's median time less the candidate's, in seconds; ``walls``: the same by the
            parent's clock.
    """
    said, seen = sum(claimed) / len(claimed), sum(walls) / len(walls)
    least, most = said - unsure(claimed), seen + unsure(walls)
    if least <= 0 or most >= SHARE * least:
        return None
    return Rejection(
        "g.outproc",
        f"it claims to save {1e6 * said:.3g} us a call, at least {1e6 * least:.3g} us, of which the parent's clock saw "
        f"{1e6 * seen:.3g} us, at most {1e6 * most:.3g} us",
    )


def unsure(savings: Sequence[float]) -> float:
    """Half of the 95 % interval's width of a mean over rounds, in seconds; infinite for a single round."""
    if len(savings) < 2:
        return math.inf
    return half_width(statistics.stdev(savings), len(savings))


def left_behind(late_s: float, baseline_late_s: float) -> Rejection | None:
    """Work that the device still does when the stream is done; medians of timed calls, in seconds."""
    more = late_s - baseline_late_s
    if more <= LATE_S:
        return None
    return Rejection("g.device_sync", f"the device works on for {1e6 * more:.0f} us after the call's stream is done")
