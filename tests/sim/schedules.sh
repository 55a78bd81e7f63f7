#!/bin/sh
# schedules.sh - the long campaign of unit/schedules, a part for each variant of each scenario.
# SPDX-License-Identifier: MIT OR Unlicense
#
# A part that went well is not run again while the program is the same: what was interrupted goes on
# where it was. Logs, failing schedules and what is done are below $BUILD/schedules.
#
#   SCHEDULES_RUNS  random and PCT schedules in all (10000000), shared by all variants
#   SCHEDULES_MOST  schedules that the search of one variant may take; where that ends it, the number
#                   of preemptions before is the one that was exhausted (no limit)
#   SCHEDULES_JOBS  parts at a time (as many as there are processors)
#   SIM_SEED        the first seed (1)
set -u
build=${BUILD:-build}
program=$build/tests/unit/schedules
out=$build/schedules
seed=${SIM_SEED:-1}
runs=${SCHEDULES_RUNS:-10000000}
most=${SCHEDULES_MOST:-}

if [ "${1:-}" = part ]; then
    name=$2
    scenario=${name%-*} variant=${name##*-}
    each=$3
    mark=$4
    if [ "$(cat "$out/$name.done" 2>/dev/null)" = "$mark" ]; then
        echo "# $name: done before"
        exit 0
    fi
    rm -f "$out/$name.done"
    "$program" --long --seed "$seed" --scenario "$scenario" --variant "$variant" --random "$each" --pct "$each" \
        ${most:+--dfs "$most"} --folder "$out" >"$out/$name.log" 2>&1 &
    child=$!
    trap 'kill "$child" 2>/dev/null; exit 130' INT TERM HUP
    said=0
    while kill -0 "$child" 2>/dev/null; do # what the log has got since, line by line
        sleep 2
        have=$(wc -l <"$out/$name.log")
        [ "$have" -le "$said" ] || sed -n "$((said + 1)),${have}p" "$out/$name.log"
        said=$have
    done
    wait "$child"
    status=$?
    sed -n "$((said + 1)),\$p" "$out/$name.log"
    [ "$status" -ne 0 ] || echo "$mark" >"$out/$name.done"
    exit 0
fi

mkdir -p "$out"
list=$("$program" --list) || exit 1
case $list in *skipped*) echo "$list"; exit 0 ;; esac
variants=$(echo "$list" | awk '{ n += $2 } END { print n }')
each=$(((runs + 2 * variants - 1) / (2 * variants)))
mark="$(cksum <"$program") $seed $each $most"
echo "# seed=$seed, $variants variants of $(echo "$list" | wc -l) scenarios, $each random and $each PCT schedules of each"
# the long scenarios first
for name in snapshot upkeep group close submit cancel; do
    echo "$list" | grep "^$name "
done >"$out/scenarios"
echo "$list" | grep -vxFf "$out/scenarios" >>"$out/scenarios"
awk '{ for (i = 0; i < $2; i++) print $1 "-" i }' "$out/scenarios" >"$out/parts"
xargs -P "${SCHEDULES_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}" -I NAME sh "$0" part NAME "$each" "$mark" <"$out/parts"

failed=0 passed=0
while read -r name; do
    if [ -f "$out/$name.done" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done <"$out/parts"
while read -r name; do cat "$out/$name.log"; done <"$out/parts" | awk '
    /^# [a-z]+\/[0-9]+: .* distinct/ { name = substr($2, 1, length($2) - 1) }
    /^#   (random|pct) / { sampled += $3; speed[$2] += $3 / ($5 + 0 > 0 ? $5 : 1) }
    /^#   dfs / { searched += $3; took += $3 / ($5 + 0 > 0 ? $5 : 1) }
    /^#   exhausted / { whole[$8] += 1; sum[$8] += $3; names[$8] = names[$8] " " name }
    /^# [0-9]+ deadlocks,/ { deadlocks += $2; lost += $4; other += $7 }
    END {
        t = speed["random"] + speed["pct"]
        printf "# random and PCT: %d schedules, %d/s, %.0f s of a processor\n", sampled, sampled / (t > 0 ? t : 1), t
        printf "# depth first: %d schedules, %d/s, %.0f s of a processor\n", searched, searched / (took > 0 ? took : 1), took
        for (b = 2; b >= 0; b--)
            if (whole[b] > 0)
                printf "# exhausted with %d preemptions: %d schedules of %d variants:%s\n", b, sum[b], whole[b], names[b]
        printf "# %d deadlocks, %d lost wake-ups, %d other failures\n", deadlocks, lost, other
    }'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
