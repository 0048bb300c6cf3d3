#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Every rule and every query of the dashboard, against a real Prometheus that scrapes a real daemon.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
# shellcheck source=tests/system/prometheus.sh
. "$TOP/tests/system/prometheus.sh"

# What has nothing to show here: no past, no node_exporter, nothing lost, down or failed, no old request.
EMPTY_RULES='_past$|:dropscope_tcp_sent:|collector_down:|oldest_request_seconds:top20$'
EMPTY_PANELS='^(Collectors down|Alerts firing|Oldest requests|Events lost.*|Disk: errors and requeues)$'

# some_of_everything again and again, so that counters rise from scrape to scrape
keep_busy() {
	for _ in {1..8}; do
		traffic a frames srcA 321 0x88b5
		traffic a frames srcA 100 stp
		traffic a traffic udp 127.0.0.1 9 500 64
		traffic a tcpflow flow 127.0.0.1 5001 1 500
		"$TOOLS/disk" "$LOOP" read 100 4096 >/dev/null
		sleep 1
	done
}

# The rules as they are, but for the minutes that the disks' groups wait.
busy_prometheus() {
	cp "$TOP"/packaging/prometheus/*.yml "$TMP"
	sed -i 's/^    interval: [13]m$/    interval: 1s/' "$TMP/dropscope-rules.yml"
	start_prometheus "$TMP/dropscope-rules.yml" "$TMP/dropscope-alerts.yml" || return
	wait_until 15 answer_is 'up{job="dropscope"}' 1
	keep_busy
}

rules() {
	curl -sS "$API/rules" | jq -r ".data.groups[].rules[] | $1"
}

case_rules() {
	local name

	rules '.name + " " + .health + " " + (.lastError // "")' >"$TMP/rules"
	at_least 'rules' 50 "$(wc -l <"$TMP/rules")"
	equal 'rules that fail' '' "$(awk '$2 != "ok"' "$TMP/rules" | head -n 3)"
	for name in $(rules 'select(.type == "recording") | .name' | sort -u | grep -vE "$EMPTY_RULES"); do
		at_least "series of $name" 1 "$(query "count($name)")"
	done
	equal 'alerts with templates that fail' '' \
		"$(rules '.alerts[]?.annotations[]' | grep -F -e '<error' -e '<no value>')"
	equal 'alerts that fire after ten seconds of this' '' \
		"$(query 'count(ALERTS{alertname=~"Dropscope.*", alertstate="firing"})')"
}

# The expressions of alerts can be asked without their `for`; those of drops see the drops of their class.
case_alerts() {
	local expression

	while IFS= read -r expression; do
		equal "the answer to $expression" success "$(ask "$expression" | jq -r .status)"
	done < <(rules 'select(.type == "alerting") | .query | gsub("\n"; " ")')
	[ -n "$CLASSES" ] || skip 'a daemon with classes is needed' || return
	equal 'class of spanning tree' benign \
		"$(ask 'rate(dropscope_drop_wire_packets_total{protocol="stp"}[5m]) > 0' |
			jq -r '[.data.result[].metric.class] | unique | join(" ")')"
	at_least 'classes that drop here' 2 \
		"$(query 'count(count by (class) (instance_class:dropscope_drop_wire_packets:rate5m))')"
}

# fleet_agrees: to one in a hundred. Groups of rules are evaluated one after the other, and drops go on meanwhile.
fleet_agrees() {
	RATIO=$(query 'round(100 * sum(fleet_class:dropscope_drop_wire_packets:rate5m)
		/ sum(rate(dropscope_drop_wire_packets_total[5m])))')
	[ -n "$RATIO" ] && [ "$RATIO" -ge 99 ] && [ "$RATIO" -le 101 ]
}

# What the rules make of it, by way of host and class, is the rate of what the daemon counts.
case_sums() {
	at_least 'drops a second in tenths' 100 "$(query 'round(10 * sum(rate(dropscope_drop_wire_packets_total[5m])))')"
	wait_until 20 fleet_agrees
	between 'the fleet in per cent of its hosts' 99 101 "$RATIO"
	at_least "reads a second of $LOOP_NAME" 1 "$(query "round(instance_device:dropscope_block_requests:rate5m{
		device=\"$LOOP_NAME\", operation=\"read\"})")"
}

# dashboard_queries: "title TAB query", variables put in as Grafana would
dashboard_queries() {
	local symbol

	symbol=$(ask 'topk(1, sum by (symbol) (fleet_symbol:dropscope_drop_wire_packets:rate5m))' |
		jq -r '.data.result[0].metric.symbol')
	jq -r --arg instance "127.0.0.1:$PORT" --arg symbol "$symbol" '.panels[] | .title as $title
		| .targets[]? | .expr | gsub("\\$job"; ".+") | gsub("\\$instance"; $instance)
		| gsub("\\$symbol"; $symbol) | gsub("\\$__rate_interval"; "5m") | $title + "\t" + .' \
		"$TOP/packaging/grafana/dropscope.json"
}

case_dashboard() {
	local title expression answer queries=0

	while IFS=$'\t' read -r title expression; do
		answer=$(ask "$expression")
		queries=$((queries + 1))
		equal "the answer to $title" success "$(jq -r .status <<<"$answer")"
		# What may be empty is so for a line, not for a whole panel.
		[[ $title =~ $EMPTY_PANELS ]] || [[ $expression == *_past* ]] ||
			at_least "series of $title: $expression" 1 "$(jq '.data.result | length' <<<"$answer")"
	done < <(dashboard_queries)
	at_least 'queries' 55 "$queries"
}

# What fills the lists of its variables.
case_variables() {
	local metric label n=0

	while IFS=$'\t' read -r metric label; do
		n=$((n + 1))
		at_least "values of $label" 1 "$(curl -sS -G --data-urlencode "match[]=${metric//\$job/.+}" \
			"$API/label/$label/values" | jq '.data | length')"
	done < <(jq -r '.templating.list[].query.query? // empty
		| capture("label_values\\((?<metric>.*), (?<label>[a-z]+)\\)") | .metric + "\t" + .label' \
		"$TOP/packaging/grafana/dropscope.json")
	equal 'variables with a list' 3 "$n"
}

# What a central Prometheus would take by the match of docs/fleet.md: of the fleet, and nothing of a host.
case_federation() {
	local match

	match=$(sed -n "s/^ *- '\\({__name__=~.*}\\)'\$/\\1/p" "$TOP/docs/fleet.md")
	curl -sS -G --data-urlencode "match[]=$match" "${API%/api/v1}/federate" | grep -v '^#' >"$TMP/federated"
	at_least 'federated series' 20 "$(wc -l <"$TMP/federated")"
	equal 'series of other kinds' '' "$(grep -v '^fleet' "$TMP/federated" | head -n 3)"
}

# Whoever is woken by an alert pastes these.
case_runbooks() {
	local path n=0

	while read -r path; do
		[[ $path != *class=* ]] || [ -n "$CLASSES" ] || continue
		n=$((n + 1))
		equal "the status of $path" 200 "$(status "$path")"
	done < <(grep -oE "localhost:9435/[^' ]*" "$TOP/docs/runbooks.md" | sed 's/^localhost:9435//' | sort -u)
	at_least 'commands' 10 "$n"
}

# with FUNCTION: needs what the first case has made
with() {
	[ -n "$BUSY_PROMETHEUS" ] || skip 'root, a kernel with BTF and a Prometheus are needed' || return
	"$1"
}

case_start() {
	needs root btf nsenter ip nft losetup prometheus jq || return
	start_daemon || return
	some_of_everything || return
	busy_prometheus || return
	BUSY_PROMETHEUS=yes
	equal 'its target' up "$(curl -sS "$API/targets" | jq -r '.data.activeTargets[].health')"
}

BUSY_PROMETHEUS=
CLASSES=$("$DAEMON" --list-metrics 2>/dev/null | grep 'dropscope_drops_total.* class,')
# Its namespaces and its loop device stay for all cases.
run_case 'live: Prometheus with the rules' case_start
run_case 'live: rules' with case_rules
run_case 'live: alerts' with case_alerts
run_case 'live: sums' with case_sums
run_case 'live: the dashboard' with case_dashboard
run_case "live: the dashboard's variables" with case_variables
run_case 'live: federation' with case_federation
run_case 'live: commands of the runbooks' with case_runbooks
finish
