#!/bin/sh
# run.sh BUILD PROGRAM... - run test programs and sum up what they say.
# SPDX-License-Identifier: MIT OR Unlicense
#
# Each program runs in an empty folder of its own (its name + ".dir", kept when it fails), without
# input, with its output in its name + ".log". It closes with "N passed, N failed"; a program that
# crashes, runs too long or says nothing counts as one failure more. The last line is the sum.
#
#   TEST_JOBS       programs at a time (as many as there are processors)
#   TEST_TIMEOUT    seconds per program (180)
#   TEST_WRAPPER    command put in front of each program, such as valgrind
#   TEST_ARGS       arguments of every program, such as full for those of oom and fault/io_care
#   TEST_FIGURES    1: also the last figures that a program gives (its lines with #) when it passes
#   STRESS_SECONDS  argument for programs in a folder named stress
set -u

build=${1:?build folder}
shift
limit=${TEST_TIMEOUT:-180}
root=$(pwd)
jobs=${TEST_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}
claims=$build/tests/run.$$ workers='' child=''
export TEST_ROOT="$root"

now_ms() {
    now=$(date +%s%3N)
    case $now in
    *[!0-9]*) now=$(date +%s)000 ;;
    esac
    echo "$now"
}

# timeout(1) is everywhere but on bare macOS and BSD; there a program has all the time it wants.
guard() { # seconds command...
    if command -v timeout >/dev/null 2>&1; then
        exec timeout -k 5 "$@"
    fi
    shift
    exec "$@"
}

clean_dir() {
    [ ! -e "$1" ] || { chmod -R u+rwx "$1" 2>/dev/null; rm -rf "$1"; }
}

# One program: its verdict, its output if it failed, and its counts for the sum.
run_one() {
    program=$1
    case $program in
    *.sh) name=${program#tests/} name=${name%.sh} out=$build/tests/$name run="sh $root/$program" ;;
    /*) name=${program##*/tests/} out=$program run=$program ;;
    *) name=${program#"$build"/tests/} out=$program run=$root/$program ;;
    esac
    case $out in /*) ;; *) out=$root/$out ;; esac
    argument=${TEST_ARGS:-} seconds=$limit
    case $name in
    stress/*)
        if [ -n "${STRESS_SECONDS:-}" ]; then
            argument=$STRESS_SECONDS
            seconds=$((limit + 10 * STRESS_SECONDS))
        fi
        ;;
    esac

    clean_dir "$out.dir"
    mkdir -p "$out.dir" || exit 1
    begin=$(now_ms)
    (
        cd "$out.dir" || exit 125
        TMPDIR=$out.dir
        export TMPDIR
        # shellcheck disable=SC2086 # wrapper, script and argument are words on purpose
        guard "$seconds" ${TEST_WRAPPER:-} $run $argument </dev/null >"$out.log" 2>&1
    ) &
    child=$!
    wait "$child"
    status=$?
    child=''
    took=$(($(now_ms) - begin))

    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$out.log" | tail -n 1)
    p=0 f=0 why=''
    if [ -n "$line" ]; then
        p=${line%% *}
        f=${line#*, }
        f=${f%% *}
    fi
    if [ "$status" -eq 124 ] || { [ "$status" -eq 137 ] && [ "$took" -ge $((seconds * 1000)) ]; }; then
        f=$((f + 1)) why=", stopped after $seconds s"
    elif [ "$status" -gt 128 ]; then
        f=$((f + 1)) why=", killed by signal $((status - 128))"
    elif [ -z "$line" ]; then
        f=1 why=", exit status $status without a closing line"
    elif [ "$status" -gt 1 ] || { [ "$status" -eq 1 ] && [ "$f" -eq 0 ]; }; then
        f=$((f + 1)) why=", exit status $status"
    fi

    verdict=ok
    [ "$f" -eq 0 ] || verdict=FAIL
    printf '%-4s %-34s %5d passed, %d failed %6d.%02d s%s\n' "$verdict" "$name" "$p" "$f" \
        $((took / 1000)) $((took % 1000 / 10)) "$why"
    if [ "$f" -eq 0 ]; then
        clean_dir "$out.dir"
        [ -z "${TEST_FIGURES:-}" ] || grep '^# ' "$out.log" | tail -n 30
    else
        echo "---- $out.log"
        grep -n -E '^(#|not ok|==)|ERROR|WARNING: Thread|runtime error' "$out.log" | head -n 100
        echo "---- and whole, or its last 200 lines"
        if [ "$(wc -l <"$out.log")" -gt 300 ]; then
            tail -n 200 "$out.log"
        else
            cat "$out.log"
        fi
        echo "---- its folder is kept: $out.dir"
    fi
    echo "$p $f" >"$claims/$2/counts"
}

# Takes one program after the other, whichever no other worker has taken.
work() {
    trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 130' INT TERM HUP
    at=0
    for next; do
        at=$((at + 1))
        mkdir "$claims/$at" 2>/dev/null || continue
        run_one "$next" "$at" >"$claims/$at/said" 2>&1
        cat "$claims/$at/said"
    done
}

# shellcheck disable=SC2086 # process ids
trap 'kill $workers 2>/dev/null; wait; rm -rf "$claims"; echo "interrupted"; exit 130' INT TERM HUP
rm -rf "$claims"
mkdir -p "$claims" || exit 1
while [ "$jobs" -gt 0 ]; do
    work "$@" &
    workers="$workers $!" jobs=$((jobs - 1))
done
wait
count=0 passed=0 failed=0
for next; do
    count=$((count + 1)) p=0 f=1
    # a program without counts was not run to its end
    [ ! -s "$claims/$count/counts" ] || read -r p f <"$claims/$count/counts"
    passed=$((passed + p)) failed=$((failed + f))
done
rm -rf "$claims"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
