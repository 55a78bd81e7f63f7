#!/bin/sh
# cov.sh FOLDER - line and branch coverage of sqlpool.h, merged over every program in FOLDER.
# SPDX-License-Identifier: MIT OR Unlicense
#
# Every program has its own copy of the header's code. A line or branch counts as covered when one
# program ran it. Branches that only an exception takes (C++ programs) are left out. Writes
# FOLDER/sqlpool.cov (line, count, branches, branches taken) and FOLDER/uncovered.txt.
set -u
folder=${1:?folder}
root=$(pwd)
[ -n "$(find "$folder" -name '*.gcda' -print | head -n 1)" ] ||
    { echo "cov: no coverage data below $folder"; exit 1; }
work=$folder/gcov.dir
rm -rf "$work"
mkdir -p "$work"
find "$root/$folder" -name '*.gcda' -print | sort >"$work/list"
(
    cd "$work" || exit 1
    while IFS= read -r data; do
        # gcov leaves one file for each source in the current folder; only the header's is kept.
        (cd "$root" && ${GCOV:-gcov} -b -c -t "$data" 2>/dev/null) |
            awk '/^ *-: *0:Source:/ { keep = ($0 ~ /[:\/]sqlpool\.h$/) } keep'
    done <list
) >"$work/all.gcov"

awk -v cov="$folder/sqlpool.cov" -v missing="$folder/uncovered.txt" '
/^ *[^:]*: *[0-9]+:/ {
    split($0, f, ":")
    count = f[1]; line = f[2] + 0
    gsub(/[ *]/, "", count)
    index_ = 0
    if (line == 0 || count == "-") next
    if (!(line in seen)) { seen[line] = 1; if (line > last) last = line }
    hit = (count ~ /^[#=]+$/) ? 0 : count + 0
    lines[line] += hit
    match($0, /^[^:]*: *[0-9]+:/)
    text[line] = substr($0, RLENGTH + 1)
    next
}
/^branch / {
    if ($0 ~ /\(throw\)/) next
    index_++
    key = line SUBSEP index_
    if (index_ > branches[line]) branches[line] = index_
    if ($3 == "taken" && $4 + 0 > 0) taken[key] = 1
}
END {
    printf "" > cov
    printf "" > missing
    for (l = 1; l <= last; l++) {
        if (!(l in seen)) continue
        total++
        if (lines[l] > 0) covered++
        n = 0
        for (b = 1; b <= branches[l]; b++) if ((l SUBSEP b) in taken) n++
        btotal += branches[l]; btaken += n
        printf "%d %d %d %d\n", l, lines[l], branches[l], n > cov
        if (lines[l] == 0) printf "sqlpool.h:%d: never run: %s\n", l, text[l] > missing
        else if (n < branches[l])
            printf "sqlpool.h:%d: %d of %d branches taken: %s\n", l, n, branches[l], text[l] > missing
    }
    if (total == 0) { print "cov: no program holds code of sqlpool.h"; exit 1 }
    printf "sqlpool.h: lines %.2f %% (%d of %d), branches %.2f %% (%d of %d)\n", \
        100 * covered / total, covered, total, btotal ? 100 * btaken / btotal : 100, btaken, btotal
    print "not covered: " missing
}' "$work/all.gcov" || exit 1
rm -rf "$work"
