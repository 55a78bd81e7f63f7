#!/bin/sh
# mutate.sh - does a test notice when the library is wrong? Change sqlpool.h a little, again and again.
# SPDX-License-Identifier: MIT OR Unlicense
#
# A random sample of the changes that mutants.awk finds is drawn: SIM_SEED says which (printed; the
# clock without it). A change that does not compile, or that the compiler's -O2 output does not show,
# is drawn again. Each is compiled into the test programs of its room (rooms.txt), which run until one
# fails: then the mutant is killed. They are compiled with -O0, since compiling is nearly all of the
# time, and the slow -O2 is asked only about mutants that have passed the first two. Prints each survivor, and the share of the killed with the interval
# in which the share of all mutants lies with 95 % (Wilson).
#
#   MUTANTS         size of the sample (400)
#   SIM_SEED        which sample
#   MUTATE_JOBS     mutants at a time (as many as there are processors)
#   MUTATE_SECONDS  time after which no further one is begun (no limit)
#   MUTATE_AGAIN    1: forget the survivors of earlier runs, to see whether new tests kill them
#   MUTATE_WIDE     1: behind the programs of its room all others run too: slow, for survivors
#   MUTATE_ONLY     kinds and rooms to draw from, a pattern that awk looks for in "KIND ROOM" (all): ' I20'
#                   is a room with its parts, '^drop ' a kind (see mutants.awk)
#
# Results go into BUILD/mutate, one line each, so a run that was stopped goes on when it is called with
# the same seed. A change of sqlpool.h begins a new file.
set -u
export LC_ALL=C
: "${CC:=cc}" "${BUILD:=build}" "${SQLITE_INCLUDE:=}" "${SQLITE_LINK:=-lsqlite3}" "${LDLIBS:=-lpthread -lm}"
: "${CPPFLAGS:=}" "${MUTANTS:=400}" "${MUTATE_JOBS:=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}" "${MUTATE_SECONDS:=0}" "${MUTATE_ONLY:=.}" "${MUTATE_WIDE:=0}"
: "${SIM_SEED:=$(date +%s)}"
root=$(pwd)
case $BUILD in /*) ;; *) BUILD=$root/$BUILD ;; esac
out=$BUILD/mutate
tools=$out/tools # copies, as of all that a run needs: who edits meanwhile does no harm
base=$out/base
source=$base/source
mkdir -p "$base" "$tools" && cp tests/mutate/* "$tools" || exit 1
begin=$(date +%s)
# shellcheck disable=SC2086 # flags are words on purpose
compile() { $CC $CPPFLAGS -w -I. -I"$source" -I"$source/tests" $SQLITE_INCLUDE "$@"; }
link="$SQLITE_LINK $LDLIBS"
# Who forgets to set a local variable finds a pattern in it, not a zero by chance.
pattern=-ftrivial-auto-var-init=pattern
echo 'int main(void) { return 0; }' | $CC $pattern -Werror -x c -c -o /dev/null - 2>/dev/null || pattern=
compile_test() { compile -O0 $pattern "$@"; }
build_program() { # program, folder of impl.o, which is compiled for the first program that needs it
    mkdir -p "$2/${1%/*}"
    # shellcheck disable=SC2086
    if is_whole "$1"; then
        compile_test -std=gnu11 -o "$2/$1" "$source/tests/$1.c" $link 2>/dev/null
    else
        [ -f "$2/impl.o" ] || compile_test -std=c11 -c -o "$2/impl.o" "$source/tests/impl.c" 2>/dev/null || return
        $CC -o "$2/$1" "$base/$1.o" "$2/impl.o" $link
    fi
}
is_whole() { grep -q '^ *# *define  *SQLPOOL_IMPLEMENTATION' "$source/tests/$1.c"; }

# --- what all mutants share: lists, objects of the programs, the output of the unchanged text --------
mark=$(cksum <sqlpool.h | tr -d ' ')
awk -f "$tools/mutants.awk" sqlpool.h >"$out/all" || exit 1
awk -F '\t' -v only="$MUTATE_ONLY" '($1 " " $2) ~ only' "$out/all" >"$out/list"
total=$(wc -l <"$out/list")
[ "$total" -gt 0 ] || { echo "mutate: no mutant matches '$MUTATE_ONLY'"; exit 1; }
results=$out/results-$mark-$SIM_SEED-$(echo "$MUTATE_ONLY" | cksum | tr -d ' ').txt
[ "${MUTATE_AGAIN:-0}" != 1 ] || [ ! -f "$results" ] ||
    { grep -v "^[0-9]*$(printf '\t')survived" "$results" >"$results.new"; mv "$results.new" "$results"; }
: >>"$results"
# The order in which they are drawn: a shuffle by a generator that is the same in every awk.
awk -v seed="$SIM_SEED" '
    function next_random(n) { x = (x * 16807) % 2147483647; return 1 + x % n }
    { line[NR] = $0 }
    END {
        x = seed % 2147483646 + 1
        for (i = 0; i < 20; i++) next_random(2)
        for (i = NR; i > 1; i--) { j = next_random(i); t = line[i]; line[i] = line[j]; line[j] = t }
        for (i = 1; i <= NR; i++) print i "\t" line[i]
    }' "$out/list" >"$out/drawn"

programs_of() { # room: its line in rooms.txt
    awk -v room="$1" -v wide="$MUTATE_WIDE" '
        /^#/ || NF == 0 { next }
        { name = $1; sub(/^[^ ]+ +/, ""); list[name] = $0; all = all " " $0 }
        END {
            if (!(room in list)) sub(/\..*/, "", room)
            if (!(room in list)) room = "*"
            print list[room]
            n = wide == 1 ? split(all, program, " ") : 0
            for (i = 1; i <= n; i++)
                if (!seen[program[i]]++ && !index(" " list[room] " ", " " program[i] " ")) print program[i]
        }' "$tools/rooms.txt"
}
run() { # program seconds: output in program.log; fails at the first test that fails
    rm -rf "$1.dir"
    mkdir -p "$1.dir"
    {
        cd "$1.dir" || exit 1
        # Nothing that a mutant may take without limit: memory, disk, time.
        ulimit -f 2097152 2>/dev/null
        # shellcheck disable=SC3045 # a shell that lacks it does without
        ulimit -v 6000000 2>/dev/null
        TMPDIR=$1.dir TEST_ROOT=$root
        export TMPDIR TEST_ROOT
        timeout -s KILL "$2" "$1" </dev/null 2>&1
        echo "exit $?"
    } | awk '{ print } /^not ok/ { bad = 1; exit } /^exit / { bad = bad || $2 != 0 } END { exit bad }' >"$1.log"
}

