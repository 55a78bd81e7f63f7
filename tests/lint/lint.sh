#!/bin/sh
# lint.sh - the rules of the text that a compiler does not know. One line a rule.
# SPDX-License-Identifier: MIT OR Unlicense
set -u
. tests/lint/lib.sh
out=$BUILD/lint
rm -rf "$out"
mkdir -p "$out"
bad=$out/bad
fresh() { : >"$bad"; }
texts=$(find tests examples bench .ci -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.sh' -o -name run \) |
    sort)
docs=$header
[ ! -f README.md ] || docs="README.md $header"

# add_up FILE SCRIPT: what a script of its own has said, and its sum.
add_up() {
    sed '$d' "$1"
    line=$(tail -n 1 "$1")
    case $line in
    *' passed, '*' failed')
        passed=$((passed + ${line%% *}))
        line=${line#*, }
        failed=$((failed + ${line%% *}))
        ;;
    *) fail "$2 broke off" ;;
    esac
}

# --- the folder ----------------------------------------------------------------------------------
fresh
for name in *; do
    case $name in
    sqlpool.h | tests | examples | bench | Makefile | README.md | LICENSE) ;;
    "${BUILD%%/*}" | build) ;;
    *) echo "$name does not belong into the top folder" >>"$bad" ;;
    esac
done
for name in sqlpool.h tests examples bench Makefile README.md LICENSE; do
    [ -e "$name" ] || echo "$name is missing" >>"$bad"
done
verdict 'the top folder holds what it should' "$bad"

# --- the map -------------------------------------------------------------------------------------
# Rooms from the banners, as "[ID] TITLE" up to a colon; sub-rooms (I12.2) are not in the map.
grep -n '>>\[' "$header" | sed -n 's/^[0-9]*: \* >>\(\[[A-Z][0-9.]*\] .*\)$/\1/p' |
    sed 's/  *(public)$//; s/  *(private)$//; s/:.*//; s/ *$//' >"$out/banners"
grep -v '^\[[A-Z][0-9]*\.' "$out/banners" >"$out/rooms"
# The map: lines "  [ID] TITLE" of the manual's section MAP; a description follows a colon or two spaces.
awk '/^#ifndef SQLPOOL_H/ { exit }
    /(^|[^A-Za-z])MAP([^A-Za-z]|$)/ { map = 1 }
    map && /^ +\[[A-Z][0-9]*\] / { sub(/^ +/, ""); sub(/:.*/, ""); sub(/  .*/, ""); sub(/ *$/, ""); print }' \
    "$header" >"$out/map"
fresh
[ -s "$out/map" ] || echo 'the manual has no map: a section MAP with lines "  [ID] TITLE"' >>"$bad"
diff "$out/map" "$out/rooms" | sed -n 's/^< /only in the map (or in another order): /p;
    s/^> /only as a banner (or in another order): /p' >>"$bad"
verdict "the map equals the banners ($(wc -l <"$out/rooms") rooms)" "$bad"

grep -n '>>\[' "$header" | grep -v '^[0-9]*: \* >>\[[^]]*\] .*[^ ]  *(\(public\|private\))$' >"$bad"
verdict 'every banner reads " * >>[ID] TITLE   (public|private)"' "$bad"

fresh
sort "$out/banners" | sed 's/\].*/]/' | uniq -d | sed 's/$/ is used twice/' >>"$bad"
verdict 'room numbers are unique' "$bad"

