# SPDX-License-Identifier: BSD-2-Clause
# The harness of the system tests, sourced by every test_*.sh. A script defines its cases as functions,
# gives them to run_case and ends with `finish`.
#
# A case is ok only when it has checked something and every check held. Whatever it needs and the
# machine lacks is said with `needs`, and then it is skipped, out loud. Whatever was started, made
# or mounted is written down where it is made, and taken back by the EXIT trap, whichever way the
# script ends.
#
# Traffic stays in network namespaces of the script's own; a row is told from the rest of the machine's
# by its namespace, so that counts are exact on a busy machine too.
# shellcheck shell=bash
set -u
export LC_ALL=C
# Without sbin, nft and losetup seem to be missing.
PATH=$PATH:/usr/sbin:/sbin

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Absolute, whatever the caller has set: some cases change their directory or hand it on.
BUILD=$(realpath -m "${BUILD:-$TOP/build}")
DAEMON=${DAEMON:-$BUILD/dropscoped}
TOOLS=${TOOLS:-$BUILD/tests/system}
# `run` collects the verdicts here.
RESULTS=${RESULTS:-/dev/null}
TMP=$(mktemp -d "${TMPDIR:-/tmp}/dropscope-test.XXXXXX") || exit 1
# The daemon and Prometheus may have to be run by others than root.
chmod 755 "$TMP"

RUNS_BEFORE=
PIDS=() NAMESPACES=() LOOPS=() MOUNTS=()
CASE='' SKIP='' FAULTS=() CHECKS=0 CASES=0 FAILED=0
URL='' PORT='' SOCKET='' QUIET='' CONFIG='' DAEMON_PID='' DAEMON_LOG='' DAEMON_STATUS='' DAEMONS=0

# ---- verdicts

# Something is wrong: "expected WHAT, got WHAT".
fault() {
	FAULTS+=("$*")
	return 1
}

# equal WHAT EXPECTED GOT
equal() {
	CHECKS=$((CHECKS + 1))
	[ "$2" = "$3" ] || fault "expected $1 $2, got ${3:-nothing}"
}

# matches WHAT GLOB GOT
matches() {
	CHECKS=$((CHECKS + 1))
	# shellcheck disable=SC2053 # the pattern is one
	[[ $3 == $2 ]] || fault "expected $1 like $2, got ${3:-nothing}"
}

# between WHAT LEAST MOST GOT: whole numbers, the bounds included
between() {
	CHECKS=$((CHECKS + 1))
	[[ $4 =~ ^-?[0-9]+$ ]] && [ "$4" -ge "$2" ] && [ "$4" -le "$3" ] ||
		fault "expected $1 from $2 to $3, got ${4:-nothing}"
}

# at_least WHAT LEAST GOT
at_least() {
	CHECKS=$((CHECKS + 1))
	[[ $3 =~ ^-?[0-9]+$ ]] && [ "$3" -ge "$2" ] || fault "expected $1 of at least $2, got ${3:-nothing}"
}

# truth WHAT COMMAND...: the command succeeds
truth() {
	local what=$1

	shift
	CHECKS=$((CHECKS + 1))
	"$@" || fault "expected $what, got the opposite"
}

skip() {
	SKIP=$*
	return 1
}

# needs THING...: root, btf, cpus (two of them), runs (the kernel counts those of BPF programs),
# or a program. Use: needs root nft || return
needs() {
	local thing

	for thing; do
		case $thing in
		root) [ "$(id -u)" = 0 ] || skip 'root is needed' || return ;;
		btf) [ -r /sys/kernel/btf/vmlinux ] || skip '/sys/kernel/btf/vmlinux is needed' || return ;;
		cpus) [ "$(nproc)" -ge 2 ] || skip 'two CPUs are needed' || return ;;
		runs) count_runs || skip "BPF statistics and bpftool are needed" || return ;;
		*) command -v "$thing" >/dev/null || skip "$thing is needed" || return ;;
		esac
	done
}

say() {
	printf '%s\n' "$*"
	printf '%s\n' "$*" >>"$RESULTS"
}

