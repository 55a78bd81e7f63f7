#!/bin/sh
# run.sh - compile the header in every way a user may. SPDX-License-Identifier: MIT OR Unlicense
#
# One line a case; the last line is the sum. COMPILE_QUICK=1: each switch alone and all of them together
# instead of every subset, and fewer standards and levels of optimisation. Every case is compiled at the strict flags with -Werror by
# the chosen compiler, gcc and clang, as far as they are installed; cases with a main() are linked and run.
set -u
. tests/lint/lib.sh
src=tests/compile
out=$BUILD/compile
rm -rf "$out"
mkdir -p "$out"
include="$SQLITE_INCLUDE -I. -I$src"
jobs=0
number=0
quick=${COMPILE_QUICK:-0}
levels='-O1 -O2 -O3 -Os' c_standards='c11 gnu11 c17 gnu17' cxx_standards='c++11 c++14 c++17 c++20 c++23'
optimised=-O2
[ "$quick" = 0 ] || levels='-O3' optimised=-O0 c_standards='c11 gnu17' cxx_standards='c++11 c++20'
limit=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# Cases run beside each other; each leaves NUMBER.name and, when it failed, NUMBER.log.
start() { # name command...
    number=$((number + 1))
    printf '%s\n' "$1" >"$out/$number.name"
    shift
    (
        cd "$(pwd)" || exit 1
        if "$@" >"$out/$number.out" 2>&1; then :; else mv "$out/$number.out" "$out/$number.log"; fi
    ) &
    jobs=$((jobs + 1))
    if [ "$jobs" -ge "$limit" ]; then
        wait
        jobs=0
    fi
}
# shellcheck disable=SC2086
{
    object() { # compiler flags source: compile only
        compiler=$1 flags=$2 source=$3
        $compiler $flags $CPPFLAGS $include -c -o "$out/$number.o" "$source" || return 1
        case $source$flags in # a misspelt macro would compile nothing and pass
        *STATIC*) ;;
        */impl.*) nm -P "$out/$number.o" | grep -q '^_*sqlpool_open_at T' || { echo 'no implementation'; return 1; } ;;
        esac
    }
    program() { # compiler flags sources: compile, link, run
        compiler=$1 flags=$2
        shift 2
        $compiler $flags $CPPFLAGS $include -o "$out/$number.exe" "$@" $SQLITE_LINK $LDLIBS &&
            (cd "$out" && guard "$(pwd)/$number.exe") || { echo "status $?"; return 1; }
    }
    two() { # compiler flags: a program of two parts with a private copy each
        compiler=$1 flags=$2
        for part in a b; do
            $compiler $flags $CPPFLAGS $include -DSQLPOOL_STATIC -DPART=part_$part -c \
                -o "$out/$number.$part.o" $src/part.c || return 1
        done
        program "$compiler" "$flags" $src/main.c "$out/$number.a.o" "$out/$number.b.o"
    }
    shared_and_private() { # compiler flags: one copy for all, one private
        compiler=$1 flags=$2
        $compiler $flags $CPPFLAGS $include -DPART=part_a -c -o "$out/$number.a.o" $src/part.c &&
            $compiler $flags $CPPFLAGS $include -DSQLPOOL_STATIC -DPART=part_b -c \
                -o "$out/$number.b.o" $src/part.c &&
            $compiler $flags $CPPFLAGS $include -c -o "$out/$number.i.o" $src/impl.c &&
            program "$compiler" "$flags" $src/main.c "$out/$number.a.o" "$out/$number.b.o" "$out/$number.i.o"
    }
    library() { # compiler flags expected: a shared object that hides or shows the API
        compiler=$1 flags=$2 expected=$3
        $compiler $flags $CPPFLAGS $include -fPIC -fvisibility=hidden -shared -o "$out/$number.so" \
            $src/impl.c $SQLITE_LINK $LDLIBS || return 1
        shown=$(nm -D --defined-only "$out/$number.so" | grep -c ' sqlpool_open_at$')
        [ "$shown" = "$expected" ] || { echo "sqlpool_open_at shown: $shown, expected: $expected"; return 1; }
    }
    headers() { # compiler flags: what the declarations include
        compiler=$1 flags=$2
        $compiler $flags $include -M sqlpool.h >"$out/$number.d" || return 1
        if grep -o '[^ ]*/\(sqlite3\|pthread\|stdio\|stdlib\|string\|time\|unistd\|windows\|errno\|signal\)\.h' \
            "$out/$number.d"; then
            echo 'the declarations may include only stddef.h, stdint.h and stdbool.h'
            return 1
        fi
    }
}
guard() {
    if command -v timeout >/dev/null 2>&1; then timeout 60 "$@"; else "$@"; fi
}

