#!/bin/sh
# torture.sh - the long test campaigns, one after the other, with what each printed as its result.
# SPDX-License-Identifier: MIT OR Unlicense
#
# `make torture` runs them all, `make torture-controls` their controls: bugs that must be found. A part
# that went well is not run again while sqlpool.h and the tests are the same, so that a campaign that
# was interrupted goes on where it was; BUILD/torture holds the logs. PARTS names those to run.
set -u
build=${BUILD:-build}
make=${MAKE:-make}
out=$build/torture
mkdir -p "$out" || exit 1
mark=$(cat sqlpool.h Makefile $(find tests -type f | LC_ALL=C sort) | cksum)

# name, and what make is asked for
parts() {
    if [ "${1:-}" = controls ]; then
        cat <<'PARTS'
schedules-controls schedules-controls
model-controls model-controls
fuzz-controls fuzz-controls
stress-controls test ONLY=stress/%
powerloss-controls test ONLY=fault/powerloss
walreset-controls test ONLY=fault/walreset
soak-controls test ONLY=stress/soak
PARTS
    else
        cat <<'PARTS'
oom test ONLY=oom/% TEST_TIMEOUT=7200 TEST_ARGS=full
io test ONLY=fault/io TEST_TIMEOUT=3600 TEST_ARGS=full
io-care test ONLY=fault/io_care TEST_TIMEOUT=7200 TEST_ARGS=full
migrate test ONLY=fault/migrate TEST_TIMEOUT=7200 TEST_ARGS=full
migrate-kills migrate-kills MIGRATE_KILLS=10000
powerloss powerloss
schedules schedules
model model
stress stress STRESS_KILLS=10000 TEST_TIMEOUT=7200
soak soak
walreset walreset
kills kills
fuzz fuzz
matrix matrix
mutate mutate
PARTS
    fi
}

kind=${1:-all}
failed=0
passed=0
begin=$(date +%s)
for name in ${PARTS:-$(parts "$kind" | cut -d' ' -f1)}; do
    what=$(parts "$kind" | grep "^$name " | cut -d' ' -f2-)
    if [ -z "$what" ]; then
        echo "FAIL $name: there is no such part"
        failed=$((failed + 1))
        continue
    fi
    if [ "$(cat "$out/$name.done" 2>/dev/null)" = "$mark" ]; then
        echo "ok   $name: done before"
        passed=$((passed + 1))
        continue
    fi
    start=$(date +%s)
    # shellcheck disable=SC2086
    "$make" -s $what >"$out/$name.log" 2>&1
    status=$?
    took=$(($(date +%s) - start))
    grep -E '^# |passed, [0-9]+ failed$' "$out/$name.log" | tail -n 12 | sed "s/^/     /"
    if [ $status -eq 0 ]; then
        echo "$mark" >"$out/$name.done"
        echo "ok   $name ($took s)"
        passed=$((passed + 1))
    else
        echo "FAIL $name ($took s): see $out/$name.log"
        failed=$((failed + 1))
    fi
done
echo "# $(($(date +%s) - begin)) s"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
