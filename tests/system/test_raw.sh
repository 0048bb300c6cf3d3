#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A kernel without BTF of its own: what it shows is hidden from the daemon, which gets a file instead and attaches
# raw tracepoints. They must count as the others do.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

OWN=/sys/kernel/btf/vmlinux

# without_btf COMMAND...: where the kernel's own BTF cannot be seen
without_btf() {
	# shellcheck disable=SC2016 # the inner shell's
	unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/btf && exec "$@"' sh "$@"
}

# start_without_btf [LINE]: a daemon, with this in [daemon]
start_without_btf() {
	new_port
	CONFIG=$TMP/daemon.$PORT.conf QUIET=$TMP/quiet.$PORT
	printf '[daemon]\nlisten = 127.0.0.1:%s %s\n%s\n' "$PORT" "$QUIET" "${1-}" >"$CONFIG"
	launch unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/btf && exec "$@"' sh \
		"$DAEMON" --config "$CONFIG" --log-level debug
}

case_start() {
	needs root btf unshare jq || return
	cp "$OWN" "$TMP/kernel.btf"
	start_without_btf "btf = $TMP/kernel.btf" || return
	get /-/ready >"$TMP/ready"
	equal 'collectors that are up' 4 "$(jq '[.collectors[] | select(.up)] | length' "$TMP/ready")" ||
		fault "$(jq -c '[.collectors[] | .reason // empty]' "$TMP/ready")"
	equal 'how programs are attached' '["raw_tp"]' \
		"$(jq -c '[.collectors[].programs[].attach] | unique' "$TMP/ready")"
	get /metrics >"$TMP/metrics"
	equal 'exit status of the preflight' 0 \
		"$(without_btf "$DAEMON" --check=json --config "$CONFIG" --listen "$TMP/socket" >"$TMP/check"; echo $?)"
	equal 'what it says of the file' note "$(jq -r '.checks[] | select(.name == "btf") | .status' "$TMP/check")"
	equal 'how it would attach' 'up: drops_kfree_skb (raw_tp)' \
		"$(jq -r '.checks[] | select(.name == "collector drops") | .found' "$TMP/check")"
	equal 'the same as a metric' 4 "$(sample "$TMP/metrics" dropscope_collector_info 'attach="raw_tp"')"
}

# running: skips where case_start had to
running() {
	needs root btf "$@" || return
	[ -n "$DAEMON_PID" ] || skip 'a daemon without BTF is needed'
}

case_drops() {
	running nsenter || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 50000 64 2
	ROW=$(rows drops '.protocol == "udp"' a)
	equal 'rows' 1 "$(jq length <<<"$ROW")"
	equal 'packets' 50000 "$(jq '.[0].packets' <<<"$ROW")"
	equal 'bytes' $((50000 * 72)) "$(jq '.[0].bytes' <<<"$ROW")"
	equal 'UdpNoPorts' 50000 "$(statistic a UdpNoPorts)"
	matches 'the function' '*udp*_rcv' "$(jq -r '.[0].symbol' <<<"$ROW")"
	equal 'the device' lo "$(jq -r '.[0].device' <<<"$ROW")"
	traffic a traffic udp ::1 9 300 64
	equal 'packets by IPv6' 300 "$(count drops packets '.protocol == "udp" and .family == "ipv6"' a)"
}

# What has a link layer only, without a device, and in a buffer of its own.
case_kinds() {
	running nsenter nft || return
	namespace a
	namespace b
	cable a src b dst
	traffic a frames src 3000 stp
	equal 'frames' 3000 "$(count drops packets '.protocol == "stp" and .device == "dst"' b)"
	ruleset a 'counter out { }; chain x { type filter hook output priority 0; udp dport 7 counter name out drop; }'
	"$TOOLS/traffic" unix 200 >/dev/null
	inside a "$TOOLS/traffic" udp 127.0.0.1 7 2000 64 >/dev/null
	equal 'packets that have no device' 2000 "$(count drops packets '.protocol == "udp" and .device == "none"' a)"
	at_least 'messages to a unix socket' 200 "$(count drops packets '.family == "unix"')"
}

case_receive() {
	running nsenter nstat || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 5000 100
	equal 'IpInReceives' "$(statistic a IpInReceives)" "$(count receive packets true a)"
	equal 'IpExtInOctets' "$(statistic a IpExtInOctets)" "$(count receive bytes true a)"
	equal 'sizes' "$(count receive packets true a)" "$(count receive packet_size_bytes.count true a)"
}

