#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Received packets: per device, family and protocol, and how big they are.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# bucket COUNT LE: that many packets in the bucket that ends at LE and in no other
only_bucket() {
	local count=$1 size=$2 histogram

	histogram=$(jq -c '.[0].packet_size_bytes' <<<"$FOUND")
	equal 'histogram count' "$count" "$(jq .count <<<"$histogram")"
	equal 'histogram sum' $((count * size)) "$(jq .sum <<<"$histogram")"
	equal 'sum of its buckets' "$count" "$(jq '[.buckets[][1]] | add' <<<"$histogram")"
	equal 'buckets' 1 "$(jq '.buckets | length' <<<"$histogram")"
	# Bounds are inclusive and at most a power of two apart.
	truth "a bucket for $size bytes" \
		jq -e --argjson size "$size" '.buckets[0][0] as $le | $size <= $le and $le < 2 * $size' \
		<<<"$histogram" >/dev/null
}

# 28 bytes of headers and the payload; each packet is answered by ICMP: port unreachable, with the
# whole packet in it.
case_udp() {
	local payload=$1 size=$(($1 + 28))

	needs root btf nsenter nstat || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 1000 "$payload"
	FOUND=$(rows receive '.protocol == "udp"' a)
	equal rows 1 "$(jq length <<<"$FOUND")"
	equal device lo "$(jq -r '.[0].device' <<<"$FOUND")"
	equal family ipv4 "$(jq -r '.[0].family' <<<"$FOUND")"
	equal packets 1000 "$(sum packets <<<"$FOUND")"
	equal wire_packets 1000 "$(sum wire_packets <<<"$FOUND")"
	equal bytes $((1000 * size)) "$(sum bytes <<<"$FOUND")"
	only_bucket 1000 "$size"
	equal 'ICMP packets' "$(statistic a IcmpInMsgs)" "$(count receive packets '.protocol == "icmp"' a)"
	equal 'all packets' "$(statistic a IpInReceives)" "$(count receive packets true a)"
	equal 'all bytes' "$(statistic a IpExtInOctets)" "$(count receive bytes true a)"
}

case_segments() {
	needs root btf nsenter || return
	namespace a
	traffic a traffic segments 127.0.0.1 9 100 1000 10
	FOUND=$(rows receive '.protocol == "udp"' a)
	equal packets 100 "$(sum packets <<<"$FOUND")"
	equal wire_packets 1000 "$(sum wire_packets <<<"$FOUND")"
	equal bytes $((100 * 10028)) "$(sum bytes <<<"$FOUND")"
	only_bucket 100 10028
}

case_frames() {
	needs root btf nsenter ip || return
	namespace a
	namespace b
	cable a srcA b dstA
	traffic a frames srcA 300 lldp
	FOUND=$(rows receive true b)
	equal rows 1 "$(jq length <<<"$FOUND")"
	equal protocol lldp "$(jq -r '.[0].protocol' <<<"$FOUND")"
	equal device dstA "$(jq -r '.[0].device' <<<"$FOUND")"
	equal interface dstA "$(jq -r '.[0].interface' <<<"$FOUND")"
	equal packets 300 "$(sum packets <<<"$FOUND")"
	equal bytes $((300 * 46)) "$(sum bytes <<<"$FOUND")"
	only_bucket 300 46
}

# The histogram in /metrics is per device and cumulative; nothing else uses this name of a device.
case_metrics() {
	needs root btf nsenter ip || return
	namespace a
	namespace b
	cable a srcM b dstM
	traffic a frames srcM 300 lldp
	traffic a frames srcM 200 0x88b5
	get /metrics >"$TMP/metrics"
	equal packets 500 "$(sample "$TMP/metrics" dropscope_receive_packets_total 'device="dstM"')"
	equal 'wire packets' 500 "$(sample "$TMP/metrics" dropscope_receive_wire_packets_total 'device="dstM"')"
	equal bytes 23000 "$(sample "$TMP/metrics" dropscope_receive_bytes_total 'device="dstM"')"
	equal 'histogram count' 500 \
		"$(sample "$TMP/metrics" dropscope_receive_packet_size_bytes_count 'device="dstM"')"
	equal 'histogram sum' 23000 \
		"$(sample "$TMP/metrics" dropscope_receive_packet_size_bytes_sum 'device="dstM"')"
	equal 'up to infinity' 500 \
		"$(sample "$TMP/metrics" dropscope_receive_packet_size_bytes_bucket 'device="dstM"' 'le="[+]Inf"')"
	equal 'up to 64 bytes' 500 \
		"$(sample "$TMP/metrics" dropscope_receive_packet_size_bytes_bucket 'device="dstM"' 'le="64(.0)?"')"
	equal 'up to 32 bytes' 0 \
		"$(sample "$TMP/metrics" dropscope_receive_packet_size_bytes_bucket 'device="dstM"' 'le="32(.0)?"')"
}

case_two_cpus() {
	needs root btf nsenter cpus || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 200000 64 2
	equal packets 200000 "$(count receive packets '.protocol == "udp"' a)"
	equal 'all packets' "$(statistic a IpInReceives)" "$(count receive packets true a)"
	equal 'all bytes' "$(statistic a IpExtInOctets)" "$(count receive bytes true a)"
}

shared_daemon
run_case 'receive: 1000 UDP packets of 92 bytes' case_udp 64
run_case 'receive: exactly a power of two' case_udp 100
run_case 'receive: one byte above it' case_udp 101
run_case 'receive: GSO' case_segments
run_case 'receive: frames' case_frames
run_case 'receive: metrics' case_metrics
run_case 'receive: 200,000 packets from two CPUs' case_two_cpus
finish
