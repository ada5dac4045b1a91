"""Whole compositions, from a pack to what holds of it, with a fake engine in this process."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.engine import Manner
from workshop import Workshop, dropped

from fk_overlay import catalog
from fk_overlay.compose import run
from fk_overlay.errors import LaunchError, RecordError, UsageError

WRONG, CRASH = Manner(fault="wrong"), Manner(fault="ready")
Patches = frozenset[str]


def without(*cores: str, manner: Manner = WRONG, speed: Callable[[Patches], float] = lambda _: 1.0) -> Any:
    """Fails with ``manner`` where one of ``cores`` is in, else runs at ``speed``."""
    return lambda patches: manner if any(set(core) <= patches for core in cores) else Manner(speed=speed(patches))


def faster(share: float) -> Callable[[Patches], float]:
    return lambda patches: 1.0 + share * len(patches)


# ---------------------------------------------------------------- what holds


def test_a_pack_that_holds_stays_whole_and_each_patch_says_what_it_adds(shop: Workshop) -> None:
    found = shop.compose(without(speed=faster(0.1)))
    assert (found.as_is.state, found.exit_code, found.dropped) == ("improved", 0, ())
    assert found.repaired == found.as_is
    assert found.repaired.effect.ratio == pytest.approx(1.4, rel=0.005)
    assert [each.patch for each in found.marginal] == ["a", "b", "c", "d"]
    for each in found.marginal:
        assert each.effect.ratio == pytest.approx(1.4 / 1.3, rel=0.005)
        assert each.effect.low < each.effect.ratio < each.effect.high
        assert (each.effect.pairs, each.effect.merit) == (2, "improved")
    assert found.launches == 2 + 2 * 6, "baseline and pack; then six arms in two restarts"


def test_one_that_is_wrong_is_found_and_the_others_stay(shop: Workshop) -> None:
    found = shop.compose(without("c", speed=faster(0.1)))
    assert found.repaired is not None
    assert (found.as_is.state, found.repaired.state) == ("incorrect", "improved")
    assert found.repaired.patches == ("a", "b", "d")
    assert shop.launched() == ["", "abcd", "ab", "abc", "c", "abd"]
    (gone,) = found.dropped
    assert (gone.patch, gone.state, gone.conflict, gone.how) == ("c", "incorrect", ("c",), "alone")
    assert "the forced decode changed" in gone.reason


def test_two_that_break_only_together_are_named_together(shop: Workshop) -> None:
    found = shop.compose(without("bd"))
    assert found.repaired is not None
    assert found.repaired.patches == ("a", "b", "c"), "the first in the pack stays"
    assert dropped(found)["d"].conflict == ("b", "d")
    assert dropped(found)["d"].how == "together"


def test_two_that_are_wrong_alone_are_both_dropped(shop: Workshop) -> None:
    found = shop.compose(without("a", "d"))
    assert found.repaired is not None
    assert found.repaired.patches == ("b", "c")
    assert {name: each.conflict for name, each in dropped(found).items()} == {"a": ("a",), "d": ("d",)}


def test_nothing_holds(shop: Workshop) -> None:
    found = shop.compose(lambda patches: WRONG if patches else Manner())
    assert (found.repaired, found.marginal, found.exit_code) == (None, (), 5)
    assert set(dropped(found)) == set("abcd")
    with pytest.raises(UsageError, match="no patch of 'mixed' holds"):
        run.write_repaired(shop.order(), found, shop.folder / "out")


def test_a_pack_of_one_is_measured_against_the_baseline(shop: Workshop) -> None:
    shop.tasks = "a"
    found = shop.compose(without(speed=faster(0.1)))
    assert found.marginal[0].effect == found.repaired.effect
    assert found.launches == 2 + 2 * 2


# ---------------------------------------------------------------- blame


def crash_log(shop: Workshop, task: str, arm: str) -> str:
    file = shop.folder / "packs" / arm / f"kernel_{task}.py"
    frames = f'  File "/engine.py", line 9, in step\n  File "{file}", line 2, in {task}\n'
    return "Traceback (most recent call last):\n" + frames


def test_a_crash_is_blamed_by_its_traceback_and_needs_no_bisection(shop: Workshop) -> None:
    manner = Manner(fault="dies", log=crash_log(shop, "c", "mixed"))
    found = shop.compose(without("c", manner=manner))
    assert shop.launched() == ["", "abcd", "abd"]
    gone = dropped(found)["c"]
    assert (gone.state, gone.how) == ("crashed", "traceback")
    assert shop.records("trial")[0]["blamed"] == "c"


def test_a_crash_without_a_trace_is_bisected(shop: Workshop) -> None:
    found = shop.compose(without("c", manner=CRASH))
    assert shop.launched() == ["", "abcd", "ab", "abc", "c", "abd"]
    assert (dropped(found)["c"].state, dropped(found)["c"].how) == ("crashed", "alone")
    assert shop.records("trial")[0]["stage"] == "start"


def test_a_trace_that_leads_to_the_wrong_patch_is_mended(shop: Workshop) -> None:
    """b raises over what a hands it; without b, a is found out, and b comes back."""

    def behave(patches: Patches) -> Manner:
        if {"a", "b"} <= patches:
            return Manner(fault="dies", log=crash_log(shop, "b", "mixed"))
        return WRONG if "a" in patches else Manner()

    found = shop.compose(behave)
    assert found.repaired is not None
    assert found.repaired.patches == ("b", "c", "d")
    assert dropped(found)["a"].how == "alone"


@pytest.mark.parametrize(
    ("manner", "state"),
    [
        (Manner(fault="hangs"), "hung"),
        (Manner(fault="requests"), "incorrect"),
        (Manner(kv_blocks=50), "resource_regression"),
        (Manner(calls="never"), "not_engaged"),
        (Manner(config={"attention.backend": "other"}), "invalid"),
    ],
)
def test_other_failures_are_bisected_too(shop: Workshop, manner: Manner, state: str) -> None:
    found = shop.compose(without("b", manner=manner))
    assert found.repaired is not None
    assert found.repaired.patches == ("a", "c", "d")
    assert (found.as_is.state, dropped(found)["b"].state) == (state, state)


def test_patches_that_are_named_as_not_engaged_are_tried_alone_first(shop: Workshop) -> None:
    absent = Manner(fault="absent")
    shop.compose(lambda patches: absent if "d" in patches else Manner())
    assert shop.launched()[:4] == ["", "abcd", "a", "b"], "the fake names all of them"


def test_a_target_that_is_not_what_its_task_describes_is_refused_before_any_launch(shop: Workshop) -> None:
    assert shop.pack
    source = shop.root / "toy" / "kernels.py"
    source.write_text(source.read_text().replace("def b(x):\n    return x\n", "def b(x):\n    return x + 1\n"))
    found = shop.compose(without())
    assert found.repaired is not None
    assert shop.launched() == ["", "acd"]
    assert (found.as_is.state, found.repaired.patches) == ("contract_error", ("a", "c", "d"))
    assert "toy.kernels:b: body" in dropped(found)["b"].reason


def test_an_operator_that_breaks_graphs_is_refused_before_any_launch(shop: Workshop) -> None:
    shop.tasks = "ab"
    shop.files = {"kernel_b": OPERATOR}
    found = shop.compose(without())
    assert found.repaired is not None
    assert (shop.launched(), found.repaired.patches) == (["", "a"], ("a",))
    gone = dropped(found)["b"]
    assert (gone.state, gone.how) == ("refused", "before any launch")
    assert "fk_test_compose" in gone.reason


OPERATOR = """
import torch