switches="SQLPOOL_STATIC SQLPOOL_NO_CPP $(no_switches | grep -v NO_CPP)"
! grep -q '^#.*SQLPOOL_TESTING' "$header" || switches="$switches SQLPOOL_TESTING"
combinations() { # every subset of the switches, as lines of -D options
    set -- $(echo "$switches" | sed "s/SQLPOOL_NO_CPP//") # which is nothing to C
    total=1
    for _; do total=$((total * 2)); done
    mask=0
    while [ "$mask" -lt "$total" ]; do
        # the first and the last; each alone is compiled below
        [ "$quick" = 0 ] || [ "$mask" -eq 0 ] || mask=$((total - 1))
        bit=1 line=
        for switch; do
            [ $((mask / bit % 2)) -eq 0 ] || line="$line -D$switch"
            bit=$((bit * 2))
        done
        echo "$line"
        mask=$((mask + 1))
    done
}
for switch in SQLPOOL_NO_THREADS SQLPOOL_NO_DEFAULT_HOOKS SQLPOOL_NO_CPP SQLPOOL_STATIC SQLPOOL_DLL \
    SQLPOOL_SQLITE3_H SQLPOOL_ASSERT SQLPOOL_IMPLEMENTATION; do
    if grep -q "^# *\(if\|ifdef\|ifndef\|elif\).*\<$switch\>" "$header"; then
        pass "the header knows $switch"
    else
        fail "the header does not know $switch"
    fi
done

short() { echo "$1" | sed 's/-DSQLPOOL_//g'; }

for cc in $(c_compilers); do
    tag=$(basename "$cc")
    for std in $c_standards; do
        start "$tag $std implementation" object "$cc" "-std=$std $WARN_C" $src/impl.c
    done
    if works_c "$cc" -std=c2x; then
        start "$tag c2x implementation" object "$cc" "-std=c2x $WARN_C" $src/impl.c
    fi
    for level in $levels; do
        start "$tag $level implementation" object "$cc" "-std=c11 $WARN_C $level" $src/impl.c
    done
    for std in c99 c11 c17; do
        start "$tag $std declarations" object "$cc" "-std=$std $WARN_C" $src/declarations.c
    done
    start "$tag c11 arguments" object "$cc" "-std=c11 $WARN_C" $src/arguments.c
    start "$tag declarations include little" headers "$cc" '-std=c11'
    start "$tag included again and again" program "$cc" "-std=c11 $WARN_C" $src/twice.c
    start "$tag two private copies" two "$cc" "-std=c11 $WARN_C"
    start "$tag a shared and a private copy" shared_and_private "$cc" "-std=c11 $WARN_C"
    start "$tag sqlite3.h before" program "$cc" "-std=c11 $WARN_C" $src/sqlite_before.c
    start "$tag sqlite3.h between and after" program "$cc" "-std=c11 $WARN_C" $src/sqlite_after.c
    start "$tag SQLPOOL_SQLITE3_H" program "$cc" "-std=c11 $WARN_C" $src/other_engine.c
    start "$tag hostile macros" program "$cc" "-std=gnu11 $WARN_C -Wno-unused-macros" $src/hostile.c
    start "$tag strict C11 after POSIX headers" program "$cc" "-std=c11 $WARN_C" $src/strict_posix.c
    start "$tag -funsigned-char" object "$cc" "-std=c11 $WARN_C -funsigned-char" $src/impl.c
    start "$tag -fshort-enums" object "$cc" "-std=c11 $WARN_C -fshort-enums" $src/impl.c
    start "$tag hidden by -fvisibility=hidden" library "$cc" "-std=c11 $WARN_C" 0
    start "$tag shown by SQLPOOL_DLL" library "$cc" "-std=c11 $WARN_C -DSQLPOOL_DLL" 1
    if echo '#include <stdlib.h>' | "$cc" -m32 -x c -c - -o /dev/null 2>/dev/null; then
        start "$tag -m32" object "$cc" "-std=c11 $WARN_C -m32" $src/impl.c
    else
        skip "$tag -m32: no 32-bit C library"
    fi
    combinations >"$out/combinations"
    while IFS= read -r options; do
        start "$tag c11$(short "$options")" object "$cc" "-std=c11 $WARN_C$options" $src/impl.c
    done <"$out/combinations"
    for switch in $switches; do
        start "$tag $optimised ${switch#SQLPOOL_}" object "$cc" "-std=c11 $optimised $WARN_C -D$switch" $src/impl.c
    done
    if echo " $switches " | grep -q ' SQLPOOL_NO_THREADS '; then
        start "$tag NO_THREADS runs" program "$cc" "-std=c11 $WARN_C -DSQLPOOL_NO_THREADS" $src/twice.c
    fi
