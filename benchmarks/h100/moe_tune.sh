#!/usr/bin/env bash
# Kernel configurations of fused experts for this card, and a pack of them, to be judged by moe.sh beside patches/h100-moe:
#
#   benchmarks/h100/moe_tune.sh                   # again and again, until no batch size is pending or unresolved
#   SHAPE=deepseek-v2-lite TP=2 benchmarks/h100/moe_tune.sh
#   PACKS="patches/h100-moe ${RUNS:-/tmp/runs}/h100-moe-tuned" benchmarks/h100/moe.sh
#
# A batch size gets two minutes at least, so a call settles about four of them; those of the loads that are judged come
# first. The pack is made anew after every call, of what is settled so far; it is bound to this card, engine and Triton.
cd "$(dirname "$0")/../.."
. benchmarks/h100/carried.sh
tuned=$RUNS/tuned pack=$RUNS/h100-moe-tuned fk=("${PYTHON:-python3}" -m fk_overlay.cli.main)
left=$((LIMIT_S - ($(date +%s) - started) - 40))
timeout --signal=INT --kill-after=40 "$left" "${fk[@]}" tune moe --engine "${ENGINE:-vllm}" --out "$tuned" \
  --shape "${SHAPE:-qwen3-30b-a3b}" --tp "${TP:-1}" --routing "${ROUTING:-skewed}" --budget-s $((left - 60)) \
  --tokens "${TOKENS:-256,8192,1,64,4096,128,16,512,2048,4,8,32,1024,2}"
code=$?
rm -rf "$pack"
"${fk[@]}" tune pack "$tuned" "$pack" --engine "${ENGINE:-vllm}"
exit $code
