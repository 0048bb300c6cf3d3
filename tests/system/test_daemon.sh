#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon itself: options, configuration, signals, and what it leaves behind in the kernel: nothing.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# run_daemon ARGUMENT...: to its end; sets OUTPUT and STATUS
run_daemon() {
	OUTPUT=$(timeout 10 "$DAEMON" "$@" 2>&1)
	STATUS=$?
}

logged() {
	grep -q -- "$1" "$DAEMON_LOG"
}

case_plain_options() {
	truth 'the program' test -x "$DAEMON" || return
	run_daemon --version
	equal '--version: exit status' 0 "$STATUS"
	matches '--version' 'dropscope*[0-9].[0-9]*' "$OUTPUT"
	run_daemon --help
	equal '--help: exit status' 0 "$STATUS"
	for option in --config --listen --check --list-metrics --log-level --version; do
		matches "--help" "*$option*" "$OUTPUT"
	done
	run_daemon --nonsense
	equal '--nonsense: exit status' 2 "$STATUS"
	matches '--nonsense' '*nonsense*' "$OUTPUT"
	run_daemon --log-level loud
	equal '--log-level loud: exit status' 2 "$STATUS"
	matches '--log-level loud' '*debug*' "$OUTPUT"
	run_daemon --listen 127.0.0.1:99999
	equal '--listen 127.0.0.1:99999: exit status' 2 "$STATUS"
	matches '--listen' '*99999*' "$OUTPUT"
	run_daemon --config /nonexistent/dropscoped.conf
	equal '--config of no file: exit status' 2 "$STATUS"
	matches '--config of no file' '*/nonexistent/dropscoped.conf*' "$OUTPUT"
}

# faulty LINE-NUMBER KEY ALLOWED TEXT: a configuration that must be refused, with those in the
# message
faulty() {
	printf '%s\n' "$4" >"$TMP/faulty.conf"
	run_daemon --check --config "$TMP/faulty.conf"
	equal "$2: exit status of --check" 2 "$STATUS"
	matches "$2" "*$TMP/faulty.conf:$1: *$2*$3*" "$OUTPUT"
}

case_check() {
	truth 'the program' test -x "$DAEMON" || return
	printf '[series]\nbudget = 500\n' >"$TMP/good.conf"
	run_daemon --check --config "$TMP/good.conf"
	equal 'exit status' 0 "$STATUS"
	run_daemon --check --config "$TOP/config/dropscoped.conf"
	equal 'exit status with config/dropscoped.conf' 0 "$STATUS"
	faulty 2 budget 100000 $'[series]\nbudget = many'
	faulty 3 budget 100000 $'[series]\n\nbudget = 0'
	faulty 2 slots 'power of two' $'[drops]\nslots = 100'
	faulty 2 retire-after '1s' $'[series]\nretire-after = 10'
	faulty 2 receive yes $'[collectors]\nreceive = perhaps'
	faulty 2 log-level debug $'[daemon]\nlog-level = loud'
	faulty 2 listen '' $'[daemon]\nlisten = nowhere:1'
	faulty 2 nonsense budget $'[series]\nnonsense = 1'
	# All faults at once, so that nobody has to find them one by one.
	faulty 4 slots 64 $'[series]\nbudget = many\n[drops]\nslots = 100'
	matches 'the first of two' "*$TMP/faulty.conf:2: *budget*" "$OUTPUT"
}

case_bad_start() {
	truth 'the program' test -x "$DAEMON" || return
	printf '[series]\n# far too many\nbudget = 1000001\n' >"$TMP/bad.conf"
	run_daemon --config "$TMP/bad.conf"
	equal 'exit status' 2 "$STATUS"
	matches 'message' "*$TMP/bad.conf:3: *budget*" "$OUTPUT"
}

