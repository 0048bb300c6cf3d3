#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Retransmits, provoked by dropping packets on the way in, where the sender has let go of them: each cause by
# itself, compared with the kernel's own counters in the namespace.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

DATA='tcp dport 5001 meta length > 400'
# How often a data packet of the test has passed a rule.
NTH='numgen inc mod 1000000'

# The table has no namespace, so that each case takes the difference.
snapshot() {
	get '/retransmits?top=100000' >"$TMP/$1.json"
}

# grown COLUMN JQ-CONDITION: between the snapshots before and after
grown() {
	jq -n --slurpfile before "$TMP/before.json" --slurpfile after "$TMP/after.json" \
		"def total: [.[0].rows[] | select($2) | .$1] | add // 0; (\$after | total) - (\$before | total)"
}

# quick_namespace NAMESPACE EARLY-RETRANS: with a short retransmission timeout, and with tail loss
# probes or without (0)
quick_namespace() {
	namespace "$1"
	inside "$1" ip route replace local 127.0.0.1 dev lo table local proto kernel scope host \
		src 127.0.0.1 rto_min 20ms
	inside "$1" ip -6 route replace local ::1 dev lo table local proto kernel rto_min 20ms
	inside "$1" sh -c "
		echo $2 >/proc/sys/net/ipv4/tcp_early_retrans
		echo 1 >/proc/sys/net/ipv4/tcp_synack_retries
		echo 0 >/proc/sys/net/ipv4/tcp_syn_linear_timeouts" 2>/dev/null
}

# What all rows together say is what the namespace says: TcpRetransSegs are the segments that were to be sent again, of
# these TCPRetransFail were not. Nobody else on this machine retransmits now.
as_the_kernel() {
	equal 'retransmits' $(($(statistic a TcpRetransSegs) - $(statistic a TcpExtTCPRetransFail))) \
		"$(grown retransmits true)"
}

# expect_cause CAUSE STATE FAMILY COUNT
expect_cause() {
	local condition=".cause == \"$1\" and .state == \"$2\" and .family == \"$3\""

	equal "$1" "$4" "$(grown retransmits "$condition")"
	equal "$1: timeouts recorded" "$4" "$(grown timeout_seconds.count "$condition")"
	# A timeout is at least a tick.
	truth "$1: a timeout that is one" jq -en "$(grown timeout_seconds.sum "$condition") >= $4 * 0.001" >/dev/null
}

case_rto() {
	local address=$1 family=$2

	needs root btf nsenter nft nstat || return
	quick_namespace a 0
	ruleset a "chain x { type filter hook input priority 0; $DATA $NTH < 4 drop; }"
	snapshot before
	traffic a tcpflow flow "$address" 5001 1 500
	snapshot after
	equal 'retransmits of the socket' 4 "$(word retransmits)"
	equal TCPTimeouts 4 "$(statistic a TcpExtTCPTimeouts)"
	expect_cause rto ESTABLISHED "$family" 4
	as_the_kernel
	# Each timeout is twice the one before: four of them are fifteen times the first, eight
	# the last.
	truth 'timeouts that double' jq -en --argjson sum "$(grown timeout_seconds.sum '.cause == "rto"')" \
		'$sum >= 15 * 0.02 and $sum < 15 * 0.25' >/dev/null
	equal 'failures' 0 "$(grown failures true)"
}

case_fast() {
	needs root btf nsenter nft nstat || return
	quick_namespace a 0
	ruleset a "chain x { type filter hook input priority 0; $DATA $NTH == 2 drop; }"
	snapshot before
	traffic a tcpflow flow 127.0.0.1 5001 10 500
	snapshot after
	equal TCPFastRetrans 1 "$(statistic a TcpExtTCPFastRetrans)"
	expect_cause fast ESTABLISHED ipv4 1
	as_the_kernel
}

# Five segments are lost: the timeout sends the first again, and its acknowledgement the other four.
case_loss_recovery() {
	needs root btf nsenter nft nstat || return
	quick_namespace a 0
	ruleset a "chain x { type filter hook input priority 0; $DATA $NTH < 5 drop; }"
	snapshot before
	traffic a tcpflow flow 127.0.0.1 5001 5 500
	snapshot after
	equal TCPSlowStartRetrans 4 "$(statistic a TcpExtTCPSlowStartRetrans)"
	expect_cause rto ESTABLISHED ipv4 1
	expect_cause loss_recovery ESTABLISHED ipv4 4
	as_the_kernel
}

case_tlp() {
	needs root btf nsenter nft nstat || return
	quick_namespace a 3
	ruleset a "chain x { type filter hook input priority 0; $DATA $NTH == 0 drop; }"
	snapshot before
	traffic a tcpflow flow 127.0.0.1 5001 1 500
	snapshot after
	equal TCPLossProbes 1 "$(statistic a TcpExtTCPLossProbes)"
	expect_cause tlp ESTABLISHED ipv4 1
	as_the_kernel
}

