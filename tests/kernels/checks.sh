#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What must hold on every kernel. Runs as root inside a machine that exists for it alone.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"

MODULE_TOOLS=$BUILD/tests/kernels
# How long null_blk takes for a request. 18.7 ms lie near the lower bound of a bucket (18.58 to 22.10), so that
# what an emulated machine adds stays inside.
DELAY_NS=18700000 DELAY_LE_US=22097

# What this kernel is expected to tell: docs/kernels.md.
REASONS=yes MODULE_REASONS=yes
# A program that is interrupted by itself is skipped by the kernel, which does not count that as a run; before 6.1
# the program itself finds out.
LOST='cause="map_full"'
# What the preflight says is missing; and its exit status without CAP_SYSLOG: BPF names addresses since 5.14.
MISSING='' WITHOUT_SYSLOG=0
case $(uname -r) in
5.10.*)
	REASONS=no MODULE_REASONS=no LOST='cause=' WITHOUT_SYSLOG=1
	MISSING='drops.reason drops.socket drops.tcp_drop retransmit.failures block.compare_and_swap'
	;;
6.1.*) MODULE_REASONS=no MISSING='drops.socket retransmit.failures' ;;
6.12.*) MISSING='retransmit.failures' ;;
esac

# reason NAME: as this kernel gives it
reason() {
	[ $REASONS = no ] || echo "$1"
}

# drop_row CONDITION [NAMESPACE]: sets ROW, the only row that there is
drop_row() {
	local found

	found=$(rows drops "$@")
	equal "rows where $1:" 1 "$(jq length <<<"$found")"
	ROW=$(jq -c '.[0] // {}' <<<"$found")
}

# field NAME EXPECTED
field() {
	equal "$1" "$2" "$(jq -r ".$1" <<<"$ROW")"
}

case_collectors() {
	get /-/ready >"$TMP/ready"
	equal 'collectors that are up' 4 "$(jq '[.collectors[] | select(.up)] | length' "$TMP/ready")" ||
		fault "$(jq -c '[.collectors[] | .reason // empty]' "$TMP/ready")"
	equal 'named symbols' 1 "$(get /metrics | awk '$1 == "dropscope_symbols_available" { print $2 }')"
}

# What it says is what case_collectors has seen, and why something is missing.
case_check() {
	local report status

	report=$("$DAEMON" --check=json --listen "$TMP/check")
	status=$?
	equal 'exit status' 0 "$status" || fault "$(jq -c '[.checks[] | select(.status != "ok")]' <<<"$report")"
	equal 'collectors that are up' 4 \
		"$(jq '[.checks[] | select(.name | test("^collector [a-z]+$")) | select(.found | startswith("up: "))] | length' <<<"$report")"
	equal 'what is missing' "$MISSING" "$(jq -r '[.checks[] | select(.status == "note") | .name |
		select(startswith("collector ")) | ltrimstr("collector ") | gsub(": "; ".")] | join(" ")' <<<"$report")"
	equal 'the same in /-/ready' "$MISSING" "$(get /-/ready | jq -r '[.collectors | to_entries[] | .key as $c |
		.value.missing[] | "\($c).\(.what)"] | join(" ")')"
	report=$(setpriv --bounding-set -syslog --inh-caps -syslog "$DAEMON" --check=json --listen "$TMP/check")
	status=$?
	equal 'exit status without CAP_SYSLOG' "$WITHOUT_SYSLOG" "$status"
	equal 'all addresses' "$([ "$WITHOUT_SYSLOG" = 1 ] && echo degraded || echo ok)" \
		"$(jq -r '.checks[] | select(.name == "symbols") | .status' <<<"$report")"
}

case_udp() {
	namespace a
	traffic a traffic udp 127.0.0.1 9 20000 64 2
	drop_row '.protocol == "udp"' a
	equal UdpNoPorts 20000 "$(statistic a UdpNoPorts)"
	field packets 20000
	field bytes $((20000 * 72))
	matches symbol '*udp*_rcv' "$(jq -r .symbol <<<"$ROW")"
	field reason "$(reason NO_SOCKET)"
	field device lo
}