case_list_metrics() {
	needs root btf || return
	start_daemon || return
	run_daemon --list-metrics
	equal 'exit status' 0 "$STATUS"
	get /metrics >"$TMP/metrics"
	grep -o 'dropscope_[a-z0-9_]*' <<<"$OUTPUT" | sort -u >"$TMP/listed"
	awk '/^# TYPE dropscope_/ { print $3 }' "$TMP/metrics" | sort -u >"$TMP/served"
	at_least 'metrics' 15 "$(wc -l <"$TMP/served")"
	equal 'metrics that are served and not listed' '' "$(comm -13 "$TMP/listed" "$TMP/served" | head -n 3)"
	for name in drops_total drop_wire_packets_total drop_bytes_total receive_packets_total \
		receive_wire_packets_total receive_bytes_total receive_packet_size_bytes tcp_retransmits_total \
		tcp_retransmit_failures_total tcp_retransmit_timeout_seconds block_queue_seconds \
		block_device_seconds block_request_seconds block_bytes_total block_errors_total \
		block_requeues_total block_oldest_request_seconds events_lost_total retired_total \
		collector_up build_info; do
		truth "dropscope_$name to be listed" grep -qx "dropscope_$name" "$TMP/listed"
	done
}

# Somebody else is there already: which address, and who it may be.
case_port_taken() {
	needs root btf || return
	start_daemon || return
	run_daemon --config "$CONFIG"
	equal 'exit status' 1 "$STATUS"
	matches 'message' "*127.0.0.1:$PORT*" "$OUTPUT"
	matches 'message' '*ebpf_exporter*' "$OUTPUT"
	equal 'the first one' 200 "$(status /-/healthy)"
}

# --listen takes the place of the file's addresses, and may be given again.
case_many_addresses() {
	local second file

	needs root btf || return
	second=$(free_port)
	new_port
	file=$PORT
	printf '[daemon]\nlisten = 127.0.0.1:%s\n' "$file" >"$TMP/listen.conf"
	new_port
	launch "$DAEMON" --config "$TMP/listen.conf" --listen "127.0.0.1:$PORT" --listen "$second" \
		--listen "$TMP/socket" || return
	equal 'the first' 200 "$(status /-/healthy)"
	truth 'the second' answers "http://127.0.0.1:$second/-/healthy"
	truth 'the socket' curl -s -o /dev/null --unix-socket "$TMP/socket" http://localhost/-/healthy
	truth 'nobody at the address of the file' eval "! answers http://127.0.0.1:$file/-/healthy"
	stop_daemon
	truth 'the socket to be gone' test ! -e "$TMP/socket"
}

# leftovers: which of the programs and maps in $TMP/ids still exist
leftovers() {
	local kind id

	while read -r kind id; do
		bpftool "$kind" show id "$id" >/dev/null 2>&1 && printf '%s %s ' "$kind" "$id"
	done <"$TMP/ids"
}

nothing_left() {
	[ -z "$(leftovers)" ]
}

case_leaves_nothing() {
	local signal=$1 expected=$2 pins

	needs root btf bpftool || return
	pins=$(find /sys/fs/bpf 2>/dev/null | wc -l)
	start_daemon || return
	{
		ids prog | sed 's/^/prog /'
		ids map | sed 's/^/map /'
	} >"$TMP/ids"
	at_least 'programs' 6 "$(grep -c prog "$TMP/ids")"
	at_least 'maps' 4 "$(grep -c map "$TMP/ids")"
	truth 'them to exist' test -n "$(leftovers)"
	equal 'files in /sys/fs/bpf' "$pins" "$(find /sys/fs/bpf 2>/dev/null | wc -l)"
	stop_daemon "$signal"
	equal 'exit status' "$expected" "$DAEMON_STATUS"
	wait_until 5 nothing_left
	equal 'programs and maps' '' "$(leftovers)"
	equal 'files in /sys/fs/bpf, afterwards' "$pins" "$(find /sys/fs/bpf 2>/dev/null | wc -l)"
}

# A client in the middle of its request must not keep it from stopping.
case_stops_at_once() {
	local from

	needs root btf || return
	start_daemon || return
	exec 9<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'GET /metrics HT' >&9
	from=$SECONDS
	stop_daemon
	exec 9>&-
	between 'seconds until it has stopped' 0 2 $((SECONDS - from))
	equal 'exit status' 0 "$DAEMON_STATUS"
}

