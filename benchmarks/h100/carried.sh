# Sourced by the scripts beside it: a run that is longer than one call on a lent GPU machine.
#
#   RUNS     where runs live on that machine (default /tmp/runs)
#   OUT      a folder whose files are brought back; the runs are packed into it
#   CARRIED  an archive of an earlier call, from which a fresh machine goes on
#   LIMIT_S  seconds that the call may take (default 570), or UNTIL, the second since 1970 at which it ends
#
# Every judged run is ended a little before the call's limit by an interruption, which leaves a valid partial record, and
# goes on with --resume in the next call.
set -uo pipefail
RUNS=${RUNS:-/tmp/runs}
OUT=${OUT:-$PWD/reports/runs}
started=$(date +%s)
LIMIT_S=${LIMIT_S:-$((${UNTIL:-$started + 570} - started))}
mkdir -p "$RUNS" "$OUT"
[ -z "${CARRIED:-}" ] || [ -n "$(ls -A "$RUNS")" ] || tar -C "$RUNS" -xJf "$CARRIED"
trap 'tar -C "$RUNS" --exclude="*.interrupted-*" -cJf "$OUT/runs.tar.xz" .' EXIT

# judged NAME COMMAND...: run or resume the judged run NAME within what is left of the call.
judged() {
  local folder=$RUNS/$1 left=$((LIMIT_S - ($(date +%s) - started) - 40))
  shift
  [ ! -f "$folder/report.json" ] || [ -n "${AGAIN:-}" ] || { echo "$folder is done"; return 0; }
  [ "$left" -gt 60 ] || { echo "$folder: no time left in this call"; return 0; }
  local where=(--out "$folder")
  [ ! -f "$folder/records.jsonl" ] || where=(--resume "$folder")
  timeout --signal=INT --kill-after=40 "$left" "${PYTHON:-python3}" -m fk_overlay.cli.main "$@" "${where[@]}"
  echo "$folder: exit code $?"
}
