"""Makes the sample cases that lie beside the tasks, from captures of tiny models::

    for name in llama qwen3-moe gemma; do
        fk-overlay capture --engine ENGINE --scenario tests/capture/sample-$name.yaml --out DIR/$name --samples 1 \\
            --budget 4 --manifest jsonl --no-graph-sizes
    done
    python tests/capture/make_sample_cases.py DIR [TASK ...]

A task's cases come from the first of these captures that is there and has any. Where tasks are named, the samples of
all others stay: some kernels have code for a GPU only (``benchmarks/h100/bench.sh samples``).
"""

from __future__ import annotations

import sys
from pathlib import Path

from fk_overlay import catalog
from fk_overlay.capture import store
from fk_overlay.capture.subset import extract, samples

NAMES = ("llama", "qwen3-moe", "gemma")
MOST = 4


def main(folder: Path, *wanted: str) -> None:
    captures = [store.read(folder / name) for name in NAMES if (folder / name).is_dir()]
    for task in catalog.tasks().values():
        if wanted and task.name not in wanted:
            continue
        capture = next((each for each in captures if each.of_task(task.name)), None)
        if capture is None:
            print(f"{task.name}: not reached by any of {', '.join(NAMES)}")
            continue
        made = extract(capture, task.name, samples(task, capture.engine), MOST)
        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        print(f"{task.name}: {size / 1024:.0f} KiB from {capture.scenario}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
