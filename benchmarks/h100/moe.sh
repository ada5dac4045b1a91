#!/usr/bin/env bash
# Is patches/h100-moe worth having? The shape of Qwen3-30B-A3B on one GPU: at saturation and one request at a time, long
# prompts, and behind the server with an open loop at 0.7 of saturation. Five restarts of each arm a scenario.
#
#   benchmarks/h100/moe.sh                                   # again and again, until it says that all runs are done
#   PACKS="patches/h100-moe my/pack" benchmarks/h100/moe.sh  # every pack is an arm of each run
#   CONTROL=1 benchmarks/h100/moe.sh                         # and so is a second baseline
#
# The runs go one after the other and each goes on where the last call left it.
cd "$(dirname "$0")/../.."
. benchmarks/h100/carried.sh
patches=()
for pack in ${PACKS:-patches/h100-moe}; do patches+=(--patch "$pack"); done
for scenario in ${SCENARIOS:-qwen3-30b-a3b-h100-batch qwen3-30b-a3b-h100-prefill qwen3-30b-a3b-h100-serve}; do
  judged "moe-$scenario" run --engine vllm --mode decide ${CONTROL:+--control} --scenario "scenarios/$scenario.yaml" "${patches[@]}"
done