# What the probe has counted, in rows or as lost, less what it has seen by the kernel's statistics, at a moment
# in which nothing was dropped. Two answers over one connection: whoever looks up a user's home without nscd, as
# curl does when it starts, has the kernel drop packets.
account() {
	local SOCKET=$QUIET

	for _ in {1..20}; do
		http -o "$TMP/before" -o "$TMP/after" "$URL/metrics" "$URL/metrics"
		[ "$(sample "$TMP/before" dropscope_drops_total)" = "$(sample "$TMP/after" dropscope_drops_total)" ] ||
			continue
		echo $(($(sample "$TMP/after" dropscope_drops_total) +
			$(sample "$TMP/after" dropscope_events_lost_total 'collector="drops"' "$LOST") -
			$(sample "$TMP/after" dropscope_probe_runs_total 'program="drops_kfree_skb"')))
		return
	done
	echo 'no quiet moment'
}

# Drops in softirqs that interrupt drops in process context.
case_interrupted() {
	local before blocked nested

	echo 1 >/proc/sys/kernel/bpf_stats_enabled
	namespace a
	ruleset a 'counter out { }; counter in { };
		chain x { type filter hook output priority 0; udp dport 7 counter name out drop; }
		chain y { type filter hook input priority 0; udp dport 9 counter name in drop; }'
	ip netns exec "$(namespace_name a)" sh -c 'echo 1 >/sys/class/net/lo/queues/rx-0/rps_cpus'
	before=$(account)
	matches 'an account' '*[0-9]' "$before"
	traffic a traffic interrupted 127.0.0.1 7 9 20000
	equal 'rows and lost, less what the probe has seen' "$before" "$(account)"
	blocked=$(word blocked)
	equal 'packets that nft dropped in OUTPUT' "$blocked" "$(named_counter a out packets)"
	equal 'rows of OUTPUT' "$blocked" "$(count drops packets '.protocol == "udp" and .device == "none"' a)"
	nested=$(get '/drops?top=1' | jq .lost.nested)
	printf '    %s of %s drops interrupted one\n' "$nested" "$(word sent)"
	echo 0 >/proc/sys/kernel/bpf_stats_enabled
}

# What nftables drops is freed by nf_hook_slow(), or by itself since it can give a reason.
case_nftables() {
	namespace a
	ruleset a 'counter in { }; chain x { type filter hook input priority 0; udp dport 7 counter name in drop; }'
	traffic a traffic udp 127.0.0.1 7 5000 64
	drop_row '.protocol == "udp"' a
	equal 'packets that nft dropped' 5000 "$(named_counter a in packets)"
	field packets 5000
	matches symbol '@(nf_hook_slow|nft_do_chain)' "$(jq -r .symbol <<<"$ROW")"
	field reason "$(reason NETFILTER_DROP)"
}

# Addresses for src in a and dst in b
wire() {
	ip -n "$(namespace_name a)" address add 10.9.0.1/24 dev src
	ip -n "$(namespace_name b)" address add 10.9.0.2/24 dev dst
	ip -n "$(namespace_name a)" link set src up
	ip -n "$(namespace_name b)" link set dst up
}

# To an address that a route calls unreachable, from outside: dropped on the way in.
case_unreachable() {
	namespace a
	namespace b
	cable a src b dst
	wire
	inside b sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
	inside b ip route add unreachable 10.77.0.0/16
	inside a ip route add 10.77.0.0/16 via 10.9.0.2
	traffic a traffic udp 10.77.0.1 9 3000 64
	drop_row '.protocol == "udp"' b
	field packets 3000
	field device dst
	matches symbol '@(ip_error|ip_rcv_finish_core*|ip_rcv_core*|ip_sublist_rcv*)' "$(jq -r .symbol <<<"$ROW")"
}

