#!/bin/sh
# run.sh FOLDER own|libfuzzer|control NAME... - run fuzz targets one after the other, FUZZ_SECONDS
# each, and say for each how many inputs it ran, how many a second, and how many it found that fail.
# SPDX-License-Identifier: MIT OR Unlicense
#
# own: the program mutates by itself. libfuzzer: NAME.libfuzzer, which keeps its corpus in FOLDER.
# control: NAME.control has a bug that it must find. What fails is left in FOLDER/failed.
set -u

folder=${1:?folder}
how=${2:?own, libfuzzer or control}
shift 2
seconds=${FUZZ_SECONDS:-10}
case $folder in /*) ;; *) folder=$(pwd)/$folder ;; esac
memory=/dev/shm # where it is there the targets run in memory: they write many small databases
[ -d "$memory" ] && [ -w "$memory" ] || memory=$folder
TEST_ROOT=$(pwd)
export TEST_ROOT FUZZ_SECONDS="$seconds"
asan=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export ASAN_OPTIONS="${ASAN_OPTIONS:-$asan}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
passed=0 failed=0 child='' dir=''
stop() {
    [ -z "$child" ] || kill "$child" 2>/dev/null
    [ -z "$dir" ] || rm -rf "$dir"
    exit 130
}
trap stop INT TERM HUP

number() { # PATTERN: the last number behind it in the log
    sed -n "s/.*$1 *\([0-9][0-9]*\).*/\1/p" "$log" | tail -n 1
}

run() {
    case $how in
    own) exec "$folder/$name" ;;
    control) exec "$folder/$name.control" ;;
    libfuzzer)
        seeds=$TEST_ROOT/tests/corpus/$name
        mkdir -p "$folder/$name.corpus" "$seeds"
        FUZZ_WRITE_SEEDS=$folder/$name.corpus "$folder/$name.libfuzzer" || exit 1
        exec "$folder/$name.libfuzzer" -max_total_time="$seconds" -max_len=4096 -timeout=30 \
            -print_final_stats=1 -verbosity=0 "$folder/$name.corpus" "$seeds"
        ;;
    esac
}

for name; do
    dir=$(mktemp -d "$memory/fuzz-$name.XXXXXX") || exit 1
    log=$folder/$name.$how.log
    begin=$(date +%s)
    (cd "$dir" && run) </dev/null >"$log" 2>&1 &
    child=$!
    wait "$child"
    status=$?
    child=
    took=$(($(date +%s) - begin))
    if [ "$how" = libfuzzer ]; then
        inputs=$(number 'number_of_executed_units:') rate=$(number 'average_exec_per_sec:')
    else
        inputs=$(sed -n 's/^ok [a-z]*: \([0-9]*\) inputs.*/\1/p
            s/.*: run \([0-9]*\) of seed.*/\1/p' "$log" | tail -n 1)
        rate=$(sed -n 's/^ok .* inputs, \([0-9]*\)\/s.*/\1/p' "$log")
    fi
    found=0
    [ "$status" -eq 0 ] || found=1
    if [ "$how" = control ]; then
        verdict=FAIL what='the bug was not found'
        [ "$found" -eq 0 ] || verdict=ok what='the bug was found'
        printf '%-4s %-10s %10s inputs %5d s  %s\n' "$verdict" "$name" "${inputs:-?}" "$took" \
            "$what"
    else
        verdict=ok
        [ "$found" -eq 0 ] || verdict=FAIL
        printf '%-4s %-10s %10s inputs %8s/s %5d s  %d findings\n' "$verdict" "$name" \
            "${inputs:-?}" "${rate:-?}" "$took" "$found"
    fi
    if [ "$verdict" = ok ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        tail -n 60 "$log"
        mkdir -p "$folder/failed"
        for input in "$dir"/failed-* "$dir"/crash-* "$dir"/timeout-* "$dir"/leak-*; do
            [ -f "$input" ] || continue
            cp "$input" "$folder/failed/" && echo "---- $log, $folder/failed/${input##*/}"
        done
    fi
    rm -rf "$dir"
    dir=
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
