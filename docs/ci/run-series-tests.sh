#!/bin/bash
# Test every commit of a pull request, and write the report of it.
#
#   run-series-tests.sh BASE OUT [OPTION...]     in a checkout whose HEAD is the tip
#
# BASE: the commit that the series stands on. OUT: a directory for report.html, report.md and
# junit.xml. OPTION: as memdesc-tool regress takes it. What to test: --matrix FILE, or
# --kunitconfig FILE --filter 'SUITE*', or --command CMD; how: --jobs N, --confirm N, ...
# Exit status: that of regress.
set -euo pipefail

if [ $# -lt 3 ]; then
	echo "usage: run-series-tests.sh BASE OUT OPTION..." >&2
	exit 2
fi
base=$1 out=$2
shift 2
# What is tested is said to regress and to report, how it is run to regress alone.
what=(--tree . --range "$base..HEAD") how=(--annotations github)
while [ $# -gt 0 ]; do
	case $1 in
	--matrix | --kunitconfig | --filter | --command | --suite | --arch | --strategy | --project)
		what+=("$1" "${2-}")
		shift
		;;
	--matrix=* | --kunitconfig=* | --filter=* | --command=* | --suite=* | --arch=* | \
		--strategy=* | --project=* | --every)
		what+=("$1")
		;;
	*) how+=("$1") ;;
	esac
	shift
done
mkdir -p "$out"

status=0
memdesc-tool regress "${what[@]}" "${how[@]}" || status=$?
# 2 and 3 are no verdict on the series: wrong use, or a machine that failed.
[ "$status" -le 1 ] || exit "$status"

reported=0
memdesc-tool report "${what[@]}" -o "$out/report.html" --markdown "$out/report.md" \
	--junit "$out/junit.xml" || reported=$?
[ "$reported" -le 1 ] || exit "$reported"
exit "$status"
