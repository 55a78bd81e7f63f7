#!/bin/sh
# tsan.sh FOLDER - print what must stand in front of a ThreadSanitizer program on this kernel.
# SPDX-License-Identifier: MIT OR Unlicense
# Kernels with vm.mmap_rnd_bits above 28 place memory where older runtimes cannot shadow it; there
# the program runs with address randomisation off.
set -u
mkdir -p "$1"
printf 'int main(void) { return 0; }\n' >"$1/probe.c"
${CC:-cc} -fsanitize=thread "$1/probe.c" -o "$1/probe" >&2 || exit 0
runs() { # command...: ten runs, since randomisation may be lucky once
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        "$@" >/dev/null 2>&1 || return 1
    done
}
if runs "$1/probe"; then
    echo
elif runs setarch "$(uname -m)" -R "$1/probe"; then
    echo "setarch $(uname -m) -R"
else
    echo "ThreadSanitizer programs do not run on this kernel" >&2
    echo
fi
