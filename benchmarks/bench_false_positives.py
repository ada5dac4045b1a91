"""How often the bench calls the baseline faster than itself: every sample case of every task, judged against itself,
again and again. The share of ``improved`` must stay below 2.5 %.

    python benchmarks/bench_false_positives.py --engine vllm --repeats 4 --out false-positives.jsonl
    python benchmarks/bench_false_positives.py --engine toy --repeats 16

``toy`` is the small engine of the tests, which needs nothing installed but torch. Writes one line a judgement and
prints, for every task and for all, how many there were of each verdict, and how far the ratios lie from 1.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from fk_overlay import catalog
from fk_overlay.bench.bench import Bench, Place
from fk_overlay.bench.design import Design
from fk_overlay.bench.judge import judge
from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.capture import store
from fk_overlay.capture.subset import samples

LIMIT = 0.025


def main(
    engine: str = "vllm",
    repeats: Annotated[int, typer.Option(min=1)] = 4,
    task: Annotated[list[str] | None, typer.Option()] = None,
    out: Path = Path("false-positives.jsonl"),
) -> None:
    found = []
    with out.open("a") as file:
        for verdict in judged(engine, repeats, task):
            file.write(json.dumps(verdict.plain()) + "\n")
            file.flush()
            found.append(verdict)
    improved = summary(found)
    raise typer.Exit(int(improved > LIMIT))


def judged(engine: str, repeats: int, names: list[str] | None) -> Iterator[CaseVerdict]:
    if engine == "toy":
        yield from judged_toy(repeats)
        return
    tasks = catalog.tasks()
    with Bench(Place.of(engine), tasks) as bench:
        for _ in range(repeats):
            for name in names or sorted(tasks):
                folder = samples(tasks[name], engine)
                for case in store.read(folder).cases if folder.is_dir() else ():
                    verdict = judge(bench, case, tasks[name], None, Design())
                    if verdict.state != "skipped":
                        yield verdict


def judged_toy(repeats: int) -> Iterator[CaseVerdict]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "bench"))
    from bench_toy import opened

    with TemporaryDirectory() as folder, opened(Path(folder)) as toy:
        for _ in range(repeats):
            for name in toy.cases:
                yield toy.judge(None, name, Design())


def summary(found: list[CaseVerdict]) -> float:
    """Print the counts; returns the share of ``improved`` among all judgements."""
    for name in [*sorted({verdict.task for verdict in found}), "all"]:
        mine = [verdict for verdict in found if name in (verdict.task, "all")]
        logs = np.log([verdict.ratio for verdict in mine if verdict.ratio])
        spread = f"mean {np.exp(logs.mean()):.4f}, sd {logs.std():.2%}" if len(logs) else "not timed"
        counts = ", ".join(f"{count} {said}" for said, count in Counter(verdict.said for verdict in mine).most_common())
        print(f"{name:26} {sum(verdict.rounds for verdict in mine):5} rounds  {spread}  {counts}")
    return sum(verdict.merit == "improved" for verdict in found) / max(1, len(found))


if __name__ == "__main__":
    typer.run(main)
