# folder.sh - the folder of a bench: sourced by scripts whose first argument is where its programs are.
# SPDX-License-Identifier: MIT OR Unlicense
#
# `needs` names a program that must be there. The argument becomes $folder; $data is a fresh folder
# below it, which is removed at the end.
if [ $# -lt 1 ] || [ ! -x "$1/$needs" ]; then
    echo "usage: $0 FOLDER [--json]   (FOLDER: $needs ...)" >&2
    exit 2
fi
folder=$1
shift

data=$(mktemp -d "$folder/data.XXXXXX")
trap 'rm -rf "$data"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# instructions PROGRAM OPTION...: of a whole run. Threads take turns in a fixed order.
instructions() {
    program=$1
    shift
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --fair-sched=yes \
        "$folder/$program" --dir "$data" "$@" >"$data/log" 2>&1 || {
        cat "$data/log" >&2
        exit 1
    }
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p' "$data/log"
}
