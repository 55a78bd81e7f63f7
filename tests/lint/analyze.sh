#!/bin/sh
# analyze.sh - static analysers over the implementation. Any report fails.
# SPDX-License-Identifier: MIT OR Unlicense
# The header itself is the file compiled: analysers pass over what is only included.
# TIDY=0 leaves out clang-tidy, which runs clang's analyser a second time.
set -u
. tests/lint/lib.sh
out=$BUILD/analyze
mkdir -p "$out"
FINDINGS=400

has() { command -v "$1" >/dev/null 2>&1; }

findings() { grep -E '(warning|error):' "$1" >"$1.bad"; } # one line each; the paths to them stay in $1

if has cppcheck; then
    # Of all system headers it reads sqlite3.h alone, the one that our own code depends on.
    mkdir -p "$out/include"
    # shellcheck disable=SC2086
    cp "$(echo '#include <sqlite3.h>' | $CC $SQLITE_INCLUDE -M -x c - | grep -o '[^ ]*/sqlite3\.h')" "$out/include/"
    # Each line of cppcheck.txt has the reason beside it.
    for switches in '' '-DSQLPOOL_NO_THREADS' '-DSQLPOOL_NO_DEFAULT_HOOKS'; do
        # shellcheck disable=SC2086
        cppcheck --quiet --enable=warning,performance,portability --std=c11 --inline-suppr \
            --suppressions-list=tests/lint/cppcheck.txt --error-exitcode=1 --max-configs=1 \
            --template='{file}:{line}: {severity}: {id}: {message}' \
            -D__GNUC__=12 -D__linux__ -D__unix__ -D__x86_64__ -D__STDC_VERSION__=201112L \
            -DSQLPOOL_IMPLEMENTATION $switches -I. -I"$out/include" tests/impl.c >"$out/cppcheck" 2>&1 ||
            echo "cppcheck ended with a finding" >>"$out/cppcheck"
        verdict "cppcheck $switches" "$out/cppcheck"
    done
else
    skip 'cppcheck is not installed'
fi

if has clang; then
    for switches in '' '-DSQLPOOL_NO_THREADS'; do
        # shellcheck disable=SC2086
        clang --analyze --analyzer-output text -x c -std=c11 -I. $SQLITE_INCLUDE -DSQLPOOL_IMPLEMENTATION \
            $switches "$header" -o "$out/clang.plist" >"$out/clang" 2>&1
        findings "$out/clang"
        verdict "clang --analyze $switches (paths: $out/clang)" "$out/clang.bad"
    done
else
    skip 'clang is not installed'
fi

if has gcc && echo 'int x;' | gcc -fanalyzer -x c -c - -o /dev/null 2>/dev/null; then
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
