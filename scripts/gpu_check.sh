#!/usr/bin/env bash
# Everything that a CUDA device can tell of this code, in one command of at most nine minutes.
#
#   scripts/gpu_check.sh --fetch-wheels DIR          where there is a network: what the machine lacks
#   scripts/gpu_check.sh --wheels DIR --output DIR   on the machine, which needs PyTorch and no network
#   scripts/gpu_check.sh --dry                       all of it on the CPU at tiny sizes, in minutes
#
# Options: --seconds N (540), --only STAGE[,STAGE] (which may then take all of the time), --python
# COMMAND (python3). The folder of wheels may be given as GPU_CHECK_WHEELS too, and what is added to
# the benchmark's options (its peers) as GPU_CHECK_BENCHMARK. Stages: machine tests parity memory steps
# benchmark trainings training_speed. One that fails or takes too long does not stop the others. The
# folder has at most eight files: summary.txt, logs.txt, results.json, benchmark.json, tests.xml,
# trace.json.gz.
# Exit codes: 0 all stages passed, 1 not all, 2 wrong use.
#
# shellcheck disable=SC2329  # functions are called in a shell of their own, which can be ended
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=python3
output="$PWD/gpu_check_results"
wheels=${GPU_CHECK_WHEELS:-}
seconds=540
only=""
dry=""
fetch=""

# Stages in the order of what they tell, with the most seconds that each may take.
stages=(machine tests parity memory steps benchmark trainings training_speed)
declare -A limits=(
  [machine]=30 [tests]=130 [parity]=60 [memory]=100 [steps]=100 [benchmark]=150
  [trainings]=100 [training_speed]=90
)

misuse() {
  echo "gpu_check.sh: $1" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case "$1" in
    --dry) dry=yes ;;
    --fetch-wheels | --wheels | --output | --seconds | --only | --python)
      if [ $# -lt 2 ]; then misuse "$1 needs a value"; fi
      case "$1" in
        --fetch-wheels) fetch=$2 ;;
        --wheels) wheels=$2 ;;
        --output) output=$2 ;;
        --seconds) seconds=$2 ;;
        --only) only=$2 ;;
        --python) python=$2 ;;
      esac
      shift
      ;;
    -h | --help)
      sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) misuse "unknown option $1; see --help" ;;
  esac
  shift
done

if ! [[ "$seconds" =~ ^[1-9][0-9]*$ ]]; then misuse "--seconds must be a number above 0, got $seconds"; fi
if [ -n "$only" ]; then
  IFS=, read -ra chosen <<< "$only"
  for stage in "${chosen[@]}"; do
    if [ -z "${limits[$stage]:-}" ]; then misuse "unknown stage $stage; there are ${stages[*]}"; fi
  done
  stages=("${chosen[@]}")
fi

if [ -n "$fetch" ]; then
  mkdir -p "$fetch"
  platforms=()
  for version in _2_28 _2_27 _2_24 _2_17 2014 1; do platforms+=(--platform "manylinux${version}_x86_64"); done
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.12 --implementation cp "${platforms[@]}" \
    --dest "$fetch" --requirement "$root/scripts/gpu_checking/wheels.txt" || exit 1
  du -sh "$fetch"
  exit 0
fi

