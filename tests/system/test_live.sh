#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Live streams: each filter with packets that match and packets that nearly do, counted to the line.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/kept.sh
. "$(dirname "$0")/kept.sh"
# shellcheck source=tests/system/builds.sh
. "$(dirname "$0")/builds.sh"

LISTENERS=()

# listen NAME PATH-AND-QUERY [CURL-OPTION...]: a stream into $TMP/NAME, over the unix socket, from when this
# returns on. Its pid is in LISTENER.
listen() {
	local name=$1 path=$2

	shift 2
	listens "$name" "$path" curl --unix-socket "$QUIET" "$@" "http://x$path"
}

# listens NAME WHAT COMMAND...: the same with a curl of the caller's
listens() {
	local name=$1 what=$2

	shift 2
	rm -f "$TMP/$name.headers" "$TMP/$name"
	"$@" -sN --max-time 90 -D "$TMP/$name.headers" -o "$TMP/$name" &
	LISTENER=$!
	PIDS+=("$LISTENER")
	LISTENERS+=("$LISTENER")
	truth "a stream for $what" wait_until 10 grep -q '200 OK' "$TMP/$name.headers" 2>/dev/null
}

# events NAME: how many there are by now
events() {
	cat "$TMP/$1" 2>/dev/null | grep -c '"symbol"\|"cause"'
}

heard() {
	[ "$(events "$1")" -ge "$2" ]
}

# hears NAME COUNT [WHAT]: so many events, and no more that come late
hears() {
	wait_until 5 heard "$1" "$2"
	sleep 0.1
	equal "events of ${3:-$1}" "$2" "$(events "$1")"
}

hang_up() {
	local pid

	for pid in "${LISTENERS[@]}"; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
		forget_pid "$pid"
	done
	LISTENERS=()
}

# ends NAME: waits for the stream's own end, which must be a clean one
ends() {
	local pid=${LISTENERS[-1]}

	wait "$pid"
	equal "exit status of $1's curl" 0 $?
	forget_pid "$pid"
	unset 'LISTENERS[-1]'
}

has_ended() {
	! kill -0 "$1" 2>/dev/null
}

# total JQ-PATH <NAME's lines: what notices say was not told
total() {
	# The last line may still be on its way.
	sed -n '/}$/p' "$TMP/$2" 2>/dev/null | jq -s "[.[] | .$1 // 0] | add // 0"
}

nobody_listens() {
	[ "$(ids prog)" = "$QUIET_PROGRAMS" ] && [ "$(ids map)" = "$QUIET_MAPS" ]
}

# ---- filters

# One of each. Of the ICMP packets there is a second drop: the raw socket that has sent them has got a
# copy, which goes when it is closed.
mixed_traffic() {
	traffic a traffic udp 127.0.0.1 9 10 64
	traffic a traffic udp 127.0.0.1 10 7 64
	traffic a traffic udp 127.0.0.2 9 5 64
	traffic a traffic udp ::1 9 3 64 1 5353
	traffic a traffic icmp 127.0.0.1 4 64 bad
	traffic a traffic connect 127.0.0.1 7 2
}

# filters QUERY=COUNT...: at most eight at a time, all of the same packets
filters() {
	local pair n=0

	for pair; do
		listen "filter.$n" "/drops/live?netns=$(inode a)&${pair%=*}"
		n=$((n + 1))
	done
	mixed_traffic
	n=0
	for pair; do
		hears "filter.$n" "${pair##*=}" "${pair%=*}"
		n=$((n + 1))
	done
	hang_up
}

