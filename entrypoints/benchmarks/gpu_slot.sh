#!/usr/bin/env bash
# One slot on a lent GPU: the GPU's tests, then the study's 36 trainings under the interleaved prompt,
# offline. What was reached lies in OUT in parts of bounded size, whenever the slot is cut off, and the
# next slot goes on from there. Needs PyTorch and pytest, and neither MLflow nor a network.
#
#   entrypoints/benchmarks/gpu_slot.sh                      # the first slot
#   BEFORE=parts entrypoints/benchmarks/gpu_slot.sh         # goes on from the parts of an earlier one
#   cat parts/trainings.tar.gz.* | tar -xzf - -C runs       # unpacks them anywhere
#
# The weights of finished trainings are not brought back. The exit code is 0 once the tests passed and
# every training has finished.

set -u -o pipefail
cd "$(dirname "$0")/../.."

OUT=${OUT:-runs/gpu-slot}                  # the folder that comes back
BEFORE=${BEFORE:-}                         # a folder of parts to go on from
RUNS=${RUNS:-runs/gpu-slot-trainings}      # where trainings are kept meanwhile
PYTHON=${PYTHON:-python3}
SLOT_SECONDS=${SLOT_SECONDS:-840}          # of the whole slot; a stage gets no more than is left
TEST_SECONDS=${TEST_SECONDS:-150}          # of the tests
END_SECONDS=${END_SECONDS:-40}             # kept back for the last packing
PACK_SECONDS=${PACK_SECONDS:-60}           # from one packing to the next
PART_MIB=${PART_MIB:-15}                   # of one part
MOST_PARTS=${MOST_PARTS:-4}
TESTS=${TESTS-tests/training/test_gpu.py tests/kernels/test_gpu_kernels.py}
GRID=${GRID-}                              # further words for the grid: they may shrink it

export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}"
began=$SECONDS
grid=
stopped=

say() { echo "[$((SECONDS - began)) s] $*" | tee -a "$OUT/slot.log"; }
seconds_left() { echo $((SLOT_SECONDS - END_SECONDS - (SECONDS - began))); }
is_finished() { tail -n 1 "$1/journal.jsonl" 2>/dev/null | grep -q '"status": "FINISHED"'; }

stop() {  # asked to end: the grid writes its checkpoints, and everything is packed
  stopped=1
  [ -z "$grid" ] || kill -TERM "$grid" 2>/dev/null
}
trap stop TERM INT

# What there is to bring back, the most needed first: journals; then the newest checkpoints of what is
# unfinished, the smallest first; then errors by prompt. What no longer fits is left out.
list_files() {
  local room=$((MOST_PARTS * PART_MIB * 1048576 - 1048576)) folder checkpoint file size
  {
    find . -type f \( -name journal.jsonl -o -name config.json -o -name origin.json \
      -o -path './grid-*' \) ! -name lock | sort
    for folder in */; do
      folder=./${folder%/}
      [ -f "$folder/journal.jsonl" ] && ! is_finished "$folder" || continue
      checkpoint=$(find "$folder/checkpoints" -name 'step-*.json' 2>/dev/null | sort | tail -n 1)
      [ -z "$checkpoint" ] || echo "$(stat -c %s "${checkpoint%.json}.safetensors") $checkpoint"
    done | sort -n | while read -r _ checkpoint; do
      echo "${checkpoint%.json}.safetensors"  # before the file that makes it a checkpoint
      echo "$checkpoint"
    done
    find . -type f -path '*/evaluation/prompts.safetensors' | sort
  } | while read -r file; do
    size=$(stat -c %s "$file" 2>/dev/null) || continue
    room=$((room - size - 1536))
    if [ "$room" -lt 0 ]; then
      room=$((room + size + 1536))
      echo "$file" >> "$OUT/.left-out"
      continue
    fi
    echo "$file"
  done
}

pack() {  # one that is cut off leaves the one before, but for the instant of the last two lines
  [ -d "$RUNS" ] || return 0
  rm -rf "$OUT/.parts" "$OUT/.left-out"
  mkdir -p "$OUT/.parts"
  (cd "$RUNS" && list_files) > "$OUT/.files"
  tar -C "$RUNS" --ignore-failed-read --warning=no-file-changed --warning=no-failed-read -czf - \
    --no-recursion -T "$OUT/.files" \
    | split -b "${PART_MIB}M" -d - "$OUT/.parts/trainings.tar.gz."
  rm -f "$OUT/.files" "$OUT"/trainings.tar.gz.*
  mv "$OUT"/.parts/trainings.tar.gz.* "$OUT"
}

count_finished() {
  local folder n_finished=0
  for folder in "$RUNS"/*/; do is_finished "$folder" && n_finished=$((n_finished + 1)); done
  echo "$n_finished"
}

mkdir -p "$OUT" "$RUNS"
OUT=$(realpath "$OUT")
RUNS=$(realpath "$RUNS")
: > "$OUT/slot.log"

if [ -n "$BEFORE" ]; then
  if ! cat "$BEFORE"/trainings.tar.gz.* | tar -xzf - -C "$RUNS" --skip-old-files; then
    say "BEFORE must hold all parts of an earlier slot, whole, got $BEFORE"
    exit 2
  fi
  say "went on from $BEFORE: $(count_finished) trainings had finished"
fi

tests_passed=1
if [ -n "$TESTS" ] && [ -z "$BEFORE" ]; then
  limit=$(seconds_left)
  [ "$limit" -lt "$TEST_SECONDS" ] || limit=$TEST_SECONDS
  # the project's own pytest settings name packages that such a machine lacks
  # shellcheck disable=SC2086
  timeout --kill-after=10 "$limit" "$PYTHON" -m pytest -c /dev/null --rootdir=. -q \
    -p no:cacheprovider --import-mode=importlib -m 'not slow and not crash' \
    $TESTS >> "$OUT/slot.log" 2>&1 || tests_passed=
  summary=$(grep -E '(passed|failed|skipped|error).* in ' "$OUT/slot.log" | tail -n 1)
  say "tests: $([ -n "$tests_passed" ] && echo passed || echo FAILED), ${summary:-cut off before their end}"
fi

grid_code=1
if [ -z "$stopped" ] && [ "$(seconds_left)" -gt 0 ]; then
  # shellcheck disable=SC2086
  timeout --signal=TERM --kill-after=20 "$(seconds_left)" "$PYTHON" -m entrypoints.grid \
    --tracking offline --prompt interleaved --runs_dir "$RUNS" $GRID >> "$OUT/slot.log" 2>&1 &
  grid=$!
  packed=$SECONDS
  while kill -0 "$grid" 2>/dev/null; do
    sleep 1 &
    wait $! # which a signal ends at once
    if [ -z "$stopped" ] && [ $((SECONDS - packed)) -ge "$PACK_SECONDS" ]; then
      pack
      packed=$SECONDS
    fi
  done
  wait "$grid"
  grid_code=$?
fi
pack
[ ! -s "$OUT/.left-out" ] || say "no room for $(wc -l < "$OUT/.left-out") files: what they hold is computed again"
rm -rf "$OUT/.left-out" "$OUT/.parts"
say "grid: $(count_finished) trainings have finished${grid:+, exit code $grid_code}"
say "$(find "$OUT" -name 'trainings.tar.gz.*' | wc -l) parts in $OUT"
[ -n "$tests_passed" ] && [ "$grid_code" -eq 0 ]
