#!/bin/sh
# instructions.sh FOLDER [--json] - instructions per operation, counted by callgrind in the program
# `bench` in FOLDER: W1, W2, W3 and W8 with one thread. SPDX-License-Identifier: MIT OR Unlicense
#
# Each figure is the difference of two runs that differ only in their number of operations, so that
# opening, filling caches and closing cancel out. The whole process is counted, the pool's upkeep
# thread and this bench's own loop included: the loop draws a row and compares the answer, the same
# in every column of a workload. What the kernel does is not counted. The random sequence is fixed,
# and two runs of this script agree to the instruction or nearly so.
set -eu

needs=bench
. "$(dirname "$0")/folder.sh"
json=${1:-}
command -v valgrind >/dev/null || { echo 'skipped: valgrind is not installed'; exit 1; }

few=2 many=12    # batches
batch=1000       # operations in a batch of these workloads: the table of workloads in bench.c
cells='W1:mutex W1:textbook W1:sqlpool
    W2:hand W2:hand-tx W2:textbook W2:sqlpool W2:snap-off W2:excl W2:int64 W2:lease W2:stmt
    W3:hand W3:hand-tx W3:textbook W3:sqlpool W3:snap-off
    W8:hand W8:hand-tx W8:hand-prep W8:textbook W8:sqlpool'

# measure WORKLOAD COLUMN BATCHES: instructions of a whole run.
measure() {
    instructions bench --base "$data/base" --seed 1 --rounds 1 --threads 1 --workloads "$1" \
        --columns "$2" --ops "$3"
}

# The database is made once, outside of valgrind.
"$folder/bench" --dir "$data" --base "$data/base" --rounds 1 --threads 1 --workloads W1 \
    --columns mutex --ops 1 >/dev/null

printf '%-9s %-10s %15s\n' workload column instructions/op
for cell in $cells; do
    workload=${cell%%:*}
    column=${cell#*:}
    a=$(measure "$workload" "$column" $few)
    b=$(measure "$workload" "$column" $many)
    operations=$(((many - few) * batch))
    # Rounded to whole instructions.
    figure=$(((b - a + operations / 2) / operations))
    printf '%-9s %-10s %15d\n' "$workload" "$column" "$figure"
    [ "$json" != --json ] ||
        printf '{"workload":"%s","system":"%s","instructions_per_op":%d}\n' "$workload" "$column" \
            "$figure"
done
