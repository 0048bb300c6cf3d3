#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# /metrics says what the tables say, and the real Prometheus understands it.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/prometheus.sh
. "$TOP/tests/system/prometheus.sh"

OPENMETRICS='application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,'
OPENMETRICS+='text/plain;version=0.0.4;q=0.5,*/*;q=0.1'

# same_sum PATH TOTAL METRIC [LABEL=VALUE]: the sum over all series of a counter, `other` among
# them, and what the table says in total, in a moment in which nothing is counted: between two equal
# answers of the table. LABEL narrows both down.
same_sum() {
	local path="$1?top=1${4:+&$4}" total=$2 metric=$3 label=${4-} first second SOCKET=$QUIET

	[ -z "$label" ] || label="${label%%=*}=\"${label#*=}\""
	for _ in {1..100}; do
		first=$(get "$path" | jq "$total")
		get /metrics >"$TMP/metrics"
		second=$(get "$path" | jq "$total")
		[ "$first" = "$second" ] && break
	done
	equal "$metric" "$second" "$(sample "$TMP/metrics" "$metric" "$label")"
	at_least "$metric" 1 "$second"
}

case_sums() {
	local disk

	needs root btf nsenter ip nft losetup || return
	start_daemon || return
	some_of_everything || return
	disk=device=$LOOP_NAME
	same_sum /drops .totals.packets dropscope_drops_total
	same_sum /drops .totals.wire_packets dropscope_drop_wire_packets_total
	same_sum /drops .totals.bytes dropscope_drop_bytes_total
	same_sum /receive .totals.packets dropscope_receive_packets_total
	same_sum /receive .totals.wire_packets dropscope_receive_wire_packets_total
	same_sum /receive .totals.bytes dropscope_receive_bytes_total
	same_sum /receive .totals.packets dropscope_receive_packet_size_bytes_count
	same_sum /retransmits .totals.retransmits dropscope_tcp_retransmits_total
	same_sum /retransmits .totals.timeout_seconds.count dropscope_tcp_retransmit_timeout_seconds_count
	same_sum /block .totals.bytes dropscope_block_bytes_total "$disk"
	same_sum /block .totals.request_seconds.count dropscope_block_request_seconds_count "$disk"
	same_sum /block .totals.device_seconds.count dropscope_block_device_seconds_count "$disk"
	same_sum /block .totals.queue_seconds.count dropscope_block_queue_seconds_count "$disk"
}

# With retired rows of a series that has ended, the totals of the table and the series are both
# without it.
case_retired_sums() {
	needs root btf nsenter ip || return
	start_daemon $'[series]\nretire-after = 1s' || return
	namespace a
	namespace b
	cable a srcA b dstA
	traffic a frames srcA 111 0xb100
	wait_until 15 dstA_gone
	traffic a frames srcA 222 0xb101
	same_sum /drops .totals.packets dropscope_drops_total
	at_least 'retired' 111 "$(get '/drops?top=1' | jq .retired.packets)"
}

dstA_gone() {
	[ "$(rows drops '.protocol == "0xb100"' b)" = '[]' ]
}

case_promtool() {
	needs root btf nsenter ip nft losetup promtool || return
	start_daemon || return
	some_of_everything || return
	get /metrics >"$TMP/metrics"
	OUTPUT=$(promtool check metrics <"$TMP/metrics" 2>&1)
	equal 'exit status' 0 "$?"
	equal 'complaints' '' "$OUTPUT"
	equal 'series that are there twice' '' \
		"$(grep -v '^#' "$TMP/metrics" | sed 's/ [^ ]*$//' | sort | uniq -d | head -n 3)"
}

case_openmetrics() {
	local headers

	needs root btf || return
	start_daemon || return
	headers=$(curl -sS -D - -o "$TMP/openmetrics" -H "Accept: $OPENMETRICS" "$URL/metrics")
	matches 'content type' \
		'*[Cc]ontent-[Tt]ype: application/openmetrics-text; version=1.0.0; charset=utf-8*' "$headers"
	equal 'last line' '# EOF' "$(tail -n 1 "$TMP/openmetrics")"
	get /metrics >"$TMP/metrics"
	matches 'content type without Accept' 'text/plain; version=0.0.4; charset=utf-8' \
		"$(curl -sS -o /dev/null -w '%{content_type}' "$URL/metrics")"
	truth 'no end mark in the old format' test "$(tail -n 1 "$TMP/metrics")" != '# EOF'
	# The same samples by name; a TYPE line of OpenMetrics is without _total.
	equal 'names in one form only' '' "$(diff <(names "$TMP/metrics") <(names "$TMP/openmetrics") | head -n 3)"
	equal 'families with _total' 0 "$(grep -c '^# TYPE [a-z_]*_total ' "$TMP/openmetrics")"
}

names() {
	grep -v -e '^#' -e block_oldest_request "$1" | sed 's/[{ ].*//' | sort -u
}

# The whole way: a packet, the kernel, the daemon, a scrape, a query.
case_prometheus() {
	local drops='dropscope_drops_total{reason="UNHANDLED_PROTO",protocol="0x88b5",device="dstA"}'

	needs root btf nsenter ip nft losetup prometheus || return
	start_daemon || return
	some_of_everything || return
	start_prometheus || return
	truth 'the target to be up' wait_until 15 answer_is 'up{job="dropscope"}' 1
	equal 'its health' up "$(curl -sS "$API/targets" | jq -r '.data.activeTargets[].health')"
	equal 'its last error' '' "$(curl -sS "$API/targets" | jq -r '.data.activeTargets[].lastError')"
	wait_until 10 answer_is "$drops" 321
	equal "$drops" 321 "$(query "$drops")"
	traffic a frames srcA 79 0x88b5
	wait_until 10 answer_is "$drops" 400
	equal "$drops after more" 400 "$(query "$drops")"
	# OpenMetrics names the family without its suffix.
	equal 'its type' counter "$(curl -sS "$API/metadata" |
		jq -r '[.data["dropscope_drops", "dropscope_drops_total"][]?.type] | first')"
	equal 'retransmits' "$(get /retransmits | jq .totals.retransmits)" \
		"$(query 'sum(dropscope_tcp_retransmits_total)')"
	equal 'reads' 1 "$(query "count(dropscope_block_request_seconds_count{device=\"$LOOP_NAME\",operation=\"read\"} >= 100)")"
	# A quantile needs classic buckets that add up.
	truth 'a quantile that is a number' jq -en \
		"$(query "histogram_quantile(0.5, dropscope_block_request_seconds_bucket{device=\"$LOOP_NAME\",operation=\"read\"})") > 0" \
		>/dev/null
	# All samples of a scrape have been taken: nothing was a duplicate or out of bounds.
	equal 'samples' "$(query scrape_samples_scraped)" "$(query scrape_samples_post_metric_relabeling)"
	at_least 'samples' 50 "$(query scrape_samples_scraped)"
	stop_prometheus
}

run_case 'metrics: sums as in the tables' case_sums
forget_loops
run_case 'metrics: sums after retirement' case_retired_sums
run_case 'metrics: promtool has nothing to say' case_promtool
forget_loops
run_case 'metrics: OpenMetrics' case_openmetrics
run_case 'metrics: Prometheus scrapes and answers' case_prometheus
forget_loops
finish