awk '/>>\[END OF API\]/ { on = 1; last = NR }
    on && />>\[/ { if (NR - last > 300) printf "%d: %d lines after the banner of line %d\n", NR, NR - last, last; last = NR }
    />>\[T\]/ { tail = 1 }
    END { if (on && !tail && NR - last > 300) printf "%d lines follow the banner of line %d\n", NR - last, last }' \
    "$header" >"$bad"
verdict 'banners are at most 300 lines apart' "$bad"

# --- the characters ------------------------------------------------------------------------------
awk 'length($0) > 100 { printf "%s:%d: %d columns\n", FILENAME, FNR, length($0) }' "$header" >"$bad"
verdict 'no line over 100 columns' "$bad"
tab=$(printf '\t')
# shellcheck disable=SC2086
grep -n "$tab" "$header" $texts /dev/null >"$bad"
verdict 'no tabs' "$bad"
LC_ALL=C grep -n '[^ -~]' "$header" | grep -v "$tab" >"$bad"
verdict 'the header is ASCII' "$bad"
cr=$(printf '\r')
# shellcheck disable=SC2086
grep -n "$cr" "$header" Makefile LICENSE $texts /dev/null >"$bad"
verdict 'lines end in LF' "$bad"
grep -n ' $' "$header" >"$bad"
verdict 'no blanks at line ends' "$bad"

# --- nothing unfinished --------------------------------------------------------------------------
# This folder names the words, so it is left out.
# shellcheck disable=SC2086
{
    grep -n -w -E 'TODO|FIXME|XXX' $docs $(echo "$texts" | grep -v '^tests/lint/') /dev/null
    grep -n -w -i -E 'not implemented|not yet implemented|unimplemented' $docs \
        $(echo "$texts" | grep -v '^tests/lint/') /dev/null
    grep -n -w -i -E 'stub|stubs|placeholder' $docs /dev/null
} >"$bad"
verdict 'no TODO, FIXME, XXX, stub or "not implemented"' "$bad"

# --- the order of definitions --------------------------------------------------------------------
# A static declaration that reaches ";" before "{" or "=" and has a parameter list is a prototype.
awk '/>>\[END OF API\]/ { on = 1 }
    !on || /^#/ { if (!open) next }
    !open && /^static/ { open = 1; start = FNR; text = "" }
    open {
        text = text " " $0
        if (text ~ /[{=]/) open = 0
        else if (text ~ /;/) {
            if (text ~ /\).*;/) { sub(/^ /, "", text); printf "%d: %s\n", start, text }
            open = 0
        }
    }' "$header" >"$bad"
verdict 'no static prototypes: a room uses only rooms above it' "$bad"

# --- names in the documents ----------------------------------------------------------------------
# All words the preprocessor leaves over or knows as macros, and the switches it asks about.
printf '#define SQLPOOL_IMPLEMENTATION\n#include "sqlpool.h"\n' >"$out/all.c"
# shellcheck disable=SC2086
{
    $CC -std=c11 -E -dD $SQLITE_INCLUDE -I. "$out/all.c" 2>/dev/null
    $CC -std=c11 -E -dD -DSQLPOOL_TESTING $SQLITE_INCLUDE -I. "$out/all.c" 2>/dev/null
    # The inactive sides of #if: every line of code, comments cut off.
    awk '{ line = $0
        while (1) {
            if (inside) { i = index(line, "*/"); if (!i) { line = ""; break } line = substr(line, i + 2); inside = 0 }
            i = index(line, "/*"); if (!i) break
            printf "%s ", substr(line, 1, i - 1); line = substr(line, i + 2); inside = 1
        }
        print line }' "$header"
} | grep -o '[A-Za-z_][A-Za-z0-9_]*' | sort -u >"$out/known"
fresh
# Names of files (sqlpool.h, sqlpool_impl.o) and of families (sqlpool_rows_*) are not names of things.
for doc in $docs; do
    case $doc in
    "$header") # comments only: the manual, the sheets and the tail
        awk '{ line = $0; text = ""
            while (line != "") {
                if (inside) { i = index(line, "*/")
                    if (!i) { text = text line; break }
                    text = text substr(line, 1, i - 1); line = substr(line, i + 2); inside = 0 }
                else { i = index(line, "/*"); if (!i) break; line = substr(line, i + 2); inside = 1 }
            }
            if (text != "") printf "%d:%s\n", NR, text }' "$doc" >"$out/prose"
        ;;
    *) grep -n '' "$doc" >"$out/prose" ;;
    esac
    awk -v doc="$doc" '{ number = $0; sub(/:.*/, "", number); line = $0; sub(/^[0-9]*:/, "", line)
        while (match(line, /[A-Za-z0-9_]*(sqlpool|SQLPOOL)_[A-Za-z0-9_]*/)) {
            word = substr(line, RSTART, RLENGTH); after = substr(line, RSTART + RLENGTH, 3)
            before = RSTART > 1 ? substr(line, RSTART - 1, 1) : " "
            line = substr(line, RSTART + RLENGTH)
            if (word !~ /^(sqlpool|SQLPOOL)_/) continue
            if (word ~ /_$/ || after ~ /^\*/ || after ~ /^\.[cho]([^a-z]|$)/ || after ~ /^\.(sh|pc)/ || before == "/") continue
            print word, doc ":" number
        } }' "$out/prose" >"$out/words"
    awk 'NR == FNR { known[$1] = 1; next } !($1 in known) { print $2 ": " $1 " does not exist" }' \
        "$out/known" "$out/words" >>"$bad"
