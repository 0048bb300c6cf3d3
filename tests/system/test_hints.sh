#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What a drop means: real packets for each cause, and at the top of /drops the reason, its class and its hints.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# first NAMESPACE: sets ROW to the row that /drops of the namespace begins with
first() {
	ROW=$(get "/drops?netns=$(inode "$1")" | jq -c '.rows[0] // {}')
}

# shows NAMESPACE REASON: it begins with that reason
shows() {
	first "$1"
	[[ $(jq -r .reason <<<"$ROW") == $2 ]]
}

# explained NAMESPACE SYMBOL REASON CLASS MEANING-GLOB: the first row says all of it, in JSON and in text
explained() {
	local text

	wait_until 5 shows "$1" "$3"
	matches symbol "$2" "$(jq -r .symbol <<<"$ROW")"
	matches reason "$3" "$(jq -r .reason <<<"$ROW")"
	equal class "$4" "$(jq -r .class <<<"$ROW")"
	matches meaning "$5" "$(jq -r .meaning <<<"$ROW")"
	matches check '?*' "$(jq -r .check <<<"$ROW")"
	text=$(get "/drops.txt?netns=$(inode "$1")")
	equal 'columns at most' 100 "$(awk '{ if (length($0) > n) n = length($0) } END { print (n > 100 ? n : 100) }' <<<"$text")"
	equal 'class in text' "$4" "$(awk 'prev ~ /^packets/ { print; exit } { prev = $0 }' <<<"$text" |
		grep -ow "$4")"
	if [ "$4" = benign ]; then
		matches 'text' '* benign *' "$text"
	else
		matches 'text' $'*\n    meaning  *\n    check    *' "$text"
	fi
}

# address NAMESPACE DEVICE ADDRESS/PREFIX
address() {
	ip -n "$(namespace_name "$1")" addr add "$3" dev "$2" || fault "expected an address $3, got an error"
}

route() {
	local where=$1

	shift
	ip -n "$(namespace_name "$where")" route "$@" || fault "expected a route $*, got an error"
}

# setting NAMESPACE KEY=VALUE
setting() {
	inside "$1" sysctl -qw "$2" || fault "expected sysctl $2, got an error"
}

# a -- b: 10.9.1.1 and 10.9.1.2
pair() {
	namespace a
	namespace b
	cable a srcA b dstA
	address a srcA 10.9.1.1/24
	address b dstA 10.9.1.2/24
}

# a -- b -- c, b forwards: a sends to 10.9.2.2
line() {
	pair
	namespace c
	cable b outB c dstC
	address b outB 10.9.2.1/24
	address c dstC 10.9.2.2/24
	setting b net.ipv4.ip_forward=1
	route a add default via 10.9.1.2
}

case_frames() {
	needs root btf nsenter ip || return
	namespace a
	namespace b
	cable a srcA b dstA
	traffic a frames srcA 100 "$1"
	explained b '*' '*' benign '*announces itself*'
	equal protocol "$1" "$(jq -r .protocol <<<"$ROW")"
	equal packets 100 "$(jq .packets <<<"$ROW")"
}

case_firewall() {
	needs root btf nsenter nft || return
	namespace a
	ruleset a 'chain c { type filter hook input priority 0; udp dport 9 drop; }'
	traffic a traffic udp 127.0.0.1 9 10 64
	explained a '*' NETFILTER_DROP policy '*nftables*'
}

case_no_socket() {
	needs root btf nsenter || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 10 64
	explained a '*udp*_rcv' NO_SOCKET protocol 'No socket*'
}

case_full_buffer() {
	needs root btf nsenter || return
	namespace a
	traffic a traffic unread 127.0.0.1 7777 500 1000 4096
	explained a '*' SOCKET_RCVBUFF resource '*receive buffer*'
}

