#!/usr/bin/env bash
# Make the bundled model from nothing; so far its data and its autoencoder.
#
#     bash scripts/train_bundled.sh [--minutes N] [FIELD=VALUE ...]
#
# The same command goes on where the last one stopped, on another machine too where data/bundled and
# runs/bundled-autoencoder are copied there. With --minutes it stops after so many, with a checkpoint.
# Other arguments override fields of the configuration, such as training.trainer.accelerator=gpu.
set -euo pipefail

minutes=""
if [[ "${1:-}" == --minutes ]]; then
  minutes="${2:-}"
  if ! [[ "$minutes" =~ ^[1-9][0-9]*$ ]]; then
    echo "error: --minutes is '$minutes'; give a whole number of at least 1" >&2
    exit 2
  fi
  shift 2
fi
here="$(dirname "$0")"
started=$SECONDS

if ! [[ -f data/bundled/train.jsonl ]]; then
  python "$here/prepare_bundled.py" --output data/bundled
fi

# A training that is asked to end saves first.
limit=()
if [[ -n "$minutes" ]]; then
  left=$((minutes * 60 - (SECONDS - started)))
  limit=(timeout --signal=TERM "$((left > 1 ? left : 1))")
fi
status=0
"${limit[@]}" python "$here/train.py" --config "$here/../configs/bundled/autoencoder.json" "$@" ||
  status=$?
if [[ -n "$minutes" && $status == 124 ]]; then
  echo "stopped after $minutes minutes; the same command goes on"
  exit 0
fi
exit "$status"
