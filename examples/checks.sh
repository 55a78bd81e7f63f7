# checks.sh - what scripts that try an example say and count. Sourced by them.
# SPDX-License-Identifier: MIT OR Unlicense
checks=0
wrong=0

say() { printf '\n== %s\n' "$*"; }

# same WHAT EXPECTED FOUND
same() {
    checks=$((checks + 1))
    if [ "$2" = "$3" ]; then
        printf 'ok     %s: %s\n' "$1" "$3"
    else
        wrong=$((wrong + 1))
        printf 'WRONG  %s: expected %s, found %s\n' "$1" "$2" "$3"
    fi
}

# summary WHO - the last command: fails if anything was wrong
summary() {
    say "$1: $checks checks, $wrong wrong"
    [ $wrong -eq 0 ]
}
