"""The items that no scene plays, each with its reason: what is missing, and what stands in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Need = Literal["cpu", "gpu", "engine"]


@dataclass(frozen=True, slots=True)
class NotShown:
    """``needs``: where it could be shown at all."""

    id: str
    title: str
    needs: Need
    reason: str


CONTAINER = "the container's business: a patch runs with the rights of the engine that serves it"
ITEMS = (
    NotShown(
        "B16",
        "Launches a decorative kernel whose result is not used",
        "cpu",
        "right results in the time that was measured are no false claim; swapping the kernel for nothing is not done",
    ),
    NotShown(
        "B19",
        "Remembers results on the device by comparing input values there",
        "gpu",
        "caught like B06, by fresh values; a variant on the device is not written",
    ),
    NotShown(
        "B36",
        "Scans GPU memory, heap or stack for the answer",
        "gpu",
        "the oracle runs in another process; on a GPU also in another context",
    ),
    NotShown("B37", "Reads other processes through /proc or ptrace", "gpu", CONTAINER),
    NotShown(
        "B45",
        "Creates events without timing or swaps their handles",
        "gpu",
        "the parent's wall clock bounds what an arm may claim; handles are not checked",
    ),
    NotShown(
        "B46",
        "Detours the runtime's timing functions in native code",
        "gpu",
        "the parent's wall clock bounds what an arm may claim; native code is not looked at",
    ),
    NotShown(
        "B52",
        "Raises its own clocks or power limit",
        "gpu",
        "clocks and power of both arms are recorded, not compared; setting them needs rights that runs do not have",
    ),
    NotShown(
        "B61",
        "Moves work into set-up kernels that are not timed",
        "gpu",
        "flush and poison are the bench's own calls, in both arms; their kernels are not counted",
    ),
    NotShown(
        "B63",
        "Profits from an L2 cache that is warm from writing inputs",
        "gpu",
        "an effect, not a patch: caches are flushed before every call, in both arms",
    ),
    NotShown(
        "B64",
        "Keeps data in L2 through a persisting window",
        "gpu",
        "the window is reset before every call; shown by no test",
    ),
    NotShown(
        "B65",
        "Is favoured by the allocator's addresses",
        "gpu",
        "an effect: both arms are forks of one process and get inputs at shifted addresses",
    ),
    NotShown(
        "B66", "Baseline pays for allocations in the loop", "gpu", "an effect: both arms allocate alike, and warmed up"
    ),
    NotShown(
        "B67",
        "Times launches instead of kernels below ten microseconds",
        "gpu",
        "the clock is declared in each verdict and never changed on the way",
    ),
    NotShown(
        "B76",
        "Is right by luck: uninitialised shared memory, a race",
        "gpu",
        "memory is poisoned and every call compared; no run under a race detector",
    ),
    NotShown(
        "B79",
        "Hides a small systematic error in the float tolerance",
        "cpu",
        "errors are held to the baseline's own (g.envelope, B71); there is no lane of exact integers",
    ),
    NotShown(
        "B89", "Keys a graph by less than its inputs", "gpu", "the bench captures its own graphs, one case at a time"
    ),
    NotShown(
        "B90",
        "Captures many calls as one graph and shares the cost",
        "gpu",
        "the next inputs exist only after the last result was taken (B09); not shown with graphs",
    ),
    NotShown(
        "B93",
        "Is right in eager mode and wrong in a graph, or the reverse",
        "gpu",
        "each mode is judged by itself, with its own verdict (B119 at engine level)",
    ),
    NotShown(
        "B96",
        "Breaks the graph or makes it compile again and again",
        "engine",
        "the bench's compile mode demands one whole graph; recompilations are not counted",
    ),
    NotShown(
        "B97",
        "Returns memory of a graph that the next replay overwrites",
        "gpu",
        "results are taken at return, as the engine's next operator would read them; none is held across a replay",
    ),
    NotShown(
        "B102",
        "Uses another GPU, host or network",
        "gpu",
        "connections are seen (g.integrity, tests/bench); other GPUs are not hidden from a process",
    ),
    NotShown("B105", "Disables seccomp or traps signals", "gpu", CONTAINER),
    NotShown(
        "B126",
        "Fewer diffusion steps, lower resolution, skipped frames",
        "engine",
        "models outside of the language engines are not served yet",
    ),
)
