#!/bin/bash
# Test every commit of a pull request, and write the report of it.
#
#   run-series-tests.sh BASE OUT [OPTION...]     in a checkout whose HEAD is the tip
#
# BASE: the commit that the series stands on. OUT: a directory for report.html, report.md and
# junit.xml. OPTION: what to test, as memdesc-tool regress takes it: --matrix FILE, or
# --kunitconfig FILE --filter 'SUITE*', or --command CMD. Exit status: that of regress.
set -euo pipefail

base=$1 out=$2
shift 2
what=(--tree . --range "$base..HEAD" "$@")
mkdir -p "$out"

status=0
memdesc-tool regress "${what[@]}" --annotations github || status=$?
# 2 and 3 are no verdict on the series: wrong use, or a machine that failed.
[ "$status" -le 1 ] || exit "$status"

reported=0
memdesc-tool report "${what[@]}" -o "$out/report.html" --markdown "$out/report.md" \
	--junit "$out/junit.xml" || reported=$?
[ "$reported" -le 1 ] || exit "$reported"
exit "$status"
