#!/bin/sh
# analyze.sh - static analysers over the implementation. Any report fails.
# SPDX-License-Identifier: MIT OR Unlicense
# The header itself is the file compiled: analysers pass over what is only included.
# TIDY=0 leaves out clang-tidy, which runs clang's analyser a second time; ANALYZE_QUICK=1 leaves out gcc's
# analyser too, and every compile switch.
set -u
. tests/lint/lib.sh
out=$BUILD/analyze
rm -rf "$out"
mkdir -p "$out"
FINDINGS=400

has() { command -v "$1" >/dev/null 2>&1; }

quick=${ANALYZE_QUICK:-0}

findings() { grep -E '(warning|error):' "$1" >"$1.bad"; } # one line each; the paths to them stay in $1

if has cppcheck; then
    # Of all system headers it reads sqlite3.h alone, the one that our own code depends on.
    mkdir -p "$out/include"
    # shellcheck disable=SC2086
    cp "$(echo '#include <sqlite3.h>' | $CC $SQLITE_INCLUDE -M -x c - | grep -o '[^ ]*/sqlite3\.h')" "$out/include/"
    # Each line of cppcheck.txt has the reason beside it.
    cppcheck_with() { # switches
        # shellcheck disable=SC2086
        cppcheck --quiet --enable=warning,performance,portability --std=c11 --inline-suppr \
            --suppressions-list=tests/lint/cppcheck.txt --error-exitcode=1 --max-configs=1 \
            --template='{file}:{line}: {severity}: {id}: {message}' \
            -D__GNUC__=12 -D__linux__ -D__unix__ -D__x86_64__ -D__STDC_VERSION__=201112L \
            -DSQLPOOL_IMPLEMENTATION $1 -I. -I"$out/include" tests/impl.c >"$out/cppcheck$1" 2>&1 ||
            echo "cppcheck ended with a finding" >>"$out/cppcheck$1"
    }
    [ "$quick" = 1 ] && cppcheck_switches='' || cppcheck_switches='-DSQLPOOL_NO_THREADS -DSQLPOOL_NO_DEFAULT_HOOKS'
    (
        cppcheck_with ''
        for switch in $cppcheck_switches; do cppcheck_with "$switch"; done
    ) &
fi
if has clang; then
    clang_with() { # switches
        # shellcheck disable=SC2086
        clang --analyze --analyzer-output text -x c -std=c11 -I. $SQLITE_INCLUDE -DSQLPOOL_IMPLEMENTATION \
            $1 "$header" -o "$out/clang.plist" >"$out/clang$1" 2>&1
        findings "$out/clang$1"
    }
    [ "$quick" = 1 ] && clang_switches='' || clang_switches='-DSQLPOOL_NO_THREADS'
    clang_with ''
    for switch in $clang_switches; do clang_with "$switch"; done
fi
wait
if has cppcheck; then
    for file in "$out"/cppcheck "$out"/cppcheck-D*; do
        [ ! -f "$file" ] || verdict "cppcheck ${file#"$out/cppcheck"}" "$file"
    done
else
    skip 'cppcheck is not installed'
fi
if has clang; then
    for switch in '' $clang_switches; do
        verdict "clang --analyze $switch (paths: $out/clang$switch)" "$out/clang$switch.bad"
    done
else
    skip 'clang is not installed'
fi

if [ "$quick" = 1 ]; then
    skip 'gcc -fanalyzer: ANALYZE_QUICK=1'
elif has gcc && echo 'int x;' | gcc -fanalyzer -x c -c - -o /dev/null 2>/dev/null; then
    # At -O0, because the optimiser removes what the analyser would complain of.
    # shellcheck disable=SC2086
    gcc -x c -std=c11 -O0 -fanalyzer -I. $SQLITE_INCLUDE -DSQLPOOL_IMPLEMENTATION -c "$header" \
        -o /dev/null >"$out/gcc" 2>&1
    findings "$out/gcc"
    verdict "gcc -fanalyzer (paths: $out/gcc)" "$out/gcc.bad"
else
    skip 'no gcc with -fanalyzer'
fi

if [ "${TIDY:-1}" = 0 ]; then
    skip 'clang-tidy: TIDY=0'
elif has clang-tidy; then
    # shellcheck disable=SC2086
    clang-tidy --quiet --config-file=tests/lint/clang-tidy.yaml "$header" -- -x c -std=c11 -I. \
        $SQLITE_INCLUDE -DSQLPOOL_IMPLEMENTATION 2>/dev/null >"$out/tidy"
    findings "$out/tidy"
    verdict "clang-tidy (paths: $out/tidy)" "$out/tidy.bad"
else
    skip 'clang-tidy is not installed'
fi
finish
