#!/bin/sh
# mutate.sh - does a test notice when the library is wrong? Change sqlpool.h a little, again and again.
# SPDX-License-Identifier: MIT OR Unlicense
#
# A random sample of the changes that mutants.awk finds is drawn: SIM_SEED says which (printed; the
# clock without it). A change that does not compile, or that the compiler's -O2 output does not show,
# is drawn again. weave.c puts nearly all of them into one text, so that every test program is compiled
# once and says which mutants it comes to: a mutant is given to those programs of its room (rooms.txt)
# that do, then to the quickest of the others, until one fails: then it is killed. The few that cannot
# be woven, constants above all, are compiled one by one into the programs of their room. Nothing is
# optimised: the time goes into compiling. Prints each survivor, and the share of the killed with the
# interval in which the share of all mutants lies with 95 % (Wilson).
#
#   MUTANTS         size of the sample (400)
#   SIM_SEED        which sample
#   MUTATE_JOBS     mutants at a time (as many as there are processors)
#   MUTATE_SECONDS  time after which no further one is begun (no limit)
#   MUTATE_AGAIN    1: forget the survivors of earlier runs, to see whether new tests kill them
#   MUTATE_ROOM     seconds that programs of its own room may take together for one mutant of the one
#                   text; the first runs however long it takes, those that would pass it do not (no limit)
#   MUTATE_OTHERS   seconds that programs of other rooms may take together for one mutant (20)
#   MUTATE_ONLY     kinds and rooms to draw from, a pattern that awk looks for in "KIND ROOM" (all): ' I20'
#                   is a room with its parts, '^drop ' a kind (see mutants.awk)
#
# Results go into BUILD/mutate, one line each, so a run that was stopped goes on when it is called with
# the same seed. A change of sqlpool.h begins a new file; other limits do not (MUTATE_AGAIN).
set -u
export LC_ALL=C
: "${CC:=cc}" "${BUILD:=build}" "${SQLITE_INCLUDE:=}" "${SQLITE_LINK:=-lsqlite3}" "${LDLIBS:=-lpthread -lm}"
: "${CPPFLAGS:=}" "${MUTANTS:=400}" "${MUTATE_SECONDS:=0}" "${MUTATE_ONLY:=.}"
: "${MUTATE_ROOM:=0}" "${MUTATE_OTHERS:=20}"
: "${MUTATE_JOBS:=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}"
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
# With what weave.c made, and who is awake in it.
compile_woven() {
    # shellcheck disable=SC2086 # flags are words on purpose
    $CC $CPPFLAGS -w -O0 $pattern -include "$tools/mutant.h" -I"$base/woven" -I"$source" -I"$source/tests" $SQLITE_INCLUDE "$@"
}
build_woven() { # program
    mkdir -p "$base/${1%/*}"
    # shellcheck disable=SC2086
    if is_whole "$1"; then
        compile_woven -std=gnu11 -o "$base/$1" "$source/tests/$1.c" "$base/mutant.o" $link
    else
        compile_test -std=gnu11 -c -o "$base/$1.o" "$source/tests/$1.c" &&
            $CC -o "$base/$1" "$base/$1.o" "$base/woven.o" "$base/mutant.o" $link
    fi 2>>"$base/errors"
}
# The text of all mutants: lines of which the compiler wants a constant go, then those around them.
weave() {
    mkdir -p "$base/woven"
    # shellcheck disable=SC2086
    $CC -O1 -w -o "$base/weave" "$tools/weave.c" && compile -c -o "$base/mutant.o" "$tools/mutant.c" || return
    grep -n 'SQLPOOL_ZONE_BEGIN(' sqlpool.h | cut -d: -f1 >"$base/left_out" # it may declare something
    around=0
    while [ "$around" -lt 40 ]; do
        "$base/weave" sqlpool.h "$out/all" "$base/left_out" >"$base/woven/sqlpool.h" 2>"$base/woven/numbers"
        compile_woven -std=c11 -c -o "$base/woven.o" -fmax-errors=0 "$source/tests/impl.c" 2>"$base/errors" && return
        sed -n 's/.*sqlpool\.h:\([0-9]*\):.*/\1/p' "$base/errors" | sort -u |
            awk -v around="$around" '{ for (i = $1 - around; i <= $1 + around / 4; i++) print i }' >>"$base/left_out"
        around=$((around + 4))
    done
    return 1
}
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
awk -F '\t' -v only="$MUTATE_ONLY" '($1 " " $2) ~ only { print $0 "\t" NR }' "$out/all" >"$out/list"
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
    awk -v room="$1" '
        /^#/ || NF == 0 { next }
        { name = $1; sub(/^[^ ]+ +/, ""); list[name] = $0 }
        END {
            if (!(room in list)) sub(/\..*/, "", room)
            if (!(room in list)) room = "*"
            print list[room]
        }' "$tools/rooms.txt"
}
run() { # program seconds mutant: output in program.log; fails at the first test that fails
    rm -rf "$1.dir"
    mkdir -p "$1.dir"
    {
        cd "$1.dir" || exit 1
        # Nothing that a mutant may take without limit: memory, disk, time.
        ulimit -f 2097152 2>/dev/null
        # shellcheck disable=SC3045 # a shell that lacks it does without
        ulimit -v 6000000 2>/dev/null
        TMPDIR=$1.dir TEST_ROOT=$root
        [ -z "${3:-}" ] || export MUTANT="$3"
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
        build_woven "$program" || {
            echo "$program" >>failed
            return
        }
        start=$(date +%s%N)
        MUTANTS_MET=$base/$program.met run "$base/$program" 300 || { # says nothing about a mutant
            echo "mutate: $program fails unchanged, and is left out: $base/$program.log"
            echo "$program" >>broken
            continue
        }
        echo "$((($(date +%s%N) - start) / 1000000)) $program" >>took # milliseconds
        rm -rf "${base:?}/$program.dir"
    done
}

mkdir -p "$base"
needed=$(awk '!/^#/ { for (i = 2; i <= NF; i++) print $i }' "$tools/rooms.txt" | sort -u)
tests=$(cd "$root" && cat sqlpool.h tests/*.h tests/*/*.[ch] tests/mutate/* | cksum | tr -d ' ')
tests="$tests $CC $(echo "$needed" | cksum)"
if [ "$(cat "$base/mark" 2>/dev/null)" != "$tests" ]; then
    echo "mutate: the unchanged programs run first"
    rm -rf "$base"
    mkdir -p "$base" && cd "$base" || exit 1
    : >broken
    mkdir -p "$source" && cp -R "$root/sqlpool.h" "$root/tests" "$source" && cp "$root/sqlpool.h" . || exit 1
    compile -std=c11 -O2 -S -o impl.s "$source/tests/impl.c" || exit 1
    weave || { echo "mutate: the mutants cannot be woven: $base/errors"; exit 1; }
    w=0
    while w=$((w + 1)) && [ "$w" -le "$MUTATE_JOBS" ]; do
        prove "$w" &
    done
    wait
    [ ! -f failed ] || { echo "mutate: $(cat failed) cannot be compiled: $base/errors"; exit 1; }
    sort -n took >quickest
    cd "$root" || exit 1
    echo "$tests" >"$base/mark"
fi

# --- one mutant ----------------------------------------------------------------------------------
is_other_code() { # and leaves the changed text here
    awk -v edits="$(echo "$line" | cut -f5)" -f "$tools/apply.awk" "$source/sqlpool.h" >sqlpool.h
    compile -std=c11 -O2 -S -o impl.s "$source/tests/impl.c" 2>/dev/null
    ! cmp -s impl.s "$base/impl.s"
}
verdict_of() { # program, its log
    echo "killed by $1 ($(awk '/^not ok/ { why = $3 } /^exit / { status = $2 }
        END { print why != "" ? why : status == 137 ? "time" : "exit " status }' "$2"))"
}
took_of() { awk -v p="$1" '$2 == p { print $1 }' "$base/quickest"; } # program: milliseconds, unchanged
limit_of() { echo $((4 * $(took_of "$1") / 1000 + 5)); }             # program: seconds
# A mutant in the woven text: each program as it is, with this one awake.
try_woven() { # its number there, room
    met=0 spent=0 may=$((1000 * MUTATE_ROOM))
    for program in $(programs_of "$2") - $(cut -d' ' -f2 "$base/quickest"); do
        [ "$program" != - ] || { others=yes spent=0 may=$((1000 * MUTATE_OTHERS)) && continue; }
        case " $tried " in *" $program "*) continue ;; esac
        grep -q -x "$1" "$base/$program.met" 2>/dev/null || continue
        ! grep -q -x "$program" "$base/broken" || continue
        took=$(took_of "$program")
        if [ -n "$others" ]; then
            [ $((spent + took)) -le "$may" ] || break # the next ones take longer
        elif [ "$may" -gt 0 ] && [ "$met" -gt 0 ]; then
            [ $((spent + took)) -le "$may" ] || continue
        fi
        spent=$((spent + took)) met=$((met + 1)) tried="$tried $program"
        ln -f "$base/$program" "$(mkdir -p "${program%/*}" && echo "$program")"
        run "$PWD/$program" "$(limit_of "$program")" "$1" || { verdict_of "$program" "$program.log"; return; }
        rm -rf "$program.dir"
    done
    is_other_code || { echo 'same code'; return; }
    [ "$met" -gt 0 ] && echo 'survived' || echo 'survived, no program comes to it'
}
try() { # number, folder: prints the verdict
    line=$(sed -n "$1p" "$out/drawn")
    rm -rf "$2"
    mkdir -p "$2" && cd "$2" || exit 1
    tried='' others='' room=$(echo "$line" | cut -f3) number=$(echo "$line" | cut -f7)
    ! grep -q -x "$number" "$base/woven/numbers" || { try_woven "$number" "$room"; return; }
    is_other_code || { echo 'same code'; return; }
    for program in $(programs_of "$room"); do
        ! grep -q -x "$program" "$base/broken" || continue
        if ! build_program "$program" "$2"; then
            # What only the tests cannot be compiled with has been noticed.
            compile -std=c11 -fsyntax-only "$source/tests/impl.c" 2>/dev/null &&
                echo "killed by $program (compiler)" || echo 'does not compile'
            return
        fi
        run "$2/$program" "$(limit_of "$program")" || { verdict_of "$program" "$2/$program.log"; return; }
        rm -rf "$2/$program.dir"
    done
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
        if ($2 ~ /^survived/) {
            lived++; kind_lived[$3]++; room_lived[room]++
            printf "%s: line %s, [%s], %s: %s\n", $2, $5, $4, $3, $6
            note = "[" $4 "] " $6
            if (note in reason) {
                print "          " reason[note]
                if (reason[note] !~ /^not tested/) known++
            }
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
        if (known) print "without the survivors that no test can tell: " share(n - lived, n - known)
        m = n - kinds["number"]
        if (m && m < n) print "conditions and statements alone: " share(m - lived + kind_lived["number"], m)
        print share(n - lived, n)
    }'
echo "seed $SIM_SEED, $(($(date +%s) - begin)) s"
