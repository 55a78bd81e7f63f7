#!/bin/sh
# dashboard.sh [shot] - examples/dashboard under its load, asked over HTTP and looked at in a
# headless Chromium. SPDX-License-Identifier: MIT OR Unlicense
#
# Wants chromium, node and npm; playwright-core is fetched into $BUILD/node. What is missing is said
# and skipped. "shot" writes pictures to $BUILD/dashboard-*.png instead.
set -u
cd "${TEST_ROOT:-.}" || exit 1
: "${BUILD:=build}" "${TMPDIR:=/tmp}" "${PLAYWRIGHT:=1.65.1}"
mkdir -p "$BUILD"
build=$(cd "$BUILD" && pwd)
dashboard=$build/examples/dashboard
passed=0 failed=0 server=
out=$(mktemp -d "$TMPDIR/dashboard.XXXXXX") || exit 1
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$out"' EXIT

skip() {
    echo "# skipped: $*"
    echo "0 passed, 0 failed"
    exit 0
}
verdict() { # NAME STATUS
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1)) && echo "ok $1"
    else
        failed=$((failed + 1)) && sed 's/^/# /' "$out/said" | head -n 20 && echo "not ok $1"
    fi
}

[ -x "$dashboard" ] || skip "the dashboard: libmicrohttpd is not installed"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || browser=

"$dashboard" --db "$out/shop.db" --port 0 --seconds 170 >"$out/log" 2>&1 &
server=$!
url=
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    url=$(sed -n 's|^\(http://127.0.0.1:[0-9]*/\)$|\1|p' "$out/log" | head -n 1)
    [ -z "$url" ] || break
    sleep 0.5
done
cp "$out/log" "$out/said"
[ -n "$url" ]
verdict the_dashboard_listens $?
[ -n "$url" ] || { echo "$passed passed, $failed failed" && exit 1; }

# get PATH - its text to $out/got, its status and type to $out/said
get() {
    python3 - "$url" "$1" "$out/got" >"$out/said" 2>&1 <<'PYTHON'
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1].rstrip("/") + sys.argv[2], timeout=10)
except urllib.error.HTTPError as error:
    answer = error
open(sys.argv[3], "wb").write(answer.read())
print(answer.getcode(), answer.headers["Content-Type"])
PYTHON
}
if [ "${1:-}" != shot ] && command -v python3 >/dev/null 2>&1; then
    get /metrics && grep -q '^200 text/plain; version=0.0.4' "$out/said" &&
        grep -q '^sqlpool_statements_total{pool="shop"} [1-9]' "$out/got"
    verdict metrics_are_served $?
    get /report.json && grep -q '^200 application/json' "$out/said" &&
        python3 -m json.tool "$out/got" >"$out/said" 2>&1
    verdict json_is_served $?
    get /trace.json && grep -q '^200 application/json' "$out/said" &&
        python3 -m json.tool "$out/got" >"$out/said" 2>&1
    verdict a_trace_is_served $?
    get /healthz && grep -q '^200 text/plain' "$out/said" && grep -q '^[0-9]* of 100$' "$out/got"
    verdict health_is_served $?
    get /report.txt && ! awk 'length($0) > 80 { bad = 1; print } END { exit !bad }' "$out/got" >"$out/said"
    verdict text_is_served $?
    get /../etc/passwd
    grep -q '^404 ' "$out/said"
    verdict nothing_else_is_served $?
fi

if [ -z "$browser" ]; then
    echo '# skipped: the page in a browser: chromium is not installed'
elif ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    echo '# skipped: the page in a browser: node and npm are not installed'
else
    if [ ! -d "$build/node/node_modules/playwright-core" ]; then
        mkdir -p "$build/node"
        (cd "$build/node" && timeout 60 npm install --no-save --no-audit --no-fund --loglevel=error \
            "playwright-core@$PLAYWRIGHT") >"$out/said" 2>&1
    fi
    if [ ! -d "$build/node/node_modules/playwright-core" ]; then
        echo '# skipped: the page in a browser: npm could not fetch playwright-core'
    else
        [ "${1:-}" != shot ] || sleep "${SHOT_AFTER:-45}"
        NODE_PATH=$build/node/node_modules timeout 150 \
            node tests/report/browser.js "$url" "$browser" "$build" "${1:-test}" >"$out/said" 2>&1
        status=$?
        grep -v 'passed, ' "$out/said"
        passed=$((passed + $(grep -c '^ok ' "$out/said")))
        failed=$((failed + $(grep -c '^not ok ' "$out/said")))
        [ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    fi
fi

kill -TERM "$server" 2>/dev/null
wait "$server"
status=$?
server=
cp "$out/log" "$out/said"
verdict the_dashboard_ends_well $status
[ "${1:-}" != shot ] || ls -l "$build"/dashboard-*.png
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