# run_case NAME FUNCTION [ARGUMENT...]
run_case() {
	local line

	CASE=$1 SKIP='' FAULTS=() CHECKS=0
	CASES=$((CASES + 1))
	shift
	"$@"
	if [ -z "$SKIP" ] && [ "${#FAULTS[@]}" = 0 ] && [ "$CHECKS" = 0 ]; then
		fault 'expected checks, got a case that made none'
	fi
	if [ "${#FAULTS[@]}" -gt 0 ]; then
		FAILED=$((FAILED + 1))
		say "FAIL $CASE: ${FAULTS[0]}"
		for line in "${FAULTS[@]:1}"; do
			printf '    also: %s\n' "$line"
		done
		if [ -n "$DAEMON_LOG" ] && [ -s "$DAEMON_LOG" ]; then
			printf '    the daemon said last:\n'
			grep -v " debug: " "$DAEMON_LOG" | tail -n 3 | cut -c 1-200 | sed "s/^/        /"
		fi
	elif [ -n "$SKIP" ]; then
		say "skip $CASE: $SKIP"
	else
		say "ok $CASE"
	fi
	CASE=''
}

# The last line of a script: its exit status, and the sign that it came this far.
finish() {
	printf 'end %s %s\n' "$(basename "$0")" "$CASES" >>"$RESULTS"
	[ "$FAILED" = 0 ]
	exit
}

# ---- what has to be taken back