case_stp() {
	namespace a
	namespace b
	cable a src b dst
	traffic a frames src 3000 stp
	drop_row true b
	field packets 3000
	field protocol stp
	field device dst
	matches symbol '@(__netif_receive_skb_core|llc_rcv|stp_pdu_rcv)*' "$(jq -r .symbol <<<"$ROW")"
}

case_receive() {
	namespace a
	namespace b
	cable a src b dst
	traffic a frames src 4000 lldp
	ROW=$(rows receive true b | jq -c '.[0] // {}')
	field packets 4000
	field bytes $((4000 * 46))
	field protocol lldp
	field packet_size_bytes.count 4000
	traffic a traffic udp 127.0.0.1 9 5000 100
	equal 'IpInReceives' "$(statistic a IpInReceives)" "$(count receive packets true a)"
	equal 'IpExtInOctets' "$(statistic a IpExtInOctets)" "$(count receive bytes true a)"
}

arrived() {
	[ "$(stat -c %s "$TMP/received")" = 600000 ]
}

# Segments that TCP has sent again, by the kernel's own count: in a, in b and here. TcpRetransSegs are those that were
# to go out; of these TCPRetransFail did not.
segments_sent_again() {
	local where name sum=0

	for where in 'inside a' 'inside b' ''; do
		for name in TcpRetransSegs -TcpExtTCPRetransFail; do
			# shellcheck disable=SC2086 # a command's words, or none
			sum=$((sum + ${name%%Tcp*}$($where nstat -asz "${name#-}" | awk 'END { print $2 }')))
		done
	done
	echo "$sum"
}

# Without those that failed: of attempts that were given up before anything was made to be sent, the kernel counts none.
retransmits_counted() {
	get '/retransmits?top=1' | jq .totals.retransmits
}

# retransmits AT-FIRST: on a cable that loses so much for a second and 5 % from then on. Every segment that goes out is
# a packet of its own, so that packets and segments are the same number. The table has no namespace: what TCP sends again
# here counts, too, as an emulated machine may be slow to acknowledge.
retransmits() {
	local before segments again='' counted SOCKET=$QUIET

	namespace a
	namespace b
	ip -n "$(namespace_name a)" link add src gso_max_segs 1 type veth peer name dst netns "$(namespace_name b)"
	wire
	# However long a machine takes for what follows, nobody gives up asking for the address.
	inside a sh -c 'echo 60 >/proc/sys/net/ipv4/neigh/src/mcast_solicit'
	inside a tc qdisc add dev src root netem limit 10000 loss "$1" || fault 'expected netem, got an error' || return
	before=$(($(retransmits_counted) - $(segments_sent_again)))
	# Both ends keep the connection until everything is there.
	mkfifo "$TMP/open.$CASES"
	exec 8<>"$TMP/open.$CASES"
	inside b nc -l -p 5001 <&8 >"$TMP/received" &
	PIDS+=($!)
	sleep 0.5
	(head -c 600000 /dev/zero; cat <&8) | inside a nc 10.9.0.2 5001 &
	PIDS+=($!)
	sleep 1
	inside a tc qdisc change dev src root netem limit 10000 loss 5% || fault 'expected netem, got an error' || return
	truth 'all bytes to arrive' wait_until 60 arrived
	# What is acknowledged late is sent again meanwhile.
	for _ in {1..20}; do
		segments=$(segments_sent_again) counted=$(retransmits_counted) again=$(segments_sent_again)
		[ "$segments" != "$again" ] || break
	done
	[ "$segments" = "$again" ] || fault 'expected a moment in which nothing is sent again, got none' || return
	at_least 'segments sent again' 5 "$segments"
	equal 'retransmits' "$segments" $((counted - before))
	printf '    %s retransmits: %s; %s failures\n' "$segments" "$(get '/retransmits?by=cause' |
		jq -r '[.rows[] | "\(.retransmits) \(.cause)"] | join(", ")')" \
		"$(get '/retransmits?top=1' | jq .totals.failures)"
}

case_retransmits() {
	retransmits 5%
}

