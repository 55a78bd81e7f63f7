#!/bin/sh
# controls.sh [NAME] - breaks sqlpool.h in known ways and sees whether the schedules of unit/schedules tell.
# SPDX-License-Identifier: MIT OR Unlicense
#
# Each control is a copy of the header with a few words changed by sed, below $BUILD/controls. It must
# be found by one strategy at least; the schedule that is written must fail again in another process
# with the same trace, and must pass with the header as it is.
set -u
build=${BUILD:-build}
only=${1:-} # a control
runs=${CONTROL_RUNS:-4000} # of each variant under each strategy
seconds=${CONTROL_SECONDS:-120}
plain=$build/tests/unit/schedules
out=$build/controls
passed=0 failed=0
rm -rf "$out"

verdict() { # status name words
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok $2: $3"
    else
        failed=$((failed + 1))
        echo "not ok $2: $3"
    fi
}

control() { # name scenario what-is-found sed-script
    name=$1 scenario=$2 why=$3 dir=$out/$1
    [ -z "$only" ] || [ "$only" = "$name" ] || return 0
    mkdir -p "$dir"
    sed "$4" sqlpool.h >"$dir/sqlpool.h"
    if cmp -s sqlpool.h "$dir/sqlpool.h"; then
        verdict 1 "$name" 'the header has no such place any more'
        return
    fi
    # shellcheck disable=SC2086 # flags are words on purpose
    if ! ${CC:-cc} "-I$dir" -I. -Itests ${SQLITE_INCLUDE:-} ${CPPFLAGS:-} -O1 -g -std=gnu11 -w \
        -o "$dir/schedules" tests/unit/schedules.c ${SQLITE_LINK:--lsqlite3} ${LDLIBS:-} \
        >"$dir/cc.log" 2>&1; then
        verdict 1 "$name" "it does not compile: $dir/cc.log"
        return
    fi
    "$dir/schedules" --hunt "$runs" --seconds "$seconds" --scenario "$scenario" --folder "$dir" \
        >"$dir/log" 2>&1
    status=$?
    grep -q '^# skipped' "$dir/log" && { echo "skipped: $name: no fibers here"; return; }
    file=$(find "$dir" -name '*.schedule' | head -n 1)
    if { [ "$status" -ne 0 ] && [ "$status" -ne 3 ]; } || [ -z "$file" ]; then
        verdict 1 "$name" "not found in $runs schedules of each variant and strategy: $dir/log"
        return
    fi
    "$dir/schedules" --replay "$file" >"$dir/again" 2>&1
    again=$?
    "$dir/schedules" --replay "$file" >"$dir/third" 2>&1
    if [ "$again" -eq 0 ] || ! cmp -s "$dir/again" "$dir/third"; then
        verdict 1 "$name" "$file does not fail again in the same way"
        return
    fi
    if ! "$plain" --replay "$file" >"$dir/plain" 2>&1; then
        verdict 1 "$name" "$file fails without the control, too"
        return
    fi
    if ! grep -E -q "^why .*($why)" "$file"; then
        verdict 1 "$name" "something else was found: $(sed -n 's/^why //p' "$file")"
        return
    fi
    verdict 0 "$name" "$(sed -n 's/^# \([a-z]*\): found in run \([0-9]*\),.*/\1 in run \2/p' "$dir/log" |
        tr '\n' ',' | sed 's/,$//; s/,/, /g'); $(sed -n 's/^why //p' "$file")"
}

# A slot is free again and who waits for it is not woken.
control lost_signal acquire 'lost wake-up|deadlock' '/void sqlpool__return_slow(/,/^}/ s/sqlpool__wake_locked(core);/(void)core;/'
# Who drains is not counted, so that nobody wakes it.
control lost_signal_of_a_drain pause 'lost wake-up|deadlock' '/^static int sqlpool__drain_locked(/,/^}/ s/core->draining[+-][+-];//'
# Who waits for the answer to a submission is not woken.
control lost_signal_of_a_submission submit 'lost wake-up|deadlock' \
    's/if (entry->sleeper != NULL) sqlpool__signal(core, entry->sleeper);//'
# Awake, and taken for drained without a look.
control no_look_after_a_wake pause 'failed: .*(out|is_paused)' \
    '/^static int sqlpool__drain_locked(/,/^}/ s/: deadline_ns);/: deadline_ns); break;/'
# A slot that is handed over looks idle.
control double_grant acquire 'MISUSE|used' \
    '/void sqlpool__return_slow(/,/^}/ s/word(number + 1, SQLPOOL__LEASED)/word(number + 1, SQLPOOL__IDLE)/'
# Load and store where there must be one step.
control take_in_two_steps acquire 'used|MISUSE' \
    '/^static bool sqlpool__take(/,/^}/ s/!SQLPOOL__CAS(&slot->word, &word, \(.*\))) {/(SQLPOOL__STORE(\&slot->word, \1), false)) {/'
# The followers of a group hear of the commit before it.
control early_answer group 'outcome|told|crash' \
    '/^static [a-z]* sqlpool__commit_group(/ {
        i static void sqlpool__wake_group(sqlpool__core *core, sqlpool__group *group);
    }
    /^static [a-z]* sqlpool__commit_group(/,/^}/ s/sqlpool__level_commit(slot, &error)/(sqlpool__wake_group(core, group), &)/'
# close() frees the pool under calls that are on their way out.
control close_before_all_are_outside close 'destroyed|freed|memory|crash' \
    's/while (SQLPOOL__LOAD_ORDERED(&core->inside) != 0) {/while (false) {/'
# An interrupt that was meant for one lease meets the next.
control interrupt_of_the_next_lease cancel 'CANCELLED|interrupt|SQLITE_INTERRUPT' \
    '/^static void sqlpool__give_back(/,/^}/ s/sqlpool__fence_interrupts(slot);//'
# A call does not wait for upkeep that ends the snapshot of its lease.
control call_beside_upkeep snapshot 'parked|freed|gave|crash' \
    '/^static inline void sqlpool__unpark(/,/^}/ s/if (.*)$/if (false)/'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
