"""Which tiles do the products of patches/h100-moe want on this card? Writes the pack's ``tiles.json``.

    python benchmarks/h100/moe_tiles.py --pack patches/h100-moe --json OUT/tiles.json

Everything is compiled first, in several processes. For each number of tokens every tile is timed with a cold L2 under
skewed routing, and the best ones again under skewed and uniform routing. Of those the fastest pair whose layer computes
what the engine's does is taken, and the pack takes over where that layer is at least 1 % faster than the engine's under
both laws. JSON: every time, in seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import moe_table
from moe_layer import CALLS, Bench, Cut

from fk_overlay.integrity.compiled import SHARED_BYTES
from fk_overlay.tuning.layer import WRONG

LAWS = ("skewed", "uniform")
SHARED, REGISTERS = SHARED_BYTES[90], 128
"""Bytes of a block on Hopper, and registers of a thread that results may take."""
BEST, SCREEN = 4, 5
"""How many tiles of each BLOCK_M are timed again, and calls of the first time."""
PAIRS = 12
"""How many pairs of tiles are tried as a whole layer, should the results of the faster ones be wrong."""
EARLY_S = 150
"""Seconds that the look at early launches may take, with its imports."""
SPACES = {
    256: {"m": (16, 32, 64), "n": (64, 128, 256), "k": (128, 256), "group": (1,), "stages": (2, 3, 4)},
    2048: {"m": (32, 64, 128), "n": (64, 128, 256), "k": (64, 128), "group": (1,), "stages": (3, 4)},
    1 << 20: {"m": (64, 128), "n": (64, 128, 256), "k": (64,), "group": (1, 8, 16, 32), "stages": (3, 4)},
}
"""By the most tokens that a space is for."""


def cuts(most: int, gated: bool) -> Iterator[Cut]:
    """Those that fit the card."""
    space = SPACES[most]
    sizes = space["m"], space["n"], space["k"], space["group"], (4, 8), space["stages"]
    for m, n, k, group, warps, stages in itertools.product(*sizes):
        weights = 2 * n if gated else n
        if (m + weights) * k * 2 * stages <= SHARED and m * weights / (32 * warps) <= REGISTERS:
            tile = (m, n, k, group, warps, stages)
            yield from (Cut(tile), Cut(tile, described=True))
            more = Cut(tile, described=True, joined=gated, packed=not gated)
            yield from (more, more._replace(resident=True))


def space_of(tokens: int) -> int:
    return min(most for most in SPACES if tokens <= most)


def early_fault(shape: str, pack: Path) -> str:
    """Why launches that begin before the one ahead is over are not to be had on this card; empty if they are. Asked in
    a process of its own, which may hang."""
    answers = get_context("spawn").SimpleQueue()
    asked = get_context("spawn").Process(target=_early, args=(shape, pack, answers), daemon=True)
    asked.start()
    asked.join(EARLY_S)
    if asked.is_alive():
        asked.kill()
        return f"no answer in {EARLY_S} s"
    return str(answers.get()) if not answers.empty() else f"the process ended with code {asked.exitcode}"


def _early(shape: str, pack: Path, answers: Any) -> None:
    cut = Cut((32, 128, 128, 1, 4, 3), described=True)
    try:
        apart = Bench(256, "skewed", shape, pack).whole(cut, cut, True)["apart"]
        answers.put("" if apart <= WRONG else f"results are {apart:.2g} of the norm away from the engine's")
    except Exception as error:  # noqa: BLE001 - whatever a compiler or the card says is told
        answers.put(reason(error))


_benches: dict[int, Bench] = {}


def compiled(most: int, gated: bool, cut: Cut, shape: str, pack: Path) -> str:
    """Why a cut does not run; empty if it does. Runs in a process of its own, whose compilations the disk keeps."""
    import torch

    try:
        tokens = min(most, 2048)  # the number compiles to nothing
        if tokens not in _benches:
            _benches[tokens] = Bench(tokens, "uniform", shape, pack)
        _benches[tokens].product(gated, cut)()
        torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 - whatever a compiler says is told
        return reason(error)
    return ""


def reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def compile_all(mosts: list[int], shape: str, pack: Path, workers: int, timeout_s: float) -> set[tuple[int, bool, Cut]]:
    work = [(most, gated, cut) for most in mosts for gated in (True, False) for cut in cuts(most, gated)]
    # A fault of the least tried kind costs its process, and then not the other tiles.
    work.sort(key=lambda each: (each[2].resident, each[2].packed))
    until = time.monotonic() + timeout_s
    reasons: dict[tuple[int, bool, Cut], str] = {}
    with get_context("spawn").Pool(workers) as pool:
        for each, job in [(each, pool.apply_async(compiled, (*each, shape, pack))) for each in work]:
            try:
                reasons[each] = job.get(max(0.0, until - time.monotonic()))
            except TimeoutError:
                reasons[each] = f"not within {timeout_s:.0f} s"
    fit = {each for each, why in reasons.items() if not why}
    print(f"{len(fit)} of {len(work)} tiles compile and run", flush=True)
    for why, count in Counter(why for why in reasons.values() if why).most_common():
        print(f"  {count} do not: {why}", flush=True)
    return fit


def right(bench: Bench, gated: bool, known: list[Cut]) -> list[Cut]:
    """Those whose product is the engine's, in the order of their BLOCK_M. What the others have in common is told."""
    found, wrong = [], Counter[str]()
    for cut in sorted(known):
        if bench.apart(gated, cut) <= WRONG:  # NaN is wrong too
            found.append(cut)
        else:
            wrong[", ".join(name for name, said in cut._asdict().items() if said is True) or "by pointers"] += 1
    for kind, count in wrong.items():
        print(f"{bench.tokens:6} {'first' if gated else 'second'}: {count} wrong of {kind}", flush=True)
    return found