# Nothing comes through while the connection is made, not even the answer to who has the address: what TCP gives up for
# that reason is a failure since 6.18, and no segment in any count of the kernel.
case_neighbour() {
	retransmits 100%
}

# median HISTOGRAM: the upper bound of its bucket, in whole microseconds
median() {
	get '/block?device=nullb0&operation=read' | jq "[.rows[].$1.buckets[]] | sort_by(.[0]) | (map(.[1]) | add) as \$n |
		reduce .[] as \$b ([0, 0]; if .[0] * 2 >= \$n then . else [.[0] + \$b[1], \$b[0]] end) |
		.[1] * 1e6 | floor"
}

# reads COLUMN: of null_blk's disk
reads() {
	count block "$1" '.device == "nullb0" and .operation == "read"'
}

# One request at a time: no wait. Then four at a time for a device that takes one.
case_block() {
	local requests bytes pids=()

	modprobe null_blk nr_devices=1 gb=1 queue_mode=2 submit_queues=1 hw_queue_depth=1 irqmode=2 \
		completion_nsec=$DELAY_NS || fault 'expected null_blk, got an error' || return
	echo 2 >/sys/block/nullb0/queue/nomerges
	# The kernel has looked for partitions.
	requests=$(reads device_seconds.count) bytes=$(reads bytes)
	"$TOOLS/disk" /dev/nullb0 read 30 4096 >/dev/null || fault 'expected reads, got an error'
	equal 'requests' 30 $(($(reads device_seconds.count) - requests))
	equal 'bytes' $((30 * 4096)) $(($(reads bytes) - bytes))
	equal 'bucket of the median device time' $DELAY_LE_US "$(median device_seconds)"
	between 'bucket of the median queue time' 0 2000 "$(median queue_seconds)"
	echo mq-deadline >/sys/block/nullb0/queue/scheduler
	echo 32 >/sys/block/nullb0/queue/nr_requests
	for _ in 1 2 3 4; do
		"$TOOLS/disk" /dev/nullb0 read 30 4096 >/dev/null &
		pids+=($!)
	done
	wait "${pids[@]}"
	equal 'requests' 150 $(($(reads device_seconds.count) - requests))
	equal 'bucket of the median device time' $DELAY_LE_US "$(median device_seconds)"
	# Three others are before it.
	between 'bucket of the median queue time' $((2 * DELAY_NS / 1000)) $((5 * DELAY_NS / 1000)) "$(median queue_seconds)"
	rmmod null_blk
}

# Its symbols are new, and its reasons too.
case_module() {
	namespace a
	modprobe openvswitch || fault 'expected the module openvswitch, got an error' || return
	ip link add src type veth peer name dst
	ip link set src netns "$(namespace_name a)"
	ip link set dst up
	inside a ip link set src up
	"$MODULE_TOOLS/openvswitch" dst >/dev/null || fault 'expected a switch, got an error' || return
	traffic a frames src 700 0x88b5
	drop_row '.device == "dst" and .protocol == "0x88b5"'
	field packets 700
	field symbol ovs_dp_process_packet
	field module openvswitch
	[ $MODULE_REASONS = yes ] || return 0
	traffic a frames src 800 0x88b6
	drop_row '.device == "dst" and .protocol == "0x88b6"'
	field packets 800
	field module openvswitch
	field reason OVS_DROP_LAST_ACTION
}

# stream NAME PATH: into $TMP/NAME, from when this returns on
stream() {
	curl -sN --unix-socket "$QUIET" -D "$TMP/$1.headers" -o "$TMP/$1" "http://x$2" &
	PIDS+=($!)
	truth "a stream for $2" wait_until 20 grep -q '200 OK' "$TMP/$1.headers"
}

# streamed NAME COUNT: so many lines are there
streamed() {
	[ "$(cat "$TMP/$1" 2>/dev/null | wc -l)" -ge "$2" ]
}

sums_of() {
	cat "$TMP/$1" 2>/dev/null | jq -s '[.[].packets] | add // 0'
}

