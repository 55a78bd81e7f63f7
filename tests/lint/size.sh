#!/bin/sh
# size.sh - bytes of code and data of the object, for each compile switch.
# SPDX-License-Identifier: MIT OR Unlicense
set -u
. tests/lint/lib.sh
out=$BUILD/size
rm -rf "$out"
mkdir -p "$out"
printf '#define SQLPOOL_IMPLEMENTATION\n#include "sqlpool.h"\n' >"$out/impl.c"
cat >"$out/few.c" <<'C'
#define SQLPOOL_STATIC
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
int few(const char *path);
int few(const char *path) {
    sqlpool *pool;
    int rc = sqlpool_open(&pool, path, NULL, NULL);
    if (rc == 0) rc = sqlpool_exec(pool, "CREATE TABLE t(x)", SQLPOOL_NO_ARGS, NULL);
    if (rc == 0) rc = sqlpool_close(pool, NULL);
    return rc;
}
C

status=0
row() { # label source switches...
    label=$1 source=$2
    shift 2
    printf '%-46s' "$label"
    for level in -Os -O2; do
        # shellcheck disable=SC2086
        if $CC -std=c11 $level $SQLITE_INCLUDE $CPPFLAGS -I. "$@" -c -o "$out/o.o" "$source" 2>"$out/log"; then
            size "$out/o.o" | awk 'NR == 2 { printf "  %8d %6d %6d", $1, $2, $3 }'
        else
            printf '  does not compile:\n'
            head -n 5 "$out/log"
            status=1
            return
        fi
    done
    echo
}
echo "$($CC --version | head -n 1), $(uname -m)"
printf '%-46s  %24s  %24s\n' '' '-Os: text   data    bss' '-O2: text   data    bss'
row 'default' "$out/impl.c"
all=
for switch in $(no_switches); do
    [ "$switch" != SQLPOOL_NO_CPP ] || continue
    row "$switch" "$out/impl.c" "-D$switch"
    all="$all -D$switch"
done
# shellcheck disable=SC2086
row 'all of these' "$out/impl.c" $all
row 'SQLPOOL_STATIC, only open, exec, close used' "$out/few.c"
exit $status
