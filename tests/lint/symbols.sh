#!/bin/sh
# symbols.sh - read the object file back: what it exports, what it can write to, what it asks for.
# SPDX-License-Identifier: MIT OR Unlicense
set -u
. tests/lint/lib.sh
out=$BUILD/symbols
rm -rf "$out"
mkdir -p "$out"
printf '#define SQLPOOL_IMPLEMENTATION\n#include "sqlpool.h"\n' >"$out/impl.c"
cp "$out/impl.c" "$out/impl.cpp"

# Public prototypes, from the declarations: SQLPOOL_API ... name(
sed '/>>\[END OF API\]/,$d' "$header" |
    sed -n 's/^SQLPOOL_API [^(]*[ *]\(sqlpool_[a-z0-9_]*\)(.*/\1/p' | sort -u >"$out/prototypes"

# All objects are built first, some beside each other; `build` tells of one whether there is one.
limit=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
running=0
prepare() { # object compiler flags...
    object=$out/$1
    shift
    # shellcheck disable=SC2086
    "$@" $SQLITE_INCLUDE $CPPFLAGS -I. -fno-pie -c -o "$object" 2>"$object.log" &
    running=$((running + 1))
    [ "$running" -lt "$limit" ] || { wait && running=0; }
}
build() { # object
    [ ! -s "$out/$1" ] || return 0
    fail "compile: $1"
    head -n 20 "$out/$1.log"
    return 1
}

examine() { # label object [switches]
    nm -P "$2" >"$2.nm"
    # 0. there is something in it
    grep -q '^sqlpool_open_at T' "$2.nm" || fail "$1: the object has no sqlpool_open_at"
    # 1. global symbols (capital letters; v and w are weak, u is unique)
    awk '$2 ~ /^[A-TV-Zuvw]$/ && $2 != "U" && $1 !~ /^sqlpool_/ { print $1, $2 }' "$2.nm" >"$2.bad"
    verdict "$1: $(awk '$2 ~ /^[A-TV-Zuvw]$/ && $2 != "U"' "$2.nm" | wc -l) global symbols, all named sqlpool_*" "$2.bad"
    # 2. writable data: one global, one thread-local hint (which clang may keep as hint.0, hint.1)
    awk '$2 ~ /^[BbDdCcSsGgVvu]$/ && $1 !~ /^(_ZL[0-9]+)?sqlpool__(global|hint)(\.[0-9]+)?$/ { print $1, $2, $4 }' \
        "$2.nm" >"$2.bad"
    verdict "$1: writable data is only sqlpool__global and sqlpool__hint ($(awk \
        '$2 ~ /^[BbDdCc]$/ { printf "%s%s", s, $1; s = ", " }' "$2.nm"))" "$2.bad"
    # 3. the hint is thread-local
    if grep -q 'sqlpool__hint[. ]' "$2.nm"; then
        readelf -sW "$2" 2>/dev/null | awk '$NF ~ /sqlpool__hint(\.[0-9]+)?$/ && $4 != "TLS" { print }' >"$2.bad"
        case "$1" in *NO_THREADS*) : >"$2.bad" ;; esac
        verdict "$1: sqlpool__hint is thread-local" "$2.bad"
    fi
    # 4. atomics are inlined
    awk '$2 == "U" && $1 ~ /^(__atomic|__sync)_/ { print $1 }' "$2.nm" >"$2.bad"
    verdict "$1: no call into libatomic" "$2.bad"
}

