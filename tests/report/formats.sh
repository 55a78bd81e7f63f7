#!/bin/sh
# formats.sh - reports of a pool that met hostile texts, read by parsers that are not ours: json and
# html.parser of python3, promtool of Prometheus. SPDX-License-Identifier: MIT OR Unlicense
set -u
cd "${TEST_ROOT:-.}" || exit 1
: "${BUILD:=build}" "${TMPDIR:=/tmp}"
out=$(mktemp -d "$TMPDIR/formats.XXXXXX") || exit 1
program=$BUILD/tests/api/report
case $program in /*) ;; *) program=$PWD/$program ;; esac
passed=0 failed=0

# verdict NAME STATUS - with what was said in $out/said
verdict() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1)) && echo "ok $1"
    else
        failed=$((failed + 1)) && sed 's/^/# /' "$out/said" && echo "not ok $1"
    fi
}

mkdir "$out/reports" "$out/work"
(cd "$out/work" && "$program" write "$out/reports") >"$out/said" 2>&1
verdict reports_are_written $?

if command -v python3 >/dev/null 2>&1; then
    PYTHONIOENCODING=utf-8 python3 tests/report/check.py "$out/reports" >"$out/said" 2>&1
    grep -v 'passed, ' "$out/said"
    passed=$((passed + $(grep -c '^ok ' "$out/said")))
    failed=$((failed + $(grep -c '^not ok ' "$out/said")))
    grep -q 'passed, ' "$out/said" || verdict check_py_ends 1
else
    echo '# skipped: JSON, trace and HTML: python3 is not installed'
fi

if command -v promtool >/dev/null 2>&1; then
    promtool check metrics <"$out/reports/metrics.txt" >"$out/said" 2>&1
    status=$?
    [ ! -s "$out/said" ] || status=1 # it may say something and end with 0
    verdict promtool_has_no_problem_with_the_metrics $status
    # A file of OpenMetrics for its other reader: that wants times, which a scrape has none of.
    sed '/^#/!s/$/ 1700000000.000/' "$out/reports/metrics.om" >"$out/timed.om"
    promtool tsdb create-blocks-from openmetrics "$out/timed.om" "$out/tsdb" >"$out/said" 2>&1
    verdict promtool_reads_the_openmetrics $?
else
    echo '# skipped: metrics: promtool (of the package prometheus) is not installed'
fi
rm -rf "$out"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
