#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Sampled stacks: their weights are, of each row, exactly what it has counted.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/kept.sh
. "$(dirname "$0")/kept.sh"

# folded [QUERY]: what the namespace a dropped
folded() {
	get "/drops/stacks?netns=$(inode a)${1-}"
}

weights() {
	awk '{ n += $NF } END { print n + 0 }'
}

# seen COUNT: so many packets of the namespace are in the window
seen() {
	[ "$(folded | weights)" -ge "$1" ]
}

# recorded COUNT: so many are in a window whose end is over, and no longer changes: END
recorded() {
	END=$(date -u +%FT%TZ)
	[ "$(folded "&protocol=udp&at=$END" | weights)" = "$1" ]
}

# Two ways to the same function: over IPv4 datagrams of a socket, and segments of a connection.
case_weights() {
	local rows

	needs root btf nsenter nft || return
	start_daemon || return
	namespace a
	ruleset a 'chain c { type filter hook output priority 0; ip daddr 127.0.0.9 drop; }'
	traffic a traffic udp 127.0.0.9 9 12345 64
	traffic a traffic icmp 127.0.0.9 777 64
	traffic a traffic udp 127.0.0.1 10 4321 64
	wait_until 5 seen $((12345 + 777 + 4321))
	rows=$(get "/drops?netns=$(inode a)&window=60s")
	equal 'all weights' "$(jq .totals.packets <<<"$rows")" "$(folded | weights)"
	equal 'of one reason' $((12345 + 777)) "$(folded '&reason=NETFILTER_DROP' | weights)"
	equal 'of one protocol' 12345 "$(folded '&reason=NETFILTER_DROP&protocol=udp' | weights)"
	equal 'not of one reason' "$(jq '[.rows[] | select(.reason != "NETFILTER_DROP") | .packets] | add' <<<"$rows")" \
		"$(folded '&reason!=NETFILTER_DROP' | weights)"
	matches 'who has sent' '*sendto;udp_sendmsg;*nf_hook_slow;*' "$(folded '&reason=NETFILTER_DROP&protocol=udp')"
	matches 'what else' '*raw_sendmsg;*nf_hook_slow;*' "$(folded '&reason=NETFILTER_DROP&protocol=icmp')"
	# flamegraph.pl: names, semicolons between them, a blank, a number.
	equal 'lines of another form' '' "$(folded | grep -Ev '^[^ ;]+(;[^ ;]+)* [0-9]+$')"
	truth 'each stack once' [ "$(folded | sed 's/ [0-9]*$//' | sort | uniq -d | wc -l)" = 0 ]
	# As JSON, row by row.
	get "/drops/stacks?netns=$(inode a)&format=json" >"$TMP/stacks.json"
	equal 'rows' "$(jq -c '[.rows[] | {location, protocol, packets}] | sort' <<<"$rows")" \
		"$(jq -c '[.stacks[] | {location, protocol, packets}] | group_by([.location, .protocol]) |
			map(.[0] + {packets: (map(.packets) | add)}) | sort' "$TMP/stacks.json")"
	equal totals "$(jq .totals.packets <<<"$rows")" "$(jq .totals.packets "$TMP/stacks.json")"
	truth 'the innermost frame is the location' jq -e 'all(.stacks[]; .stack[0] == .location)' "$TMP/stacks.json" >/dev/null
	equal 'lost samples' 0 "$(jq .lost_samples "$TMP/stacks.json")"
	matches 'since when' '20??-*Z' "$(jq -r .sampled_since "$TMP/stacks.json")"
}

# A window that is over, and one in which nothing was.
case_window() {
	local END

	needs root btf nsenter || return
	start_daemon || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 500 64
	truth '500 to be history' wait_until 10 recorded 500
	traffic a traffic udp 127.0.0.1 9 70 64
	wait_until 5 seen 570
	equal 'both' 570 "$(folded '&protocol=udp' | weights)"
	equal 'up to then' 500 "$(folded "&protocol=udp&at=$END" | weights)"
	equal 'long before' 0 "$(folded '&at=-1h&window=10m' | weights)"
	equal 'not a time' 400 "$(status '/drops/stacks?at=nine')"
	equal 'what is allowed' 'at format window' \
		"$(get '/drops/stacks?by=reason' | jq -r '[.allowed[] | select(test("^(at|by|top|format|window|sort)$"))] | sort | join(" ")')"
}

# What was sampled goes with the daemon, what was counted does not: the rows' own names stand for it.
case_restart() {
	needs root btf nsenter || return
	kept_daemon || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 400 64
	wait_until 5 seen 400
	restart TERM
	equal 'by function' '__udp4_lib_rcv 400' "$(folded '&protocol=udp')"
	# The row's turn comes four times a second.
	sleep 0.3
	traffic a traffic udp 127.0.0.1 9 5 64
	wait_until 5 seen 405
	# A sample of now tells of before, too.
	equal 'together' 405 "$(folded '&protocol=udp' | weights)"
	matches 'with a stack' '*sendto;udp_sendmsg;*;__udp4_lib_rcv 405' "$(folded '&protocol=udp')"
	stop_daemon
}

case_off() {
	needs root btf nsenter || return
	start_daemon $'[drops]\nstacks = no' || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 30 64
	wait_until 5 seen 30
	equal 'without samples' '__udp4_lib_rcv 30' "$(folded '&protocol=udp')"
	start_daemon $'[history]\nsize = 0' || return
	equal 'without a history' 503 "$(status /drops/stacks)"
	equal 'a table without stacks' 404 "$(status /receive/stacks)"
}

run_case 'stacks: weights' case_weights
run_case 'stacks: windows' case_window
run_case 'stacks: over a restart' case_restart
run_case 'stacks: turned off' case_off
finish
