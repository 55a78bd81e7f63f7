#!/bin/sh
# model_controls.sh - bugs seeded in a copy of sqlpool.h, each of which tests/stress/model.c must find.
# SPDX-License-Identifier: MIT OR Unlicense
#
#   MODEL_CONTROL_OPS   operations within which each must be found (400000)
set -u
out=${BUILD:-build}/model-controls
most=${MODEL_CONTROL_OPS:-400000}
passed=0 failed=0
rm -rf "$out"
mkdir -p "$out"

# control NAME FLAGS SED: the sed script must change the header, or FLAGS name a switch of it.
control() {
    name=$1 flags=$2 script=$3
    mkdir -p "$out/$name.dir"
    sed "$script" sqlpool.h >"$out/$name.dir/sqlpool.h"
    if [ -n "$script" ] && cmp -s sqlpool.h "$out/$name.dir/sqlpool.h"; then
        echo "not ok control_$name: the header has no such place any more"
        failed=$((failed + 1))
        return
    fi
    # shellcheck disable=SC2086
    if ! ${CC:-cc} -std=gnu11 -O1 -w $flags -I"$out/$name.dir" ${SQLITE_INCLUDE-} -Itests ${CPPFLAGS-} \
        -o "$out/$name.dir/model" tests/stress/model.c ${SQLITE_LINK--lsqlite3} ${LDLIBS--lpthread -lm -ldl}; then
        echo "not ok control_$name: does not compile"
        failed=$((failed + 1))
        return
    fi
    (cd "$out/$name.dir" && SIM_SEED=1 ./model ops "$most" >log 2>&1)
    status=$?
    where=$(sed -n 's/^# model: \([0-9]* episodes, [0-9]* operations\).*/\1/p' "$out/$name.dir/log")
    found=$(grep -m1 -E '^# model: seed|crashed' "$out/$name.dir/log" | cut -c1-160)
    if [ "$status" -ne 0 ] && [ -n "$found" ]; then
        echo "ok control_${name}_is_found: after $where: ${found#\# model: }"
        passed=$((passed + 1))
    else
        echo "not ok control_${name}_is_found: $where, status $status"
        failed=$((failed + 1))
    fi
}

# An acknowledged transaction in fifty is rolled back.
control acknowledged_without_commit '' \
    's/^ *rc = sqlpool__run_own(slot, SQLPOOL__COMMIT);$/    { static int turn; rc = sqlpool__run_own(slot, ++turn % 50 == 0 ? SQLPOOL__ROLLBACK : SQLPOOL__COMMIT); }/'
# What a failed COMMIT may have left in the log is called not committed.
control unknown_called_not_committed '' \
    's/sqlpool__is_unknown(slot, error) ? SQLPOOL_OUTCOME_UNKNOWN/sqlpool__is_unknown(slot, error) ? SQLPOOL_OUTCOME_NOT_COMMITTED/'
# A level that is rolled back keeps what it did.
control level_not_undone '' 's/sqlpool__run_savepoint(slot, "ROLLBACK TO", depth, error)/sqlpool__run_savepoint(slot, "RELEASE", depth, error); if (rc == SQLPOOL_OK) return rc/'
# Snapshots that are kept are used without comparing.
control stale_snapshots -DSQLPOOL_TESTING_BLIND_STAMP ''
# A copy is of another database.
control copy_of_nothing '' 's/"VACUUM main INTO /"VACUUM temp INTO /'
# A restore says that it was done when nothing was replaced.
control restored_without_replacing '' \
    's/} else if (sqlpool__swap(image, &old, kept, error) == SQLPOOL_OK) {/} else {/'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
