#!/bin/sh
# demo.sh BUILD - index and search a real source tree, and check the result against find and grep.
# SPDX-License-Identifier: MIT OR Unlicense
#
#   DEMO_DIR   the tree [/usr/include]; it must not contain BUILD, nor change meanwhile
#
# Needs sh and the GNU coreutils, findutils, sed and grep that every Debian has. What it writes
# stays in BUILD/demo. Exit code 0 only if everything holds.
set -u
build=$(cd "${1:?usage: demo.sh BUILD}" && pwd -P) || exit 1
tree=$(cd "${DEMO_DIR:-/usr/include}" && pwd -P) || exit 1
codeindex=$build/examples/codeindex
maintain=$build/examples/maintain
demo=$build/demo
db=$demo/code.db
. "$(dirname "$0")/checks.sh"

case $build/ in
"${tree%/}"/*)
    echo "demo: $tree contains $build; choose another DEMO_DIR"
    exit 1
    ;;
esac

# grep -w and the index must agree on what a letter is: Unicode's, where there is a UTF-8 locale.
LC_ALL=C
for locale in C.UTF-8 C.utf8 en_US.UTF-8; do
    [ "$(LC_ALL=$locale locale charmap 2>/dev/null)" = UTF-8 ] && LC_ALL=$locale && break
done
export LC_ALL

# run WHAT CODE FILE COMMAND... - COMMAND ends with CODE; its output goes to FILE
run() {
    what=$1
    code=$2
    file=$3
    shift 3
    "$@" > "$file"
    same "$what: exit code" "$code" $?
}

# value NAME FILE - the number behind NAME= among the key=value pairs of FILE; 0 if it is not there
value() {
    found=$(tr ' ' '\n' < "$2" | sed -n "s/^$1=//p")
    echo "${found:-0}"
}

# expect FILE KEY=NUMBER... - what a run reported
expect() {
    file=$1
    shift
    for pair; do same "${pair%=*}" "${pair#*=}" "$(value "${pair%=*}" "$file")"; done
}

# sum_values FILE NAME... - the sum of several values
sum_values() {
    file=$1
    total=0
    shift
    for name; do total=$((total + $(value "$name" "$file"))); done
    echo "$total"
}

sum_lines() {
    total=0
    while read -r number; do total=$((total + number)); done
    echo "$total"
}
lines() { echo $(($(wc -l < "$1"))); }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
bytewise() { LC_ALL=C sort "$@"; }

rm -rf "$demo"
mkdir -p "$demo" || exit 1

say "index $tree"
began=$(milliseconds)
run "first run" 0 "$demo/first.txt" "$codeindex" index "$tree" "$db"
first_ms=$(($(milliseconds) - began))
cat "$demo/first.txt"
"$codeindex" stats "$db" > "$demo/stats.txt"

say "counts against find"
find "$tree" -type f | bytewise > "$demo/find.txt"
files=$(lines "$demo/find.txt")
bytes=$(find "$tree" -type f -printf '%s\n' | sum_lines)
unreadable=$(find "$tree" -type f ! -readable | wc -l)
expect "$demo/first.txt" found="$files" bytes="$bytes" new="$files" changed=0 unchanged=0 \
    removed=0 vanished=0
expect "$demo/stats.txt" files="$files" bytes="$bytes" unreadable="$unreadable"
same "text + repaired + binary + huge + unreadable" "$files" \
    "$(sum_values "$demo/stats.txt" text repaired binary huge unreadable)"
same "texts in the index = text + repaired" "$(sum_values "$demo/stats.txt" text repaired)" \
    "$(value texts "$demo/stats.txt")"
run "list" 0 "$demo/list.txt" "$codeindex" list "$db"
bytewise -o "$demo/list.txt" "$demo/list.txt"
run "paths are those of find" 0 "$demo/cmp.txt" cmp "$demo/find.txt" "$demo/list.txt"

say "a second run has nothing to do"
run "second run" 0 "$demo/second.txt" "$codeindex" index "$tree" "$db"
cat "$demo/second.txt"
# touched: a file that was too fresh to trust its time is read once more, and found to be the same
expect "$demo/second.txt" found="$files" new=0 changed=0 removed=0
same "unchanged + touched" "$files" "$(sum_values "$demo/second.txt" unchanged touched)"

# Both split at what is neither letter, digit nor underscore, and both ignore case. grep reads
# exactly the files whose text is indexed, as text (-a) even where bytes are not UTF-8. Half of the
# words are drawn as often as they occur, half from the different ones, which are mostly rare.
say "words against grep -w ($LC_ALL)"
for state in text repaired; do "$codeindex" list -0 --state $state "$db"; done > "$demo/texts"
tr '\0' '\n' < "$demo/texts" > "$demo/texts.txt"
sed -n "1~$(($(lines "$demo/texts.txt") / 100 + 1))p" "$demo/texts.txt" > "$demo/some.txt"
tr '\n' '\0' < "$demo/some.txt" | xargs -0 grep -ahowE '[a-z]{3,20}' > "$demo/words"
bytewise -u "$demo/words" > "$demo/words.different"
random=20240229 # the fixed seed
draws=0
: > "$demo/sample"
while [ -s "$demo/words" ] && [ "$(lines "$demo/sample")" -lt 12 ] && [ $draws -lt 200 ]; do
    draws=$((draws + 1))
    file=$demo/words
    [ $((draws % 2)) -eq 0 ] && file=$demo/words.different
    random=$(((random * 1103515245 + 12345) % 2147483648))
    word=$(sed -n "$((random / 256 % $(lines "$file") + 1))p" "$file")
    grep -qx "$word" "$demo/sample" || echo "$word" >> "$demo/sample"
done
while read -r word; do
    xargs -0 grep -aliwF -e "$word" < "$demo/texts" | bytewise > "$demo/grep.txt"
    "$codeindex" search --files "$db" "$word" | bytewise > "$demo/search.txt"
    same "files with '$word'" "$(lines "$demo/grep.txt")" "$(lines "$demo/search.txt")"
    cmp -s "$demo/grep.txt" "$demo/search.txt" || {
        wrong=$((wrong + 1))
        echo "WRONG  the lists differ (< grep, > index):"
        diff "$demo/grep.txt" "$demo/search.txt" | sed -n '1,6p'
    }
done < "$demo/sample"

say "search"
run "search for $(sed -n 2p "$demo/sample")" 0 "$demo/hits.txt" \
    "$codeindex" search --limit 5 "$db" "$(sed -n 2p "$demo/sample")"
cut -c 1-110 "$demo/hits.txt"
run "search for what is not there" 1 "$demo/nothing.txt" \
    "$codeindex" search "$db" 'AND (' '"no*' zzqx_nowhere

say "changes: one file modified, one deleted, one added, and odd ones"
small=$demo/tree
mkdir "$small" "$small/sub"
i=0
while read -r path && [ $i -lt 40 ]; do
    i=$((i + 1))
    cp "$path" "$small/sub/$i-${path##*/}"
