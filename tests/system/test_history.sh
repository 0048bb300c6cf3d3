#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The past: what windows sum is what the counters grew by, to the packet, whatever becomes of the daemon.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/kept.sh
. "$(dirname "$0")/kept.sh"

# In nanoseconds.
now() {
	date +%s%N
}

# A packet of these has 72 bytes for the kernel.
burst() {
	traffic a traffic udp 127.0.0.1 9 "$1" 64
}

# What is counted has the time of the next sample, up to 1.1 s later.
settle() {
	sleep 1.3
}

# past PARAMETERS: packets and bytes that the table has for this case's namespace
past() {
	get "/drops?netns=$(inode a)&reason=NO_SOCKET&$1" | jq -c '[.totals.packets, .totals.bytes]'
}

# window FROM TO: parameters for the window from one time until the other, or up to a second later
window() {
	local seconds=$((($2 - $1) / 1000000000 + 1))

	echo "at=$(moment $(($1 + seconds * 1000000000)))&window=${seconds}s"
}

# moment NANOSECONDS: as RFC 3339
moment() {
	date -u -d "@$(($1 / 1000000000)).$(printf %09d $(($1 % 1000000000)))" +%Y-%m-%dT%H:%M:%S.%NZ
}

# Three bursts, and the windows around each, each two and all; SIGNAL after the first two.
case_bursts() {
	local signal=${1-} sizes=(300 50 4000) from=() to=() i

	needs root btf nsenter "$TOOLS/keeper" || return
	kept_daemon || return
	namespace a
	for i in 0 1 2; do
		sleep 1 # windows have whole seconds
		from[i]=$(now)
		burst "${sizes[i]}"
		[ -z "$signal" ] || [ "$i" = 2 ] || restart "$signal" || return
		settle
		to[i]=$(now)
	done
	sleep 1
	for i in 0 1 2; do
		equal "packets and bytes of burst $i" "[${sizes[i]},$((sizes[i] * 72))]" \
			"$(past "$(window "${from[i]}" "${to[i]}")")"
	done
	equal 'of the first two' '[350,25200]' "$(past "$(window "${from[0]}" "${to[1]}")")"
	equal 'of the last two' '[4050,291600]' "$(past "$(window "${from[1]}" "${to[2]}")")"
	equal 'of all' '[4350,313200]' "$(past window=5m)"
	equal 'before the first' '[0,0]' "$(past "at=$(moment "${from[0]}")&window=30s")"
	equal 'the counters themselves' '[4350,313200]' "$(past '')"
	plotted "${from[0]}" "${to[2]}"
	equal 'what was lost' 0 "$(metric dropscope_history_lost_total)"
}

# Each step of a plot has what the window has.
plotted() {
	local parameters

	parameters="$(window "$1" "$2")&table=drops&reason=NO_SOCKET&netns=$(inode a)&step=1s&by=reason"
	equal 'steps that hold something' '[300,50,4000]' \
		"$(get "/history?$parameters" | jq -c '[.series[].values[] | select(. != null and . > 0)]')"
	equal 'bytes in a plot' 313200 \
		"$(get "/history?$parameters&column=bytes" | jq '[.series[].values[] | select(. != null)] | add')"
}

metric() {
	get /metrics | awk -v name="$1" '$1 == name { print $2 }'
}

# Drops go on while the daemon comes and goes: the window has them all, those that nobody looked at too.
case_flood() {
	local turn sent=0 began signal

	needs root btf nsenter "$TOOLS/keeper" || return
	kept_daemon || return
	namespace a
	began=$(now)
	for turn in {1..12}; do
		signal=$([ $((turn % 2)) = 0 ] && echo KILL || echo TERM)
		burst 1000 &
		sleep "0.$((RANDOM % 10))"
		restart "$signal" || return
		wait $!
		sent=$((sent + 1000))
		equal "of the last minute, after SIG$signal" "$(past '')" "$(past window=1m)"
	done
	equal 'of the counters' "[$sent,$((sent * 72))]" "$(past '')"
	settle
	equal 'from the first to the last' "[$sent,$((sent * 72))]" "$(past "$(window "$began" "$(now)")")"
	equal 'what was lost' 0 "$(metric dropscope_history_lost_total)"
	equal 'rings kept' 1 "$(grep -c '^history\.ring$' "$KEPT/names")"
}

# Rows that have ended are in the windows of when they were there.
case_ended() {
	needs root btf nsenter ip "$TOOLS/keeper" || return
	kept_daemon $'[series]\nretire-after = 1s' || return
	namespace a
	namespace b
	cable a srcA b dstA
	traffic a frames srcA 120 0xb0aa
	truth 'no row of it any more' wait_until 20 is_gone
	restart KILL || return
	equal 'frames' 120 "$(get "/drops?window=1m&netns=$(inode b)&protocol=0xb0aa" | jq .totals.packets)"
	equal 'one row with its labels' '["dstA",120]' "$(get "/drops?window=1m&netns=$(inode b)&protocol=0xb0aa" |
		jq -c '[.rows[] | .interface, .packets]')"
}

