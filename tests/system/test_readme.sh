#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What the README says against what the program says.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

README=$TOP/README.md

# The table of metrics is the program's own: it is printed, not written.
case_metrics() {
	"$DAEMON" --list-metrics >"$TMP/listed"
	sed -n '/^<!-- metrics: begin -->$/,/^<!-- metrics: end -->$/p' "$README" |
		grep '^|' >"$TMP/written"
	at_least 'metrics listed' 20 "$(wc -l <"$TMP/listed")"
	equal 'the README'\''s table (make readme writes it)' '' "$(diff "$TMP/listed" "$TMP/written")"
}

# Every key of the configuration is there.
case_configuration() {
	local key

	for key in $(sed -n 's/^# *\([a-z-]*\) = .*/\1/p' "$TOP/config/dropscoped.conf" | sort -u); do
		truth "\`$key\` in the README" grep -q "\`$key\`" "$README"
	done
}

run_case 'readme: metrics' case_metrics
run_case 'readme: configuration' case_configuration
finish