case_syn() {
	needs root btf nsenter nft nstat || return
	quick_namespace a 3
	ruleset a 'chain x { type filter hook input priority 0; tcp dport 5001 drop; }'
	snapshot before
	# One retry after a second, and the end two seconds after that.
	traffic a traffic syn 127.0.0.1 5001 20 1
	snapshot after
	equal 'connections that timed out' 20 "$(word timed_out)"
	equal TCPSynRetrans "$(grown retransmits '.cause == "syn"')" "$(statistic a TcpExtTCPSynRetrans)"
	expect_cause syn SYN_SENT ipv4 20
	equal 'seconds of the timeouts' 20 "$(grown timeout_seconds.sum '.cause == "syn"')"
	as_the_kernel
}

case_synack() {
	local address=$1

	needs root btf nsenter nft nstat || return
	quick_namespace a 3
	# The last step of the handshake is lost, and what answers the second SYN-ACK too.
	ruleset a 'chain x { type filter hook input priority 0;
		tcp dport 5001 tcp flags & (syn|ack) == ack drop; }'
	snapshot before
	traffic a tcpflow handshakes "$address" 5001 20 1400
	snapshot after
	equal 'connections' 20 "$(word established)"
	equal TCPSynRetrans 20 "$(statistic a TcpExtTCPSynRetrans)"
	expect_cause synack SYN_RECV ipv4 20
	as_the_kernel
}

# The first transmission is lost on the way in, three retransmits fail on the way out.
case_failures() {
	needs root btf nsenter nft nstat bpftool || return
	bpftool btf dump file /sys/kernel/btf/vmlinux format c 2>/dev/null |
		grep -q 'btf_trace_tcp_retransmit_skb)(void \*, .*, .*, int' ||
		skip 'this kernel does not tell of retransmits that fail' || return
	quick_namespace a 0
	ruleset a "chain x { type filter hook input priority 0; $DATA $NTH == 0 drop; }
		chain y { type filter hook output priority 0; $DATA $NTH vmap { 1-3 : drop }; }"
	snapshot before
	traffic a tcpflow flow 127.0.0.1 5001 1 500
	snapshot after
	equal TCPRetransFail 3 "$(statistic a TcpExtTCPRetransFail)"
	equal 'failures' 3 "$(grown failures true)"
	expect_cause rto ESTABLISHED ipv4 1
	as_the_kernel
}

# Nobody says who has the address until the first timeout has passed: what is to be sent again still waits for that
# answer then, and the attempt is given up before the kernel counts anything. Later ones go out.
case_neighbour() {
	local late

	needs root btf nsenter nft nstat || return
	namespace a
	namespace b
	cable a src b dst
	ip -n "$(namespace_name a)" address add 10.9.0.1/24 dev src
	ruleset b 'chain x { type filter hook input priority 0; tcp dport 5001 drop; }'
	snapshot before
	(sleep 1.5; ip -n "$(namespace_name b)" address add 10.9.0.2/24 dev dst) &
	late=$!
	traffic a traffic syn 10.9.0.2 5001 20 3
	wait "$late"
	snapshot after
	equal 'connections that timed out' 20 "$(word timed_out)"
	at_least 'segments sent again' 20 "$(grown retransmits true)"
	as_the_kernel
	printf '    %s sent again, %s failures\n' "$(grown retransmits true)" "$(grown failures true)"
}

# All that the cases before have counted, in both forms.
case_metrics() {
	needs root btf || return
	get /metrics >"$TMP/metrics"
	snapshot after
	equal 'retransmits' "$(jq .totals.retransmits "$TMP/after.json")" \
		"$(sample "$TMP/metrics" dropscope_tcp_retransmits_total)"
	equal 'failures' "$(jq .totals.failures "$TMP/after.json")" \
		"$(sample "$TMP/metrics" dropscope_tcp_retransmit_failures_total)"
	equal 'timeouts' "$(jq .totals.retransmits "$TMP/after.json")" \
		"$(sample "$TMP/metrics" dropscope_tcp_retransmit_timeout_seconds_count)"
	at_least 'retransmits' 50 "$(jq .totals.retransmits "$TMP/after.json")"
}

shared_daemon
stay_awake
run_case 'retransmits: timeouts' case_rto 127.0.0.1 ipv4
run_case 'retransmits: timeouts, IPv6' case_rto ::1 ipv6
run_case 'retransmits: timeouts, IPv4 of an IPv6 socket' case_rto ::ffff:127.0.0.1 ipv4
run_case 'retransmits: fast' case_fast
run_case 'retransmits: loss recovery' case_loss_recovery
run_case 'retransmits: tail loss probe' case_tlp
run_case 'retransmits: SYN' case_syn
run_case 'retransmits: SYN-ACK' case_synack 127.0.0.1
run_case 'retransmits: SYN-ACK, IPv4 of an IPv6 socket' case_synack ::ffff:127.0.0.1
run_case 'retransmits: failures' case_failures
run_case 'retransmits: an unresolved neighbour' case_neighbour
run_case 'retransmits: metrics' case_metrics
may_sleep
finish
