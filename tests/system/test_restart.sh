#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon ends, however, and comes back, as the same or as another build: no event is lost and none is counted
# twice. The keeper plays the service manager; tests/service has the real one.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/kept.sh
. "$(dirname "$0")/kept.sh"
# shellcheck source=tests/system/builds.sh
. "$(dirname "$0")/builds.sh"

RESTARTS=${RESTARTS:-20}

# The next start runs this program.
run_next() {
	ln -sfn "$1" "$KEPT/new"
	mv -T "$KEPT/new" "$KEPT/command"
}

# From two CPUs, until end_flood, which sets SENT.
flood() {
	LOST=$(lost)
	rm -f "$TMP/enough"
	{
		rounds=0
		until [ -e "$TMP/enough" ]; do
			inside a "$TOOLS/traffic" udp 127.0.0.1 9 100000 64 2 >/dev/null || exit
			rounds=$((rounds + 1))
		done
		echo $((rounds * 100000)) >"$TMP/sent"
	} &
	FLOOD_PID=$!
	PIDS+=("$FLOOD_PID")
}

# Rows must be what was sent, but for what is counted as lost. (Of that, some may be others' packets.)
end_flood() {
	local rows lost

	touch "$TMP/enough"
	wait "$FLOOD_PID"
	forget_pid "$FLOOD_PID"
	SENT=$(cat "$TMP/sent")
	rows=$(count drops packets '.protocol == "udp"' a)
	lost=$(($(lost) - LOST))
	between 'rows, of what was sent less what was lost,' $((SENT - lost)) "$SENT" "$rows"
	equal 'UdpNoPorts' "$(statistic a UdpNoPorts)" "$SENT"
	equal 'bytes' $((rows * 72)) "$(count drops bytes '.protocol == "udp" and .reason == "NO_SOCKET"' a)"
	printf '    %s packets sent, %s in rows; %s were lost to nesting or full maps in all of the machine\n' \
		"$SENT" "$rows" "$lost"
}

lost() {
	get '/drops?top=1' | jq '.lost.nested + .lost.map_full'
}

counting_since() {
	get '/drops?top=1' | jq -r .counting_since
}

# When this process began, by its own metric.
start_time() {
	get /metrics | sed -n 's/^process_start_time_seconds //p'
}

metric() {
	get /metrics >"$TMP/metrics"
	sample "$TMP/metrics" dropscope_drops_total 'protocol="udp"' 'reason="NO_SOCKET"'
}

# case_flood SIGNAL OTHER...: restarts under full load, by turns as each of these programs
case_flood() {
	local signal=$1 since programs turn=0 before after first began

	shift
	needs root btf nsenter nstat cpus "$TOOLS/keeper" || return
	programs=("$DAEMON" "$@")
	kept_daemon || return
	namespace a
	since=$(counting_since) first=$(cat "$KEPT/pid") began=$(start_time)
	flood
	before=$(metric)
	for ((turn = 1; turn <= RESTARTS; turn++)); do
		run_next "${programs[turn % ${#programs[@]}]}"
		restart "$signal" || return
		after=$(metric)
		at_least 'the metric, after a restart,' "$before" "$after"
		before=$after
	done
	end_flood
	equal 'counting_since' "$since" "$(counting_since)"
	truth 'another process' [ "$first" != "$(cat "$KEPT/pid")" ]
	matches 'its process_start_time_seconds' '[0-9]*.[0-9]*' "$began"
	truth 'a later one' awk -v before="$began" -v after="$(start_time)" 'BEGIN { exit !(after + 0 > before + 0) }'
	equal 'starts' $((RESTARTS + 1)) "$(started)"
}

case_program() {
	build_program || return
	case_flood TERM "$OTHER"
	at_least 'other programs that have taken over' "$RESTARTS" \
		"$(grep -c 'drops: another program has taken over' "$DAEMON_LOG")"
	equal 'programs kept' 1 "$(grep -c '^drops.program' "$KEPT/names")"
}

# Forth and back between two layouts: what the other does not have is counted as not carried.
case_layout() {
	local turn

	needs root btf nsenter nstat cpus "$TOOLS/keeper" || return
	build_layout || return
	kept_daemon || return
	namespace a
	flood
	for ((turn = 1; turn <= 6; turn++)); do
		run_next "$([ $((turn % 2)) = 1 ] && echo "$OTHER" || echo "$DAEMON")"
		restart "$([ $((turn % 3)) = 0 ] && echo KILL || echo TERM)" || return
	done
	end_flood
	equal 'carried' 6 "$(grep -c 'drops: counters of another layout have been carried over' "$DAEMON_LOG")"
	equal 'slots kept' 1 "$(grep -c '^drops.map.slots' "$KEPT/names")"
	# Only `packets` and `bytes` are in both: the rest is lost, and said to be, at every change.
	at_least 'lines about what was not carried' 6 "$(grep -c 'drops: .* cannot be carried over' "$DAEMON_LOG")"
	get /metrics >"$TMP/metrics"
	at_least 'seen, not carried' 1 \
		"$(sample "$TMP/metrics" dropscope_not_carried_total 'collector="drops"' 'counter="seen"')"
}