@torch.library.custom_op("fk_test_compose::lies", mutates_args=())
def lies(x: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    return x.clone()


def opcheck_cases():
    return [(torch.ops.fk_test_compose.lies, (torch.ones(2),))]


def b(x):
    return lies(x)
"""


# ---------------------------------------------------------------- speed


def slowed(*slow: str, by: float = 0.2) -> Callable[[Patches], float]:
    return lambda patches: 1.0 + 0.1 * len(patches - set(slow)) - by * len(patches & set(slow))


def test_one_that_slows_the_others_down_is_dropped_though_the_pack_is_faster(shop: Workshop) -> None:
    found = shop.compose(without(speed=slowed("b", by=0.1)))
    assert found.repaired is not None
    assert (found.as_is.state, found.repaired.patches, found.rounds) == ("improved", ("a", "c", "d"), 2)
    gone = dropped(found)["b"]
    assert (gone.state, gone.how) == ("regressed", "measured")
    assert re.fullmatch(r"with it the others are 7\.\d % slower than without it", gone.reason)
    assert shop.launched() == ["", "abcd"], "what is left was an arm of the first round"


def test_a_regressed_pack_is_taken_apart_one_patch_at_a_time(shop: Workshop) -> None:
    shop.tasks = "abc"
    found = shop.compose(without(speed=slowed("a", "c")))
    assert found.repaired is not None
    assert (found.as_is.state, found.repaired.state) == ("regressed", "improved")
    assert (found.repaired.patches, found.rounds) == (("b",), 3)


def test_only_one_of_two_that_are_slow_together_is_dropped(shop: Workshop) -> None:
    shop.tasks, both = "abc", {"a", "c"}
    found = shop.compose(without(speed=lambda patches: 0.8 if both <= patches else 1.0 + 0.05 * len(patches & both)))
    assert len(found.dropped) == 1
    assert found.rounds == 2


def test_a_pack_that_is_slow_alone_leaves_nothing(shop: Workshop) -> None:
    shop.tasks = "a"
    found = shop.compose(without(speed=slowed("a")))
    assert (found.as_is.state, found.repaired) == ("regressed", None)


def test_a_patch_that_the_others_need_says_so_instead_of_a_number(shop: Workshop) -> None:
    """Without a, b is wrong."""
    found = shop.compose(lambda patches: WRONG if "b" in patches and "a" not in patches else Manner())
    by_patch = {each.patch: each for each in found.marginal}
    assert by_patch["a"].effect is None
    assert by_patch["a"].reason.startswith("without it the others do not hold: incorrect")
    assert by_patch["c"].effect is not None


def test_what_breaks_in_a_round_is_searched_again(shop: Workshop) -> None:
    """The pack holds in its trial and dies in the round, whenever d is in it."""

    def behave(patches: Patches) -> Manner:
        searching = not any("round-" in str(session.launch.folder) for session in shop.engine.sessions)
        return Manner() if searching or "d" not in patches else CRASH

    found = shop.compose(behave)
    assert found.repaired is not None
    assert found.repaired.patches == ("a", "b", "c")
    assert dropped(found)["d"].state == "crashed"


def test_a_screen_praises_nobody(shop: Workshop) -> None:
    shop.mode, shop.tasks = "screen", "ab"
    found = shop.compose(without(speed=faster(0.1)))
    assert (found.repaired.state, found.exit_code) == ("unresolved", 4)


# ---------------------------------------------------------------- record


def test_every_launch_is_on_record_once_and_every_subset_is_a_trial(shop: Workshop) -> None:
    found = shop.compose(without("c"))
    places = ["", *(f"round-{number + 1}" for number in range(found.rounds))]
    launches = [(place, record["launch"]) for place in places for record in shop.records("launch", place)]
    assert len(launches) == len(set(launches)) == found.launches == len(shop.engine.sessions)
    assert ["".join(trial["patches"]) for trial in shop.records("trial")] == shop.launched()[1:]
    (last,) = shop.records("composition")
    assert last["repaired"]["patches"] == ["a", "b", "d"]


def test_subsets_never_share_caches(shop: Workshop) -> None:
    shop.compose(without("c"))
    digests: dict[frozenset[str], set[str]] = {}
    for session in shop.engine.sessions:
        digests.setdefault(frozenset(swap.task for swap in session.plan.swaps), set()).add(session.launch.digest)
    assert all(len(found) == 1 for found in digests.values()), "a subset keeps its caches from trial to round"
    assert len({digest for (digest,) in digests.values()}) == len(digests)


@pytest.mark.parametrize("at", [0, 3, 9])
def test_a_composition_that_goes_on_ends_like_one_that_was_never_interrupted(
    shop: Workshop, tmp_path: Path, at: int
) -> None:
    straight = replace(shop, folder=tmp_path / "straight")
    expected = straight.compose(without("c", speed=faster(0.1)))
    launches = len(shop.engine.sessions)
    shop.engine.sessions.clear()
    left = [at]

    def interrupting(patches: Patches) -> Manner:
        left[0] -= 1
        return Manner(fault="interrupt") if left[0] == -1 else without("c", speed=faster(0.1))(patches)

    with pytest.raises(KeyboardInterrupt):
        shop.compose(interrupting)
    assert shop.records("note")[-1]["text"] == "interrupted; go on with --resume"
    found = shop.compose(without("c", speed=faster(0.1)))
    assert found.repaired is not None
    assert (found.repaired.patches, found.launches) == (("a", "b", "d"), expected.launches)
    assert len(shop.engine.sessions) == launches + 1


def test_a_finished_composition_is_told_again_without_a_launch(shop: Workshop) -> None:
    first = shop.compose(without("c"))
    shop.engine.sessions.clear()
    assert shop.compose(without()) == first
    assert shop.engine.sessions == []


def test_the_folder_of_another_pack_is_refused(shop: Workshop) -> None:
    shop.compose(without())
    with (shop.pack / "kernel_a.py").open("a") as kernel:
        kernel.write("# faster\n")
    with pytest.raises(RecordError, match="holds another run"):
        shop.compose(without())


def test_a_baseline_that_does_not_run_ends_it(shop: Workshop) -> None:
    for _ in range(2):
        with pytest.raises(LaunchError, match=r"the baseline does not run.*out of order|ended with code 1"):
            shop.compose(lambda patches: Manner() if patches else CRASH)
    assert shop.launched() == [""], "nor is it launched again when it goes on"


def test_an_engine_that_stops_working_meanwhile_is_not_held_against_the_patches(shop: Workshop) -> None:
    def behave(patches: Patches) -> Manner:
        return CRASH if shop.engine.sessions else Manner()

    with pytest.raises(LaunchError, match="the baseline does not run"):
        shop.compose(behave)


def test_a_pack_for_other_engines_only_is_refused(shop: Workshop) -> None:
    shop.tasks = "a"
    path = shop.pack / "pack.toml"
    path.write_text(path.read_text() + 'engines = ["other"]\n')
    with pytest.raises(UsageError, match="'mixed' has no patch for toy"):
        shop.compose(without())


def test_the_repaired_pack_can_be_judged_and_keeps_patches_for_other_engines(shop: Workshop, tmp_path: Path) -> None:
    shop.head = '[[patch]]\ntask = "h"\nfile = "kernel_a.py"\nsymbol = "a"\nengines = ["other"]\n'
    found = shop.compose(without("c"))
    assert found.other_engines == ("h (other)",)
    pack = run.write_repaired(shop.order(), found, tmp_path / "out")
    assert [patch.task for patch in catalog.load_pack(pack.folder).patches] == ["a", "b", "d", "h"]
    with pytest.raises(UsageError, match="not empty"):
        run.write_repaired(shop.order(), found, tmp_path / "out")
