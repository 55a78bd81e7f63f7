#!/bin/sh
# ingest.sh BUILD - run ingest on logs whose totals are known, stop it, kill it, and go on.
# SPDX-License-Identifier: MIT OR Unlicense
#
# What it writes stays in BUILD/ingest. Exit code 0 only if everything holds.
set -u
build=$(cd "${1:?usage: ingest.sh BUILD}" && pwd -P) || exit 1
ingest=$build/examples/ingest
dir=$build/ingest
. "$(dirname "$0")/checks.sh"

rm -rf "$dir"
mkdir -p "$dir" && cd "$dir" || exit 1

# holds WHAT TEST... - a condition for test(1)
holds() {
    what=$1
    shift
    test "$@"
    same "$what ($*)" 0 $?
}

# run WHAT CODE ARGUMENT... - ingest ends with CODE; its output goes to out, its messages to err
run() {
    what=$1
    code=$2
    shift 2
    "$ingest" "$@" > out 2> err
    same "$what: exit code" "$code" $?
    [ "$code" -eq 1 ] || [ "$code" -eq 2 ] || same "$what: messages" "" "$(cat err)"
}

# values NAME - the numbers behind NAME= in out, with blanks between them
values() { tr ' ' '\n' < out | sed -n "s/^$1=//p" | tr '\n' ' ' | sed 's/ $//'; }

# expect NAME=NUMBERS... - what the last run reported, for each of its loads
expect() {
    for pair; do same "${pair%%=*}" "${pair#*=}" "$(values "${pair%%=*}")"; done
}

# count LINE - lines of out with these words
count() { grep -c -e "$1" out; }

say "events from a seed, 8 threads"
run "seed 7" 0 a.db --seed 7 --events 3000
cat out
expect acknowledged=3000 stored=3000 twice=0 rows=3000 damaged=0 wrong_counters=0 stale=0 torn=0 \
    checksums=equal unknown=0 blobs=0
same "verified" 1 "$(count verified)"
errors=$(values errors)
# The histogram holds every event once.
same "events in all commits" 3000 \
    "$(sed -n 's/^ *[0-9]* \.\. [0-9]*  *[0-9]*  *\([0-9]*\).*/\1/p' out | awk '{ n += $1 } END { print n }')"
holds "some commits carry more than one event" "$(sed -n 's/.* shared \([0-9]*\) commits.*/\1/p' out)" -gt 0
run "the same seed again adds the same" 0 a.db --seed 7 --events 3000 --threads 1
expect stored=3000 rows=6000 wrong_counters=0 run=2
run "in a new database" 0 b.db --seed 7 --events 3000 --threads 32
expect stored=3000 rows=3000 wrong_counters=0
same "as many errors with 32 threads" "${errors##* }" "$(values errors | sed 's/.* //')"

say "a log whose lines are known"
{
    echo '10.1.2.3 - - [11/Oct/2023:22:14:15 +0200] "GET /a?b=1 HTTP/1.1" 500 1'
    echo '2001:db8::1 - bob [11/Oct/2023:20:14:15 +0000] "POST /b HTTP/1.1" 404 2 "-" "x \"y\""'
    echo '2023-10-11T20:14:15.003Z web app[1]: warning: disk'
    echo '2023-10-11T21:14:15+01:00 web app[1]: fine'
    echo '2023-10-11 20:14:15,123 ERROR billing no money'
    echo '2023/10/11 20:14:15 [warn] billing: late'
    echo 'Oct 11 20:14:15 host billing[12]: debug: x'
    echo 'Feb 31 25:61:61 no such time'
    echo 'no time, no level'
    echo
    printf 'two\0NULs\0\n'
    printf 'caf\351 is Latin-1\n'
    printf 'caf\303\251 is UTF-8\r\n'
    head -c 1048576 /dev/zero | tr '\0' x
    echo
    head -c 1048581 /dev/zero | tr '\0' y # becomes two
    printf '\nlast, without a newline'
} > known.log
touch -d 2023-12-01 known.log
run "known lines" 0 known.db known.log --threads 3
cat out
expect stored=17 rows=17 damaged=0 blobs=2 wrong_counters=0 checksums=equal
same "levels" "info 11 warning 3 error 2 debug 1" "$(sed -n 's/^ *levels *//p' out | tr -s ' ')"
same "minutes" "2023-10-11 20:14 7 - 10" "$(sed -n 's/^ *minutes *//p' out | tr -s ' ')"
same "first source" "billing 3" "$(sed -n 's/^ *sources *\([^ ]* [0-9]*\).*/\1/p' out)"
run "only the first five" 0 known.db known.log --events 5
expect stored=5 rows=22 wrong_counters=0
run "each line handed in" 0 known.db known.log --submit
expect stored=17 rows=39 damaged=0 blobs=2 wrong_counters=0