# A disk request that is on its way while another program takes over: it is known again when it completes.
case_requests() {
	local pid lost done_before requests

	needs root btf losetup fsfreeze mkfs.ext4 "$TOOLS/keeper" || return
	build block 's/^int block_rq_complete(__u64 \*ctx)$/&/; s/^\t__u32 writer = bpf_get_smp_processor_id();$/&\n\n\tbarrier();/' \
		bpf/block.bpf.c || return
	truncate -s 64M "$TMP/disk"
	loop_device "$TMP/disk" || return
	mkfs.ext4 -q -F "$LOOP" && mkdir -p "$TMP/mount" && mount "$LOOP" "$TMP/mount" ||
		fault 'expected a file system on the loop device, got an error' || return
	MOUNTS+=("$TMP/mount")
	fallocate -l 16M "$TMP/mount/image"
	sync -f "$TMP/mount"
	loop_device "$TMP/mount/image" || return
	kept_daemon || return
	requests="[.rows[] | select(.device == \"$LOOP_NAME\" and .operation == \"write\") | .device_seconds.count] | add // 0"
	done_before=$(get /block | jq "$requests")
	fsfreeze --freeze "$TMP/mount" || fault 'expected a frozen file system, got an error' || return
	"$TOOLS/disk" "$LOOP" write 1 4096 >/dev/null &
	pid=$!
	PIDS+=("$pid")
	sleep 0.5
	run_next "$OTHER"
	restart TERM
	equal 'another program' 1 "$(grep -c 'block: another program has taken over' "$DAEMON_LOG")"
	lost=$(get /block | jq .lost.unmatched)
	fsfreeze --unfreeze "$TMP/mount"
	wait "$pid"
	forget_pid "$pid"
	equal 'requests with their times' $((done_before + 1)) "$(get /block | jq "$requests")"
	equal 'completions without their issue' "$lost" "$(get /block | jq .lost.unmatched)"
	equal 'requests on their way' 0 "$(get /block | jq "[.rows[] | select(.device == \"$LOOP_NAME\") |
		.oldest_request_seconds // 0] | max")"
	run_next "$DAEMON"
	losetup --detach "$LOOP"
	umount "$TMP/mount"
	stop_daemon
}

# Rows keep the names that they had, whatever a device would be called today: their counts belong to their series.
case_names() {
	needs root btf nsenter ip || return
	kept_daemon || return
	namespace a
	namespace b
	cable a srcA b dstA
	traffic a frames srcA 5 $((0xb001))
	equal 'names' '[["0xb001","dstA","dstA",5]]' "$(names)"
	printf '[devices]\ngroup = cable=dstA\n' >>"$CONFIG"
	restart TERM
	traffic a frames srcA 2 $((0xb001))
	traffic a frames srcA 3 $((0xb002))
	equal 'names after a restart' '[["0xb001","dstA","dstA",7],["0xb002","cable","dstA",3]]' "$(names)"
	restart KILL
	equal 'names after a crash' '[["0xb001","dstA","dstA",7],["0xb002","cable","dstA",3]]' "$(names)"
	get /metrics >"$TMP/metrics"
	equal 'the series' 7 "$(sample "$TMP/metrics" dropscope_drops_total 'protocol="0xb001"' 'device="dstA"')"
	stop_daemon
}

names() {
	rows drops '.protocol | startswith("0xb00")' b | jq -c '[.[] | [.protocol, .device, .interface, .packets]] | sort'
}

# Fewer slots: the same layout in another size.
case_slots() {
	needs root btf nsenter nstat cpus "$TOOLS/keeper" || return
	kept_daemon || return
	namespace a
	flood
	sleep 0.5
	printf '[daemon]\nlisten = 127.0.0.1:%s\n[drops]\nslots = 128\n' "$PORT" >"$CONFIG"
	restart TERM || return
	sleep 0.5
	rm "$CONFIG"
	printf '[daemon]\nlisten = 127.0.0.1:%s\n' "$PORT" >"$CONFIG"
	restart KILL || return
	end_flood
	equal 'carried' 2 "$(grep -c 'drops: counters of another layout have been carried over' "$DAEMON_LOG")"
	equal 'rows of the flood' 1 "$(rows drops '.protocol == "udp" and .reason == "NO_SOCKET"' a | jq length)"
}

# What has ended is `retired`, and stays so; a key that comes back begins at nothing.
case_retired() {
	local sent=0 turn

	needs root btf nsenter ip "$TOOLS/keeper" || return
	kept_daemon $'[series]\nretire-after = 1s' || return
	namespace a
	namespace b
	cable a srcA b dstA
	before=$(get '/drops?top=1' | jq '.totals.packets + .retired.packets + ([.lost[]] | add)')
	for ((turn = 1; turn <= 12; turn++)); do
		traffic a frames srcA 100 $((0xb000 + turn))
		sent=$((sent + 100))
		sleep "0.$((RANDOM % 10))"
		restart "$([ $((turn % 2)) = 0 ] && echo KILL || echo TERM)" || return
	done
	truth 'all rows of it to be retired' wait_until 20 none_left
	at_least 'retired' $((sent)) "$(get '/drops?top=1' | jq .retired.packets)"
	# Series that have ended: those of rows that have, once no other row is in them.
	truth 'dropscope_retired_total as in /drops' wait_until 10 retired_agrees
}

retired_agrees() {
	get /metrics >"$TMP/metrics"
	[ "$(get '/drops?top=1' | jq .retired.packets)" = \
		"$(sample "$TMP/metrics" dropscope_retired_total 'collector="drops"' 'counter="packets"')" ]
}

none_left() {
	[ "$(rows drops '.protocol | startswith("0xb0")' b)" = '[]' ]
}

# The class is explained anew at each start: with other hints the row's series ends and another begins.
case_hints() {
	local found

	needs root btf nsenter "$TOOLS/keeper" || return
	mkdir -p "$TMP/hints.d"
	rm -f "$TMP/hints.d/site.conf"
	kept_daemon "[hints]
directory = $TMP/hints.d" || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 30 64
	restart TERM || return
	found=$(rows drops '.reason == "NO_SOCKET"' a)
	equal 'class and packets' '["protocol",30]' "$(jq -c '.[0] | [.class, .packets]' <<<"$found")"
	matches meaning 'No socket*' "$(jq -r '.[0].meaning' <<<"$found")"
	printf '[reason NO_SOCKET]\nclass = policy\nmeaning = Ours.\n' >"$TMP/hints.d/site.conf"
	restart KILL || return
	traffic a traffic udp 127.0.0.1 9 12 64
	found=$(rows drops '.reason == "NO_SOCKET"' a)
	equal 'class, meaning and packets' '["policy","Ours.",42]' \
		"$(jq -c '.[0] | [.class, .meaning, .packets]' <<<"$found")"
	get /metrics >"$TMP/metrics"
	equal 'series of the old class' 0 \
		"$(sample "$TMP/metrics" dropscope_drops_total 'reason="NO_SOCKET"' 'class="protocol"')"
	at_least 'series of the new class' 12 \
		"$(sample "$TMP/metrics" dropscope_drops_total 'reason="NO_SOCKET"' 'class="policy"')"
}

# What comes back and is not what it should be is refused with a reason, and the daemon starts. With counters
# lost, or what was said of them, counting begins anew, and says so.
case_refused() {
	local name=$1 reason=$2 anew=$3 since before

	needs root btf nsenter "$TOOLS/keeper" || return
	kept_daemon || return
	namespace a
	since=$(counting_since)
	traffic a traffic udp 127.0.0.1 9 500 64
	printf '%s\n' "$name" >"$KEPT/replace"
	restart KILL || return
	truth "a log line like *$reason*" grep -q -e "$reason" "$DAEMON_LOG"
	rm "$KEPT/replace"
	if [ "$anew" = anew ]; then
		truth 'another counting_since' [ "$since" != "$(counting_since)" ]
		since=$(counting_since)
	fi
	before=$(count drops packets '.reason == "NO_SOCKET"' a)
	equal 'packets of before' "$([[ $name == *.map.* ]] && echo 0 || echo 500)" "$before"
	traffic a traffic udp 127.0.0.1 9 1000 64
	equal 'packets after that' $((before + 1000)) "$(count drops packets '.reason == "NO_SOCKET"' a)"
	restart TERM || return
	equal 'packets after a good restart' $((before + 1000)) "$(count drops packets '.reason == "NO_SOCKET"' a)"
	equal 'counting_since' "$since" "$(counting_since)"
	equal 'names kept' "$(sort -u "$KEPT/names" | wc -l)" "$(wc -l <"$KEPT/names")"
}

# A build whose program the kernel refuses has no drops. What is stored stays: the one after it has them all.
case_broken() {
	local since retired

	needs root btf nsenter "$TOOLS/keeper" || return
	build_broken || return
	kept_daemon $'[series]\nretire-after = 1s' || return
	namespace a
	namespace b
	cable a srcA b dstA
	since=$(counting_since)
	traffic a frames srcA 100 0xb0bb
	truth 'the row to be retired' wait_until 20 none_left
	printf '[daemon]\nlisten = 127.0.0.1:%s\n' "$PORT" >"$CONFIG"
	restart TERM || return
	traffic a traffic udp 127.0.0.1 9 30 64
	retired=$(retired)
	at_least 'retired' 100 "$retired"
	equal 'exit status of its preflight' 1 "$("$OTHER" --check=json --config "$CONFIG" >"$TMP/check"; echo $?)"
	equal 'what that says' '["collector drops down"]' \
		"$(jq -c '[.checks[] | select(.status == "degraded") | "\(.name) \(.found)"]' "$TMP/check")"
	run_next "$OTHER"
	restart TERM || return
	matches 'the collectors' '*"drops": {"up": false, "reason": "cannot load the programs*' "$(get /-/ready)"
	traffic a traffic udp 127.0.0.1 9 12 64
	restart KILL || return
	run_next "$DAEMON"
	restart TERM || return
	equal 'counting_since' "$since" "$(counting_since)"
	equal 'retired' "$retired" "$(retired)"
	equal 'packets' 42 "$(count drops packets '.reason == "NO_SOCKET"' a)"
	equal 'names kept' "$(sort -u "$KEPT/names" | wc -l)" "$(wc -l <"$KEPT/names")"
}

retired() {
	get '/drops?top=1' | jq .retired.packets
}

case_foreign() {
	needs root btf "$TOOLS/keeper" || return
	kept_daemon || return
	: >"$KEPT/foreign"
	restart KILL || return
	truth 'a line that names it' grep -q '"foreign" is refused: nothing here is called so' "$DAEMON_LOG"
}

# A collector that is turned off is out of the store; turned on again, it begins anew.
case_off() {
	needs root btf "$TOOLS/keeper" || return
	kept_daemon || return
	at_least 'descriptors of receive' 6 "$(grep -c ^receive "$KEPT/names")"
	printf '[daemon]\nlisten = 127.0.0.1:%s\n[collectors]\nreceive = no\n' "$PORT" >"$CONFIG"
	kill -HUP "$(cat "$KEPT/pid")"
	truth 'none to be left' wait_until 5 none_of receive
	restart TERM || return
	equal 'descriptors of receive' 0 "$(grep -c ^receive "$KEPT/names")"
	printf '[daemon]\nlisten = 127.0.0.1:%s\n' "$PORT" >"$CONFIG"
	restart TERM || return
	at_least 'descriptors of receive again' 6 "$(grep -c ^receive "$KEPT/names")"
	equal 'receive' null "$(get /receive | jq .error)"
}

none_of() {
	! grep -q "^$1\\." "$KEPT/names"
}

# When the manager drops its store nothing stays attached.
case_stop() {
	local pid kind ids

	needs root btf bpftool "$TOOLS/keeper" || return
	kept_daemon || return
	restart KILL || return
	pid=$DAEMON_PID ids=$(ids prog)
	at_least 'programs' 18 "$(wc -w <<<"$ids")"
	ids="$(sed 's/^/prog /' <<<"$ids"; ids map | sed 's/^/map /')"
	at_least 'maps and programs' 37 "$(wc -l <<<"$ids")"
	stop_daemon
	truth 'all of them to go' wait_until 5 are_gone "$ids"
	truth 'no process' died "$pid"
}

# are_gone "KIND ID"...
are_gone() {
	local kind id

	while read -r kind id; do
		! bpftool "$kind" show id "$id" >/dev/null 2>&1 || return
	done <<<"$1"
}

run_case 'SIGTERM and back under a flood' case_flood TERM
run_case 'SIGKILL and back under a flood' case_flood KILL
run_case 'another program takes over under a flood' case_program
run_case 'another layout takes over under a flood' case_layout
run_case 'another number of slots' case_slots
run_case 'disk requests on their way' case_requests
run_case 'names that are not known any more' case_names
run_case 'retired stays retired' case_retired
run_case 'hints that have changed' case_hints
run_case 'a stored map that is none' case_refused drops.map.slots 'drops.map.slots.* is refused: it is no such map' anew
run_case 'a stored link that is none' case_refused drops.link 'gate drops_kfree_skb is refused: its link is no link' on
run_case 'a stored state that is none' case_refused drops.state 'stored state is refused: it was not written' anew
run_case 'a program that does not load, and back' case_broken
run_case 'a descriptor that nobody knows' case_foreign
run_case 'a collector turned off' case_off
run_case 'stop leaves nothing' case_stop
finish