clean_up() {
	local status=$? pid path

	trap - EXIT
	# What waits for a frozen file system cannot be ended.
	for path in "${MOUNTS[@]}"; do
		fsfreeze --unfreeze "$path" 2>/dev/null
	done
	for pid in "${PIDS[@]}"; do
		kill -CONT "$pid" 2>/dev/null
		kill "$pid" 2>/dev/null
	done
	for pid in "${PIDS[@]}"; do
		# Not wait: a child that ignores the signal must not hold up the rest.
		for _ in {1..30}; do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
		kill -9 "$pid" 2>/dev/null
	done
	forget_loops
	for path in "${MOUNTS[@]}"; do
		umount "$path" 2>/dev/null
	done
	forget_namespaces
	[ -z "$RUNS_BEFORE" ] || echo "$RUNS_BEFORE" >"$RUNS"
	rm -rf "$TMP"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# A process of ours has been waited for, so that its number may belong to somebody else by now.
forget_pid() {
	local pid left=()

	for pid in "${PIDS[@]}"; do
		[ "$pid" = "$1" ] || left+=("$pid")
	done
	PIDS=("${left[@]}")
}

# wait_until SECONDS COMMAND...
wait_until() {
	local end=$((SECONDS + $1 + 1))

	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# ---- network namespaces: `namespace a` makes one, `inside a COMMAND` runs in it, `inode a` is what
# the JSON calls netns. IPv6 is on for lo only: other devices would send on their own account.
# They stay until the script ends: the kernel gives the inode number of one that is gone to the
# next, while a daemon still shows the rows of the first.

# namespace_name NAME: the name of this case's namespace
namespace_name() {
	echo "ds$$-$CASES-$1"
}

namespace() {
	local name

	name=$(namespace_name "$1")
	ip netns add "$name" || fault "expected a new namespace $name, got none" || return
	NAMESPACES+=("$name")
	inside "$1" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6' 2>/dev/null
	ip -n "$name" link set lo up
}

inside() {
	local name

	name=$(namespace_name "$1")
	shift
	nsenter --net="/run/netns/$name" -- "$@"
}

# become NAMESPACE COMMAND...: the same in the place of this shell. In the background, $! is the command's number,
# and not that of a shell which leaves the command behind when it is ended.
become() {
	local name

	name=$(namespace_name "$1")
	shift
	exec nsenter --net="/run/netns/$name" -- "$@"
}

inode() {
	stat -L -c %i "/run/netns/$(namespace_name "$1")"
}

forget_namespaces() {
	local name

	for name in "${NAMESPACES[@]}"; do
		ip netns del "$name"
	done
	NAMESPACES=()
}

# cable FROM DEVICE TO DEVICE: a veth pair between two namespaces, up
cable() {
	local from to

	from=$(namespace_name "$1") to=$(namespace_name "$3")
	ip -n "$from" link add "$2" type veth peer name "$4" netns "$to" &&
		ip -n "$from" link set "$2" up && ip -n "$to" link set "$4" up ||
		fault "expected a veth pair $2 and $4, got none"
}

# ruleset NAMESPACE RULES: into a table of its own, `inet t`
ruleset() {
	inside "$1" nft -f - <<<"table inet t { $2; }" || fault "expected nft to take the rules, got an error"
}

# named_counter NAMESPACE COUNTER packets|bytes
named_counter() {
	inside "$1" nft -j list counter inet t "$2" | jq ".nftables[] | .counter? // empty | .$3"
}

# statistic NAMESPACE NAME: of /proc/net/snmp, snmp6 and netstat, by nstat's name: UdpNoPorts
statistic() {
	inside "$1" nstat -asz "$2" | awk -v name="$2" '$1 == name { print $2 }'
}

# traffic NAMESPACE TOOL ARGUMENT...: runs a traffic tool there; sets LINE, what it printed
traffic() {
	local where=$1 name=$2

	shift 2
	LINE=$(inside "$where" "$TOOLS/$name" "$@") ||
		fault "expected $name $* to do its work, got an error"
}

# word NAME: the number that follows a name in LINE
word() {
	awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }' <<<"$LINE"
}

# ---- block devices

# loop_device FILE: sets LOOP and LOOP_NAME
loop_device() {
	LOOP=$(losetup --find --show "$1") || fault 'expected a loop device, got none' || return
	LOOPS+=("$LOOP")
	LOOP_NAME=${LOOP#/dev/}
	# Completed where the loop driver finishes and not by an interrupt on another CPU, which the
	# tracepoints of some virtual machines miss while that CPU is idle.
	echo 0 >"/sys/block/$LOOP_NAME/queue/rq_affinity"
}

forget_loops() {
	local loop

	# The last made first: a loop device may stand on a file system on an earlier one.
	for ((loop = ${#LOOPS[@]} - 1; loop >= 0; loop--)); do
		losetup --detach "${LOOPS[loop]}" 2>/dev/null
	done
	LOOPS=()
}

# ---- idle CPUs: on some virtual machines a softirq on an idle CPU is now and then seen by no user
# of a tracepoint. Where a test's events come from timers, the CPUs are kept awake.

BUSY=()
stay_awake() {
	local pid

	for _ in $(seq "$(nproc)"); do
		nice -n 19 bash -c 'while :; do :; done' &
		pid=$!
		PIDS+=("$pid")
		BUSY+=("$pid")
	done
}

may_sleep() {
	local pid

	for pid in "${BUSY[@]}"; do
		kill "$pid"
		wait "$pid" 2>/dev/null
		forget_pid "$pid"
	done
	BUSY=()
}

# ---- the daemon

free_port() {
	local port

	# Below the range from which the kernel gives ports to clients.
	while :; do
		port=$((10000 + RANDOM % 20000))
		awk -v port="$(printf ':%04X' "$port")" 'index($2, port) { found = 1 } END { exit found }' \
			/proc/net/tcp /proc/net/tcp6 && break
	done
	echo "$port"
}

# http CURL-ARGUMENT...: over TCP, or over the unix socket $SOCKET if that is set: a TCP
# connection that is closed drops a packet of its own, a unix one does not.
http() {
	curl -sS --max-time 20 ${SOCKET:+--unix-socket "$SOCKET"} "$@"
}

answers() {
	http -o /dev/null "$1" 2>/dev/null
}

# Either it answers or it has died.
daemon_settled() {
	answers "$URL/-/healthy" || ! kill -0 "$DAEMON_PID" 2>/dev/null
}

# launch COMMAND...: a daemon that will answer at $URL, in the place of the last one
launch() {
	stop_daemon
	DAEMONS=$((DAEMONS + 1))
	DAEMON_LOG=$TMP/daemon.$DAEMONS.log
	[ -x "$DAEMON" ] || fault "expected $DAEMON, got no such program" || return
	"$@" >"$DAEMON_LOG" 2>&1 &
	DAEMON_PID=$!
	PIDS+=("$DAEMON_PID")
	wait_until 15 daemon_settled
	answers "$URL/-/healthy" || fault "expected a daemon that answers, got: $(tail -n 1 "$DAEMON_LOG")"
}

# A free port, and the URL of it.
new_port() {
	PORT=$(free_port)
	URL=http://127.0.0.1:$PORT
	SOCKET=
}

# start_daemon [CONFIGURATION [OPTION...]]: on a port of its own
start_daemon() {
	local configuration=${1-}

	shift $(($# > 0))
	new_port
	CONFIG=$TMP/daemon.$PORT.conf QUIET=$TMP/quiet.$PORT
	printf '[daemon]\nlisten = 127.0.0.1:%s %s\n%s\n' "$PORT" "$QUIET" "$configuration" >"$CONFIG"
	launch "$DAEMON" --config "$CONFIG" --log-level debug "$@"
}

died() {
	! kill -0 "$1" 2>/dev/null
}

# stop_daemon [SIGNAL]: sets DAEMON_STATUS, the exit status
stop_daemon() {
	[ -n "$DAEMON_PID" ] || return 0
	kill "-${1:-TERM}" "$DAEMON_PID" 2>/dev/null
	# bash would say which signal ended it.
	if ! { wait_until 10 died "$DAEMON_PID"; } 2>/dev/null; then
		fault "expected a daemon that ends with SIG${1:-TERM}, got one that goes on"
		kill -KILL "$DAEMON_PID"
	fi
	wait "$DAEMON_PID" 2>/dev/null
	DAEMON_STATUS=$?
	forget_pid "$DAEMON_PID"
	DAEMON_PID=''
}

# One for all cases of a script, where the machine can run one at all.
shared_daemon() {
	if [ "$(id -u)" = 0 ] && [ -r /sys/kernel/btf/vmlinux ]; then
		start_daemon "$@"
	fi
}

get() {
	http "$URL$1"
}

# status PATH [CURL OPTION...]: the HTTP status alone
status() {
	local path=$1

	shift
	http -o /dev/null -w '%{http_code}' "$@" "$URL$path"
}

# rows TABLE JQ-CONDITION [NAMESPACE]: an array; with a namespace only what was counted there
rows() {
	local condition=$2

	[ $# -lt 3 ] || condition=".netns == $(inode "$3") and ($2)"
	get "/$1?top=100000" | jq -c "[.rows[] | select($condition)]"
}

# sum COLUMN <ROWS: over an array of rows
sum() {
	jq "[.[].$1] | add // 0"
}

# count TABLE COLUMN JQ-CONDITION [NAMESPACE]
count() {
	rows "$1" "$3" "${@:4}" | sum "$2"
}

# sample METRICS-FILE NAME LABEL-REGEX...: the sum of the samples of a name that have all these
# labels
sample() {
	local file=$1 name=$2

	shift 2
	awk -v name="$name" -v labels="$*" '
		BEGIN { n = split(labels, want, " ") }
		index($0, name "{") == 1 || $1 == name {
			for (i = 1; i <= n; i++)
				if ($0 !~ want[i])
					next
			sum += $NF
		}
		END { printf "%.0f\n", sum }' "$file"
}

# ---- an account of what the probes see, kept by the kernel and not by us: how often each program has run, and how
# often the kernel has skipped it because it was running. It is what a count is held against where
# events come from interrupts: on some virtual machines, a softirq that another CPU asked for is
# now and then seen by no BPF program at all, whoever wrote it.

RUNS=/proc/sys/kernel/bpf_stats_enabled
count_runs() {
	[ -z "$RUNS_BEFORE" ] || return 0
	[ "$(id -u)" = 0 ] && [ -w "$RUNS" ] && command -v bpftool >/dev/null || return
	RUNS_BEFORE=$(cat "$RUNS")
	echo 1 >"$RUNS"
}

# ids prog|map: what the daemon has open
ids() {
	cat "/proc/$DAEMON_PID/fdinfo/"* 2>/dev/null | awk -v kind="$1_id:" '$1 == kind { print $2 }' | sort -un
}

# program NAME: the id of its gate, which is what the kernel runs: of those called so, the shortest
program() {
	local id

	for id in $(ids prog); do
		bpftool -j prog show id "$id"
	done | jq -rs "map(select(.name == \"$1\")) | min_by(.bytes_xlated) | .id"
}

# seen ID: the events that a program has seen, since the statistics are on
seen() {
	bpftool -j prog show id "$1" | jq '(.run_cnt // 0) + (.recursion_misses // 0)'
}

# What the daemon accounts for (rows, retired, lost) less what its probe has seen, at a moment in
# which nothing was dropped. It is the same number for ever, or events have been lost or invented.
drops_account() {
	local id before after answer SOCKET=$QUIET

	id=$(program drops_kfree_skb)
	for _ in {1..100}; do
		before=$(seen "$id") && answer=$(get '/drops?top=1') && after=$(seen "$id") || return
		if [ "$before" = "$after" ]; then
			jq --argjson seen "$before" \
				'.totals.packets + .retired.packets + ([.lost[]] | add) - $seen' <<<"$answer"
			return
		fi
		sleep 0.05
	done
	echo 'no quiet moment'
}
