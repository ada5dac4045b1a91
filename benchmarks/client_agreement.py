"""Does our load client measure what ``vllm bench serve`` measures? Both drive the same running server, in turns.

    python benchmarks/client_agreement.py --url http://127.0.0.1:8000 --model MODEL --vocab-size 128000

Starts no server. In every round both send the same number of requests with the same lengths, bodies and concurrency, in
alternating order; prompts are new each time, so that a prefix cache helps neither. Compared are the medians over the
rounds; the exit code is 1 when one of them differs by more than ``--tolerance``.

On a busy machine the engine varies more than the clients differ. ``tests/fakes/server.py`` answers at a fixed pace
when it is asked with ``--body '{"fake": {"first_s": 0.2, "token_s": 0.02}}'``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fk_overlay.core import Request, Slo, Workload
from fk_overlay.engines.http.load import run_client
from fk_overlay.engines.vllm.protocol import WIRE, completion_body
from fk_overlay.serving.metrics import percentile, samples
from fk_overlay.serving.workload import make_requests

METRICS = ("output_throughput", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99", "itl_p50", "e2e_p50")
JUDGED = ("output_throughput", "ttft_p50", "tpot_p50")
"""Tails of a few dozen requests are shown but not judged: they differ from run to run of the same client."""
BENCH_HELP = (
    "command line of vLLM's own client; vLLM 0.26 asserts a tokenizer that it then does without: there, give "
    "'python -O -m vllm.entrypoints.cli.main bench serve'"
)
MS = 1000.0


def main() -> int:
    options = _options()
    load = Workload("agreement", options.requests, options.input_len, options.output_len, options.concurrency)
    found: dict[str, list[dict[str, float]]] = {"fk-overlay": [], "vllm bench serve": []}
    clients = {"fk-overlay": _ours, "vllm bench serve": _theirs}
    for number in range(-1, options.rounds):
        order = list(clients) if number % 2 else list(reversed(clients))
        for seed, name in enumerate(order, start=options.seed + 2 * number + 2):
            requests = make_requests(load, vocab_size=options.vocab_size, seed=seed)
            measured = clients[name](options, requests)
            print(f"round {number + 1:2d}  {name:17s}", *(f"{key} {measured[key]:9.2f}" for key in JUDGED), flush=True)
            if number >= 0:  # the round before the first warms the server up
                found[name].append(measured)
    return _report(options, found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="the server, without a path")
    parser.add_argument("--model", required=True, help="the name under which it serves the model")
    parser.add_argument("--vocab-size", type=int, required=True, help="prompts are random token ids below this")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--input-len", type=int, default=128)
    parser.add_argument("--output-len", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=0.03)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one run of a client")
    parser.add_argument("--bench", default="vllm bench serve", help=BENCH_HELP)
    parser.add_argument("--body", type=json.loads, default={}, help="JSON object added to every request's body")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    return parser.parse_args()


def _ours(options: argparse.Namespace, requests: Sequence[Request]) -> dict[str, float]:
    bodies = [completion_body(options.model, request) | options.body for request in requests]
    result = run_client(
        options.url, WIRE, bodies, arrivals=None, concurrency=options.concurrency, timeout_s=options.timeout
    )
    if errors := [trace.error for trace in result.traces if trace.error]:
        raise SystemExit(f"{len(errors)} requests of fk-overlay's client failed, the first with: {errors[0]}")
    return {sample.metric: sample.value for sample in samples(result, Slo())}


def _theirs(options: argparse.Namespace, requests: Sequence[Request]) -> dict[str, float]:
    """vLLM's client with token ids as prompts: a custom data set and no tokenizer, so nothing is changed on the way."""
    body = completion_body(options.model, requests[0]) | options.body
    extra = {key: value for key, value in body.items() if key not in ("model", "prompt")}
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder, "prompts.jsonl")
        prompts.write_text("".join(json.dumps({"prompt": request.prompt}) + "\n" for request in requests))
        command = [
            *shlex.split(options.bench),
            *("--backend", "openai", "--base-url", options.url, "--endpoint", "/v1/completions"),
            *("--model", options.model, "--skip-tokenizer-init", "--disable-tqdm", "--ready-check-timeout-sec", "0"),
            *("--dataset-name", "custom", "--dataset-path", str(prompts), "--disable-shuffle"),
            *("--num-prompts", str(len(requests)), "--max-concurrency", str(options.concurrency)),
            *("--extra-body", json.dumps(extra), "--save-result", "--save-detailed"),
            *("--result-dir", folder, "--result-filename", "result.json"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=options.timeout, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{options.bench} ended with code {done.returncode}:\n{done.stderr[-3000:]}")
        result = json.loads(Path(folder, "result.json").read_text())
    if result["failed"]:
        raise SystemExit(f"{result['failed']} requests of {options.bench} failed, such as: {max(result['errors'])}")
    return _their_metrics(result)


def _their_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers behind its report, which it prints only when it has a tokenizer."""
    timed = list(zip(result["ttfts"], map(sum, result["itls"]), result["output_lens"], strict=True))
    parts = {
        "ttft": result["ttfts"],
        "tpot": [decode / (count - 1) for _, decode, count in timed],
        "itl": [gap for gaps in result["itls"] for gap in gaps],
        "e2e": [ttft + decode for ttft, decode, _ in timed],
    }
    measured = {f"{name}_p{percent}": percentile(parts[name], percent) * MS for name in parts for percent in (50, 99)}
    return measured | {"output_throughput": result["output_throughput"]}


def _report(options: argparse.Namespace, found: dict[str, list[dict[str, float]]]) -> int:
    ours, theirs = found.values()
    rows = []
    print(f"\n{'median of ' + str(len(ours)) + ' rounds':24s}{'fk-overlay':>12s}{'vllm bench':>12s}{'ratio':>9s}")
    for metric in METRICS:
        mine, reference = (statistics.median(run[metric] for run in runs) for runs in (ours, theirs))
        agrees = abs(mine / reference - 1) <= options.tolerance
        rows.append({"metric": metric, "ours": mine, "vllm": reference, "judged": metric in JUDGED, "agrees": agrees})
        remark = "" if metric not in JUDGED else "ok" if agrees else f"differs by more than {options.tolerance:.0%}"
        print(f"{metric:24s}{mine:12.3f}{reference:12.3f}{mine / reference:9.4f}  {remark}")
    if options.json:
        setting = {key: value for key, value in vars(options).items() if key != "json"}
        options.json.write_text(json.dumps({"setting": setting, "medians": rows, "rounds": found}, indent=1) + "\n")
    return 0 if all(row["agrees"] for row in rows if row["judged"]) else 1


if __name__ == "__main__":
    sys.exit(main())