case_filters() {
	needs root btf nsenter || return
	start_daemon || return
	namespace a
	# Without an answer, which could be one more drop.
	ruleset a 'chain c { type filter hook input priority 0; udp dport { 9, 10 } drop; }'
	filters proto=udp=25 proto=icmp=8 proto=tcp=2 'proto=udp,icmp=33' 'proto=udp&proto=tcp=27' proto=17=25 \
		proto=all=35 proto=ipv4=32
	filters dport=9=18 'dport=9,10=25' port=9=18 'sport=9,5354=0' 'dport=9&proto=tcp=0' 'dport=7&proto=tcp=2' \
		'port=7=2' 'dport=9&dport=11=18'
	filters sport=5353=3 port=5353=3 dport=5353=0 'sport=5353&dport=10=0' saddr=127.0.0.1=32 saddr=127.0.0.2=0 \
		saddr=127.0.0.3=0 saddr=::1=3
	filters daddr=127.0.0.1=27 daddr=127.0.0.2=5 addr=127.0.0.0/8=32 daddr=127.0.0.0/31=27 \
		addr=::1=3 daddr=::/64=3 'addr=::/0,127.0.0.2=8' 'daddr=127.0.0.1&dport=9&proto=udp=10'
	filters daddr=::2=0 daddr=::2/127=0 daddr=::/127=3 addr=8000::/1=0 saddr=::/128=0 'daddr=::ffff:127.0.0.2=5'
	filters symbol=icmp_rcv=4 'symbol!=icmp_rcv=31' reason=ICMP_CSUM=4 'reason=NETFILTER_DROP&dport=9=18' \
		'class=malformed=4' 'device=lo=35' 'device!=lo=0' 'family=ipv6=3'
}

# Rows that the kernel has not seen before: nobody has told it yet who wants them.
case_new_rows() {
	needs root btf nsenter || return
	start_daemon || return
	namespace a
	listen yes "/drops/live?netns=$(inode a)&reason=NO_SOCKET"
	listen no "/drops/live?netns=$(inode a)&reason!=NO_SOCKET"
	traffic a traffic udp 127.0.0.1 9 40 64
	hears yes 40
	hears no 0
	hang_up
}

# a -- b with 1500 bytes at a time, and what arrives is dropped before it is put together.
case_fragments() {
	needs root btf nsenter nft ip || return
	start_daemon || return
	namespace a
	namespace b
	cable a srcA b dstA
	ip -n "$(namespace_name a)" addr add 10.9.1.1/24 dev srcA
	ip -n "$(namespace_name b)" addr add 10.9.1.2/24 dev dstA
	traffic a traffic udp 10.9.1.2 9 1 64
	ruleset b 'chain c { type filter hook prerouting priority -500; ip daddr 10.9.1.2 drop; }'
	listen all "/drops/live?netns=$(inode b)&daddr=10.9.1.2&proto=udp"
	listen first "/drops/live?netns=$(inode b)&dport=9"
	listen other "/drops/live?netns=$(inode b)&dport=10"
	traffic a traffic udp 10.9.1.2 9 6 3600
	hears all 18
	hears first 6
	hears other 0
	equal 'ports of later fragments' 12 "$(jq -s '[.[] | select(.destination_port == null)] | length' "$TMP/all")"
	hang_up
	# The same behind IPv6's extension header.
	inside a sh -c 'echo 0 >/proc/sys/net/ipv6/conf/srcA/disable_ipv6'
	ip -n "$(namespace_name a)" addr add fd00:9::1/64 dev srcA nodad
	ip -n "$(namespace_name a)" neigh add fd00:9::2 dev srcA \
		lladdr "$(ip -n "$(namespace_name b)" -j link show dstA | jq -r '.[0].address')"
	inside b sh -c 'echo 0 >/proc/sys/net/ipv6/conf/dstA/disable_ipv6'
	ruleset b 'chain d { type filter hook prerouting priority -500; ip6 daddr fd00:9::2 drop; }'
	listen all6 "/drops/live?netns=$(inode b)&daddr=fd00:9::/64&proto=udp"
	listen first6 "/drops/live?netns=$(inode b)&daddr=fd00:9::2&dport=9"
	listen other6 "/drops/live?netns=$(inode b)&daddr=fd00:9::/64&dport=10"
	traffic a traffic udp fd00:9::2 9 6 3600
	hears all6 18
	hears first6 6
	hears other6 0
	hang_up
}

# Two tags, of which the kernel takes off what it can.
case_vlan() {
	needs root btf nsenter ip || return
	start_daemon || return
	namespace a
	namespace b
	cable a srcA b dstA
	listen tagged "/drops/live?netns=$(inode b)&saddr=192.0.2.1&daddr=192.0.2.0/24&dport=9"
	listen other "/drops/live?netns=$(inode b)&daddr=198.51.100.0/24"
	traffic a frames srcA 11 qinq-udp
	hears tagged 11
	hears other 0
	hang_up
}

