#!/usr/bin/env bash
# Our load client against `vllm bench serve` on one H100, both driving one server of the Llama-3.1-8B shape in turns.
#
# Prompts are so long that the server's time for 32 of them is many times what a client needs to send them: with 128 tokens
# the first token comes after 130 ms, of which vLLM's client takes some 8 for itself (reports/README.md). The server needs 65
# to 120 s to start, a round of both clients about 30 s.
cd "$(dirname "$0")/../.."
. benchmarks/h100/carried.sh
python=${PYTHON:-python3} port=8123 model=$RUNS/llama-3.1-8b
rm -f "$model"
"$python" - "$model" <<'PYTHON'
import sys
from pathlib import Path

from fk_overlay import environment
from fk_overlay.engines.checkpoints import resolve

Path(sys.argv[1]).symlink_to(resolve("shape:llama-3.1-8b", environment.home() / "models", Path()))
PYTHON
setsid "$python" -m fk_overlay.engines.vllm.cli serve "$model" --load-format dummy --max-model-len 2048 --max-num-seqs 64 \
  --no-enable-prefix-caching --port $port > "$OUT/server.log" 2>&1 &
server=$!
for _ in $(seq 150); do
  curl -sf "http://127.0.0.1:$port/health" > /dev/null && break
  kill -0 $server || { tail -n 20 "$OUT/server.log"; exit 1; }
  sleep 2
done
"$python" benchmarks/client_agreement.py --url "http://127.0.0.1:$port" --model "$model" --vocab-size 128000 --requests 128 \
  --input-len 1024 --output-len 128 --concurrency 32 --rounds 5 --json "$OUT/client-agreement.json" \
  --bench "$python -O -m vllm.entrypoints.cli.main bench serve"
code=$?
kill -INT $server
wait $server
exit $code
