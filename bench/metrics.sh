#!/bin/sh
# metrics.sh FOLDER [--json] - what monitoring costs: in time, and in instructions where valgrind is
# there. FOLDER holds the program that `make bench-metrics` has built.
# SPDX-License-Identifier: MIT OR Unlicense
set -eu

if [ $# -lt 1 ] || [ ! -x "$1/metrics" ]; then
    echo 'usage: bench/metrics.sh FOLDER [--json]' >&2
    exit 2
fi
folder=$1
shift

data=$(mktemp -d "$folder/data.XXXXXX")
trap 'rm -rf "$data"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$folder/metrics" --dir "$data" "$@"

command -v valgrind >/dev/null 2>&1 || exit 0
# measure WORKLOAD SYSTEM OPERATIONS: instructions of a whole run.
measure() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$folder/metrics" --dir "$data" \
        --workload "$1" --system "$2" --ops "$3" >"$data/log" 2>&1 || {
        cat "$data/log" >&2
        exit 1
    }
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p' "$data/log"
}
few=2000 many=12000
printf '%-9s %-9s %15s\n' workload system instructions/op
for workload in point kept scope; do
    none=
    for system in none off counters full; do
        a=$(measure $workload $system $few)
        b=$(measure $workload $system $many)
        figure=$(((b - a + (many - few) / 2) / (many - few)))
        : "${none:=$figure}"
        printf '%-9s %-9s %15d  %s\n' $workload $system $figure \
            "$(awk -v a=$none -v b=$figure 'BEGIN { printf "%+.2f %%", (b / a - 1) * 100 }')"
    done
done