done
[ -f README.md ] || echo 'README.md is missing' >>"$bad"
verdict 'every sqlpool name in README and comments exists' "$bad"

fresh
grep -o '^[a-z][a-z0-9-]*:' Makefile | tr -d : | sort -u >"$out/targets"
for doc in $docs; do
    # In quotes of code, or on lines that are code: "make x", "make A=b x y"
    { grep -o '`[^`]*`' "$doc"; grep -E '^ *[$] |^ *\|? *make |&& *make ' "$doc"; awk '/^```/ { on = !on } on' "$doc"; } |
        grep -o '\(^\|[^a-z-]\)make\( -[a-z0-9]*\| [A-Z_]*=[^ `]*\)* [a-z][a-z0-9-]*' | sed 's/.* //' | sort -u |
        while read -r target; do
            case $doc/$target in # apt-get install make libsqlite3-dev
            */lib*) continue ;;
            esac
            grep -q -x -- "$target" "$out/targets" || echo "$doc: make $target: no such target"
        done >>"$bad"
    grep -o '\(tests\|examples\|bench\|\.ci\)/[A-Za-z0-9_./-]*' "$doc" | sed 's/[.,;:]*$//' | sort -u |
        while read -r path; do
            [ -e "$path" ] || echo "$doc: $path does not exist"
        done >>"$bad"
done
if [ -f README.md ]; then
    grep -o '](\([^)#]*\)' README.md | sed 's/^](//' | grep -v '^[a-z]*:' | sort -u | while read -r path; do
        [ -z "$path" ] || [ -e "$path" ] || echo "README.md: link to $path, which does not exist"
    done >>"$bad"
fi
verdict 'every make target and file named in the documents exists' "$bad"

# --- sheets --------------------------------------------------------------------------------------
# A sheet opens with "/*  sqlpool_name[, _name ...] - "; "_name" replaces the end of the first name.
awk '/>>\[END OF API\]/ { exit }
    /^#ifndef SQLPOOL_H/ { on = 1 }
    !on { next }
    /^\/\*  sqlpool_/ {
        head = $0; sub(/^\/\*  /, "", head); sub(/ - .*/, "", head)
        n = split(head, part, /, */); first = part[1]
        for (i = 1; i <= n; i++) {
            if (part[i] !~ /^_/) { sheet[part[i]] = FNR; continue }
            stem = first
            while (sub(/_[a-z0-9]+$/, "", stem)) sheet[stem part[i]] = FNR
        }
    }
    /^SQLPOOL_API/ {
        name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
        plain = name; sub(/_at$/, "", plain)
        if (!(name in sheet) && !(plain in sheet)) printf "%d: %s has no sheet above it\n", FNR, name
    }' "$header" >"$bad"
verdict "every public prototype has a sheet ($(sed '/>>\[END OF API\]/,$d' "$header" | grep -c '^SQLPOOL_API') prototypes)" "$bad"

# --- compilers -----------------------------------------------------------------------------------
for cc in $(c_compilers); do
    for level in -O0 -O2; do
        # shellcheck disable=SC2086
        $cc $STRICT $level $SQLITE_INCLUDE -I. -c -o "$out/impl.o" "$out/all.c" >"$bad" 2>&1
        verdict "$cc $level at the strict flags" "$bad"
    done
    # As the main file: clang tells unused static functions only there.
    # shellcheck disable=SC2086
    $cc -x c $STRICT -O1 $SQLITE_INCLUDE -I. -DSQLPOOL_IMPLEMENTATION -c -o "$out/impl.o" "$header" \
        >"$bad" 2>&1
    verdict "$cc at the strict flags, header as the main file" "$bad"
done

# --- hazards -------------------------------------------------------------------------------------
sh tests/lint/hazards.sh >"$out/hazards"
add_up "$out/hazards" hazards.sh

# --- snippets ------------------------------------------------------------------------------------
sh tests/lint/snippets.sh >"$out/snippets"
add_up "$out/snippets" snippets.sh
finish
