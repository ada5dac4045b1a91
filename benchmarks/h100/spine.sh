#!/usr/bin/env bash
# What the overlay costs and resolves on one H100: the baseline against itself, the identity pack, the example pack, and a
# pack that adds FK_TEST_SLOW_US microseconds to every perceptron (32 a decode step of 7 ms: 3.3 us are 1.5 %).
#
#   ENGINE=vllm|sglang benchmarks/h100/spine.sh      # again and again, until it says that the run is done
#   NAME=identity PACKS=tests/packs/identity PASSES=2 CONTROL= benchmarks/h100/spine.sh   # one pack, no second baseline
#
# 25 launches of about 35 s and three witness launches: three calls of ten minutes.
cd "$(dirname "$0")/../.."
. benchmarks/h100/carried.sh
export FK_TEST_SLOW_US=${FK_TEST_SLOW_US:-3.3}
engine=${ENGINE:-vllm}
scenario=${SCENARIO:-scenarios/llama-3.1-8b-h100-steady.yaml}
control=${CONTROL-1}
patches=()
for pack in ${PACKS:-tests/packs/identity patches/example-triton tests/packs/slow}; do patches+=(--patch "$pack"); done
judged "$(basename "$scenario" .yaml)-$engine${NAME:+-$NAME}" run --engine "$engine" --scenario "$scenario" ${control:+--control} \
  ${PASSES:+--passes "$PASSES"} "${patches[@]}"
