#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Real packets, dropped for a known reason, in a known number: the row must say all of it.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# row NAMESPACE CONDITION: sets ROW to the only row that there is
row() {
	local found

	found=$(rows drops "$2" "$1")
	equal "rows where $2:" 1 "$(jq length <<<"$found")" || ROW='{}'
	ROW=$(jq -c '.[0] // {}' <<<"$found")
}

# field NAME EXPECTED
field() {
	equal "$1" "$2" "$(jq -r ".$1" <<<"$ROW")"
}

# ip_row SYMBOL REASON FAMILY PROTOCOL [DEVICE]: the labels and details that every IP row of these
# tests has
ip_row() {
	local symbol=$1 reason=$2 family=$3 protocol=$4 device=${5:-lo}

	matches symbol "$symbol" "$(jq -r .symbol <<<"$ROW")"
	matches location "$symbol+0x*/0x* \[kernel\]" "$(jq -r .location <<<"$ROW")"
	field module kernel
	field reason "$reason"
	field family "$family"
	field protocol "$protocol"
	field device "$device"
	field interface "$device"
	field ifindex "$([ "$device" = lo ] && echo 1 || echo 0)"
	at_least reason_number 1 "$(jq .reason_number <<<"$ROW")"
}

counts() {
	field packets "$1"
	field wire_packets "$2"
	field bytes "$3"
}

# The datagram is dropped when its IP header has been taken off: 8 bytes of UDP and the payload.
case_closed_udp() {
	local address=$1 family=$2

	needs root btf nsenter nstat || return
	namespace a
	traffic a traffic udp "$address" 9 1000 64
	row a '.protocol == "udp"'
	ip_row '*udp*_rcv' NO_SOCKET "$family" udp
	counts 1000 1000 $((1000 * (64 + 8)))
}

# A time that is not between the first packet and now is no help to anybody.
case_times() {
	local from to

	needs root btf nsenter || return
	namespace a
	from=$(date +%s)
	traffic a traffic udp 127.0.0.1 9 10 64
	sleep 1.1
	traffic a traffic udp 127.0.0.1 9 10 64
	row a '.protocol == "udp"'
	to=$(date +%s)
	between 'first_seen' "$((from - 1))" "$((from + 1))" "$(date -d "$(jq -r .first_seen <<<"$ROW")" +%s)"
	between 'last_seen' "$((from + 1))" "$((to + 1))" "$(date -d "$(jq -r .last_seen <<<"$ROW")" +%s)"
	field packets 20
}

case_closed_tcp() {
	local address=$1 family=$2 refused

	needs root btf nsenter || return
	namespace a
	traffic a traffic connect "$address" 9 300
	refused=$(word refused)
	equal refused 300 "$refused"
	row a '.protocol == "tcp"'
	ip_row 'tcp_v[46]_rcv' NO_SOCKET "$family" tcp
	# A SYN is 20 bytes of header and 20 of options; its IP header has been taken off.
	counts 300 300 $((300 * 40))
}

# nftables drops in the chain itself (nft_do_chain) or in nf_hook_slow, as kernels differ; it sees
# the packet as the drop does, so that its own counter must agree to the byte.
case_nft() {
	local hook=$1 address=$2 family=$3 device=lo

	needs root btf nsenter nft || return
	namespace a
	ruleset a "counter c { }; chain x { type filter hook $hook priority 0; udp dport 7 counter name c drop; }"
	traffic a traffic udp "$address" 7 777 100
	row a '.protocol == "udp"'
	# On the way out a packet has not been given to a device yet.
	[ "$hook" = input ] || device=none
	ip_row '*nf*' NETFILTER_DROP "$family" udp "$device"
	equal 'nft packets' 777 "$(named_counter a c packets)"
	counts "$(named_counter a c packets)" 777 "$(named_counter a c bytes)"
}

case_nft_icmp() {
	needs root btf nsenter nft || return
	namespace a
	ruleset a 'counter c { }; chain x { type filter hook input priority 0;
		icmp type echo-request counter name c drop; }'
	traffic a traffic icmp 127.0.0.1 250 56
	row a '.protocol == "icmp"'
	ip_row '*nf*' NETFILTER_DROP ipv4 icmp
	equal 'nft packets' 250 "$(named_counter a c packets)"
	counts 250 250 "$(named_counter a c bytes)"
}

case_bad_icmp() {
	needs root btf nsenter nstat || return
	namespace a
	traffic a traffic icmp 127.0.0.1 250 56 bad
	row a '.protocol == "icmp" and .symbol == "icmp_rcv"'
	ip_row icmp_rcv ICMP_CSUM ipv4 icmp
	equal IcmpInCsumErrors 250 "$(statistic a IcmpInCsumErrors)"
	counts 250 250 "$(jq .bytes <<<"$ROW")"
}