# Extension headers in front of UDP.
case_extension_headers() {
	needs root btf nsenter ip || return
	start_daemon || return
	namespace a
	namespace b
	cable a srcA b dstA
	inside b sh -c 'echo 0 >/proc/sys/net/ipv6/conf/dstA/disable_ipv6' 2>/dev/null
	listen yes "/drops/live?netns=$(inode b)&saddr=2001:db8::1&dport=9&proto=udp"
	listen no "/drops/live?netns=$(inode b)&saddr=2001:db8::1&dport=10"
	traffic a frames srcA 9 hopopts-udp
	hears yes 9
	hears no 0
	hang_up
}

# ---- what a line tells

case_fields() {
	local line

	needs root btf nsenter nft || return
	start_daemon || return
	namespace a
	ruleset a 'chain c { type filter hook output priority 0; udp dport 9 drop; tcp dport 7 drop; }'
	listen lines "/drops/live?netns=$(inode a)&stack=1"
	traffic a traffic udp 127.0.0.1 9 1 64
	hears lines 1
	line=$(head -n 1 "$TMP/lines")
	for pair in .reason=NETFILTER_DROP .class=policy .protocol=udp .source=127.0.0.1 \
		.destination=127.0.0.1 .destination_port=9 .length=92 .process=traffic .tcp_flags=null \
		".netns=$(inode a)"; do
		equal "${pair%=*}" "${pair#*=}" "$(jq -r "${pair%=*}" <<<"$line")"
	done
	matches location '?*+0x*/0x* \[*\]' "$(jq -r .location <<<"$line")"
	matches time '20??-??-??T??:??:??.??????Z' "$(jq -r .time <<<"$line")"
	at_least pid 2 "$(jq .pid <<<"$line")"
	# The caller that it must have, from the inside out.
	equal 'the innermost frame' "$(jq -r .location <<<"$line")" "$(jq -r '.stack[0]' <<<"$line")"
	matches stack '*nf_hook_slow+*udp_sendmsg+*sys_sendto+*' "$(jq -r '.stack | join(" ")' <<<"$line")"
	inside a timeout 1 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7' 2>/dev/null
	line=$(jq -c 'select(.protocol == "tcp")' "$TMP/lines" | head -n 1)
	equal 'flags of the first packet' SYN "$(jq -r .tcp_flags <<<"$line")"
	equal 'its ack' 0 "$(jq .ack <<<"$line")"
	at_least 'its seq' 1 "$(jq .seq <<<"$line")"
	hang_up
}

# In a softirq the process that runs has nothing to do with it.
case_softirq() {
	needs root btf nsenter || return
	start_daemon || return
	namespace a
	listen lines "/drops/live?netns=$(inode a)"
	traffic a traffic udp 127.0.0.1 9 5 64
	hears lines 5
	equal processes null "$(jq -c .process "$TMP/lines" | sort -u)"
	hang_up
	# A timer's softirq interrupts the loops that keep each CPU busy; the first packet is the process's own.
	ruleset a 'chain c { type filter hook output priority 0; tcp dport 7 drop; }'
	listen timer "/drops/live?netns=$(inode a)&dport=7"
	stay_awake
	inside a timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7' 2>/dev/null
	may_sleep
	wait_until 5 heard timer 2
	equal 'processes, in order' '["bash",null]' "$(jq -sc '[.[].process] | .[:2]' "$TMP/timer")"
	hang_up
}

# ---- bounds

case_count() {
	needs root btf nsenter || return
	start_daemon || return
	namespace a
	listen counted "/drops/live?netns=$(inode a)&count=5"
	traffic a traffic udp 127.0.0.1 9 20 64
	ends counted
	equal 'lines' 5 "$(wc -l <"$TMP/counted")"
	listen timed "/drops/live?netns=$(inode a)&duration=1s"
	traffic a traffic udp 127.0.0.1 9 20 64
	ends timed
	equal 'lines in a second' 20 "$(wc -l <"$TMP/timed")"
}