# Two handshakes lack their last ACK until three others have filled the accept queue.
case_listen_overflow() {
	needs root btf nsenter nft || return
	namespace a
	setting a net.core.somaxconn=2
	ruleset a 'chain c { type filter hook input priority 0; tcp dport 7778 tcp flags & (syn | ack) == ack drop; }'
	inside a "$TOOLS/tcpflow" handshakes 127.0.0.1 7778 2 6000 >"$TMP/handshakes" &
	PIDS+=($!)
	sleep 0.3
	inside a nft delete table inet t
	traffic a traffic connect 127.0.0.1 7778 3
	explained a '*' TCP_LISTEN_OVERFLOW resource '*accept queue*'
	kill "${PIDS[-1]}" && wait "${PIDS[-1]}" 2>/dev/null
	forget_pid "${PIDS[-1]}"
}

case_checksum() {
	needs root btf nsenter || return
	namespace a
	traffic a traffic icmp 127.0.0.1 10 100 bad
	explained a icmp_rcv ICMP_CSUM malformed '*checksum is wrong*'
}

# The way back to 192.0.2.1 does not lead through dstA.
case_rp_filter() {
	needs root btf nsenter ip || return
	pair
	# While this works they learn each other's address.
	traffic a traffic udp 10.9.1.2 9 1 64
	address a srcA 192.0.2.1/32
	route a add 10.9.1.2/32 dev srcA src 192.0.2.1
	setting b net.ipv4.conf.all.rp_filter=1
	setting b net.ipv4.conf.dstA.rp_filter=1
	route b add 192.0.2.0/24 dev lo
	traffic a traffic udp 10.9.1.2 9 10 64
	explained b '*' IP_RPFILTER routing 'Reverse-path filter*'
}

case_ttl() {
	needs root btf nsenter ip || return
	line
	setting a net.ipv4.ip_default_ttl=1
	traffic a traffic udp 10.9.2.2 9 10 64
	explained b ip_forward IP_INHDR routing 'The TTL ran out*'
}

case_no_route() {
	needs root btf nsenter ip || return
	line
	traffic a traffic udp 198.51.100.1 9 10 64
	explained b ip_error IP_INNOROUTES routing 'No route on*'
}

# Nobody has 10.9.1.77.
case_neighbour() {
	needs root btf nsenter ip || return
	pair
	setting a net.ipv4.neigh.srcA.retrans_time_ms=100
	traffic a traffic udp 10.9.1.77 9 2 64
	explained a '*' NEIGH_FAILED routing '*next hop*'
}

case_neighbour_queue() {
	needs root btf nsenter ip || return
	pair
	setting a net.ipv4.neigh.srcA.unres_qlen_bytes=4096
	setting a net.ipv4.neigh.srcA.mcast_solicit=10
	traffic a traffic udp 10.9.1.77 9 50 1000
	explained a '*' NEIGH_QUEUEFULL resource '*next hop*'
}

case_qdisc() {
	needs root btf nsenter tc ip || return
	pair
	inside a tc qdisc add dev srcA root tbf rate 8kbit burst 1600 limit 3000 2>"$TMP/tc" || {
		skip "the kernel needs tbf: $(tail -n 1 "$TMP/tc")"
		return
	}
	traffic a traffic udp 10.9.1.2 9 100 1000
	explained a '*' 'QDISC_*' resource '*queue*'
}

case_mtu() {
	needs root btf nsenter ip || return
	line
	ip -n "$(namespace_name b)" link set outB mtu 1000
	traffic a traffic udp 10.9.2.2 9 1 1200
	explained b '*' PKT_TOO_BIG routing '*MTU*'
}

