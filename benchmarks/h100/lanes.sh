#!/usr/bin/env bash
# Several of the scripts beside this one at once, each on a GPU and with a share of the processors of its own.
#
#   lanes.sh start 1500 'spine.sh; client.sh' 'ENGINE=sglang spine.sh' 'bench.sh llama-3.1-8b' 'moe_tune.sh; moe.sh'
#   lanes.sh start 1500 'moe.sh' '2:SCENARIO=scenarios/llama-3.1-8b-tp2-steady.yaml spine.sh'     # two GPUs for this lane
#   lanes.sh wait 540       # until all lanes are over, or so many seconds; packs what there is into OUT
#
# The lanes outlive the call that starts them and end after the 1500 seconds, whatever they are at. Lane N has its files
# in LANES/N and is packed as lane-N.tar.xz; CARRIED, a folder of such archives, lets the lanes go on from them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
LANES=${LANES:-/tmp/lanes}
OUT=${OUT:-$PWD/reports/runs}

start() {
  local seconds=$1 each number=0 gpu=0 gpus
  shift
  each=$(($(nproc) / $#))
  for lane in "$@"; do
    local folder=$LANES/$number archive=${CARRIED:-}/lane-$number.tar.xz count=1
    [[ ! $lane =~ ^([0-9]+): ]] || { count=${BASH_REMATCH[1]}; lane=${lane#*:}; }
    gpus=$(seq -s, "$gpu" $((gpu + count - 1)))
    gpu=$((gpu + count))
    mkdir -p "$folder"/{runs,out,home}
    [ ! -f "$archive" ] || tar -C "$folder" -xJf "$archive"
    CUDA_VISIBLE_DEVICES=$gpus RUNS=$folder/runs OUT=$folder/out FK_OVERLAY_HOME=$folder/home CARRIED= \
      UNTIL=$(($(date +%s) + seconds)) PATH=$here:$PATH TRITON_CACHE_DIR=$folder/home/triton \
      setsid taskset -c $((number * each))-$((number * each + each - 1)) bash -c "$lane" >> "$folder/log" 2>&1 < /dev/null &
    echo $! > "$folder/pid"
    echo "lane $number, GPU $gpus: $lane"
    number=$((number + 1))
  done
}

running() {
  for pid in "$LANES"/*/pid; do kill -0 "$(cat "$pid")" 2> /dev/null && return 0; done
  return 1
}

collect() {
  local until=$(($(date +%s) + $1))
  while running && [ "$(date +%s)" -lt "$until" ]; do sleep 2; done
  for folder in "$LANES"/*/; do
    local name
    name=lane-$(basename "$folder")
    echo "== $name: $(kill -0 "$(cat "$folder/pid")" 2> /dev/null && echo running || echo over)"
    tail -n "${LINES_EACH:-12}" "$folder/log" | tr '\r' '\n'
    tar -C "$folder" --exclude='*.interrupted-*' --exclude=runs.tar.xz --exclude='capture-*/tensors' --exclude=home --exclude=pid \
      --warning=no-file-changed -cJf "$OUT/$name.tar.xz" . || [ $? -eq 1 ]
  done
}

case ${1:-} in
  start) shift; start "$@" ;;
  wait) collect "${2:-540}" ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