# The kernel holds back what is over the rate, and the stream says how much.
case_rate() {
	local told

	needs root btf nsenter cpus || return
	start_daemon $'[live]\nrate = 100' || return
	namespace a
	listen slow "/drops/live?netns=$(inode a)&duration=2s"
	# From two CPUs at once.
	traffic a traffic udp 127.0.0.1 9 50000 64 2
	ends slow
	told=$(events slow)
	between 'events at 100 a second' 100 320 "$told"
	equal 'events and what was held back' 50000 $((told + $(total held_back slow) + $(total lost slow)))
}

case_too_many() {
	needs root btf nsenter || return
	start_daemon || return
	namespace a
	for n in 1 2 3 4 5 6 7 8; do
		listen "$n" "/drops/live?dport=$n"
	done
	equal 'one more' 503 "$(status /drops/live)"
	matches 'why' '*so many streams*8*' "$(get /drops/live | jq -r .error)"
	equal 'another table has its own' 200 "$(http -m 1 -o /dev/null -w '%{http_code}' "$URL/retransmits/live?duration=1s" 2>/dev/null)"
	hang_up
	listen again '/drops/live?dport=9&netns='"$(inode a)"
	traffic a traffic udp 127.0.0.1 9 3 64
	hears again 3
	hang_up
}

# ---- sums

# sums_to NAME COUNT: its lines add up to so many packets
sums_to() {
	[ "$(total packets "$1")" -ge "$2" ]
}

# at_rest ROWS: nothing was dropped in the last half of a second; GROWN: since the table had ROWS
at_rest() {
	GROWN=$(($(count drops packets true a) - $1))
	sleep 0.5
	[ "$GROWN" = $(($(count drops packets true a) - $1)) ]
}

case_interval() {
	local rows grown

	needs root btf nsenter cpus || return
	start_daemon || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 100 64
	truth 'an end to it' wait_until 20 at_rest 0
	rows=$GROWN
	listen sums "/drops/live?netns=$(inode a)&interval=1s"
	listen port "/drops/live?netns=$(inode a)&interval=1s&dport=9"
	listen stacks "/drops/live?netns=$(inode a)&interval=2s&stack=1"
	listen counted "/drops/live?netns=$(inode a)&interval=1s&count=2"
	traffic a traffic udp 127.0.0.1 9 100000 64 2
	traffic a traffic udp 127.0.0.1 10 5000 64
	traffic a traffic icmp 127.0.0.1 4000 64 bad
	# Some of the ICMP errors find their socket closed, and are drops of their own, which come later.
	truth 'an end to it' wait_until 20 at_rest "$rows"
	grown=$GROWN
	at_least 'what the table has grown by' 109000 "$grown"
	wait_until 10 sums_to sums "$grown"
	wait_until 10 sums_to port 100000
	wait_until 10 sums_to stacks "$grown"
	ends counted
	equal 'all: what the table has grown by' "$grown" "$(total packets sums)"
	equal 'one port' 100000 "$(total packets port)"
	equal 'one port: bytes' $((100000 * 72)) "$(total bytes port)"
	equal 'by stack' "$grown" "$(total packets stacks)"
	truth 'each stack once an interval' [ "$(jq -c '[.time, .symbol, .reason, .stack]' "$TMP/stacks" | sort | uniq -d | wc -l)" = 0 ]
	truth 'one line a row and interval' [ "$(jq -c '[.time, .location, .reason]' "$TMP/sums" | sort | uniq -d | wc -l)" = 0 ]
	equal 'lost' 0 $(($(total lost sums) + $(total lost port) + $(total lost stacks)))
	hang_up
	listen partly "/drops/live?netns=$(inode a)&dport=9&interval=1h&duration=1s"
	traffic a traffic udp 127.0.0.1 9 40 64
	ends partly
	equal 'what is left at the end' 40 "$(total packets partly)"
}

# More rows than there is room for at once come and go, under a flood: what moves no more makes room.
case_many_rows() {
	local pid round

	needs root btf nsenter ip cpus || return
	start_daemon $'[drops]\nslots = 8192' || return
	namespace a
	namespace b
	cable a srcA b dstA
	listen sums "/drops/live?netns=$(inode b)&interval=1s"
	become b "$TOOLS/traffic" udp 127.0.0.1 9 3000000 64 2 >/dev/null &
	pid=$!
	PIDS+=("$pid")
	for round in {0..11}; do
		traffic a frames srcA 2 $((0x9200 + 250 * round)) 250
		sleep 1
	done
	wait "$pid"
	forget_pid "$pid"
	wait_until 10 sums_to sums 3006000
	equal 'all: what the table has' "$(count drops packets true b)" "$(total packets sums)"
	equal 'what was sent' 3006000 "$(total packets sums)"
	equal 'rows' 3001 "$(jq -r 'select(.symbol) | .protocol' "$TMP/sums" | sort -u | wc -l)"
	equal 'lost' 0 "$(total lost sums)"
	hang_up
}

