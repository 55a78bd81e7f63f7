#!/bin/sh
# cov.sh FOLDER [LIST] - line and branch coverage of sqlpool.h, merged over every program in FOLDER.
# SPDX-License-Identifier: MIT OR Unlicense
#
# Every program has its own copy of the header's code. A line or branch counts as covered when one
# program ran it. Where switches or macros give a line other branches in some program, those of the
# form that most programs have are counted. Branches that only an exception takes (C++ programs) are
# left out. Writes FOLDER/sqlpool.cov (line, count, branches, branches taken) and FOLDER/uncovered.txt.
#
# LIST (tests/coverage.txt) has the branches that no test takes, with reasons: each of them must be
# there, and each that is there must be one of them.
set -u
folder=${1:?folder}
list=${2:-}
root=$(pwd)
[ -n "$(find "$folder" -name '*.gcda' -print | head -n 1)" ] ||
    { echo "cov: no coverage data below $folder"; exit 1; }
work=$folder/gcov.dir
rm -rf "$work"
mkdir -p "$work"
case $folder in /*) ;; *) folder=$root/$folder work=$root/$work ;; esac
find "$folder" -name '*.gcda' -print | sort >"$work/list"
(
    cd "$work" || exit 1
    while IFS= read -r data; do
        # gcov leaves one file for each source in the current folder; only the header's is kept.
        (cd "$root" && ${GCOV:-gcov} -b -c -t "$data" 2>/dev/null) |
            awk '/^ *-: *0:Source:/ { keep = ($0 ~ /[:\/]sqlpool\.h$/) } keep'
    done <list
) >"$work/all.gcov"

awk -v cov="$folder/sqlpool.cov" -v missing="$folder/uncovered.txt" -v open_="$work/open" '
# What was read of one line of one program is added to the form of the line with as many branches.
function add(    b) {
    if (line == 0) return
    if (!((line, n) in programs)) forms[line] = forms[line] " " n
    programs[line, n]++
    for (b = 1; b <= n; b++) if (is_taken[b]) taken[line, n, b] = 1
    line = n = 0
}
/^ *[^:]*: *[0-9]+:/ {
    add()
    split($0, f, ":")
    count = f[1]; line = f[2] + 0
    gsub(/[ *]/, "", count)
    if (line == 0 || count == "-") { line = 0; next }
    if (!(line in seen)) { seen[line] = 1; if (line > last) last = line }
    hit = (count ~ /^[#=]+$/) ? 0 : count + 0
    lines[line] += hit
    match($0, /^[^:]*: *[0-9]+:/)
    text[line] = substr($0, RLENGTH + 1)
    next
}
/^branch / {
    if ($0 ~ /\(throw\)/) next
    is_taken[++n] = $3 == "taken" && $4 + 0 > 0
}
END {
    add()
    printf "" > cov
    printf "" > missing
    printf "" > open_
    for (l = 1; l <= last; l++) {
        if (!(l in seen)) continue
        total++
        if (lines[l] > 0) covered++
        branches = most = 0
        k = split(forms[l], form, " ")
        for (i = 1; i <= k; i++) {
            if (programs[l, form[i]] > most || (programs[l, form[i]] == most && form[i] > branches)) {
                most = programs[l, form[i]]
                branches = form[i] + 0
            }
        }
        n = 0
        for (b = 1; b <= branches; b++) if ((l, branches, b) in taken) n++
        btotal += branches; btaken += n
        printf "%d %d %d %d\n", l, lines[l], branches, n > cov
        if (n < branches) printf "%d %d\n", l, branches - n > open_
        if (lines[l] == 0) printf "sqlpool.h:%d: never run: %s\n", l, text[l] > missing
        else if (n < branches)
            printf "sqlpool.h:%d: %d of %d branches taken: %s\n", l, n, branches, text[l] > missing
    }
    if (total == 0) { print "cov: no program holds code of sqlpool.h"; exit 1 }
    printf "sqlpool.h: lines %.2f %% (%d of %d), branches %.2f %% (%d of %d)\n", \
        100 * covered / total, covered, total, btotal ? 100 * btaken / btotal : 100, btaken, btotal
    print "not covered: " missing
}' "$work/all.gcov" || exit 1

# The list says "function :: branches :: line :: reason"; equal lines of a function are one entry.
# "0-2" branches: as many as two threads have left untaken that did not meet.
status=0
if [ -n "$list" ]; then
    awk -v list="$list" -v open_="$work/open" '
        function trimmed(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
        BEGIN {
            while ((getline entry < open_) > 0) { split(entry, f, " "); left[f[1]] = f[2] }
        }
        /^[a-zA-Z].*\(/ && !/^(typedef|struct|enum|union)/ { # the function that begins here
            name = $0
            sub(/\(.*/, "", name)
            sub(/.*[ *]/, "", name)
        }
        FNR in left {
            key = name " :: " trimmed($0)
            if (!(key in is)) order[++keys] = key
            is[key] += left[FNR]
            at[key] = at[key] " " FNR
        }
        END {
            while ((getline entry < list) > 0) {
                if (entry ~ /^#/ || entry ~ /^ *$/) continue
                n = split(entry, part, " :: ")
                if (n != 4 || length(part[4]) < 15) { print "cov: no entry: " entry; bad++; continue }
                key = part[1] " :: " part[3]
                if (key in listed) { print "cov: twice: " entry; bad++ }
                listed[key] = part[2]
                least = most = part[2]
                if (part[2] ~ /-/) { split(part[2], range, "-"); least = range[1]; most = range[2] }
                if (is[key] + 0 < least + 0) {
                    printf "cov: listed with %s, but %d not covered: %s\n", part[2], is[key], key
                    bad++
                } else if (is[key] + 0 > most + 0) {
                    printf "cov: sqlpool.h:%s: listed with %s, but %d not covered: %s\n", at[key], part[2], is[key], key
                    bad++
                }
                entries++
            }
            for (i = 1; i <= keys; i++) {
                if (order[i] in listed) continue
                split(order[i], part, " :: ")
                printf "cov: sqlpool.h:%s: not in the list: %s :: %d :: %s\n", at[order[i]], part[1], is[order[i]], \
                    substr(order[i], length(part[1]) + 5)
                bad++
            }
            printf "%s: %d entries, %d of them or of the branches at odds\n", list, entries, bad
            exit bad > 0
        }' sqlpool.h || status=1
fi
rm -rf "$work"
exit "$status"
