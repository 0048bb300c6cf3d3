#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The rules by promtool, and what is written about them.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"

RULES=$TOP/packaging/prometheus
RUNBOOKS=$TOP/docs/runbooks.md

# alerts: their names, one a line
alerts() {
	sed -n 's/^ *- alert: //p' "$RULES/dropscope-alerts.yml"
}

case_check() {
	needs promtool || return
	truth 'rules that promtool takes' promtool check rules "$RULES"/*.yml >"$TMP/check" 2>&1 ||
		fault "promtool: $(grep -m 1 -i error "$TMP/check")"
}

# case_unit FILE
case_unit() {
	local output status

	needs promtool || return
	output=$(promtool test rules "$1" 2>&1)
	status=$?
	equal 'exit status' 0 "$status"
	[ "$status" = 0 ] || fault "promtool: $(grep -v '^$' <<<"$output" | head -n 12)"
}

# An alert that no test lets fire might never.
case_tested() {
	local alert

	at_least 'alerts' 15 "$(alerts | wc -l)"
	for alert in $(alerts); do
		truth "a test in which $alert fires" grep -qs -e "alertname=\"$alert\"" "$RULES"/tests/*.yml
	done
}

# alert NAME: its lines, up to the next rule
alert() {
	sed -n "/^ *- alert: $1\$/,/^ *- \(alert\|record\|name\): /p" "$RULES/dropscope-alerts.yml" | sed '1b;/^ *- [a-z]*: /d'
}

# annotation NAME <LINES: its text, on one line
annotation() {
	sed -n "s/^ *$1: *\(>-\)\{0,1\}//; t here; d; :here; p; n; /^ *[a-z_]*: /d; /^\$/d; b here" | paste -sd' '
}

# Whoever is told must read which, what and how bad.
case_texts() {
	local alert severity summary description

	for alert in $(alerts); do
		alert "$alert" >"$TMP/alert"
		severity=$(sed -n 's/^ *labels: {severity: \([a-z]*\)}$/\1/p' "$TMP/alert")
		matches "severity of $alert" '@(critical|warning|info)' "$severity"
		summary=$(annotation summary <"$TMP/alert") description=$(annotation description <"$TMP/alert")
		between "length of the summary of $alert" 20 120 ${#summary}
		between "length of the description of $alert" 40 500 ${#description}
		# Those of all targets together are nobody's.
		[[ $alert == DropscopeTargets* ]] ||
			matches "summary of $alert, with whose it is," '*{{ $labels.instance }}*' "$summary"
		truth "another description of $alert than its summary" [ "$summary" != "$description" ]
	done
	at_least 'alerts of each severity' 1 "$(for severity in critical warning; do
		grep -c "severity: $severity}" "$RULES/dropscope-alerts.yml"
	done | sort -n | head -n 1)"
}

# Each alert leads to a section of its own, each section belongs to an alert.
case_runbooks() {
	local alert

	for alert in $(alerts); do
		equal "runbook_url of $alert" "docs/runbooks.md#${alert,,}" "$(
			sed -n "/- alert: $alert\$/,/runbook_url/s/.*runbook_url: //p" "$RULES/dropscope-alerts.yml")"
		equal "sections named $alert" 1 "$(grep -c "^### $alert\$" "$RUNBOOKS")"
	done
	equal 'sections without an alert' '' \
		"$(diff <(alerts | sort) <(sed -n 's/^### //p' "$RUNBOOKS" | sort) | grep '^>')"
}

# Every block of the documents that calls itself a prometheus.yml is one.
case_configurations() {
	local file

	needs promtool || return
	awk -v to="$TMP/documented" '
		/^```yaml$/ { n++; inside = 1; next }
		/^```$/ { inside = 0 }
		inside { print > (to "." n) }' "$TOP/docs/fleet.md"
	grep -l '^# prometheus.yml' "$TMP"/documented.* >"$TMP/configurations"
	at_least 'configurations' 4 "$(wc -l <"$TMP/configurations")"
	while read -r file; do
		truth "a configuration that promtool takes: $(head -n 1 "$file")" \
			promtool check config --syntax-only "$file" >/dev/null
	done <"$TMP/configurations"
}

run_case 'rules: promtool check' case_check
for file in "$RULES"/tests/*.yml; do
	run_case "rules: $(basename "$file" .yml)" case_unit "$file"
done
run_case 'rules: every alert fires in a test' case_tested
run_case 'rules: texts of every alert' case_texts
run_case 'rules: runbooks' case_runbooks
run_case 'rules: configurations in the documents' case_configurations
finish