# A report may be longer than what waits for a slow reader: whoever reads gets it whole.
case_long_report() {
	needs root btf nsenter ip || return
	start_daemon $'[drops]\nslots = 8192' || return
	namespace a
	namespace b
	cable a srcA b dstA
	listen once "/drops/live?netns=$(inode b)&interval=3s&stack=1&count=1"
	traffic a frames srcA 1 $((0x9200)) 1500
	ends once
	at_least 'bytes, more than a queue has room for' 1100000 "$(stat -c %s "$TMP/once")"
	equal 'all rows' 1500 "$(total packets once)"
	equal 'lost' 0 "$(total lost once)"
}

# ---- who may see what

case_remote() {
	local SOCKET='' at

	needs root btf nsenter ip || return
	namespace a
	namespace b
	cable a srcA b dstA
	ip -n "$(namespace_name a)" addr add 10.9.1.1/24 dev srcA
	ip -n "$(namespace_name b)" addr add 10.9.1.2/24 dev dstA
	new_port
	CONFIG=$TMP/remote.conf QUIET=$TMP/quiet.$PORT
	printf '[daemon]\nlisten = *:%s %s\n' "$PORT" "$QUIET" >"$CONFIG"
	SOCKET=$QUIET
	launch nsenter --net="/run/netns/$(namespace_name a)" -- "$DAEMON" --config "$CONFIG"
	at="http://10.9.1.1:$PORT/drops/live"
	listens remote elsewhere become b curl "$at?netns=$(inode a)&dport=9"
	listen near "/drops/live?netns=$(inode a)&dport=9"
	traffic a traffic udp 127.0.0.1 9 3 64
	hears remote 3
	hears near 3
	hang_up
	equal 'addresses elsewhere' 0 "$(grep -c -e '"source":' -e '"destination":' "$TMP/remote")"
	equal 'addresses here' 3 "$(jq -r .source "$TMP/near" | grep -c '^127.0.0.1$')"
	equal 'filters by address elsewhere' 403 "$(inside b curl -s -o /dev/null -w '%{http_code}' "$at?addr=127.0.0.1")"
	matches 'and why' '*remote-addresses*' "$(inside b curl -s "$at?saddr=127.0.0.1" | jq -r .error)"
	printf '[live]\nremote-addresses = yes\n' >>"$CONFIG"
	kill -HUP "$DAEMON_PID"
	wait_until 5 grep -q reloaded "$DAEMON_LOG"
	listens allowed 'elsewhere, with addresses' become b curl "$at?netns=$(inode a)&daddr=127.0.0.1&dport=9"
	traffic a traffic udp 127.0.0.1 9 2 64
	hears allowed 2
	equal 'addresses when they are allowed' 2 "$(jq -r .destination "$TMP/allowed" | grep -c '^127.0.0.1$')"
	listens still 'elsewhere, with addresses' become b curl "$at?netns=$(inode a)&dport=9"
	traffic a traffic udp 127.0.0.1 9 1 64
	hears still 1
	# Not any more: whoever filters by them is sent away, others see none.
	sed -i 's/remote-addresses = yes/remote-addresses = no/' "$CONFIG"
	kill -HUP "$DAEMON_PID"
	truth 'the end of a stream by address' wait_until 5 has_ended "${LISTENERS[0]}"
	traffic a traffic udp 127.0.0.1 9 1 64
	hears still 2
	equal 'addresses in what follows' '[true,false]' "$(jq -sc '[.[] | has("source")]' "$TMP/still")"
	hang_up
	stop_daemon
}

