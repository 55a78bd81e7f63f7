#!/bin/sh
# run.sh [TARGET...] - the tests on other compilers, processors, systems and versions of SQLite.
# SPDX-License-Identifier: MIT OR Unlicense
#
# Every target builds SQLite's amalgamation, the header and tests/matrix/bytes.c, and most of them the
# test programs as well. What bytes.c says of its results and of its database files must be the same
# on all targets with one version of SQLite. A line for each target:
#
#   ok|FAIL|skip  target  SQLite version  N passed, N failed  seconds  [why]
#
# and the sum as the last line. The log of a target is in BUILD/matrix/TARGET.log. Without arguments
# all targets run; `run.sh sqlite` runs the versions of SQLite alone, `run.sh list` names them all.
# Targets run beside each other.
#
#   BUILD           build folder (build); amalgamations are fetched into BUILD/matrix/sqlite
#   MATRIX_NEWEST   version of the npm package better-sqlite3 that all other targets take SQLite from
#   MATRIX_SQLITE   its versions for the targets sqlite-*, from the oldest supported SQLite on
#   MATRIX_SUITES   test programs for gcc, clang, musl, aarch64 and s390x, which has its bytes the other
#                   way round (api/% unit/% stress/group)
#   MATRIX_SOME     test programs for the other processors and the versions of SQLite: those that use
#                   nothing that 3.31 has not, as the others do (RETURNING, JSON, several connections to
#                   a database in memory)
#   MATRIX_JOBS     targets at a time (as many as there are processors)
set -u

build=${BUILD:-build}
out=$build/matrix
make=${MAKE:-make}
newest=${MATRIX_NEWEST:-13.2.0}
versions=${MATRIX_SQLITE:-6.0.0 7.1.0 7.1.2 7.1.5 7.4.5 7.5.0 7.6.0 8.1.0 8.4.0 8.6.0 9.2.0 9.5.0
    10.1.0 11.6.0 11.8.0 12.0.0 12.3.0 12.5.0 12.8.0 12.9.0 $newest}
suites=${MATRIX_SUITES:-api/% unit/% stress/group}
some=${MATRIX_SOME:-api/breaker api/bulk api/bulk_faults api/config api/control api/edges api/fork api/global
    api/hooks api/lease api/open api/query api/routing api/single api/snapshot api/threads api/transaction
    api/write api/cpp_cpp unit/base unit/sql unit/statements}
compilers='gcc clang musl tcc'
processors='aarch64 armhf s390x riscv64 i686'
systems='windows wasm'
jobs=${MATRIX_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}

mkdir -p "$out"
case $out in /*) ;; *) out=$(pwd)/$out ;; esac

# --- lines ---------------------------------------------------------------------------------------
say() { # verdict target version result
    printf '%-4s %-16s %-8s %s\n' "$1" "$2" "$3" "$4"
}
skip() { # target why
    say skip "$1" - "$2"
}
has() {
    command -v "$1" >/dev/null 2>&1
}
# What the first target has is what the others are compared with.
is_as_first() { # file, what it is compared with
    [ -f "$2" ] || { cp "$1" "$2.$target" && ln "$2.$target" "$2" 2>/dev/null; }
    rm -f "$2.$target"
    cmp -s "$1" "$2"
}
# What a target printed is in its log: adds up all that its programs passed and failed, and compares
# the lines of bytes.c. The words are: target, status of its command, first second.
finish() {
    target=$1 status=$2 began=$3 why=
    log=$out/$target.log
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    p=${line%% *} f=${line#*, } f=${f%% *}
    if [ -z "$line" ]; then
        p=0 f=1 why=', nothing was built or run'
    elif [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1 why=", exit status $status"
    fi
    bytes=$out/$target.bytes
    if [ -s "$bytes" ]; then
        version=$(sed -n 's/^= SQLite //p' "$bytes")
        reference=$out/reference-$version.bytes
        if is_as_first "$bytes" "$reference"; then
            p=$((p + 1))
        else
            f=$((f + 1)) why="$why, other results or bytes than another target with this SQLite"
            diff "$reference" "$bytes" >>"$log"
        fi
        # What was read is the same whatever the version; the layout of the file may differ.
        grep ' results ' "$bytes" >"$out/$target.results"
        if is_as_first "$out/$target.results" "$out/reference.results"; then
            p=$((p + 1))
        else
            f=$((f + 1)) why="$why, other results than another version of SQLite"
        fi
    else
        version=- f=$((f + 1)) why="$why, bytes.c printed nothing"
    fi
    echo "$p $f" >"$out/$target.sum"
    verdict=ok
    [ "$f" -eq 0 ] || verdict=FAIL
    say "$verdict" "$target" "$version" "$p passed, $f failed  $(($(date +%s) - began)) s$why"
    [ "$f" -eq 0 ] || grep -E '^(FAIL|not ok|#.*(failed|expected|gave)|[^ ]*error:)|error: ' "$log" |
        head -n 20 | sed 's/^/     /'
}

# --- SQLite --------------------------------------------------------------------------------------
# The amalgamation that a version of better-sqlite3 ships. Older ones keep it in an inner archive.
fetch() {
    dir=$out/sqlite/$1
    [ ! -f "$dir/sqlite3.c" ] || return 0
    has npm || return 1
    rm -rf "$dir" && mkdir -p "$dir/package" || return 1
    (
        cd "$dir" && npm pack --silent "better-sqlite3@$1" >/dev/null 2>&1 &&
            tar xzf better-sqlite3-*.tgz package/deps || exit 1
        if [ -f package/deps/sqlite3.tar.gz ]; then
            tar xzf package/deps/sqlite3.tar.gz -C package
        fi
        for file in sqlite3.h sqlite3.c; do
            found=$(find package -name $file | head -n 1)
            [ -n "$found" ] && mv "$found" . || exit 1
        done
        rm -rf package better-sqlite3-*.tgz
    ) || { rm -rf "$dir"; return 1; }
}
version_of() {
    sed -n 's/^#define SQLITE_VERSION  *"\([^"]*\)".*/\1/p' "$out/sqlite/$1/sqlite3.h"
}