summed() {
	[ "$(sums_of "$1")" -ge "$2" ]
}

# Single events, filtered, with their stacks; sums; samples. Programs of their own count meanwhile.
case_live() {
	local programs

	namespace a
	programs=$(ids prog)
	stream events "/drops/live?netns=$(inode a)&proto=udp&daddr=127.0.0.0/8&dport=9&stack=1"
	stream sums "/drops/live?netns=$(inode a)&dport=9,10&interval=1s"
	stream retransmits '/retransmits/live'
	traffic a traffic udp 127.0.0.1 9 60 64
	traffic a traffic udp 127.0.0.1 10 40 64
	traffic a traffic udp ::1 9 30 64
	truth 'events' wait_until 20 streamed events 60
	truth 'sums' wait_until 20 summed sums 130
	equal 'events' 60 "$(wc -l <"$TMP/events")"
	equal 'packets in sums' 130 "$(sums_of sums)"
	equal packets 130 "$(count drops packets '.protocol == "udp"' a)"
	matches 'a stack' '*udp*rcv*ip_local_deliver*sendto+*' "$(head -n 1 "$TMP/events" | jq -r '.stack | join(" ")')"
	equal 'the first frame' "$(head -n 1 "$TMP/events" | jq -r .location)" "$(head -n 1 "$TMP/events" | jq -r '.stack[0]')"
	kill "${PIDS[@]: -3}"
	truth 'the programs of before' wait_until 20 same_programs "$programs"
	equal 'samples shared out' 130 "$(get "/drops/stacks?netns=$(inode a)&protocol=udp" | awk '{ n += $NF } END { print n }')"
	matches 'sampled stacks' '*sendto;*udp*rcv *' "$(get "/drops/stacks?netns=$(inode a)&protocol=udp")"
}

same_programs() {
	[ "$(ids prog)" = "$1" ]
}

# entered NAME PATTERN COLUMN: the sum of a column (4: packets, 5: bytes) of what `enter` has counted in a
# namespace in functions whose name matches
entered() {
	awk -v netns="$(inode "$1")" -v pattern="$2" -v column="$3" '
		FILENAME != "-" { if ($1 == "slot" && $3 == netns) { amount[$2] += $column; best[$2] = "" }; next }
		{ for (a in amount) if ($1 "" <= a "" && $1 "" >= best[a] "") { best[a] = $1; name[a] = $3 } }
		END { for (a in amount) if (name[a] ~ pattern) sum += amount[a]; print sum + 0 }' "$TMP/entered" - </proc/kallsyms
}

# What counts tcp_drop() where it is a function, at the entry of one that every kernel has and that UDP calls for
# each packet. Some of them find no room and are dropped behind it, which the other program counts.
case_entry() {
	local mode name entry missed

	# Elsewhere nothing is counted before 5.18 at all.
	[ "$(uname -m)" = x86_64 ] || skip 'tcp_drop() is counted on x86-64 only' || return
	for mode in '' live; do
		name=entry$mode
		namespace "$name"
		mkfifo "$TMP/$name"
		# shellcheck disable=SC2086 # none, or one
		"$MODULE_TOOLS/enter" __udp_enqueue_schedule_skb $mode <"$TMP/$name" >"$TMP/entered" 2>"$TMP/why" &
		PIDS+=($!)
		entry=$!
		exec 9>"$TMP/$name"
		truth 'a program at the entry' wait_until 60 grep -q ready "$TMP/entered" ||
			fault "$(tail -n 1 "$TMP/why")"
		traffic "$name" traffic unread 127.0.0.1 9 3000 64 4096
		missed=$((3000 - $(word received)))
		exec 9>&-
		wait "$entry"
		equal 'exit status' 0 $?
		forget_pid "$entry"
		at_least 'packets without room' 1 "$missed"
		equal 'calls and drops behind them' $((3000 + missed)) "$(entered "$name" 'udp_.*queue' 4)"
		equal 'their bytes' $(((3000 + missed) * 64)) "$(entered "$name" 'udp_.*queue' 5)"
		equal 'in slots' 2 "$(awk -v netns="$(inode "$name")" '$1 == "slot" && $3 == netns' "$TMP/entered" | wc -l)"
		at_least 'stacks' 2 "$(awk '$1 == "samples" { print $2 }' "$TMP/entered")"
		equal 'stacks of something else' 0 "$(awk '$1 == "samples" { print $3 }' "$TMP/entered")"
	done
}