case_refused() {
	local pair

	needs root btf || return
	start_daemon || return
	for pair in 'addr=10.0.0.0/33|*ADDRESS/PREFIX*' 'saddr=example|*IPv4 or IPv6*' 'dport=0|1 to 65535' \
		'dport=65536|1 to 65535' 'port=http|1 to 65535' 'proto=foo|*tcp, udp*' 'stack=2|0 or 1' 'count=0|1 to *' \
		'interval=5|*s or m*' 'interval=61m|*to 1h*' 'duration=x|*s, m, h or d*' 'addr=10.9.1.1,|*IPv4 or IPv6*' 'dport=|1 to *'; do
		equal "${pair%|*}" 400 "$(status "/drops/live?${pair%|*}")"
		matches "${pair%|*}: allowed" "${pair#*|}" "$(get "/drops/live?${pair%|*}" | jq -r '.allowed[0]')"
		equal "${pair%|*}: parameter" "${pair%%=*}" "$(get "/drops/live?${pair%|*}" | jq -r .parameter)"
	done
	equal 'unknown' 400 "$(status '/drops/live?nothing=1')"
	equal 'what is known' 'addr count daddr dport duration interval port proto saddr sport stack symbol' \
		"$(get '/drops/live?nothing=1' | jq -r '[.allowed[] | select(test("^(addr|count|daddr|dport|duration|interval|port|proto|saddr|sport|stack|symbol)$"))] | sort | join(" ")')"
	equal 'a table without events' 404 "$(status /receive/live)"
	equal 'HEAD' 200 "$(status /drops/live -I)"
	equal 'more than fits' 400 "$(status "/drops/live?port=$(seq -s, 1 40)")"
}

# ---- coming and going

remember_quiet() {
	QUIET_PROGRAMS=$(ids prog) QUIET_MAPS=$(ids map)
}

case_nothing_left() {
	local files

	needs root btf nsenter || return
	start_daemon || return
	namespace a
	get /drops >/dev/null
	remember_quiet
	files=$(find "/proc/$DAEMON_PID/fd" | wc -l)
	for _ in 1 2; do
		listen one "/drops/live?netns=$(inode a)&stack=1"
		listen two "/drops/live?netns=$(inode a)&interval=1s"
		listen three "/retransmits/live"
		truth 'other programs behind the gates' [ "$(ids prog)" != "$QUIET_PROGRAMS" ]
		traffic a traffic udp 127.0.0.1 9 100 64
		hears one 100
		hang_up
		truth 'programs that wait for another listener' [ "$(ids prog)" != "$QUIET_PROGRAMS" ]
		truth 'the programs and maps of before' wait_until 15 nobody_listens
	done
	equal 'open files' "$files" "$(find "/proc/$DAEMON_PID/fd" | wc -l)"
	equal packets 200 "$(count drops packets true a)"
	stop_daemon
}

# Who listens may come and go under a flood: not one packet is counted twice or not at all.
case_exact() {
	local account pid sent

	needs root btf nsenter cpus runs bpftool || return
	start_daemon || return
	namespace a
	remember_quiet
	account=$(drops_account)
	become a bash -c 'while [ ! -e "$2" ]; do "$1" udp 127.0.0.1 9 200000 64 2; done' bash "$TOOLS/traffic" \
		"$TMP/enough" >"$TMP/flood" &
	pid=$!
	PIDS+=("$pid")
	for n in 1 2; do
		listen "coming.$n" "/drops/live?netns=$(inode a)&dport=10&duration=60s"
		truth 'other programs behind the gates' [ "$(ids prog)" != "$QUIET_PROGRAMS" ]
		hang_up
		truth 'those of before' wait_until 15 nobody_listens
	done
	: >"$TMP/enough"
	wait "$pid"
	forget_pid "$pid"
	sent=$(awk '{ sent += $2 } END { print sent }' "$TMP/flood")
	at_least 'packets sent' 1000000 "$sent"
	equal packets "$sent" "$(count drops packets true a)"
	equal 'the account of the probe' "$account" "$(drops_account)"
	printf '    %s packets\n' "$sent"
}

