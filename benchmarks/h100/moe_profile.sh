#!/usr/bin/env bash
# Which task owns which share of the time at 256 requests at once, before and after each pack, on one H100.
#
#   PACKS="patches/h100-moe my/pack" benchmarks/h100/moe_profile.sh     # again, until every pack has its profile
cd "$(dirname "$0")/../.."
. benchmarks/h100/carried.sh
for pack in ${PACKS:-patches/h100-moe}; do
  folder=$RUNS/profile-$(basename "$pack") left=$((LIMIT_S - ($(date +%s) - started) - 40))
  [ ! -d "$folder" ] || { echo "$folder is done"; continue; }
  [ "$left" -gt 60 ] || { echo "$folder: no time left in this call"; continue; }
  timeout --signal=INT --kill-after=40 "$left" "${PYTHON:-python3}" -m fk_overlay.cli.main profile \
    --engine "${ENGINE:-vllm}" --scenario "scenarios/${SCENARIO:-qwen3-30b-a3b-h100-batch}.yaml" --patch "$pack" \
    --out "$folder" || rm -rf "$folder" # half a profile says nothing
done
