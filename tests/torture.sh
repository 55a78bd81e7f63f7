#!/bin/sh
# torture.sh - the long test campaigns, one after the other, with what each printed as its result.
# SPDX-License-Identifier: MIT OR Unlicense
#
# `make torture` runs them all, `make torture-controls` their controls: bugs that must be found. Parts that
# keep one processor busy run beside each other, TORTURE_JOBS at a time (as many as there are processors),
# the longest first, no two of them with the same program: it has one folder. The others use all
# processors by themselves.
# A part that went well is not run again while its words below, sqlpool.h and the tests are the same, so
# that a campaign that was interrupted goes on where it was; BUILD/torture holds the logs. PARTS names
# those to run. With BUILD in memory, as /dev/shm/torture, nothing waits for a disk.
set -u
build=${BUILD:-build}
jobs=${TORTURE_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
make=${MAKE:-make}
out=$build/torture
mkdir -p "$out" || exit 1

# name, processors, and what make is asked for
parts() {
    if [ "$1" = controls ]; then
        cat <<'PARTS'
schedules-controls all schedules-controls
model-controls all model-controls
fuzz-controls all fuzz-controls
stress-controls all test ONLY=stress/%
powerloss-controls all test ONLY=fault/powerloss
walreset-controls all test ONLY=fault/walreset
soak-controls all test ONLY=stress/soak
PARTS
    else
        cat <<'PARTS'
oom-care one test ONLY=oom/care TEST_TIMEOUT=7200 TEST_ARGS=full
oom one test ONLY=oom/oom TEST_TIMEOUT=7200 TEST_ARGS=full
powerloss one powerloss
stress one stress STRESS_KILLS=10000 STRESS_SECONDS=20 TEST_TIMEOUT=7200
soak one soak SOAK_SECONDS=300
migrate one test ONLY=fault/migrate TEST_TIMEOUT=7200 TEST_ARGS=full
walreset one walreset WALRESET_SCHEDULES=5000
PARTS
        for target in tests/fuzz/*.c; do
            target=${target##*/}
            echo "fuzz-${target%.c} one fuzz FUZZ=${target%.c}"
        done
        cat <<'PARTS'
model one model
io-care one test ONLY=fault/io_care TEST_TIMEOUT=7200 TEST_ARGS=full
io one test ONLY=fault/io TEST_TIMEOUT=3600 TEST_ARGS=full
kills one kills
migrate-kills all migrate-kills MIGRATE_KILLS=3000
schedules all schedules SCHEDULES_MOST=60000
matrix all matrix
mutate all mutate MUTATE_ONLY=^(compare|logic|negate|drop) MUTATE_ROOM=25 MUTATE_OTHERS=5
PARTS
    fi
}

line_of() { parts "$1" | grep "^$2 "; } # campaign, part
# What it depends on: the folders of matrix and mutate are theirs alone.
mark_of() { # campaign, part
    others='matrix|mutate'
    case $2 in matrix) others=mutate ;; mutate) others=matrix ;; esac
    # shellcheck disable=SC2046 # words on purpose
    sum=$(cat sqlpool.h Makefile $(find tests -type f | grep -v -E "^tests/(($others)/|torture\.sh$)" | LC_ALL=C sort) |
        cksum)
    echo "$sum $(line_of "$1" "$2")"
}
is_done() { # campaign, part
    [ "$(cat "$out/$2.done" 2>/dev/null)" = "$(mark_of "$1" "$2")" ]
}

if [ "${1:-}" = part ]; then # of which campaign, its name
    name=$3
    mark=$(mark_of "$2" "$name")
    line=$(line_of "$2" "$name")
    what=$(echo "$line" | cut -d' ' -f3-)
    case $line in "$name all "*) what="-j $jobs $what" ;; esac
    # A sample that is the same when it goes on; the tests of a mutant wait now and then.
    [ "$name" != mutate ] || what="$what SIM_SEED=${SIM_SEED:-${mark%% *}} MUTATE_JOBS=${MUTATE_JOBS:-$(((jobs * 3 + 1) / 2))}"
    start=$(date +%s)
    # shellcheck disable=SC2086
    TEST_FIGURES=1 "$make" -s $what >"$out/$name.log" 2>&1
    status=$?
    took=$(($(date +%s) - start))
    if [ $status -eq 0 ]; then
        echo "$mark" >"$out/$name.done"
        verdict="ok   $name ($took s)"
    else
        verdict="FAIL $name ($took s): see $out/$name.log"
    fi
    # In one piece: another part may be printing its own.
    lines=$(grep -E '^# |^(ok|FAIL|skip) |^mutate: seed|^by kind| killed: |passed, [0-9]+ failed$' "$out/$name.log" |
        tail -n 60 | sed "s/^/     /")
    printf '%s\n%s\n' "$lines" "$verdict"
    exit 0
fi

kind=${1:-all}
failed=0
passed=0
one=
all=
begin=$(date +%s)
for name in ${PARTS:-$(parts "$kind" | cut -d' ' -f1)}; do
    processors=$(line_of "$kind" "$name" | cut -d' ' -f2)
    if is_done "$kind" "$name"; then
        echo "ok   $name: done before"
        passed=$((passed + 1))
    else
        rm -f "$out/$name.done"
        case $processors in
        one) one="$one $name" ;;
        all) all="$all $name" ;;
        *)
            echo "FAIL $name: there is no such part"
            failed=$((failed + 1))
            ;;
        esac
    fi
done
if [ -n "$one" ]; then # the objects that they share are built before
    "$make" -s "$build/tests/fault/io" >"$out/shared.log" 2>&1 || { echo "FAIL: see $out/shared.log"; exit 1; }
    # shellcheck disable=SC2086 # words on purpose
    printf '%s\n' $one | xargs -P "$jobs" -I NAME sh "$0" part "$kind" NAME
fi
# shellcheck disable=SC2086 # words on purpose
[ -z "$all" ] || printf '%s\n' $all | xargs -I NAME sh "$0" part "$kind" NAME
for name in $one $all; do
    if is_done "$kind" "$name"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "# $(($(date +%s) - begin)) s"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