# It is killed while somebody listens: what counts behind the gate goes on, and the next start takes over.
case_killed() {
	local pid pid_now quiet

	needs root btf nsenter cpus || return
	kept_daemon || return
	namespace a
	become a "$TOOLS/traffic" udp 127.0.0.1 9 3000000 64 2 >/dev/null &
	pid=$!
	PIDS+=("$pid")
	for _ in 1 2 3; do
		pid_now=$(cat "$KEPT/pid")
		quiet=$(DAEMON_PID=$pid_now ids prog)
		listens gone 'a port' curl "$URL/drops/live?netns=$(inode a)&dport=10"
		truth 'other programs behind the gates' [ "$(DAEMON_PID=$pid_now ids prog)" != "$quiet" ]
		restart KILL
		hang_up
	done
	wait "$pid"
	forget_pid "$pid"
	equal packets 3000000 "$(count drops packets true a)"
	stop_daemon
}

# One that does not read loses its own, and harms nobody.
case_stalled() {
	local from before after pid told

	needs root btf nsenter || return
	start_daemon || return
	namespace a
	before=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$DAEMON_PID/status")
	# 1 byte: the rest waits in the daemon.
	exec 8<>"/dev/tcp/127.0.0.1/$PORT" || fault 'expected a connection, got none' || return
	printf 'GET /drops/live?netns=%s&dport=9 HTTP/1.1\r\nHost: x\r\n\r\n' "$(inode a)" >&8
	read -r -n 1 -u 8 _
	listen reads "/drops/live?netns=$(inode a)&dport=9"
	become a "$TOOLS/traffic" udp 127.0.0.1 9 100000000 64 >"$TMP/flood" &
	pid=$!
	PIDS+=("$pid")
	from=$SECONDS
	while [ $((SECONDS - from)) -lt "${STALL:-30}" ]; do
		truth 'a prompt scrape' http --max-time 2 -o /dev/null "$URL/metrics" || break
		sleep 0.2
	done
	after=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$DAEMON_PID/status")
	kill "$pid"
	wait "$pid" 2>/dev/null
	forget_pid "$pid"
	between 'kilobytes more' -4096 14336 $((after - before))
	told=$(events reads)
	at_least 'events of the one that reads' $((5000 * (${STALL:-30} - 3))) "$told"
	# It may be slow itself on a machine that is busy; what it lost is little beside what it got.
	between 'what it lost' 0 $((told / 10)) "$(total lost reads)"
	hang_up
	# What the other has missed it is told.
	timeout 3 cat <&8 >"$TMP/late"
	exec 8>&-
	at_least 'lost by the one that does not read' 10000 "$(grep -ao '"lost":[0-9]*' "$TMP/late" | cut -d: -f2 | sort -n | tail -n 1)"
}

# A reload turns the collector off: its streams end.
case_turned_off() {
	needs root btf || return
	start_daemon || return
	listen off '/retransmits/live'
	printf '[collectors]\nretransmit = no\n' >>"$CONFIG"
	kill -HUP "$DAEMON_PID"
	ends off
	equal 'another' 503 "$(status /retransmits/live)"
	truth 'the rest goes on' answers "$URL/drops"
}

# A build that takes this kernel for one without ring buffers: it counts, and says what it cannot do.
case_no_ring() {
	local DAEMON=$DAEMON why='*no BPF ring buffers*' path

	needs root btf nsenter || return
	build ring '/^bool kernel_has_ring_buffer/,/^}/s/return fd >= 0 || fd == -EPERM;.*/return false;/' daemon/kernel/features.c || return
	DAEMON=$OTHER
	start_daemon || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 123 64
	equal packets 123 "$(count drops packets true a)"
	for path in /drops/live /retransmits/live /drops/stacks; do
		equal "$path" 503 "$(status "$path")"
		matches "$path: why" "$why" "$(get "$path" | jq -r .error)"
	done
	equal '/-/ready' '["ring_buffer","ring_buffer"]' \
		"$(get /-/ready | jq -c '[.collectors[].missing[].what | select(. == "ring_buffer")]')"
	get /metrics >"$TMP/metrics"
	equal 'as a metric' 2 "$(sample "$TMP/metrics" dropscope_collector_info 'missing="ring_buffer"')"
	matches 'and why' "$why" "$(grep 'missing="ring_buffer"' "$TMP/metrics")"
	stop_daemon
	"$DAEMON" --check=json --config "$CONFIG" >"$TMP/check"
	equal 'the preflight' '["collector drops: ring_buffer","collector retransmit: ring_buffer"]' \
		"$(jq -c '[.checks[] | select(.found == "not given") | .name] | sort' "$TMP/check")"
}