prove() { # number of the worker: it has every so manieth program
    turn=0
    for program in $needed; do
        turn=$((turn % MUTATE_JOBS + 1))
        [ "$turn" -eq "$1" ] || continue
        mkdir -p "$base/${program%/*}"
        if ! { is_whole "$program" || compile_test -std=gnu11 -c -o "$program.o" "$source/tests/$program.c"; } ||
            ! build_program "$program" "$base"; then
            echo "$program" >>failed
            return
        fi
        start=$(date +%s)
        run "$base/$program" 300 || { # says nothing about a mutant
            echo "mutate: $program fails unchanged, and is left out: $base/$program.log"
            echo "$program" >>broken
            continue
        }
        echo "$program $(($(date +%s) - start))" >>seconds
        rm -rf "${base:?}/$program.dir" "${base:?}/$program"
    done
}

mkdir -p "$base"
needed=$(cut -f 2 "$out/list" | sort -u | while read -r room; do programs_of "$room"; done | tr ' ' '\n' | sort -u)
tests=$(cd "$root" && cat sqlpool.h tests/*.h tests/*/*.[ch] | cksum | tr -d ' ')
tests="$tests $CC $(echo "$needed" | cksum)"
if [ "$(cat "$base/mark" 2>/dev/null)" != "$tests" ]; then
    echo "mutate: the unchanged programs run first"
    rm -rf "$base"
    mkdir -p "$base" && cd "$base" || exit 1
    : >broken
    mkdir -p "$source" && cp -R "$root/sqlpool.h" "$root/tests" "$source" && cp "$root/sqlpool.h" . || exit 1
    compile -std=c11 -O2 -S -o impl.s "$source/tests/impl.c" || exit 1
    compile_test -std=c11 -c -o impl.o "$source/tests/impl.c" || exit 1
    w=0
    while w=$((w + 1)) && [ "$w" -le "$MUTATE_JOBS" ]; do
        prove "$w" &
    done
    wait
    [ ! -f failed ] || { echo "mutate: $(cat failed) cannot be compiled"; exit 1; }
    cd "$root" || exit 1
    echo "$tests" >"$base/mark"
fi

