#!/bin/sh
# snippets.sh - compile every C snippet of README.md and of the header's manual and tail.
# SPDX-License-Identifier: MIT OR Unlicense
#
# README: blocks fenced as ```c or ```cpp. Header: runs of comment lines that begin with eight spaces
# and "| ". A snippet with main() is a program: compiled as it stands and linked (with the
# implementation if it has none). One that defines functions is compiled as a file. Anything else is a
# fragment: it goes into a function in which pool, error, conn, rows, config, call, stats and stmt are
# declared; its # lines go in front.
set -u
cd "${TEST_ROOT:-.}" || exit 1
. tests/lint/lib.sh
out=$BUILD/snippets
rm -rf "$out"
mkdir -p "$out"

extract() { # file: writes $out/NAME-LINE.c or .cpp
    case $1 in
    *.md)
        awk -v out="$out/readme" -v file="$1" '
            /^```/ {
                if (target != "") { close(target); target = ""; next }
                if (inside) { inside = 0; next }
                if ($0 == "```c") target = out "-" (NR + 1) ".c"
                else if ($0 == "```cpp" || $0 == "```c++") target = out "-" (NR + 1) ".cpp"
                else inside = 1
                next
            }
            target != "" { print > target }' "$1"
        ;;
    *)
        awk -v out="$out/header" '
            /^        \|( |$)/ {
                if (target == "") target = out "-" NR ".c"
                print substr($0, 11) > target
                next
            }
            target != "" { close(target); target = "" }' "$1"
        ;;
    esac
}
[ ! -f README.md ] || extract README.md
extract "$header"

prelude='#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include "sqlpool.h"'
have_cxx=
works_cxx "$CXX" -std=c++11 && have_cxx=yes
implementation='^# *define *SQLPOOL_IMPLEMENTATION'
flags="-Wall -Wextra -Wpedantic -Werror -Wno-unused"

compile() { # snippet name origin
    name=$2 origin=$3
    line=${1##*-}
    line=${line%.*}
    text=$out/$name.text
    mv "$1" "$text"
    case $1 in
    *.cpp)
        [ -n "$have_cxx" ] || { skip "$origin: no C++ compiler"; return; }
        source=$out/$name.full.cpp compiler="$CXX -std=c++11"
        ;;
    *) source=$out/$name.full.c compiler="$CC -std=c11" ;;
    esac
    link=
    level=-O1 # what the compiler says of flow wants a little of it; not for the whole implementation
    grep -q "$implementation" "$text" && level=-O0
    if grep -q '^int main(' "$text"; then
        kind=program
        { echo "#line $line \"${origin%:*}\""; cat "$text"; } >"$source"
        link=yes
    elif grep -q '^[a-z][^;=]*) *{$' "$text" &&
        ! grep -q '^\(if\|for\|while\|switch\|do\|else\)\>' "$text"; then
        kind=file
        { echo "$prelude"; echo "#line $line \"${origin%:*}\""; cat "$text"; } >"$source"
    else
        kind=fragment
        {
            grep '^ *#' "$text"
            echo "$prelude"
            echo 'int snippet(sqlpool *pool, sqlpool_conn conn, sqlpool_rows rows);'
            echo 'int snippet(sqlpool *pool, sqlpool_conn conn, sqlpool_rows rows) {'
            echo '    sqlpool_error error; sqlpool_config config = {0}; sqlpool_call call = {0};'
            echo '    sqlpool_stats stats; sqlpool_result result; struct sqlite3_stmt *stmt = NULL;'
            echo '    (void)error; (void)config; (void)call; (void)stats; (void)result; (void)stmt;'
            echo '    {'
            echo "#line $line \"${origin%:*}\""
            sed 's/^ *#.*//' "$text"
            echo '    }'
            echo '    return 0;'
            echo '}'
        } >"$source"
        case $source in *.cpp) sed -i.bak 's/ = {0}/ = {}/g' "$source" ;; esac
    fi
    # shellcheck disable=SC2086
    if ! $compiler $flags $SQLITE_INCLUDE -I. $level -c -o "$out/$name.o" "$source" >"$out/$name.log" 2>&1; then
        fail "$origin: $kind does not compile"
        head -n 20 "$out/$name.log"
        return
    fi
    if [ -n "$link" ]; then
        impl=
        if ! grep -q "$implementation" "$text"; then
            impl=$BUILD/sqlpool_impl.o
            # shellcheck disable=SC2086
            [ -f "$impl" ] || $CC -std=c11 $SQLITE_INCLUDE -I. -c -o "$impl" tests/impl.c
        fi
        # shellcheck disable=SC2086
        if ! ${compiler%% -std*} -o "$out/$name.program" "$out/$name.o" $impl $SQLITE_LINK $LDLIBS \
            >"$out/$name.log" 2>&1; then
            fail "$origin: $kind does not link"
            head -n 20 "$out/$name.log"
            return
        fi
    fi
    pass "$origin: $kind"
}

for snippet in "$out"/readme-* "$out"/header-*; do
    [ -f "$snippet" ] || continue
    base=${snippet##*/}
    name=${base%.*}
    case $base in
    readme-*) compile "$snippet" "$name" "README.md:${name#readme-}" ;;
    *) compile "$snippet" "$name" "$header:${name#header-}" ;;
    esac
done
[ $((passed + failed)) -gt 0 ] || fail 'no snippet found in README.md or the manual'
finish