asks() { # label object pattern what
    awk -v p="^($3)\$" '$2 == "U" && $1 ~ p { print $1 }' "$2.nm" >"$2.bad"
    verdict "$1: $4" "$2.bad"
}
libc_alloc='malloc|calloc|realloc|reallocarray|free|strdup|strndup|posix_memalign|aligned_alloc|memalign|valloc|mmap|munmap|brk|sbrk|asprintf|vasprintf'
threads='pthread_.*|thrd_.*|mtx_.*|cnd_.*|tss_.*|sem_.*'
# Whatever reads or removes a file: SQLite alone does that. A file of a database that is opened and closed
# past SQLite loses the locks of the process.
files='f(d|re)?open(64)?|opendir|openat(64)?|creat(64)?|mkstemp(64)?|tmpfile(64)?|fclose|p?(read|write)v?(64)?|f(read|write)|unlink(at)?|remove|fstat(at|x)?(64)?|access|realpath|syscall|getenv|secure_getenv|dlopen|fork|v?fork|system|popen|[fv]?printf|puts|abort|exit|_exit'
# What makes and names new files stands in one room, the default of sqlpool_files.
names='open(64)?|close|link(at)?|rename(at)?|[l]?stat(64)?|chmod|chown|fsync'
awk '/>>\[I02.3\]/ { room = 1 } />>\[I03\]/ { room = 0 } /END OF API/ { on = 1 }
    on && !room && /[^A-Za-z0-9_>.](open|close|link|rename|l?stat|chmod|chown|fsync)\([a-z]/ &&
    !/"/ && !/^(int |\/\*)/ { print FNR ": " $0 }' "$header" >"$out/bad"
verdict 'files are made and named in room I02.3 alone' "$out/bad"

echo "public prototypes: $(wc -l <"$out/prototypes")"
for cc in $(c_compilers); do
    tag=$(basename "$cc")
    prepare "$tag.o" "$cc" -std=c11 -O1 "$out/impl.c"
    prepare "$tag.no_hooks.o" "$cc" -std=c11 -O1 -DSQLPOOL_NO_DEFAULT_HOOKS "$out/impl.c"
    prepare "$tag.no_threads.o" "$cc" -std=c11 -O1 -DSQLPOOL_NO_THREADS "$out/impl.c"
    prepare "$tag.bare.o" "$cc" -std=c11 -O1 -DSQLPOOL_NO_THREADS -DSQLPOOL_NO_DEFAULT_HOOKS "$out/impl.c"
    prepare "$tag.no_metrics.o" "$cc" -std=c11 -O1 -DSQLPOOL_NO_METRICS "$out/impl.c"
    prepare "$tag.static.o" "$cc" -std=c11 -O1 -DSQLPOOL_STATIC "$out/impl.c"
done
for cxx in $(cxx_compilers); do
    prepare "$(basename "$cxx").cpp.o" "$cxx" -std=c++11 -O1 "$out/impl.cpp"
done
wait

for cc in $(c_compilers); do
    tag=$(basename "$cc")
    if build "$tag.o"; then
        examine "$tag" "$out/$tag.o"
        awk '$2 == "T" { print $1 }' "$out/$tag.o.nm" | sort -u >"$out/defined"
        comm -23 "$out/prototypes" "$out/defined" >"$out/bad"
        verdict "$tag: every public prototype is defined" "$out/bad"
        comm -13 "$out/prototypes" "$out/defined" | grep -v '^sqlpool__' >"$out/bad"
        verdict "$tag: every defined sqlpool_* function has a public prototype" "$out/bad"
        asks "$tag" "$out/$tag.o" "$files" 'reads and removes no files, no environment, no output, no end of the process'
    fi
    if build "$tag.no_hooks.o"; then
        examine "$tag NO_DEFAULT_HOOKS" "$out/$tag.no_hooks.o"
        asks "$tag NO_DEFAULT_HOOKS" "$out/$tag.no_hooks.o" "$libc_alloc" 'no libc allocation'
        asks "$tag NO_DEFAULT_HOOKS" "$out/$tag.no_hooks.o" "$threads" 'no threads library'
        asks "$tag NO_DEFAULT_HOOKS" "$out/$tag.no_hooks.o" "$files|$names" 'no files'
        echo "     it still asks for: $(awk '$2 == "U" && $1 !~ /^(sqlite3_|_GLOBAL_OFFSET)/ { printf "%s ", $1 }' \
            "$out/$tag.no_hooks.o.nm")"
    fi
    if build "$tag.no_threads.o"; then
        examine "$tag NO_THREADS" "$out/$tag.no_threads.o"
        asks "$tag NO_THREADS" "$out/$tag.no_threads.o" "$threads" 'no threads library'
    fi
    if build "$tag.bare.o"; then
        examine "$tag NO_THREADS NO_DEFAULT_HOOKS" "$out/$tag.bare.o"
        asks "$tag NO_THREADS NO_DEFAULT_HOOKS" "$out/$tag.bare.o" "$libc_alloc|$threads" \
            'no libc allocation, no threads library'
    fi
    # What monitoring is made of, by name: it is in the default object, and nothing of it without.
    if build "$tag.no_metrics.o"; then
        examine "$tag NO_METRICS" "$out/$tag.no_metrics.o"
        recording='^sqlpool__(note_(busy|commit|wait|hold|seldom|slow|timed|counted|repeat|shared|retry)|histogram|bucket|ring|usage|kind|pages?_(take|halve|of)|look_(now|at|back)|monitor|recorder|calibrate|ratio|fingerprint|explain|collect_(kind|events|steps|latency|statements))'
        parts=$(nm -P "$out/$tag.o" | grep -cE "$recording")
        : >"$out/bad"
        [ "$parts" -gt 9 ] || echo "only $parts in the default object: look at the names here" >"$out/bad"
        grep -E "$recording" "$out/$tag.no_metrics.o.nm" >>"$out/bad"
        strings -n 12 "$out/$tag.no_metrics.o" | grep -E 'for the connection, |EXPLAIN QUERY' >>"$out/bad"
        verdict "$tag NO_METRICS: nothing is recorded ($parts functions fewer)" "$out/bad"
    fi
    if build "$tag.static.o"; then
        nm -P "$out/$tag.static.o" | awk '$2 ~ /^[A-TV-Z]$/ { print $1, $2 }' >"$out/bad"
        verdict "$tag STATIC: no global symbol" "$out/bad"
    fi
done
for cxx in $(cxx_compilers); do
    tag=$(basename "$cxx")
    if build "$tag.cpp.o"; then
        examine "$tag" "$out/$tag.cpp.o"
    fi
done
finish
