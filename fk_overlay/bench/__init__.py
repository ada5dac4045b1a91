"""Tier 1: one kernel against the live target, each in a process of its own, under a clock that neither owns.

To judge a pack's patch on one captured case from Python::

    from fk_overlay import catalog
    from fk_overlay.bench.bench import Bench, Place
    from fk_overlay.bench.design import Design
    from fk_overlay.bench.judge import judge
    from fk_overlay.capture import store
    from fk_overlay.capture.subset import samples

    with Bench(Place.of("vllm"), catalog.tasks()) as bench:
        task = bench.tasks["rms_norm"]
        case = store.read(samples(task, "vllm")).cases[0]
        pack = bench.frozen(catalog.pack("patches/example-triton"))  # None: the baseline against itself
        verdict = judge(bench, case, task, pack, Design(rounds=3, iterations=10))
        verdict.state   # passed, incorrect, not_engaged, invalid, unsupported, crashed, hung ...
        verdict.guard   # the guard that rejected it: "g.fresh", "g.engage" ...; empty if none did
        verdict.merit   # improved, neutral, regressed, unresolved, of a case that passed
        verdict.reasons

In tests a toy engine makes this a matter of a second a case: see ``tests/bench/bench_toy.py``, ``ToyBench.judge(source,
case)``.

Guards and what they stand for: :data:`fk_overlay.integrity.guards.GUARDS`.
"""
