"""A CUDA graph of the kernel's own, replayed without the new inputs."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B88",
    "Replays a captured graph on stale inputs",
    guard="g.fresh",
    state="incorrect",
    said=r"got what \d+ had got",
    where="gpu",
)
KERNEL = """
graphs = {{}}


class Norm:
    def forward(self, x):
        key = tuple(x.shape)
        if key not in graphs:
            given = x.clone()
            right(self, given)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                out = right(self, given)
            graphs[key] = graph, given, out
        graph, given, out = graphs[key]
        {refresh}
        graph.replay()
        return out.clone()
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL.format(refresh="pass"), "cuda")


def honest(stage: Stage) -> Finding:
    """The new inputs are copied into the graph's."""
    return stage.benched(KERNEL.format(refresh="given.copy_(x)"), "cuda")