case_retransmits() {
	local before

	running nsenter nft nstat || return
	namespace a
	ruleset a 'chain x { type filter hook input priority 0; tcp dport 5001 drop; }'
	before=$(count retransmits retransmits '.cause == "syn"')
	traffic a traffic syn 127.0.0.1 5001 20 1
	equal 'SYNs sent again' "$(statistic a TcpExtTCPSynRetrans)" \
		$(($(count retransmits retransmits '.cause == "syn"') - before))
}

case_block() {
	running losetup || return
	truncate -s 4M "$TMP/disk"
	loop_device "$TMP/disk" || return
	"$TOOLS/disk" "$LOOP" read 200 4096 >/dev/null || fault 'expected reads, got an error'
	# Completions on an idle CPU are now and then seen by no program at all.
	between 'requests' 190 210 "$(count block device_seconds.count ".device == \"$LOOP_NAME\" and .operation == \"read\"")"
	at_least 'bytes' $((190 * 4096)) "$(count block bytes ".device == \"$LOOP_NAME\" and .operation == \"read\"")"
	equal 'requests whose issue was not seen' 0 "$(get '/block?top=1' | jq .lost.unmatched)"
}

case_live() {
	running nsenter || return
	namespace a
	: >"$TMP/live"
	http -N "$URL/drops/live?dport=9&proto=udp&count=3&stack=1" >"$TMP/live" &
	PIDS+=($!)
	wait_until 10 grep -q . "$TMP/live"
	traffic a traffic udp 127.0.0.1 9 100 64
	wait_until 10 grep -q NO_SOCKET "$TMP/live"
	equal 'events' 3 "$(grep -c '"NO_SOCKET"' "$TMP/live")"
	matches 'one of them' '*127.0.0.1*' "$(grep -m 1 NO_SOCKET "$TMP/live")"
}

# The kernel shows BTF, and refuses programs for its types: here because it is not its own.
case_not_attachable() {
	needs root btf unshare jq || return
	"$TOOLS/shiftbtf" "$OWN" "$TMP/vmlinux" || fault 'expected types under other numbers, got none' || return
	new_port
	# shellcheck disable=SC2016 # the inner shell's
	launch unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/btf && cp "$0" /sys/kernel/btf/ && exec "$@"' \
		"$TMP/vmlinux" "$DAEMON" --listen "127.0.0.1:$PORT" --log-level debug || return
	equal 'how programs are attached' '["raw_tp"]' \
		"$(get /-/ready | jq -c '[.collectors[].programs[].attach] | unique')"
	equal 'collectors that are up' 4 "$(get /-/ready | jq '[.collectors[] | select(.up)] | length')"
	namespace a
	traffic a traffic udp 127.0.0.1 9 3000 64
	equal 'packets' 3000 "$(count drops packets '.protocol == "udp"' a)"
}

# refused FILE WHY: the preflight says so
refused() {
	local report

	report=$(printf '[daemon]\nbtf = %s\n' "$1" >"$TMP/refused.conf" &&
		without_btf "$DAEMON" --check=json --config "$TMP/refused.conf" --listen "$TMP/socket")
	equal "exit status with $1" 2 $?
	matches 'why' "*$2*" "$(jq -r '.checks[] | select(.name == "btf") | .advice' <<<"$report")"
	matches 'the reason of a collector' "*$2*" \
		"$(jq -r '.checks[] | select(.name == "collector drops") | .advice' <<<"$report")"
}

case_refused() {
	needs root btf unshare jq bpftool || return
	refused '' 'name a file'
	refused "$TMP/nothing" 'No such file'
	head -c 4096 "$OWN" >"$TMP/cut.btf"
	refused "$TMP/cut.btf" 'cannot be read as BTF'
	bpftool gen min_core_btf "$OWN" "$TMP/small.btf" "$BUILD/drops_raw.bpf.o" || fault 'expected a file, got none'
	refused "$TMP/small.btf" 'cut down'
}

run_case 'raw: a file for the kernel' case_start
run_case 'raw: drops' case_drops
run_case 'raw: kinds of drops' case_kinds
run_case 'raw: receive' case_receive
run_case 'raw: retransmits' case_retransmits
run_case 'raw: block' case_block
run_case 'raw: single events' case_live
run_case 'raw: BTF of no use to programs' case_not_attachable
run_case 'raw: files that are of no use' case_refused
finish