mkdir -p "$output" || exit 2
output=$(cd "$output" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: > "$output/logs.txt"
: > "$output/summary.txt"

tell() {
  echo "$*" | tee -a "$output/summary.txt"
}

export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
export HF_HUB_OFFLINE=1 TORCHINDUCTOR_CACHE_DIR="$work/inductor"
export PYTHONPATH="$root:$root/scripts${PYTHONPATH:+:$PYTHONPATH}"
device=cuda
flags=()
if [ -n "$dry" ]; then
  device=cpu
  flags=(--dry)
fi

if [ -n "$wheels" ]; then
  if ! "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile \
    --no-cache-dir --upgrade --target "$work/site" "$wheels"/*.whl >> "$output/logs.txt" 2>&1; then
    tell "the wheels of $wheels cannot be installed; see logs.txt"
    exit 1
  fi
  export PYTHONPATH="$PYTHONPATH:$work/site"
fi

in_python() {
  "$python" -m "gpu_checking.$1" --device "$device" "${flags[@]}" --json "$work/$1.json"
}

# Without the options of pyproject.toml, which need plugins, and where warnings are errors.
run_tests() {
  local chosen=(-m cuda)
  if [ -n "$dry" ]; then chosen=(-k "cpu and attention"); fi
  cd "$root" && "$python" -m pytest -q -rfE --tb=short -p no:cacheprovider \
    -o addopts="--import-mode=importlib --strict-markers" -o filterwarnings=default \
    --junit-xml "$output/tests.xml" "${chosen[@]}" \
    tests/test_generation_on_a_device.py tests/nn/test_attention_on_a_device.py \
    tests/editing/test_editing_on_a_device.py tests/training/test_losses_on_a_device.py \
    tests/training/test_runs_on_a_device.py
}

run_benchmark() {
  local script=$root/scripts/benchmark.py extra
  read -ra extra <<< "${GPU_CHECK_BENCHMARK:-}"
  if [ -n "$dry" ]; then
    "$python" "$script" --only step --repeats 1 --warmup 0 --json "$output/benchmark.json"
  elif "$python" "$script" --help | grep -q -e --at-most; then
    "$python" "$script" --gpu --at-most $((limit * 2 / 3)) "${extra[@]}" \
      --json "$output/benchmark.json"
  else
    "$python" "$script" --size published --device cuda --dtype bfloat16 --only step decode encode \
      --repeats 10 --warmup 3 --calls 3 --json "$output/benchmark.json"
  fi
}

time_training() {
  local size=(--size published --device cuda --dtype bfloat16 --repeats 3 --warmup 2)
  if [ -n "$dry" ]; then size=(--size tiny --batch 2 --crop-frames 8 --frames 16 --repeats 1 --warmup 0); fi
  "$python" "$root/scripts/benchmark.py" --only training "${size[@]}" --json "$work/training_speed.json"
}

describe_machine() {
  nvidia-smi || true
  in_python machine
}

run_stage() {
  case "$1" in
    machine) describe_machine ;;
    tests) run_tests ;;
    benchmark) run_benchmark ;;
    training_speed) time_training ;;
    *) in_python "$1" ;;
  esac
}

# What the stages have found, in one file, after each of them: the next may be the last one.
collect() {
  "$python" - "$work" "$output" << 'END'
import json, pathlib, shutil, sys
work, output = map(pathlib.Path, sys.argv[1:])
found = {}
for path in sorted(work.glob("*.json")):
    try:
        found[path.stem] = json.loads(path.read_text())
    except ValueError:  # cut off
        found[path.stem] = None
(output / "results.json").write_text(json.dumps(found, indent=2) + "\n")
if (work / "trace.json.gz").is_file():
    shutil.copy(work / "trace.json.gz", output)
END
}

# A function in a process of its own, which timeout can end with all that it started.
export -f run_stage run_tests run_benchmark time_training describe_machine in_python
export root python device dry work output limit
export gpu_check_flags="${flags[*]}"

failed=0
tell "gpu_check $(date -u +%Y-%m-%dT%H:%M:%SZ), device $device, commit $(git -C "$root" rev-parse --short HEAD 2> /dev/null || echo unknown)"
tell "$(printf '%-16s %8s  %s' stage seconds outcome)"
for stage in "${stages[@]}"; do
  left=$((seconds - SECONDS))
  limit=${limits[$stage]}
  if [ -n "$dry" ]; then limit=$((4 * limit)); fi
  if [ -n "$only" ]; then limit=$left; fi
  if [ "$limit" -gt "$left" ]; then limit=$left; fi
  if [ "$limit" -lt 5 ]; then
    tell "$(printf '%-16s %8s  %s' "$stage" - "left out: no time left")"
    failed=1
    continue
  fi
  begin=$SECONDS
  # shellcheck disable=SC2016  # the inner shell's own
  timeout --kill-after=5 "$limit" bash -c \
    'set -uo pipefail; read -ra flags <<< "$gpu_check_flags"; run_stage "$1"' _ "$stage" \
    > "$work/$stage.log" 2>&1
  code=$?
  {
    printf '\n======== %s (exit code %d)\n' "$stage" "$code"
    # The first and the last 700 kB: all stages fit one file.
    head -c 700000 "$work/$stage.log"
    if [ "$(stat -c %s "$work/$stage.log")" -gt 1400000 ]; then echo "[...]"; fi
    tail -c +700001 "$work/$stage.log" | tail -c 700000
  } >> "$output/logs.txt"
  case $code in
    0) outcome="passed" ;;
    124 | 137) outcome="stopped after $limit s" ;;
    *) outcome="failed ($code): $(grep . "$work/$stage.log" | tail -n 1 | cut -c 1-120)" ;;
  esac
  if [ "$code" -ne 0 ]; then failed=1; fi
  tell "$(printf '%-16s %8d  %s' "$stage" $((SECONDS - begin)) "$outcome")"
  collect
done

# The tables again, shortest last: what a reader of the end of the output sees.
for stage in "${stages[@]}"; do
  if [ ! -s "$work/$stage.log" ]; then continue; fi
  echo
  echo "-------- $stage"
  tail -n 45 "$work/$stage.log"
done
echo
cat "$output/summary.txt"
echo "results: $output"
exit $failed
