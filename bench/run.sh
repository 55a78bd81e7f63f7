#!/bin/sh
# run.sh FOLDER [--json] - run the benches that `make bench` has built in FOLDER, in about seven
# minutes.
# BENCH_QUICK=1: in about 40 seconds, for a first look; its figures are rough.
# Database files live in a fresh folder under FOLDER and are removed at the end.
set -eu

needs=bench
. "$(dirname "$0")/folder.sh"

status=0
# run PROGRAM OPTION...: all of them run, whatever one of them says.
run() {
    program=$1
    shift
    "$folder/$program" --dir "$data" "$@" || status=1
}

if [ "${BENCH_QUICK:-0}" = 1 ]; then
    run bench --rounds 5 --slice-ms 5 "$@"
    run bench --defaults --rounds 5 --slice-ms 5 "$@"
    run mixed --rounds 3 --slice-ms 100 "$@"
    run mixed --defaults --threads 4 --rounds 3 --slice-ms 100 "$@"
    run opening --rounds 31 "$@"
    run process --rounds 3 --slice-ms 10 "$@"
    run allocations --ops 1000 "$@"
    run fairness --rounds 1 --seconds 1 --busy-ms 300 "$@"
    run writes --rounds 1 --slice-ms 200 --rows 200000 "$@"
    run log --seconds 2 "$@"
    run backup --rounds 1 --slice-ms 1000 --mib 40 "$@"
else
    run bench "$@"
    run bench --defaults "$@"
    run mixed "$@"
    run mixed --defaults --threads 4 "$@"
    run opening "$@"
    run process "$@"
    run allocations "$@"
    run fairness --seconds 2 "$@"
    run writes "$@"
    run log --seconds 20 "$@"
    run backup "$@"
fi
exit $status