say "odd files"
: > empty.log
run "empty file" 0 known.db empty.log
expect stored=0 rows=39
echo text > one.log
mkfifo fifo
refused() { # WHAT MESSAGE ARGUMENT...
    what=$1
    message=$2
    shift 2
    run "$what" 1 "$@"
    same "$what: message names it" 1 "$(grep -c -e "$message" err)"
}
refused "no such file" "none.log: No such file" known.db none.log
refused "a directory" "is a directory" known.db .
refused "a pipe" "not a file" known.db fifo
refused "the database as its own log" "is the database itself" known.db known.db
refused "a directory as the database" "SQLITE_" . one.log
head -c 5000 /dev/zero | tr '\0' x > x.db
refused "a text as the database" "SQLITE_NOTADB" x.db one.log
if [ "$(id -u)" -ne 0 ]; then
    cp one.log locked.log && chmod 0 locked.log
    refused "a file that may not be read" "Permission denied" known.db locked.log
fi
for arguments in "" "a b c" "--threads 0 a" "--threads 257 a" "--threads a" "--events 0 a" \
    "--seed x a" "--events 1x a" "--nothing a"; do
    # shellcheck disable=SC2086 # words on purpose
    run "usage: $arguments" 2 $arguments
done
run "after all that" 0 known.db one.log
expect stored=1 rows=40 damaged=0

say "without waiting, and without a pool"
run "submit" 0 submit.db --seed 1 --events 20000 --submit
cat out
expect acknowledged=20000 stored=20000 rows=20000 damaged=0 wrong_counters=0 stale=0
run "compare" 0 compare.db --seed 1 --events 1000 --threads 4 --compare --normal
cat out
expect acknowledged="1000 1000" stored="1000 1000" damaged="0 0" wrong_counters="0 0" stale="0 0" \
    torn="0 0" checksums="equal equal"
same "table of both" 1 "$(count 'pool/without')"
same "what the other one wrote is gone" "compare.db-compare*" "$(echo compare.db-compare*)"
: > compare.db-compare
refused "somebody else's file is left alone" "already" compare.db --compare

# A shell starts background programs with SIGINT ignored; ingest sets its handler all the same.
# Both times the program has said at least once how far it was.
start() { # ARGUMENT... - an ingest that does not end by itself
    : > out
    "$ingest" "$@" --events 4294967295 > out 2> err &
    pid=$!
    i=0
    until grep -q 'acknowledged [1-9]' out || [ $i -ge 100 ]; do sleep 0.1 && i=$((i + 1)); done
}
say "Ctrl-C"
start stop.db --seed 2
kill -INT $pid
wait $pid
same "exit code" 130 $?
same "messages" "" "$(cat err)"
stopped=$(values stored)
holds "something was written" "$stopped" -gt 0
expect acknowledged="$stopped" rows="$stopped" twice=0 damaged=0 wrong_counters=0
start stop.db --seed 2 --submit
kill -TERM $pid
wait $pid
same "exit code with --submit" 130 $?
handed=$(values stored)
expect acknowledged="$handed" rows=$((stopped + handed)) damaged=0 wrong_counters=0

say "two programs on one database"
"$ingest" two.db --seed 1 --events 3000 > other 2>&1 &
other=$!
run "one" 0 two.db --seed 2 --events 3000
wait $other
same "the other: exit code" 0 $?
run "after them" 0 two.db --seed 3 --events 1
expect rows=6001 damaged=0 wrong_counters=0

say "kill -9, three times, and go on"
kept=0
for round in 1 2 3; do
    start kill.db --seed $round --threads 16
    kill -9 $pid
    wait $pid 2>/dev/null
    kept=$((kept + $(sed -n 's/.* acknowledged \([0-9]*\);.*/\1/p' out | tail -n 1)))
done
run "after them" 0 kill.db --seed 4 --events 100
tail -n 2 out
expect stored=100 damaged=0 wrong_counters=0 run=4
holds "what was acknowledged is there" "$(($(values rows) - 100))" -ge "$kept"

summary ingest