done < "$demo/some.txt"
: > "$small/empty.c"
printf 'caf\351 is Latin-1\n' > "$small/latin1.txt"
printf 'ELF\0\1\2' > "$small/binary.o"
dd if=/dev/zero bs=1048576 count=9 2>/dev/null > "$small/huge.txt"
mkfifo "$small/fifo"
ln -s "$tree" "$small/link"
printf 'int symbol_before(void) { return 1; }\n' > "$small/modified.c"
printf 'int symbol_deleted(void) { return 1; }\n' > "$small/deleted.c"
printf 'a blank and quotes in the name\n' > "$small/a 'b\"c.txt"
all=$((i + 7))
run "new tree" 0 "$demo/change1.txt" "$codeindex" index "$small" "$demo/small.db"
expect "$demo/change1.txt" found=$all new=$all repaired=1 binary=1 huge=1 special=2 removed=0
run "search for symbol_deleted" 0 "$demo/hits.txt" \
    "$codeindex" search "$demo/small.db" symbol_deleted
printf 'int symbol_after_(void) { return 2; }\n' > "$small/modified.c" # the same size
printf 'int symbol_added(void) { return 3; }\n' > "$small/added.c"
rm "$small/deleted.c"
run "changed tree" 0 "$demo/change2.txt" "$codeindex" index "$small" "$demo/small.db"
expect "$demo/change2.txt" found=$all new=1 changed=1 removed=1
same "unchanged + touched" $((all - 2)) "$(sum_values "$demo/change2.txt" unchanged touched)"
for pair in symbol_after_=1 symbol_added=1 symbol_before=0 symbol_deleted=0; do
    "$codeindex" search --files "$demo/small.db" "${pair%=*}" > "$demo/hits.txt"
    same "files with '${pair%=*}'" "${pair#*=}" "$(lines "$demo/hits.txt")"
