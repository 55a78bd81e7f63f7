#!/bin/sh
# hazards.sh - is every hazard of tests/hazards.txt there once, and is every proof a test that is run?
# SPDX-License-Identifier: MIT OR Unlicense
set -u
. tests/lint/lib.sh
index=${1:-tests/hazards.txt}
out=$BUILD/hazards
rm -rf "$out"
mkdir -p "$out"

# How many there are of each letter: 128.
awk 'BEGIN {
    n = split("A 27 B 37 C 7 D 8 E 13 F 9 G 11 H 7 I 4 J 5", part, " ")
    for (i = 1; i < n; i += 2) for (k = 1; k <= part[i + 1]; k++) print part[i] k
}' >"$out/wanted"
awk -F ' [|] ' '!/^#/ && NF > 0 { print $1 }' "$index" >"$out/given"
{
    sort "$out/given" | uniq -d | sed 's/$/ is there twice/'
    sort "$out/wanted" >"$out/a"
    sort -u "$out/given" >"$out/b"
    comm -23 "$out/a" "$out/b" | sed 's/$/ is missing/'
    comm -13 "$out/a" "$out/b" | sed 's/$/ is no hazard/'
    diff "$out/wanted" "$out/given" | sed -n 's/^> \([A-J][0-9]*\)$/\1 is not in its place/p'
} >"$out/bad"
verdict "$index: $(wc -l <"$out/wanted") hazards, each once" "$out/bad"

awk -F ' [|] ' '
    /^#/ || NF == 0 { next }
    NF < 3 || NF > 4 { print $1 ": number | what | proofs | remark"; next }
    length($2) < 15 { print $1 ": says too little" }
    names[$2]++ { print $1 ": the same words as another" }
    $3 == "-" && length($4) < 10 { print $1 ": no proof, and no reason why" }
    $3 != "-" && $3 !~ /:/ { print $1 ": no proof" }' "$index" >"$out/bad"
verdict "$index: each has words, and proofs or a reason" "$out/bad"

# Tests by file: defined by TEST(name) or as a function and named once more by what runs them, or a line
# {"name", ...} of a table of scenarios. Targets: in the Makefile, or a program of tests/fuzz.
awk -F ' [|] ' '!/^#/ && NF >= 3 && $3 != "-" { n = split($3, p, " "); for (i = 1; i <= n; i++) print p[i], $1 }' \
    "$index" | sort >"$out/proofs"
while read -r proof number; do
    file=tests/${proof%%:*} name=${proof#*:}
    if [ "$file" = tests/make ]; then
        grep -q "^$name:" Makefile || echo "$number: make $name: no such target"
    elif [ "$file" = tests/fuzz ]; then
        [ -f "$file/$name.c" ] || echo "$number: $file/$name.c does not exist"
    elif [ -f "$file" ] && grep -q "^ *{\"$name\", " "$file"; then
        : # a scenario
    elif [ ! -f "$file" ]; then
        echo "$number: $file does not exist"
    elif ! grep -q -E "^(TEST\\($name\\)|static void $name\\(void\\))" "$file"; then
        echo "$number: $file has no test $name"
    elif [ "$(grep -c -w "$name" "$file")" -lt 2 ]; then
        echo "$number: $file never runs $name"
    fi
done <"$out/proofs" >"$out/bad"
verdict "$index: $(cut -d ' ' -f 1 "$out/proofs" | sort -u | wc -l) proofs for $(awk '{ print $2 }' "$out/proofs" |
    sort -u | wc -l) hazards, all of them there" "$out/bad"
finish