case_reload() {
	printf '[daemon]\nlisten = 127.0.0.1:%s %s\n[collectors]\nreceive = no\n' "$PORT" "$QUIET" >"$CONFIG"
	kill -HUP "$DAEMON_PID"
	truth 'a reloaded configuration' wait_until 10 grep -q 'configuration reloaded' "$DAEMON_LOG"
	equal 'receive' false "$(get /-/ready | jq .collectors.receive.up)"
	printf '[daemon]\nlisten = 127.0.0.1:%s %s\n' "$PORT" "$QUIET" >"$CONFIG"
	kill -HUP "$DAEMON_PID"
	truth 'the collector to be up again' wait_until 10 receive_is_up
}

receive_is_up() {
	[ "$(get /-/ready | jq .collectors.receive.up)" = true ]
}

# The kernel frees them a grace period after the last descriptor.
no_programs() {
	! bpftool prog show | grep -qE 'drops_|receive_|retransmit_|block_'
}

case_stop() {
	at_least 'programs' 4 "$(ids prog | wc -l)"
	stop_daemon
	equal 'exit status' 0 "$DAEMON_STATUS"
	truth 'no program to be left' wait_until 10 no_programs
	equal 'messages of trouble' '' "$(grep -E ' (error|warning): ' "$DAEMON_LOG")"
}

# The same daemon with a file in the place of the kernel's own BTF, which it cannot see.
case_raw_collectors() {
	stop_daemon
	cp /sys/kernel/btf/vmlinux "$TMP/kernel.btf"
	mount -t tmpfs none /sys/kernel/btf
	new_port
	CONFIG=$TMP/raw.conf QUIET=$TMP/raw.socket
	printf '[daemon]\nbtf = %s\nlisten = 127.0.0.1:%s %s\n' "$TMP/kernel.btf" "$PORT" "$QUIET" >"$CONFIG"
	launch "$DAEMON" --config "$CONFIG" --log-level debug || return
	case_collectors
	equal 'how programs are attached' '["raw_tp"]' \
		"$(get /-/ready | jq -c '[.collectors[].programs[].attach] | unique')"
}

# On arm64 before 5.18 nothing can be counted: the daemon does not start, and says why.
case_refused() {
	local report

	report=$("$DAEMON" --check=json --listen "$TMP/check")
	equal 'exit status' 2 $?
	equal 'collectors that say why' 4 "$(jq '[.checks[] | select(.name | test("^collector [a-z]+$")) |
		select(.advice // "" | startswith("BPF has no atomic exchange"))] | length' <<<"$report")"
	"$DAEMON" --listen "$TMP/check" 2>"$TMP/refused.log"
	equal 'exit status of the daemon' 1 $?
	truth 'its reason in the log' grep -q 'down: BPF has no atomic exchange' "$TMP/refused.log"
}

case $(uname -m)/$(uname -r) in
aarch64/5.10.*)
	run_case refused case_refused
	finish
	;;
esac
shared_daemon
# The kernel's command line may name some of them.
[ -n "${ONLY:-}" ] || ONLY='collectors check udp interrupted nftables unreachable stp receive retransmits neighbour block live module
	entry reload stop raw_collectors raw_udp raw_interrupted raw_stp raw_receive raw_retransmits raw_block'
for name in ${ONLY//,/ }; do
	case $name in
	raw_collectors) run_case "$name" "case_$name" ;;
	*) run_case "$name" "case_${name#raw_}" ;;
	esac
done
finish
