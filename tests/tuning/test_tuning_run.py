"""A whole tuning on a fake card: journal, resumption, the engine's file, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_bench import BASELINE, FakeBench, FakeClock
from typer.testing import CliRunner

from fk_overlay.cli.main import app
from fk_overlay.errors import RecordError, UsageError
from fk_overlay.tuning import files, shapes
from fk_overlay.tuning.bench import Bench
from fk_overlay.tuning.config import Config
from fk_overlay.tuning.routing import Routing
from fk_overlay.tuning.run import Order, lines, parse_tokens, tune

FACTS = {"engine": "vllm", "engine_version": "0.32.0", "triton": "3.6.0", "gpu": "NVIDIA H100 80GB HBM3"}
FILE = "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json"
GOOD = Config(16, 64, 64, 1, 4, 4)


def an_order(tokens: tuple[int, ...] = (1, 64), **more: Any) -> Order:
    return Order(shapes.get("qwen3-30b-a3b"), 1, tokens, FACTS, FILE, "3.6.0", budget_s=1e6, **more)


def benches(clock: FakeClock, **more: Any) -> Callable[[int], Bench]:
    def bench_of(tokens: int) -> Bench:
        made = FakeBench(clock, usual=0.9e-3, **more)
        asked.append((tokens, made))
        return made

    asked.clear()
    return bench_of


asked: list[tuple[int, FakeBench]] = []


def run(order: Order, out: Path, **more: Any) -> dict[int, Mapping[str, Any]]:
    clock = FakeClock()
    return tune(order, benches(clock, **more), out, clock=clock)


def written(out: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((out / "vllm" / FILE).read_text())
    return held


def test_the_file_is_what_the_engine_reads(tmp_path: Path) -> None:
    results = run(an_order(), tmp_path)
    held = written(tmp_path)
    assert held.pop("triton_version") == "3.6.0"
    assert list(held) == ["1", "64"]
    keys = {"BLOCK_SIZE_M", "BLOCK_SIZE_N", "BLOCK_SIZE_K", "GROUP_SIZE_M", "num_warps", "num_stages"}
    assert all(set(config) == keys for config in held.values())
    assert {tokens: result["config"] for tokens, result in results.items()} == {1: held["1"], 64: held["64"]}


def test_a_size_s_configurations_are_compiled_before_any_is_timed(tmp_path: Path) -> None:
    clock = FakeClock()
    seen: list[tuple[int, int, float, list[Any]]] = []

    def ahead(tokens: int, configs: Sequence[Config], timeout_s: float) -> int:
        seen.append((tokens, len(configs), timeout_s, list(asked[-1][1].asked)))
        return len(configs)

    order = replace(an_order(), budget_s=1000.0)
    tune(order, benches(clock), tmp_path, clock=clock, ahead=ahead)
    assert [(tokens, timed) for tokens, _, _, timed in seen] == [(1, []), (64, [])]
    assert min(count for _, count, _, _ in seen) >= order.effort.candidates
    assert seen[0][2] == pytest.approx(200.0)


def test_where_nothing_is_faster_the_engines_own_is_written(tmp_path: Path) -> None:
    clock = FakeClock()
    results = tune(an_order((8,)), lambda tokens: FakeBench(clock), tmp_path, clock=clock)
    assert results[8]["state"] == "default"
    assert written(tmp_path)["8"] == BASELINE.engine()


def test_a_second_session_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    clock = FakeClock()

    def dies(tokens: int) -> Bench:
        if tokens == 64:
            raise KeyboardInterrupt
        return FakeBench(clock, usual=0.9e-3)

    with pytest.raises(KeyboardInterrupt):
        tune(an_order(), dies, tmp_path, clock=clock)
    assert "64" not in written(tmp_path)
    results = run(an_order(), tmp_path)
    assert [tokens for tokens, _ in asked] == [64]
    assert list(results) == [1, 64]
    assert set(written(tmp_path)) == {"triton_version", "1", "64"}


def test_a_session_that_ended_within_a_search_keeps_its_ratios(tmp_path: Path) -> None:
    class Dying(FakeBench):
        def time(self, config: Config, calls: int) -> Any:
            if len(self.asked) == 20:
                raise KeyboardInterrupt
            return super().time(config, calls)

    clock = FakeClock()
    with pytest.raises(KeyboardInterrupt):
        tune(an_order((64,)), lambda tokens: Dying(clock), tmp_path, clock=clock)
    run(an_order((64,)), tmp_path)
    (_, bench), again = asked[0], 48 - 16
    assert len([config for config, calls in bench.asked if calls == 5 and config != BASELINE]) == again


def test_what_won_nearby_is_tried_first(tmp_path: Path) -> None:
    run(an_order((64, 128)), tmp_path)
    first, second = (bench for _, bench in asked)
    assert second.asked[1][0].engine() == written(tmp_path)["64"]
    assert first.asked[0][0] == BASELINE


def test_what_could_not_run_is_not_tried_again(tmp_path: Path) -> None:
    order = an_order((64,))
    bad = order.space.sample(order.shape, 64, 48, 0)[0]
    clock = FakeClock()
    tune(order, lambda tokens: FakeBench(clock, {bad: "too big"}), tmp_path, clock=clock)
    (tmp_path / "journal").rename(tmp_path / "was")
    journal = tmp_path / "journal" / "vllm-qwen3-30b-a3b-tp1" / "records.jsonl"
    journal.parent.mkdir(parents=True)
    kept = (tmp_path / "was" / "vllm-qwen3-30b-a3b-tp1" / "records.jsonl").read_text().splitlines()
    journal.write_text("".join(line + "\n" for line in kept if '"kind":"result"' not in line))
    run(order, tmp_path)
    assert bad not in [config for config, _ in asked[0][1].asked]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"facts": FACTS | {"gpu": "NVIDIA H200"}}, "gpu NVIDIA H100 80GB HBM3 \\(here NVIDIA H200\\)"),
        ({"facts": FACTS | {"triton": "3.5.0"}}, "triton 3.6.0 \\(here 3.5.0\\)"),
        ({"routing": Routing("uniform")}, "routing"),
    ],
)
def test_a_journal_of_something_else_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    run(an_order((1,)), tmp_path)
    before = written(tmp_path)
    with pytest.raises(RecordError, match=said):
        run(replace(an_order((1,)), **changed), tmp_path)
    assert written(tmp_path) == before


def test_the_budget_is_shared_and_kept(tmp_path: Path) -> None:
    clock = FakeClock()
    order = replace(an_order((1, 8, 64, 256)), budget_s=100.0, least_s=0.0)
    results = tune(order, benches(clock), tmp_path, clock=clock)
    assert clock() < 105.0
    assert all(result["measured"] > 3 for result in results.values())


def test_what_there_is_no_time_for_waits_for_the_next_session(tmp_path: Path) -> None:
    clock = FakeClock()
    order = replace(an_order((256, 8, 64, 1)), budget_s=100.0, least_s=45.0)
    first = tune(order, benches(clock), tmp_path, clock=clock)
    assert {tokens: result["state"] for tokens, result in first.items()} == {
        1: "pending",
        8: "tuned",
        64: "pending",
        256: "tuned",
    }
    assert clock() < 105.0
    assert "no time was left to begin; the same call again" in next(lines(first))
    second = tune(order, benches(clock), tmp_path, clock=clock)
    assert {result["state"] for result in second.values()} == {"tuned"}
    assert [tokens for tokens, _ in asked] == [64, 1]


def test_unresolved_sizes_are_not_written_and_are_tried_again(tmp_path: Path) -> None:
    clock = FakeClock()
    order = replace(an_order((1,)), budget_s=1.5)
    results = tune(order, benches(clock), tmp_path, clock=clock)
    assert results[1]["state"] == "unresolved"
    assert not (tmp_path / "vllm").exists()
    assert run(an_order((1,)), tmp_path)[1]["state"] == "tuned"


def test_a_line_shows_the_gain_beside_the_roofline(tmp_path: Path) -> None:
    said = list(lines(run(an_order((64,)), tmp_path)))
    assert len(said) == 1
    assert "64 tokens: tuned 1.1" in said[0]
    assert "the baseline takes 1" in said[0]
    assert "(memory), at most 2." in said[0]


def test_an_unknown_card_has_no_roofline(tmp_path: Path) -> None:
    order = replace(an_order((64,)), facts=FACTS | {"gpu": "NVIDIA B200"})
    (said,) = lines(run(order, tmp_path))
    assert said.endswith("no roofline is known for this card")


def test_tokens() -> None:
    assert parse_tokens("1..8192")[:5] == (1, 2, 4, 8, 16)
    assert parse_tokens("1..8192")[-1] == 8192
    assert parse_tokens("3..20") == (3, 4, 8, 16, 20)
    assert parse_tokens("256,24,1,24") == (256, 24, 1)


@pytest.mark.parametrize("text", ["", "0..4", "9..3", "a", "1..", "1,-2", "1...5"])
def test_tokens_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="names no batch sizes"):
        parse_tokens(text)


def test_a_file_without_configurations_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to write"):
        files.write(tmp_path / FILE, {}, None)


def test_sglangs_file_has_numbers_only(tmp_path: Path) -> None:
    files.write(tmp_path / FILE, {8: GOOD, 1: GOOD}, None)
    assert list(json.loads((tmp_path / FILE).read_text())) == ["1", "8"]


def test_a_configuration_reads_what_it_wrote() -> None:
    assert Config.parse(GOOD.engine()) == GOOD
    assert Config.parse({"BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 32, "GROUP_SIZE_M": 8}) == BASELINE
    with pytest.raises(UsageError, match="BLOCK_SIZE_N"):
        Config.parse({"BLOCK_SIZE_M": 64})


def test_no_card_no_tuning(tmp_path: Path) -> None:
    asked = ["tune", "moe", "--shape", "qwen3-30b-a3b", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, asked)
    assert "needs" in str(result.exception) or "CUDA GPU" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_refuses_an_unknown_shape(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tune", "moe", "--shape", "mixtral", "--out", str(tmp_path)])
    assert "known shapes" in str(result.exception)