is_gone() {
	[ "$(rows drops '.protocol == "0xb0aa"' b)" = '[]' ]
}

case_peak() {
	local peak

	needs root btf nsenter || return
	start_daemon || return
	namespace a
	burst 900
	settle
	settle
	burst 30
	settle
	peak=$(rows drops '.reason == "NO_SOCKET"' a | jq '.[0].peak.rate | floor')
	between 'peak' 400 900 "$peak"
	matches 'its time' '20??-??-??T*Z' "$(rows drops '.reason == "NO_SOCKET"' a | jq -r '.[0].peak.time')"
	between 'the peak of the last burst' 10 30 \
		"$(get "/drops?window=2s&netns=$(inode a)" | jq '.rows[0].peak.rate | floor')"
	matches 'a heading' '*60 s from 20* to 20*, history since 20*' "$(get '/drops.txt?window=60s' | tr '\n' ' ')"
}

# refused STATUS PATH-AND-PARAMETERS PARAMETER GLOB: the answer's error and allowed
refused() {
	local answer

	equal "status of $2" "$1" "$(status "$2")"
	answer=$(get "$2" 2>/dev/null)
	equal "parameter of $2" "$3" "$(jq -r .parameter <<<"$answer")"
	matches "error of $2" "$4" "$(jq -r '[.error, .allowed[]] | join("; ")' <<<"$answer")"
}

case_refused() {
	needs root btf || return
	start_daemon || return
	refused 400 '/drops?window=60' window 'not a duration: "60"; *s, m, h or d*'
	refused 400 '/drops?window=' window 'not a duration*'
	refused 400 '/drops?window=1m&window=1m' window 'given more than once*'
	refused 400 '/drops?at=yesterday' at 'not a time: "yesterday"; *RFC 3339*HH:MM*-15m*'
	refused 400 '/drops?at=2100-01-01T00:00:00Z' at 'still to come*'
	refused 400 '/drops?step=1s' step 'no such parameter*window*'
	refused 400 /history table 'which table is not said; drops; receive; retransmits; block'
	refused 400 '/history?table=dropz' table 'no such table; drops; *'
	refused 400 '/history?table=drops&step=0s' step 'not a duration*'
	refused 400 '/history?table=drops&window=1m&step=2m' step 'longer than the window*'
	refused 400 '/history?table=drops&column=reason' column 'no such counter: "reason"; packets; wire_packets; bytes'
	refused 400 '/history?table=drops&window=366d&step=1s' step 'too many points*at most 100000*'
	refused 400 '/history?table=drops&sort=bytes' sort 'no such parameter; at; by; column; step; table; top; window; *'
}

case_off() {
	needs root btf || return
	start_daemon $'[history]\nsize = 0' || return
	refused 503 '/drops?window=60s' window '*\[history\] size*'
	refused 503 '/history?table=drops' null '*\[history\] size*'
	equal 'a table without a window' 200 "$(status /drops)"
}

# Another size, or what is no ring: anew, and it says why.
case_other_ring() {
	needs root btf nsenter "$TOOLS/keeper" || return
	kept_daemon || return
	namespace a
	burst 40
	settle
	sed -i '$a [history]\nsize = 2M' "$CONFIG"
	restart KILL || return
	truth 'a log line about its size' grep -q 'history is refused.*another size' "$DAEMON_LOG"
	equal 'of before' '[0,0]' "$(past window=1m)"
	burst 2
	equal 'of now' '[2,144]' "$(past window=1m)"
	equal 'counters' '[42,3024]' "$(past '')"
	echo history.ring >"$KEPT/replace"
	restart KILL || return
	truth 'a log line about what it is' grep -q "history is refused.*no ring of dropscoped's" "$DAEMON_LOG"
	rm "$KEPT/replace"
	restart TERM || return
	equal 'rings kept' 1 "$(grep -c '^history\.ring$' "$KEPT/names")"
	equal 'counters, still' '[42,3024]' "$(past '')"
}

run_case 'three bursts, and windows around each' case_bursts
run_case 'the same over SIGTERM' case_bursts TERM
run_case 'the same over SIGKILL' case_bursts KILL
run_case 'windows sum what counters grow by, over restarts' case_flood
run_case 'rows that have ended' case_ended
run_case 'peaks' case_peak
run_case 'parameters that are refused' case_refused
run_case 'no history' case_off
run_case 'another ring' case_other_ring
finish