# --- targets -------------------------------------------------------------------------------------
# Through the Makefile: target, package version, test programs, then variables of make.
suite() {
    target=$1 package=$2 only=$3
    shift 3
    began=$(date +%s)
    rm -f "$out/$target.bytes"
    "$make" --no-print-directory test TEST_SCRIPTS= "BUILD=$out/$target" "SQLITE_DIR=$out/sqlite/$package" \
        "ONLY=matrix/bytes $only" TEST_TIMEOUT=600 "$@" >"$out/$target.log" 2>&1
    status=$?
    grep '^= ' "$out/$target/tests/matrix/bytes.log" >"$out/$target.bytes" 2>/dev/null
    finish "$target" "$status" "$began"
}
# bytes.c alone: target, command that compiles, command that runs it.
alone() {
    target=$1 compile=$2 run=$3
    began=$(date +%s)
    rm -rf "${out:?}/$target" "$out/$target.bytes" && mkdir -p "$out/$target"
    (
        root=$(pwd) sqlite=$out/sqlite/$newest
        export root sqlite
        cd "$out/$target" && sh -e -c "$compile" && timeout 600 sh -c "$run" >bytes.log
        status=$?
        cat bytes.log
        exit $status
    ) >"$out/$target.log" 2>&1
    status=$?
    tr -d '\r' <"$out/$target.log" | grep '^= ' >"$out/$target.bytes"
    tr -d '\r' <"$out/$target.log" >"$out/$target.text" && mv "$out/$target.text" "$out/$target.log"
    finish "$target" "$status" "$began"
}
# shellcheck disable=SC2016 # a shell of its own expands them
sources='$root/tests/matrix/bytes.c $root/tests/impl.c'
# shellcheck disable=SC2016
include='-I$root -I$root/tests -I$sqlite'

# Linked statically: with the shared C libraries of Debian 12's cross compilers pthread_create() never
# returns under qemu 7.2 for aarch64 and i386. Programs of 32 bits read no folder of a 64-bit system
# without the flag for large files.
emulated() { # target compiler emulator test programs
    has "$2" || { skip "$1" "$2 is not installed"; return; }
    has "$3" || { skip "$1" "$3 is not installed"; return; }
    TEST_WRAPPER=$3 TEST_EMULATOR=$3
    export TEST_WRAPPER TEST_EMULATOR
    suite "$1" "$newest" "$4" "CC=$2" CXX=false CFLAGS=-O1 \
        CPPFLAGS=-D_FILE_OFFSET_BITS=64 LDFLAGS=-static
}

