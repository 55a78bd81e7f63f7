#!/bin/sh
# metrics.sh FOLDER [--json] - what monitoring costs: in time, and in instructions where valgrind is
# there. FOLDER holds the program that `make bench-metrics` has built.
# SPDX-License-Identifier: MIT OR Unlicense
set -eu

needs=metrics
. "$(dirname "$0")/folder.sh"

"$folder/metrics" --dir "$data" "$@"

command -v valgrind >/dev/null 2>&1 || exit 0
# measure WORKLOAD SYSTEM OPERATIONS: instructions of a whole run.
measure() { instructions metrics --workload "$1" --system "$2" --ops "$3"; }
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