case_reload() {
	local other before

	needs root btf nsenter || return
	start_daemon || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 500 64
	before=$(count drops packets '.protocol == "udp"' a)
	other=$(free_port)
	printf '[daemon]\nlisten = 127.0.0.1:%s 127.0.0.1:%s\n' "$PORT" "$other" >"$CONFIG"
	kill -HUP "$DAEMON_PID"
	truth 'an answer on the new address' wait_until 5 answers "http://127.0.0.1:$other/-/healthy"
	equal 'the old address' 200 "$(status /-/healthy)"
	traffic a traffic udp 127.0.0.1 9 500 64
	equal 'packets' $((before + 500)) "$(count drops packets '.protocol == "udp"' a)"

	# A file that is wrong changes nothing, and the log says where.
	printf '[daemon]\nlisten = 127.0.0.1:%s\n[series]\nbudget = many\n' "$PORT" >"$CONFIG"
	kill -HUP "$DAEMON_PID"
	truth 'the line in the log' wait_until 5 logged "$CONFIG:4: .*budget"
	equal 'the old address, still' 200 "$(status /-/healthy)"
	truth 'the new address, still' answers "http://127.0.0.1:$other/-/healthy"

	printf '[daemon]\nlisten = 127.0.0.1:%s\n' "$PORT" >"$CONFIG"
	kill -HUP "$DAEMON_PID"
	truth 'the second address to be closed' wait_until 5 eval "! answers http://127.0.0.1:$other/-/healthy"
	equal 'the old address, at the end' 200 "$(status /-/healthy)"
	traffic a traffic udp 127.0.0.1 9 500 64
	equal 'packets, at the end' 1500 "$(count drops packets '.protocol == "udp"' a)"
	equal 'one process' 1 "$(pgrep -c -f -- "--config $CONFIG")"
}

# An address that cannot be had: the old set of them stays.
case_reload_port_taken() {
	local taken

	needs root btf || return
	start_daemon || return
	taken=$PORT
	DAEMON_PID_FIRST=$DAEMON_PID
	DAEMON_PID=''
	start_daemon || return
	printf '[daemon]\nlisten = 127.0.0.1:%s 127.0.0.1:%s\n' "$PORT" "$taken" >"$CONFIG"
	kill -HUP "$DAEMON_PID"
	truth 'the address in the log' wait_until 5 logged "127.0.0.1:$taken"
	equal 'the old address' 200 "$(status /-/healthy)"
	stop_daemon
	DAEMON_PID=$DAEMON_PID_FIRST
	stop_daemon
}

case_collector_off() {
	needs root btf || return
	start_daemon $'[collectors]\nblock = no\nretransmit = no' || return
	get /metrics >"$TMP/metrics"
	equal 'samples of block' 0 "$(grep -c '^dropscope_block_' "$TMP/metrics")"
	equal 'samples of retransmit' 0 "$(grep -c '^dropscope_tcp_' "$TMP/metrics")"
	truth 'samples of drops and receive' grep -q '^dropscope_receive_packets_total' "$TMP/metrics"
	equal 'drops' 1 "$(sample "$TMP/metrics" dropscope_collector_up 'collector="drops"')"
	# Nothing is wrong with it, so that it is not 0 either: an alert would fire.
	equal 'block is no collector here' 0 \
		"$(grep -c '^dropscope_collector_up{collector="block"}' "$TMP/metrics")"
	equal 'ready' 200 "$(status /-/ready)"
	equal '/drops' 200 "$(status /drops)"
	# What is off has no table, and the answer says why.
	equal '/block' 503 "$(status /block)"
	matches '/block' '*turned off*' "$(get /block | jq -r .error)"
	if command -v bpftool >/dev/null; then
		equal 'programs on block tracepoints' 0 "$(for id in $(ids prog); do bpftool prog show id "$id"; done |
			grep -c 'name [a-z_]*\(block\|_rq\)')"
	fi
}

# Nobody in particular may not load programs: that is said, and it is the end.
case_unprivileged() {
	needs root btf setpriv || return
	install -m 755 "$DAEMON" "$TMP/dropscoped" || return
	new_port
	OUTPUT=$(timeout 10 setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \
		"$TMP/dropscoped" --listen "127.0.0.1:$PORT" 2>&1)
	STATUS=$?
	equal 'exit status' 1 "$STATUS"
	matches 'message' '*@(CAP_BPF|root|privilege|[Pp]ermission)*' "$OUTPUT"
	between 'lines of it' 1 25 "$(wc -l <<<"$OUTPUT")"
}