run_target() {
    case $1 in
    gcc | clang)
        has "$1" || { skip "$1" "$1 is not installed"; return; }
        suite "$1" "$newest" "$suites" "CC=$1"
        ;;
    musl)
        has musl-gcc || { skip musl 'musl-gcc is not installed'; return; }
        # musl's threads have 128 KiB of stack, less than SQLite's parser takes for what tests prepare
        suite musl "$newest" "$suites" CC=musl-gcc CXX=false LDFLAGS=-Wl,-z,stack-size=4194304
        ;;
    tcc) # it knows no atomics: the pool without threads
        has tcc || { skip tcc 'tcc is not installed'; return; }
        alone tcc "tcc -DSQLITE_THREADSAFE=0 -c \$sqlite/sqlite3.c
            tcc -std=c11 -DSQLPOOL_NO_THREADS $include $sources sqlite3.o -o bytes -lm -ldl -lpthread" ./bytes
        ;;
    aarch64) emulated aarch64 aarch64-linux-gnu-gcc qemu-aarch64 "$suites" ;;
    armhf) emulated armhf arm-linux-gnueabihf-gcc qemu-arm "$some" ;;
    s390x) emulated s390x s390x-linux-gnu-gcc qemu-s390x "$suites" ;;
    riscv64) emulated riscv64 riscv64-linux-gnu-gcc qemu-riscv64 "$some" ;;
    i686) emulated i686 i686-linux-gnu-gcc qemu-i386 "$some" ;;
    windows)
        has x86_64-w64-mingw32-gcc || { skip windows 'x86_64-w64-mingw32-gcc is not installed'; return; }
        has wine || { skip windows 'wine is not installed'; return; }
        alone windows "x86_64-w64-mingw32-gcc -O1 -c \$sqlite/sqlite3.c
            x86_64-w64-mingw32-gcc -std=gnu11 -O2 -Wall -Wextra -DSQLPOOL_NO_DEFAULT_HOOKS \
            $include $sources sqlite3.o -static -o bytes.exe" \
            "WINEDEBUG=-all WINEPREFIX=$out/wine; export WINEDEBUG WINEPREFIX
            wineboot -i >/dev/null 2>&1; wine ./bytes.exe; status=\$?; wineserver -k; exit \$status"
        ;;
    wasm)
        has emcc || { skip wasm 'emcc (emscripten) is not installed'; return; }
        has node || { skip wasm 'node is not installed'; return; }
        alone wasm "emcc -O1 -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -c \$sqlite/sqlite3.c -o sqlite3.o
            emcc -std=gnu11 -O1 -Wall -Wextra -DSQLPOOL_NO_THREADS $include $sources sqlite3.o \
            -s ALLOW_MEMORY_GROWTH=1 -s EXIT_RUNTIME=1 -s SINGLE_FILE=1 -o bytes.js" 'node bytes.js'
        ;;
    sqlite-*)
        package=${1#sqlite-}
        fetch "$package" || { skip "$1" "better-sqlite3@$package could not be fetched"; return; }
        suite "sqlite-$(version_of "$package")" "$package" "$some" CFLAGS=-O0 \
            SQLITE_CFLAGS='-O0 -DHAVE_USLEEP=1 -DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_STMTVTAB'
        ;;
    *) skip "$1" 'is no target: see run.sh list' ;;
    esac
}

if [ "${1:-}" = target ]; then # in one piece: another may be printing its own
    text=$(run_target "$2")
    printf '%s\n' "$text"
    exit 0
fi

# --- all of them ---------------------------------------------------------------------------------
every_version=
for package in $versions; do every_version="$every_version sqlite-$package"; done
targets=
# shellcheck disable=SC2048 # words on purpose
for target in ${*:-$compilers $processors $systems sqlite}; do
    case $target in
    sqlite) targets="$targets $every_version" ;;
    list)
        for name in $compilers $processors $systems $every_version; do echo "$name"; done
        exit 0
        ;;
    *) targets="$targets $target" ;;
    esac
done
if ! has npm && [ ! -f "$out/sqlite/$newest/sqlite3.c" ]; then
    echo 'skip all: npm is not installed, and SQLite comes from an npm package'
    exit 1
fi
if ! fetch "$newest"; then
    echo "skip all: better-sqlite3@$newest could not be fetched"
    exit 1
fi
rm -f "$out"/reference* "$out"/*.sum
# shellcheck disable=SC2086 # words on purpose
set -- $targets
[ "$jobs" -le $# ] || jobs=$#
passed=0 failed=0
printf '%s\n' "$@" | xargs -P "$jobs" -I TARGET sh "$0" target TARGET || failed=1
for sum in "$out"/*.sum; do
    [ -f "$sum" ] || continue # all were skipped
    read -r p f <"$sum"
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