done
cp "$demo/small.db" "$small/inside.db" # a database inside its tree: its three files are left alone
run "database inside its tree" 0 "$demo/change3.txt" "$codeindex" index "$small" "$small/inside.db"
expect "$demo/change3.txt" found=$all new=0 changed=0 removed=0 own=3
run "check of that database" 0 "$demo/check.txt" "$codeindex" check "$small/inside.db"

# A shell starts background programs with SIGINT ignored; codeindex sets its handler all the same.
say "interrupt and resume"
delay_ms=$((first_ms / 2))
for attempt in 1 2 3 4 5 6 7 8; do # until the signal comes when a part of the work is committed
    rm -f "$demo"/resumed.db*
    "$codeindex" index "$tree" "$demo/resumed.db" > "$demo/interrupted.txt" 2>/dev/null &
    indexer=$!
    sleep "$((delay_ms / 1000)).$(printf %03d $((delay_ms % 1000)))"
    kill -INT $indexer 2>/dev/null
    wait $indexer
    code=$?
    part=$(value new "$demo/interrupted.txt")
    [ $code -eq 130 ] && [ "$part" -gt 0 ] && [ "$part" -lt "$files" ] && break
    [ "$part" -eq 0 ] && delay_ms=$((delay_ms * 3))
    [ $attempt -lt 8 ] && delay_ms=$((delay_ms / 2))
done
same "interrupted after $delay_ms ms: exit code" 130 $code
cat "$demo/interrupted.txt"
"$codeindex" stats "$demo/resumed.db" > "$demo/partly.txt"
same "rows of files = files reported as done" \
    "$(value new "$demo/interrupted.txt")" "$(value files "$demo/partly.txt")"
run "check of the part" 0 "$demo/check.txt" "$codeindex" check "$demo/resumed.db"
run "resumed run" 0 "$demo/resumed.txt" "$codeindex" index "$tree" "$demo/resumed.db"
expect "$demo/resumed.txt" found="$files" new=$((files - $(value files "$demo/partly.txt")))
"$codeindex" stats "$demo/resumed.db" > "$demo/resumed.stats"
run "all counts are those of the first index" 0 "$demo/cmp.txt" \
    cmp "$demo/stats.txt" "$demo/resumed.stats"

say "searches and look-ups from 4 threads beside a writer"
run "serve-test" 0 "$demo/serve.txt" "$codeindex" serve-test "$db" --threads 4 --seconds 2
cat "$demo/serve.txt"
"$codeindex" stats "$db" > "$demo/served.stats"
run "all counts are as before" 0 "$demo/cmp.txt" cmp "$demo/stats.txt" "$demo/served.stats"
run "check" 0 "$demo/check.txt" "$codeindex" check "$db"
cat "$demo/check.txt"

say "the same file looked after: checked, optimised, backed up, restored"
rm -f "$demo"/code.bak* "$db".replaced-*
for work in "check" "optimize" "sizes"; do
    run "maintain $work" 0 "$demo/maintain.txt" "$maintain" $work "$db"
done
run "maintain backup" 0 "$demo/maintain.txt" "$maintain" backup "$db" "$demo/code.bak"
run "maintain restore" 0 "$demo/maintain.txt" "$maintain" restore "$db" "$demo/code.bak"
"$codeindex" stats "$db" > "$demo/restored.stats"
run "all counts are as before" 0 "$demo/cmp.txt" cmp "$demo/stats.txt" "$demo/restored.stats"
rm -f "$demo"/code.bak* "$db".replaced-*

summary demo