def measured(
    tokens: int, fit: set[tuple[int, bool, Cut]], launches: tuple[bool, ...], given: Any, weights: Any
) -> tuple[dict[str, Any], Any]:
    benches = {}
    for law in LAWS:
        benches[law] = Bench(tokens, law, given.shape, given.pack, weights)
        weights = benches[law].weights
    row: dict[str, Any] = {"chosen": None, "whole": {}, "other": None}
    found: dict[bool, list[tuple[float, Cut]]] = {}
    for gated in (True, False):
        known = right(
            benches["skewed"], gated, [cut for most, of, cut in fit if (most, of) == (space_of(tokens), gated)]
        )
        screened = sorted(
            (benches["skewed"].seconds(benches["skewed"].product(gated, cut), SCREEN), cut) for cut in known
        )
        kept: list[Cut] = []
        for rows in {cut.tile[0] for cut in known}:
            kept += [cut for _, cut in screened if cut.tile[0] == rows][:BEST]
        again = [(sum(each.seconds(each.product(gated, cut), CALLS) for each in benches.values()), cut) for cut in kept]
        found[gated] = sorted(again)
        row["first" if gated else "second"] = [[seconds, *cut] for seconds, cut in sorted(again)]
    pairs = sorted(
        (one + other, first, second)
        for (one, first), (other, second) in itertools.product(found[True], found[False])
        if first.tile[0] == second.tile[0]
    )
    for _, first, second in pairs[:PAIRS]:
        ways = {early: {law: bench.whole(first, second, early) for law, bench in benches.items()} for early in launches}
        for early, laws in list(ways.items()):
            apart = [each["apart"] for each in laws.values()]
            if not all(each <= WRONG for each in apart):  # NaN is wrong too
                print(f"{tokens:6} {first} {second}, early {early}: {apart} of the norm away", flush=True)
                del ways[early]
        if ways:
            early = min(ways, key=lambda way: sum(each["pack"] for each in ways[way].values()))
            row["chosen"] = {"first": first, "second": second, "early": early}
            row["whole"], row["other"] = ways[early], ways.get(not early)
            break
    row["around"] = {
        law: {name: bench.seconds(call, CALLS) for name, call in bench.launches().items()}
        for law, bench in benches.items()
    }
    return row, weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--shape", default="qwen3-30b-a3b")
    parser.add_argument("--tokens", type=int, nargs="+", default=[16384, 256, 8192, 2048, 128, 1024, 64, 4096, 512])
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=300, help="no further number of tokens is begun after them")
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    mosts = sorted({space_of(tokens) for tokens in given.tokens})
    fit = compile_all(mosts, given.shape, given.pack, given.workers, given.seconds / 2)
    fault = early_fault(given.shape, given.pack)
    print(f"early launches: {fault or 'as the others'}", flush=True)
    rows: dict[int, Any] = {}
    weights = None
    for tokens in given.tokens:
        if time.monotonic() > until:
            break
        row, weights = measured(tokens, fit, (False,) if fault else (False, True), given, weights)
        rows[tokens] = row
        for law, whole in row["whole"].items():
            times = {name: round(seconds * 1e6, 1) for name, seconds in row["around"][law].items()}
            ratio = whole["engine"] / whole["pack"]
            print(f"{tokens:6} {law:8} engine {us(whole, 'engine')}, pack {us(whole, 'pack')}, {ratio:.3f}x,", end=" ")
            print(f"{whole['apart']:.1e} apart; {times} {row['chosen']}", flush=True)
            if other := (row["other"] or {}).get(law):
                print(f"       {'':8} the other way about: pack {us(other, 'pack')}, {other['apart']:.1e} apart")
        given.json.write_text(json.dumps(rows))
        moe_table.write(given.pack, given.shape, rows)


def us(whole: dict[str, float], name: str) -> str:
    return f"{whole[name] * 1e6:7.1f} us"


if __name__ == "__main__":
    main()