# However much harmless noise there is, what has filled up stands first.
case_noise() {
	local found

	needs root btf nsenter ip || return
	namespace a
	namespace b
	cable a srcA b dstA
	traffic a frames srcA 5000 stp
	traffic b traffic unread 127.0.0.1 7777 500 1000 4096
	found=$(get "/drops?netns=$(inode b)" | jq -r '.rows[] | .class' | tr '\n' ' ')
	matches 'classes in their order' 'resource *benign ' "$found"
	found=$(get "/drops?netns=$(inode b)&sort=packets" | jq -r '.rows[0].class')
	equal 'class of the most' benign "$found"
	found=$(get "/drops?netns=$(inode b)&sort=rate" | jq -r '.rows[0].class')
	equal 'class of the fastest' benign "$found"
	found=$(get "/drops?netns=$(inode b)&sort=-class" | jq -r '.rows[0].class')
	equal 'class of the least weight' benign "$found"
	found=$(get "/drops?netns=$(inode b)&by=class&class=benign" | jq -c '[.rows[] | [.class, .packets]]')
	equal 'packets by class' '[["benign",5000]]' "$found"
}

# A rate is there after a second or two, is the count over the time, and is gone ten seconds later.
case_rate() {
	local rate

	needs root btf nsenter || return
	namespace a
	for _ in 1 2 3; do
		traffic a traffic udp 127.0.0.1 9 100 64
		sleep 1
	done
	rate=$(count drops rate '.reason == "NO_SOCKET"' a)
	between 'packets in a thousand seconds' 30000 150000 "$(jq -n "$rate * 1000 | floor")"
	sleep 11
	equal rate 0 "$(count drops rate '.reason == "NO_SOCKET"' a)"
	equal packets 300 "$(count drops packets '.reason == "NO_SOCKET"' a)"
}

# The class is a function of other labels: it makes no more series.
case_metric() {
	needs root btf nsenter || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 10 64
	get /metrics >"$TMP/metrics"
	at_least samples 10 "$(sample "$TMP/metrics" dropscope_drops_total 'reason="NO_SOCKET"' 'class="protocol"')"
	equal 'samples of another class' 0 "$(grep 'reason="NO_SOCKET"' "$TMP/metrics" | grep -vc 'class="protocol"')"
}

reloaded() {
	[ "$(grep -c "$1" "$DAEMON_LOG")" -ge "$2" ]
}

reload() {
	kill -HUP "$DAEMON_PID"
	wait_until 5 reloaded "$1" "$2" || fault "expected \"$1\" in the log, got: $(tail -n 1 "$DAEMON_LOG")"
}

# What a site says is in force after SIGHUP: the row's series ends, another begins, no packet is lost.
case_site() {
	local where=$TMP/hints.d found

	needs root btf nsenter || return
	rm -rf "$where"
	start_daemon "[hints]
directory = $where" || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 30 64
	equal class protocol "$(rows drops '.reason == "NO_SOCKET"' a | jq -r '.[0].class')"
	get /metrics >"$TMP/metrics"
	mkdir "$where"
	printf '[reason NO_SOCKET protocol udp]\nclass = benign\ncheck = Ask the owner of port 9.\n' >"$where/site.conf"
	reload 'configuration reloaded' 1
	traffic a traffic udp 127.0.0.1 9 12 64
	found=$(rows drops '.reason == "NO_SOCKET" and .protocol == "udp"' a)
	equal rows 1 "$(jq length <<<"$found")"
	equal class benign "$(jq -r '.[0].class' <<<"$found")"
	equal check 'Ask the owner of port 9.' "$(jq -r '.[0].check' <<<"$found")"
	matches meaning 'No socket*' "$(jq -r '.[0].meaning' <<<"$found")"
	equal packets 42 "$(sum packets <<<"$found")"
	get /metrics >"$TMP/metrics"
	equal 'old series' 0 "$(sample "$TMP/metrics" dropscope_drops_total 'reason="NO_SOCKET"' 'class="protocol"' \
		'protocol="udp"' 'device="lo"')"
	equal 'new series' 12 "$(sample "$TMP/metrics" dropscope_drops_total 'reason="NO_SOCKET"' 'class="benign"' \
		'protocol="udp"' 'device="lo"')"
	at_least 'what ended' 30 "$(sample "$TMP/metrics" dropscope_retired_total 'collector="drops"' \
		'counter="packets"')"

	# A wrong line: the old ones stay.
	printf '[reason NO_SOCKET]\nclass = harmless\n' >"$where/wrong.conf"
	reload 'the old configuration stays in force' 1
	matches 'the log' "*$where/wrong.conf:2: class: \"harmless\" is not a class; allowed: resource, *" \
		"$(cat "$DAEMON_LOG")"
	equal class benign "$(rows drops '.reason == "NO_SOCKET" and .protocol == "udp"' a | jq -r '.[0].class')"

	# Nothing more of the site's.
	rm -r "$where"
	reload 'configuration reloaded' 2
	equal class protocol "$(rows drops '.reason == "NO_SOCKET" and .protocol == "udp"' a | jq -r '.[0].class')"
}