# The kernel's own count, ours, and what the reader found: three ways to the same number.
case_full_buffer() {
	local sent received lost

	needs root btf nsenter nstat || return
	namespace a
	traffic a traffic unread 127.0.0.1 5000 3000 500 8192
	sent=$(word sent) received=$(word received)
	lost=$(statistic a UdpRcvbufErrors)
	equal 'UdpRcvbufErrors' "$((sent - received))" "$lost"
	at_least 'UdpRcvbufErrors' 1 "$lost"
	row a '.protocol == "udp"'
	ip_row '*udp*' SOCKET_RCVBUFF ipv4 udp
	# Its UDP header has been taken off too.
	counts "$lost" "$lost" $((lost * 500))
}

# One packet for the drop, ten for the wire.
case_segments() {
	local address=$1 family=$2

	needs root btf nsenter || return
	namespace a
	traffic a traffic segments "$address" 9 100 1000 10
	row a '.protocol == "udp"'
	ip_row '*udp*_rcv' NO_SOCKET "$family" udp
	counts 100 1000 $((100 * (10 * 1000 + 8)))
}

case_segments_nft() {
	needs root btf nsenter nft || return
	namespace a
	ruleset a 'counter c { }; chain x { type filter hook input priority 0; udp dport 7 counter name c drop; }'
	traffic a traffic segments 127.0.0.1 7 100 1000 10
	row a '.protocol == "udp"'
	equal 'nft packets' 100 "$(named_counter a c packets)"
	counts 100 1000 "$(named_counter a c bytes)"
}

# Neither headers nor a device.
case_unix() {
	local before after found

	needs root btf || return
	before=$(count drops packets '.family == "unix" and .symbol == "unix_release_sock"')
	"$TOOLS/traffic" unix 200 >/dev/null
	found=$(rows drops '.family == "unix" and .symbol == "unix_release_sock"')
	after=$(sum packets <<<"$found")
	equal 'unix messages nobody read' 200 "$((after - before))"
	equal device none "$(jq -r 'map(.device) | unique | join(",")' <<<"$found")"
	equal protocol none "$(jq -r 'map(.protocol) | unique | join(",")' <<<"$found")"
}

# The namespace is detail: two rows, one series.
case_namespaces() {
	needs root btf nsenter || return
	start_daemon || return
	namespace a
	namespace b
	traffic a traffic udp 127.0.0.1 9 30 64
	traffic b traffic udp 127.0.0.1 9 40 64
	equal 'packets in one' 30 "$(count drops packets true a)"
	equal 'packets in the other' 40 "$(count drops packets true b)"
	get /metrics >"$TMP/metrics"
	equal 'series' 1 "$(grep -c '^dropscope_drops_total{.*reason="NO_SOCKET".*protocol="udp"' "$TMP/metrics")"
	equal 'its value' 70 "$(sample "$TMP/metrics" dropscope_drops_total 'reason="NO_SOCKET"' 'protocol="udp"')"
}

# An interface with a made-up name is a group in the labels and itself in the details.
case_groups() {
	local configuration=$1 name=$2 label=$3

	needs root btf nsenter ip || return
	start_daemon "$configuration" || return
	namespace a
	namespace b
	cable a srcA b "$name"
	traffic a frames srcA 50 0x88b5
	row b '.protocol == "0x88b5"'
	field device "$label"
	field interface "$name"
	field packets 50
	get /metrics >"$TMP/metrics"
	equal 'series' 50 "$(sample "$TMP/metrics" dropscope_drops_total 'protocol="0x88b5"' \
		"device=\"${label//\*/[*]}\"")"
}

shared_daemon
run_case 'drops: 1000 UDP packets to a closed port' case_closed_udp 127.0.0.1 ipv4
run_case 'drops: 1000 UDP packets to a closed port, IPv6' case_closed_udp ::1 ipv6
run_case 'drops: first and last seen' case_times
run_case 'drops: TCP to a closed port' case_closed_tcp 127.0.0.1 ipv4
run_case 'drops: TCP to a closed port, IPv6' case_closed_tcp ::1 ipv6
run_case 'drops: nftables, INPUT' case_nft input 127.0.0.1 ipv4
run_case 'drops: nftables, INPUT, IPv6' case_nft input ::1 ipv6
run_case 'drops: nftables, OUTPUT' case_nft output 127.0.0.1 ipv4
run_case 'drops: nftables, OUTPUT, IPv6' case_nft output ::1 ipv6
run_case 'drops: nftables, ICMP' case_nft_icmp
run_case 'drops: ICMP with a wrong checksum' case_bad_icmp
run_case 'drops: a full receive buffer' case_full_buffer
run_case 'drops: GSO to a closed port' case_segments 127.0.0.1 ipv4
run_case 'drops: GSO to a closed port, IPv6' case_segments ::1 ipv6
run_case 'drops: GSO and nftables' case_segments_nft
run_case 'drops: unix messages, without headers or device' case_unix
run_case 'drops: two namespaces are two rows and one series' case_namespaces
run_case 'drops: veth devices are one group' case_groups '' veth12345 'veth*'
run_case 'drops: a group from the configuration' case_groups $'[devices]\ngroup = pod=eni*' eni77 pod
finish