# ---- retransmits

case_retransmits() {
	local address=$1 again lines

	needs root btf nsenter nft nstat || return
	start_daemon || return
	namespace a
	inside a ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 rto_min 20ms
	inside a sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_early_retrans' 2>/dev/null
	ruleset a 'chain x { type filter hook input priority 0; tcp dport 5001 meta length > 400 numgen inc mod 1000000 < 4 drop; }'
	listen rto '/retransmits/live?dport=5001&stack=1'
	listen other '/retransmits/live?dport=5002'
	listen back '/retransmits/live?sport=5001'
	listen cause '/retransmits/live?cause=rto&addr=127.0.0.1&port=5001'
	listen sums '/retransmits/live?dport=5001&interval=1s'
	traffic a tcpflow flow "$address" 5001 1 500
	again=$(statistic a TcpRetransSegs)
	between 'sent again, says the kernel' 3 4 "$again"
	hears rto "$again"
	hears cause "$again"
	hears other 0
	hears back 0
	wait_until 5 grep -qs '"retransmits":' "$TMP/sums"
	sleep 1.1
	equal 'sums' "$again" "$(total retransmits sums)"
	lines=$(jq -sc . "$TMP/rto")
	equal causes '["rto"]' "$(jq -c '[.[].cause] | unique' <<<"$lines")"
	equal states '["ESTABLISHED"]' "$(jq -c '[.[].state] | unique' <<<"$lines")"
	equal 'addresses' '["127.0.0.1"]' "$(jq -c '[.[] | .source, .destination] | unique' <<<"$lines")"
	equal 'ports' '[5001]' "$(jq -c '[.[].destination_port] | unique' <<<"$lines")"
	equal 'one segment' 1 "$(jq '[.[].seq] | unique | length' <<<"$lines")"
	equal 'its length' '[500]' "$(jq -c '[.[].length] | unique' <<<"$lines")"
	truth 'each timeout is known by the next' jq -e '[range(1; length) as $i | .[$i].previous_rto_seconds == .[$i - 1].rto_seconds] | all' <<<"$lines" >/dev/null
	equal 'the first has none before' null "$(jq '.[0].previous_rto_seconds' <<<"$lines")"
	truth 'it doubles' jq -e '(.[-1].rto_seconds / .[-2].rto_seconds) | . > 1.9 and . < 2.1' <<<"$lines" >/dev/null
	truth 'a window' jq -e 'all(.[]; .cwnd >= 1) and .[1].previous_cwnd == .[0].cwnd' <<<"$lines" >/dev/null
	truth 'a round-trip time' jq -e 'all(.[]; .srtt_seconds > 0 and .srtt_seconds < 1)' <<<"$lines" >/dev/null
	matches 'stack' '__tcp_retransmit_skb+*tcp_retransmit_timer+*' "$(jq -r '.[0].stack | join(" ")' <<<"$lines")"
	hang_up
}

run_case 'live: filters' case_filters
run_case 'live: rows that are new' case_new_rows
run_case 'live: fragments' case_fragments
run_case 'live: VLANs' case_vlan
run_case 'live: extension headers' case_extension_headers
run_case 'live: what a line tells' case_fields
run_case 'live: in a softirq' case_softirq
run_case 'live: count and duration' case_count
run_case 'live: the rate' case_rate
run_case 'live: too many' case_too_many
run_case 'live: sums' case_interval
run_case 'live: sums of more rows than there is room for' case_many_rows
run_case 'live: a long report' case_long_report
run_case 'live: clients elsewhere' case_remote
run_case 'live: refused' case_refused
run_case 'live: nothing is left' case_nothing_left
run_case 'live: exact under a flood' case_exact
run_case 'live: killed meanwhile' case_killed
run_case 'live: a reader that stalls' case_stalled
run_case 'live: turned off' case_turned_off
run_case 'live: a kernel without ring buffers' case_no_ring
run_case 'live: retransmits' case_retransmits 127.0.0.1
run_case 'live: retransmits, IPv4 of an IPv6 socket' case_retransmits ::ffff:127.0.0.1
finish