# --- one mutant ----------------------------------------------------------------------------------
is_other_code() {
    compile -std=c11 -O2 -S -o impl.s "$source/tests/impl.c" 2>/dev/null
    ! cmp -s impl.s "$base/impl.s"
}
try() { # number, folder: prints the verdict
    line=$(sed -n "$1p" "$out/drawn")
    rm -rf "$2"
    mkdir -p "$2" && cd "$2" || exit 1
    awk -v edits="$(echo "$line" | cut -f5)" -f "$tools/apply.awk" "$source/sqlpool.h" >sqlpool.h
    tried=0
    for program in $(programs_of "$(echo "$line" | cut -f3)"); do
        ! grep -q -x "$program" "$base/broken" || continue
        tried=$((tried + 1))
        [ $tried -ne 3 ] || is_other_code || { echo 'same code'; return; }
        if ! build_program "$program" "$2"; then
            # What only the tests cannot be compiled with has been noticed.
            compile -std=c11 -fsyntax-only "$source/tests/impl.c" 2>/dev/null &&
                echo "killed by $program (compiler)" || echo 'does not compile'
            return
        fi
        seconds=$(awk -v p="$program" '$1 == p { print 4 * $2 + 20 }' "$base/seconds")
        run "$2/$program" "$seconds" && { rm -rf "$2/$program.dir"; continue; }
        how=$(awk '/^not ok/ { why = $3 } /^exit / { status = $2 }
            END { print why != "" ? why : status == 137 ? "time" : "exit " status }' "$2/$program.log")
        echo "killed by $program ($how)"
        return
    done
    [ $tried -ge 3 ] || is_other_code || { echo 'same code'; return; }
    echo 'survived'
}

decided() { awk -F '\t' '$2 ~ /^(killed|survived)/ { n++ } END { print n + 0 }' "$results"; }

worker() { # number of the worker
    i=0
    while i=$((i + 1)) && [ "$i" -le "$total" ]; do
        grep -q "^$i$(printf '\t')" "$results" && continue
        [ "$(decided)" -lt "$MUTANTS" ] || break
        [ "$MUTATE_SECONDS" -eq 0 ] || [ $(($(date +%s) - begin)) -lt "$MUTATE_SECONDS" ] || break
        mkdir "$out/claims/$i" 2>/dev/null || continue
        verdict=$(try "$i" "$out/work$1")
        # A line in one piece: the other workers append to the same file.
        printf '%s\t%s\t%s\n' "$i" "$verdict" "$(sed -n "${i}p" "$out/drawn" | cut -f2,3,4,6)" >>"$results"
    done
}

echo "mutate: seed $SIM_SEED, $MUTANTS of $total mutants, results in $results"
rm -rf "$out/claims"
mkdir -p "$out/claims"
workers=
trap 'for w in $workers; do kill "$w" 2>/dev/null; done; echo "mutate: stopped; the same seed goes on"; exit 130' INT TERM HUP
w=0
while w=$((w + 1)) && [ "$w" -le "$MUTATE_JOBS" ]; do
    worker "$w" &
    workers="$workers $!"
done
wait
rm -rf "$out"/work* "$out/claims"

# --- what came out -------------------------------------------------------------------------------
# The first MUTANTS of the drawn order, so that it does not matter which worker was faster.
sort -n "$results" | awk -F '\t' -v most="$MUTANTS" -v notes="$tools/survivors.txt" '
    BEGIN {
        while ((getline note < notes) > 0) {
            if (note ~ /^#/ || note !~ / :: /) continue
            split(note, part, " :: ")
            reason[part[1]] = part[2]
        }
    }
    $2 == "does not compile" { broken++; next }
    $2 == "same code" { same++; next }
    n >= most { next }
    {
        n++
        kinds[$3]++
        room = $4
        sub(/\..*/, "", room)
        rooms[room]++
        if ($2 == "survived") {
            lived++; kind_lived[$3]++; room_lived[room]++
            printf "survivor: line %s, [%s], %s: %s\n", $5, $4, $3, $6
            note = "[" $4 "] " $6
            if (note in reason) { print "          " reason[note]; known++ }
        } else if ($2 ~ /\(time\)/) slow++
    }
    function share(killed, all,    z, p, m, d) {
        z = 1.959964; p = killed / all
        m = (p + z * z / (2 * all)) / (1 + z * z / all)
        d = z * sqrt(p * (1 - p) / all + z * z / (4 * all * all)) / (1 + z * z / all)
        return sprintf("%d of %d killed: %.1f %%, 95 %% interval %.1f to %.1f", killed, all, 100 * p, 100 * (m - d), 100 * (m + d))
    }
    END {
        if (!n) { print "no mutant was decided"; exit 1 }
        line = ""
        for (k in kinds) line = line sprintf("  %s %d/%d", k, kinds[k] - kind_lived[k], kinds[k])
        print "by kind:" line
        line = ""
        for (k in rooms) if (room_lived[k]) line = line sprintf("  %s %d/%d", k, rooms[k] - room_lived[k], rooms[k])
        print "rooms with survivors:" line
        printf "drawn again: %d do not compile, %d same code; %d killed by their time limit\n", broken, same, slow
        if (known) print "without the survivors whose reason is known: " share(n - lived, n - known)
        print share(n - lived, n)
    }'
echo "seed $SIM_SEED, $(($(date +%s) - begin)) s"
