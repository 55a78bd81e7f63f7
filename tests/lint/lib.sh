# lib.sh - what the scripts of lint and compile-check share; read with "." from the top folder.
# SPDX-License-Identifier: MIT OR Unlicense

: "${CC:=cc}" "${CXX:=c++}" "${BUILD:=build}" "${SQLITE_INCLUDE:=}" "${LDLIBS:=-lpthread -lm}"
: "${CPPFLAGS:=}"
if [ -z "${SQLITE_LINK:-}" ]; then SQLITE_LINK=-lsqlite3; fi
# The strict flags of style.md; the Makefile passes its own copy in STRICT.
WARN='-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wundef'
WARN="$WARN -Wdouble-promotion -Werror"
WARN_C="$WARN -Wstrict-prototypes -Wmissing-prototypes"
WARN_CXX=$WARN
: "${STRICT:=-std=c11 $WARN_C}"

header=sqlpool.h
passed=0
failed=0

pass() { passed=$((passed + 1)) && echo "ok   $*"; }
fail() { failed=$((failed + 1)) && echo "FAIL $*"; }
skip() { echo "skip $*"; }

# verdict NAME FILE: passes when FILE, the list of findings, is empty; prints it otherwise.
verdict() {
    if [ -s "$2" ]; then
        fail "$1"
        sed 's/^/     /' "$2" | head -n "${FINDINGS:-60}"
    else
        pass "$1"
    fi
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

# works COMPILER FLAGS...: can it compile (and link) a program in these modes?
works_c() { echo 'int main(void) { return 0; }' | "$@" -x c - -o /dev/null 2>/dev/null; }
works_cxx() { echo 'int main() { return 0; }' | "$@" -x c++ - -o /dev/null 2>/dev/null; }

# The compilers to try: the chosen one, and gcc and clang where they are installed.
same_compiler() { # two commands that are the same program
    [ "$(command -v "$1" | xargs readlink -f 2>/dev/null)" = \
        "$(command -v "$2" | xargs readlink -f 2>/dev/null)" ]
}
pick() { # works-function candidates...
    picker=$1 picked=
    shift
    for candidate; do
        # shellcheck disable=SC2086 # "ccache gcc" is two words
        "$picker" $candidate || continue
        fresh=yes
        for earlier in $picked; do
            same_compiler "$candidate" "$earlier" && fresh=
        done
        [ -z "$fresh" ] || picked="$picked $candidate"
    done
    echo "$picked"
}
c_compilers() { pick works_c "$CC" gcc clang; }
cxx_compilers() { pick works_cxx "$CXX" g++ clang++; }

# Compile switches: what the header asks the preprocessor about by name.
no_switches() {
    sed -n '/^# *\(if\|ifdef\|ifndef\|elif\)/p' "$header" |
        grep -o 'SQLPOOL_NO_[A-Z0-9_]*' | sort -u
}
