# SPDX-License-Identifier: BSD-2-Clause
# A real Prometheus for tests, and something for it to see. Sourced after lib.sh.
# shellcheck shell=bash

# some_of_everything: packets, drops, retransmits and I/O, so that no table is empty
some_of_everything() {
	namespace a
	namespace b
	cable a srcA b dstA
	traffic a frames srcA 321 0x88b5
	traffic a traffic udp 127.0.0.1 9 500 64
	inside a ip route replace local 127.0.0.1 dev lo table local proto kernel scope host \
		src 127.0.0.1 rto_min 20ms
	ruleset a 'chain x { type filter hook input priority 0;
		tcp dport 5001 meta length > 400 numgen inc mod 1000000 < 3 drop; }'
	traffic a tcpflow flow 127.0.0.1 5001 1 500
	fallocate -l 16777216 "$TMP/image"
	loop_device "$TMP/image" || return
	"$TOOLS/disk" "$LOOP" read 100 4096 >/dev/null
	"$TOOLS/disk" "$LOOP" write 50 8192 >/dev/null
}

# start_prometheus [RULES...]: scrapes the daemon and evaluates the rule files each second; sets API
start_prometheus() {
	local port

	port=$(free_port)
	API=http://127.0.0.1:$port/api/v1
	mkdir -p "$TMP/data"
	cat >"$TMP/prometheus.yml" <<-END
		global:
		  scrape_interval: 1s
		  scrape_timeout: 1s
		  evaluation_interval: 1s
		rule_files: [$([ $# = 0 ] || printf '%s, ' "$@")]
		scrape_configs:
		  - job_name: dropscope
		    static_configs:
		      - targets: ['127.0.0.1:$PORT']
	END
	prometheus --config.file="$TMP/prometheus.yml" --storage.tsdb.path="$TMP/data" \
		--web.listen-address="127.0.0.1:$port" --log.level=error >"$TMP/prometheus.log" 2>&1 &
	PROMETHEUS=$!
	PIDS+=("$PROMETHEUS")
	wait_until 20 curl -sf -o /dev/null "http://127.0.0.1:$port/-/ready" ||
		fault "expected Prometheus to start, got: $(tail -n 1 "$TMP/prometheus.log")"
}

stop_prometheus() {
	kill "$PROMETHEUS"
	wait "$PROMETHEUS" 2>/dev/null
	forget_pid "$PROMETHEUS"
}

# ask PROMQL: the answer as Prometheus gives it
ask() {
	curl -sS --max-time 10 --data-urlencode "query=$1" "$API/query"
}

# query PROMQL: the values, one a line
query() {
	ask "$1" | jq -r '.data.result[].value[1]'
}

answer_is() {
	[ "$(query "$1")" = "$2" ]
}