# Wrong at the start: nothing is started, and the exit status is that of a wrong configuration.
case_wrong_at_start() {
	local where=$TMP/wrong.d log status

	needs root btf || return
	mkdir -p "$where"
	printf '[reason]\n' >"$where/site.conf"
	printf '[hints]\ndirectory = %s\n' "$where" >"$TMP/wrong.conf"
	log=$("$DAEMON" --config "$TMP/wrong.conf" --listen 127.0.0.1:1 2>&1)
	status=$?
	equal 'exit status' 2 "$status"
	matches log "*$where/site.conf:1: \[reason\]: names nothing; allowed: *" "$log"
	"$DAEMON" --config "$TMP/wrong.conf" --check >/dev/null 2>&1
	equal 'exit status of --check' 2 "$?"
	printf '[hints]\ndirectory = hints.d\n' >"$TMP/wrong.conf"
	log=$("$DAEMON" --config "$TMP/wrong.conf" --check 2>&1)
	equal 'exit status of --check' 2 "$?"
	matches log '*wrong.conf:2: directory: "hints.d" is not an absolute path; allowed: an absolute path*' "$log"
}

# What is not allowed says what is.
case_parameters() {
	needs root btf || return
	equal status 400 "$(status '/drops?sort=severity')"
	equal allowed true "$(get '/drops?sort=severity' | jq '.parameter == "sort" and
		(.allowed | contains(["rate", "class", "packets"]))')"
	equal status 400 "$(status '/drops?severity=high')"
	equal allowed true "$(get '/drops?severity=high' | jq '.allowed | contains(["class", "reason", "sort", "by"])')"
	equal status 400 "$(status '/drops.txt?format=json')"
	equal parameter format "$(get '/drops.txt?format=json' | jq -r .parameter)"
	equal status 404 "$(status /drop.txt)"
	equal paths true "$(get /drop.txt | jq '.allowed | contains(["/drops", "/drops.txt", "/block.txt"])')"
	for table in drops receive retransmits block; do
		matches "$table.txt" "$table on *" "$(get "/$table.txt")"
		matches 'content type' 'text/plain*' "$(http -o /dev/null -w '%{content_type}' "$URL/$table.txt")"
	done
}

shared_daemon
run_case 'hints: STP' case_frames stp
run_case 'hints: LLDP' case_frames lldp
run_case 'hints: a firewall' case_firewall
run_case 'hints: no socket' case_no_socket
run_case 'hints: a full receive buffer' case_full_buffer
run_case 'hints: an accept queue that overflows' case_listen_overflow
run_case 'hints: a wrong checksum' case_checksum
run_case 'hints: rp_filter' case_rp_filter
run_case 'hints: TTL' case_ttl
run_case 'hints: no route' case_no_route
run_case 'hints: a neighbour that does not answer' case_neighbour
run_case 'hints: too much waits for a neighbour' case_neighbour_queue
run_case 'hints: a queue discipline' case_qdisc
run_case 'hints: MTU' case_mtu
run_case 'hints: noise hides nothing' case_noise
run_case 'hints: rates' case_rate
run_case 'hints: the metric' case_metric
run_case 'hints: parameters' case_parameters
run_case 'hints: a site of its own' case_site
run_case 'hints: wrong at the start' case_wrong_at_start
finish
