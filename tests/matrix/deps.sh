#!/bin/sh
# deps.sh - what `make matrix` needs beyond gcc and make, from the packages of Debian or Ubuntu.
# SPDX-License-Identifier: MIT OR Unlicense
set -eu

command -v apt-get >/dev/null 2>&1 || { echo 'no apt-get here: install these by hand'; exit 1; }
packages="clang musl-tools tcc qemu-user mingw-w64-x86-64-dev gcc-mingw-w64-x86-64-posix wine wine64 emscripten"
for processor in aarch64:arm64 s390x:s390x riscv64:riscv64 i686:i386; do
    packages="$packages gcc-${processor%:*}-linux-gnu libc6-dev-${processor#*:}-cross"
done
packages="$packages gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"
command -v npm >/dev/null 2>&1 || packages="$packages npm"
command -v node >/dev/null 2>&1 || packages="$packages nodejs"
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