done

for cxx in $(cxx_compilers); do
    tag=$(basename "$cxx")
    cp $src/impl.c "$out/impl.cpp"
    cp $src/declarations.c "$out/declarations.cpp"
    cp $src/twice.c "$out/twice.cpp"
    cp $src/hostile.c "$out/hostile.cpp"
    sed -i.bak 's/{0}/{}/' "$out/declarations.cpp"
    for std in $cxx_standards; do
        works_cxx "$cxx" "-std=$std" || { skip "$tag $std"; continue; }
        start "$tag $std implementation" object "$cxx" "-std=$std $WARN_CXX" "$out/impl.cpp"
        start "$tag $std declarations" object "$cxx" "-std=$std $WARN_CXX" "$out/declarations.cpp"
        start "$tag $std wrappers" object "$cxx" "-std=$std $WARN_CXX" $src/wrappers.cpp
    done
    start "$tag -O2 implementation" object "$cxx" "-std=c++11 -O2 $WARN_CXX" "$out/impl.cpp"
    start "$tag included again and again" program "$cxx" "-std=c++11 $WARN_CXX" "$out/twice.cpp"
    start "$tag -fno-exceptions -fno-rtti" object "$cxx" \
        "-std=c++11 $WARN_CXX -fno-exceptions -fno-rtti" "$out/impl.cpp"
    start "$tag wrappers -fno-exceptions -fno-rtti" object "$cxx" \
        "-std=c++11 $WARN_CXX -fno-exceptions -fno-rtti" $src/wrappers.cpp
    for switch in $switches; do
        start "$tag c++11 ${switch#SQLPOOL_}" object "$cxx" "-std=c++11 $WARN_CXX -D$switch" "$out/impl.cpp"
    done
done
if command -v tcc >/dev/null 2>&1; then
    start 'tcc c11 implementation without threads' object tcc '-std=c11 -DSQLPOOL_NO_THREADS' $src/impl.c
else
    skip 'tcc is not installed'
fi
if command -v musl-gcc >/dev/null 2>&1; then
    # musl-gcc does not look into /usr/include, where sqlite3.h is: it gets a copy.
    mkdir -p "$out/musl"
    cp /usr/include/sqlite3.h "$out/musl/" 2>/dev/null
    start 'musl-gcc c11 implementation' object musl-gcc "-std=c11 $WARN_C -I$out/musl" $src/impl.c
else
    skip 'musl-gcc is not installed'
fi
wait

i=1
while [ "$i" -le "$number" ]; do
    if [ -f "$out/$i.log" ]; then
        fail "$(cat "$out/$i.name")"
        head -n 12 "$out/$i.log" | sed 's/^/     /'
    else
        pass "$(cat "$out/$i.name")"
    fi
    i=$((i + 1))
done
finish