# With the capabilities that the service has and none more.
case_capabilities() {
	needs root btf setpriv nsenter || return
	install -m 755 "$DAEMON" "$TMP/dropscoped" || return
	new_port
	stop_daemon
	launch setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
		--inh-caps=-all,+bpf,+perfmon,+syslog --ambient-caps=-all,+bpf,+perfmon,+syslog \
		--bounding-set=-all,+bpf,+perfmon,+syslog \
		"$TMP/dropscoped" --listen "127.0.0.1:$PORT" || return
	equal 'ready' 200 "$(status /-/ready)"
	namespace a
	traffic a traffic udp 127.0.0.1 9 321 64
	equal 'packets' 321 "$(get '/drops?top=100000' | jq '[.rows[] | select(.reason == "NO_SOCKET" and
		.protocol == "udp" and .device == "lo") | .packets] | add')"
	matches 'symbol' '*udp*_rcv' "$(get '/drops?reason=NO_SOCKET&protocol=udp' | jq -r '.rows[0].symbol')"
	stop_daemon
}

# No way to the addresses of the kernel: counts all the same, says once what is missing.
case_no_syslog() {
	needs root btf setpriv nsenter || return
	install -m 755 "$DAEMON" "$TMP/dropscoped" || return
	new_port
	stop_daemon
	launch setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
		--inh-caps=-all,+bpf,+perfmon --ambient-caps=-all,+bpf,+perfmon --bounding-set=-all,+bpf,+perfmon \
		"$TMP/dropscoped" --listen "127.0.0.1:$PORT" || return
	namespace a
	traffic a traffic udp 127.0.0.1 9 321 64
	equal 'packets' 321 "$(get '/drops?top=100000' | jq '[.rows[] | select(.reason == "NO_SOCKET" and
		.protocol == "udp" and .device == "lo") | .packets] | add')"
	get /metrics >"$TMP/metrics"
	if [ "$(sample "$TMP/metrics" dropscope_symbols_available)" = 0 ]; then
		between 'warnings' 1 1 "$(grep -c CAP_SYSLOG "$DAEMON_LOG")"
		matches 'symbol' '0x*' "$(get '/drops?reason=NO_SOCKET&protocol=udp' | jq -r '.rows[0].symbol')"
	else
		# Kernels that resolve an address for a BPF program need no capability for it.
		matches 'symbol' '*udp*_rcv' "$(get '/drops?reason=NO_SOCKET&protocol=udp' | jq -r '.rows[0].symbol')"
	fi
	stop_daemon
}

# idle: the daemon's CPU time in clock ticks
ticks() {
	awk '{ print $14 + $15 }' "/proc/$DAEMON_PID/stat"
}

case_idle() {
	local before

	needs root btf || return
	start_daemon || return
	sleep 0.5
	before=$(ticks)
	sleep 5
	# 0.1 % of five seconds is half a tick of 10 ms.
	between 'ticks of CPU in 5 s without a client' 0 1 $(($(ticks) - before))
	equal 'threads' 1 "$(find "/proc/$DAEMON_PID/task" -mindepth 1 -maxdepth 1 | wc -l)"
}

run_case 'daemon: options' case_plain_options
run_case 'daemon: --check' case_check
run_case 'daemon: a bad configuration at the start' case_bad_start
run_case 'daemon: --list-metrics' case_list_metrics
run_case 'daemon: the port is taken' case_port_taken
run_case 'daemon: several addresses' case_many_addresses
run_case 'daemon: SIGTERM leaves nothing' case_leaves_nothing TERM 0
run_case 'daemon: SIGINT leaves nothing' case_leaves_nothing INT 0
run_case 'daemon: SIGKILL leaves nothing' case_leaves_nothing KILL 137
run_case 'daemon: stops at once' case_stops_at_once
run_case 'daemon: SIGHUP' case_reload
run_case 'daemon: SIGHUP, and the port is taken' case_reload_port_taken
run_case 'daemon: a collector is off' case_collector_off
run_case 'daemon: an unprivileged user' case_unprivileged
run_case 'daemon: with three capabilities' case_capabilities
run_case 'daemon: without CAP_SYSLOG' case_no_syslog
run_case 'daemon: idle' case_idle
finish
