#!/bin/sh
# run.sh FOLDER [--json] - run the benches that `make bench` has built in FOLDER, in less than
# three minutes.
# BENCH_QUICK=1: in about 20 seconds, for a first look; its figures are rough.
# Database files live in a fresh folder under FOLDER and are removed at the end.
set -eu

if [ $# -lt 1 ] || [ ! -x "$1/bench" ]; then
    echo "usage: bench/run.sh FOLDER [--json]   (FOLDER: bench, fairness, allocations)" >&2
    exit 2
fi
folder=$1
shift

data=$(mktemp -d "$folder/data.XXXXXX")
trap 'rm -rf "$data"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

status=0
if [ "${BENCH_QUICK:-0}" = 1 ]; then
    "$folder/bench" --dir "$data" --rounds 5 "$@" || status=1
    "$folder/allocations" --dir "$data" --ops 1000 "$@" || status=1
    "$folder/fairness" --dir "$data" --rounds 1 --seconds 2 --writer-ms 2000 --busy-ms 500 "$@" ||
        status=1
else
    "$folder/bench" --dir "$data" "$@" || status=1
    "$folder/allocations" --dir "$data" "$@" || status=1
    "$folder/fairness" --dir "$data" "$@" || status=1
fi
exit $status
