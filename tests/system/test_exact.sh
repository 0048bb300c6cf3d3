#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Nothing is lost without being counted: floods from two CPUs, softirqs in the middle of process context,
# more keys than the map has room for, more series than the budget.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

lost() {
	get '/drops?top=1' | jq ".lost.$1"
}

case_million() {
	local counted nested full

	needs root btf nsenter nstat cpus || return
	start_daemon || return
	namespace a
	nested=$(lost nested) full=$(lost map_full)
	traffic a traffic udp 127.0.0.1 9 1000000 64 2
	nested=$(($(lost nested) - nested)) full=$(($(lost map_full) - full))
	counted=$(count drops packets '.protocol == "udp"' a)
	equal 'rows and lost' 1000000 $((counted + nested + full))
	# Without interrupts in between there is nothing to lose.
	equal 'lost for want of room' 0 "$full"
	between 'lost to nesting' 0 100 "$nested"
	equal UdpNoPorts "$(statistic a UdpNoPorts)" \
		"$(count drops packets '.protocol == "udp" and .reason == "NO_SOCKET"' a)"
	equal 'bytes of a packet' 72 "$(rows drops '.reason == "NO_SOCKET" and .protocol == "udp"' a |
		jq '(map(.bytes) | add) / (map(.packets) | add)')"
	get /metrics >"$TMP/metrics"
	equal 'lost in /metrics' "$(lost nested)" "$(sample "$TMP/metrics" dropscope_events_lost_total \
		'collector="drops"' 'cause="nested"')"
}

# On the first CPU the OUTPUT hook drops in process context, while packets that the second CPU
# sends are steered to the first and dropped there in softirqs, in the middle of whatever it is
# doing. A program that is interrupted by itself is skipped by the kernel: that is what `nested`
# counts.
case_interrupted() {
	local blocked closed sent nested rows account

	needs root btf ip nft cpus runs || return
	start_daemon || return
	namespace a
	# Not to a closed port: its ICMP errors would be drops of their own when the backlog is
	# full.
	ruleset a 'counter out { }; counter in { };
		chain x { type filter hook output priority 0; udp dport 7 counter name out drop; }
		chain y { type filter hook input priority 0; udp dport 9 counter name in drop; }'
	# ip mounts the /sys of the namespace.
	ip netns exec "$(namespace_name a)" sh -c 'echo 1 >/sys/class/net/lo/queues/rx-0/rps_cpus' ||
		fault 'expected receive packet steering, got an error'
	account=$(drops_account) nested=$(lost nested)
	traffic a traffic interrupted 127.0.0.1 7 9 300000
	equal 'rows and lost, less what the probe has seen' "$account" "$(drops_account)"
	nested=$(($(lost nested) - nested))
	blocked=$(word blocked) closed=$(word closed)
	sent=$((blocked + closed))
	equal 'packets that nft dropped in OUTPUT' "$blocked" "$(named_counter a out packets)"
	rows=$(count drops packets '.protocol == "udp"' a)
	# In process context nothing is skipped and nothing is unseen.
	equal 'rows of OUTPUT' "$blocked" "$(count drops packets '.reason == "NETFILTER_DROP" and .device == "none"' a)"
	between 'rows and lost of all that was sent' $((sent * 95 / 100)) "$sent" $((rows + nested))
	printf '    of %s drops %s were skipped as nested, and counted as lost; this kernel showed %s to nobody\n' \
		"$sent" "$nested" $((sent - rows - nested))
}

# Every ethertype is a key of its own, and there are far more than slots. Where there is no room,
# the rest of the machine finds none either: a few of the lost are not ours, which the account of
# the probe takes in.
case_map_full() {
	local types=$1 sent=$(($1 * 20)) full counted account round

	needs root btf nsenter ip cpus runs || return
	start_daemon $'[drops]\nslots = 64\n[series]\nbudget = 100000' || return
	namespace a
	namespace b
	cable a srcA b dstA
	account=$(drops_account)
	full=$(lost map_full)
	# What has a row goes on being counted, and the rest goes on being counted as lost.
	for round in 1 2; do
		traffic a frames srcA 20 0xa000 "$types" 2
		equal sent "$sent" "$(word sent)"
		counted=$(count drops packets true b)
		between 'rows and lost' $((sent * round)) $((sent * round + 50)) \
			$((counted + $(lost map_full) - full + $(lost nested)))
		equal 'rows and lost, less what the probe has seen' "$account" "$(drops_account)"
		at_least 'packets in rows' $((round * 20 * 50)) "$counted"
		at_least 'lost for want of room' $((sent * round / 2)) "$(lost map_full)"
	done
	truth 'the same loss in /metrics' wait_until 5 same_loss
	printf '    of %s drops %s found no room, and were counted as lost\n' $((2 * sent)) "$(lost map_full)"
}

same_loss() {
	get /metrics >"$TMP/metrics"
	[ "$(lost map_full)" = "$(sample "$TMP/metrics" dropscope_events_lost_total 'collector="drops"' \
		'cause="map_full"')" ]
}

# All keys have rows; ten of them have a series of their own.
case_budget() {
	local series other total SOCKET

	needs root btf nsenter ip || return
	start_daemon $'[series]\nbudget = 10' || return
	SOCKET=$QUIET
	namespace a
	namespace b
	cable a srcA b dstA
	# Some keys more than others, so that the sums tell who has gone where.
	traffic a frames srcA 7 0xa000 20
	traffic a frames srcA 3 0xa000 50
	equal 'packets in rows' $((7 * 20 + 3 * 50)) "$(count drops packets '.protocol | startswith("0xa0")' b)"
	# Until nothing was dropped between the two.
	for _ in {1..50}; do
		total=$(get '/drops?top=1' | jq .totals.packets)
		get /metrics >"$TMP/metrics"
		[ "$total" != "$(get '/drops?top=1' | jq .totals.packets)" ] || break
	done
	grep '^dropscope_drops_total{' "$TMP/metrics" >"$TMP/series"
	equal 'series' 11 "$(wc -l <"$TMP/series")"
	equal 'other' 1 "$(grep -c 'symbol="other",module="other",reason="other",class="other",family="other",protocol="other",device="other"' \
		"$TMP/series")"
	other=$(sample "$TMP/series" dropscope_drops_total 'symbol="other"')
	series=$(grep -v 'symbol="other"' "$TMP/series" | awk '{ sum += $NF } END { print sum }')
	equal 'series and other' "$total" $((series + other))
	at_least other $((3 * 30)) "$other"
	# A group of ten of fifty keys: the rest is there, summed.
	get '/drops?top=10' >"$TMP/drops.json"
	equal 'rows' 10 "$(jq '.rows | length' "$TMP/drops.json")"
	equal 'rows and other' "$(jq .totals.packets "$TMP/drops.json")" \
		"$(jq '[.rows[].packets, .other.packets] | add' "$TMP/drops.json")"
}

run_case 'exact: 1,000,000 drops from two CPUs' case_million
run_case 'exact: softirqs interrupt process context' case_interrupted
run_case 'exact: more keys than the map holds' case_map_full 2000
run_case 'exact: more series than the budget' case_budget
finish
