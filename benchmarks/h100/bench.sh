#!/usr/bin/env bash
# Tier 1 on one H100: captures two models' calls, holds the baseline against itself on them, and benches the example pack.
#
#   benchmarks/h100/bench.sh llama-3.1-8b     # then qwen3-30b-a3b; a call each, again until everything is done
#   ENGINE=vllm|sglang benchmarks/h100/bench.sh samples     # of kernels without code for a CPU, for make_sample_cases.py
#
# A capture runs the engine eager (about two minutes with its start); 100 cases are to take less than ten minutes.
cd "$(dirname "$0")/../.."
. benchmarks/h100/carried.sh
model=${1:?name a model: llama-3.1-8b or qwen3-30b-a3b} engine=${ENGINE:-vllm}
python=(${PYTHON:-python3} -m fk_overlay.cli.main)
if [ "$model" = samples ]; then
  "${python[@]}" capture --engine "$engine" --scenario tests/capture/sample-qwen3-moe.yaml --samples 1 --budget 4 \
    --manifest jsonl --no-graph-sizes --out "$RUNS/samples/qwen3-moe"
  exit
fi
cases=$RUNS/capture-$model
if [ ! -f "$cases/capture.json" ]; then
  rm -rf "$cases"
  "${python[@]}" capture --engine "$engine" --scenario "scenarios/$model-h100.yaml" --requests 64 --budget 12 --out "$cases" || exit
  du -sh "$cases"
fi
for mode in graph eager; do
  judged "bench-selftest-$model-$mode" bench --engine "$engine" --selftest --cases "$cases" --mode $mode
  judged "bench-example-$model-$mode" bench --engine "$engine" --patch patches/example-triton --cases "$cases" --mode $mode
done
