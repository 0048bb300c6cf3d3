#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# For months: keys that have not moved are retired, exactly, and nothing grows.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# With those of the warm-up more keys come and go than there are slots. CHURN=100000, which is what CI runs, takes a
# minute more.
CHURN=${CHURN:-20000}

# gone TABLE CONDITION NAMESPACE: each look is a scrape, too
gone() {
	[ "$(rows "$@")" = '[]' ]
}

retired() {
	get '/drops?top=1' | jq .retired.packets
}

# The same in /metrics.
retired_sample() {
	sample "$1" dropscope_retired_total 'collector="drops"' 'counter="packets"'
}

retired_agrees() {
	get /metrics >"$TMP/metrics"
	[ "$(retired)" = "$(retired_sample "$TMP/metrics")" ]
}

# pss: what the daemon holds, kB; shared pages are counted in part
pss() {
	awk '/^Pss:/ { print $2 }' "/proc/$DAEMON_PID/smaps_rollup"
}

# Sums that close: the daemon accounts for what its probe has seen, now and ever after.
case_account() {
	local account before took

	needs root btf nsenter ip runs || return
	start_daemon $'[series]\nretire-after = 2s' || return
	namespace a
	namespace b
	cable a srcA b dstA
	account=$(drops_account)
	before=$(retired)
	traffic a frames srcA 1234 0xb001
	equal 'packets' 1234 "$(count drops packets '.protocol == "0xb001"' b)"
	equal 'account' "$account" "$(drops_account)"
	took=$SECONDS
	truth 'the row to be retired' wait_until 15 gone drops '.protocol == "0xb001"' b
	between 'seconds until then' 0 12 $((SECONDS - took))
	equal 'account, retired' "$account" "$(drops_account)"
	at_least 'retired' $((before + 1234)) "$(retired)"
	get /metrics >"$TMP/metrics"
	equal 'series' 0 "$(grep -c 'protocol="0xb001"' "$TMP/metrics")"
	truth 'dropscope_retired_total as in /drops' wait_until 5 retired_agrees

	# The same key again: a new series, from nothing.
	traffic a frames srcA 7 0xb001
	equal 'packets of the new row' 7 "$(count drops packets '.protocol == "0xb001"' b)"
	get /metrics >"$TMP/metrics"
	equal 'new series' 7 "$(sample "$TMP/metrics" dropscope_drops_total 'protocol="0xb001"')"
	equal 'account, again' "$account" "$(drops_account)"
}

# A key that moves stays, whatever its age.
case_busy() {
	local i sent=0

	needs root btf nsenter || return
	start_daemon $'[series]\nretire-after = 1s' || return
	namespace a
	for i in {1..15}; do
		traffic a traffic udp 127.0.0.1 9 $((i * 10)) 64
		sent=$((sent + i * 10))
		equal "packets after $i rounds" "$sent" "$(count drops packets '.protocol == "udp"' a)" || break
		sleep 0.2
	done
}

# Keys that move again just when they are about to go, or are gone: each is visited about as often
# as keys are retired, in changing order, while the daemon is asked all the time.
case_race() {
	local account

	needs root btf nsenter ip runs || return
	start_daemon $'[series]\nretire-after = 1s' || return
	namespace a
	namespace b
	cable a srcA b dstA
	account=$(drops_account)
	for _ in {1..200}; do
		traffic a frames srcA 10 $((0xb800 + 10 * (RANDOM % 40))) 10
		get /metrics >"$TMP/metrics"
		sleep 0.03
	done
	equal 'account' "$account" "$(drops_account)"
	truth 'all rows to be retired' wait_until 15 gone drops '.protocol | startswith("0xb")' b
	equal 'account, retired' "$account" "$(drops_account)"
	at_least 'retired' 20000 "$(retired)"
}

# never_backwards OLD NEW PATTERN: prints the samples that are in both files and have become less
never_backwards() {
	awk -v pattern="$3" '/^#/ { next }
		FNR == NR { old[$1] = $2; next }
		$1 in old && $1 ~ pattern && $2 + 0 < old[$1] + 0 {
			print $1, old[$1], "->", $2 }' "$1" "$2"
}

# Ten places and five times as many keys, always new ones: `other` takes what finds no room,
# admission follows retirement, and no sample that two successive scrapes both show ever becomes
# less.
case_other() {
	local round account backwards=0 last=0 now SOCKET

	needs root btf nsenter ip runs || return
	start_daemon $'[series]\nbudget = 10\nretire-after = 1s' || return
	SOCKET=$QUIET
	namespace a
	namespace b
	cable a srcA b dstA
	account=$(drops_account)
	get /metrics >"$TMP/old"
	for round in {0..23}; do
		traffic a frames srcA 3 $((0xb100 + 50 * round)) 50
		get /metrics >"$TMP/new"
		never_backwards "$TMP/old" "$TMP/new" '^dropscope_drop.*(protocol="0xb|symbol="other")' \
			>"$TMP/backwards" || break
		if [ -s "$TMP/backwards" ]; then
			backwards=$((backwards + 1))
			sed 's/^/    backwards: /' "$TMP/backwards"
		fi
		now=$(sample "$TMP/new" dropscope_drops_total 'symbol="other"')
		at_least 'other' "$last" "$now"
		last=$now
		mv "$TMP/new" "$TMP/old"
		sleep 0.25
	done
	equal 'scrapes with a counter that went backwards' 0 "$backwards"
	at_least 'other at the end' 1 "$last"
	equal 'series and other' 11 "$(grep -c '^dropscope_drops_total{' "$TMP/old")"
	truth 'all rows to be retired' wait_until 15 gone drops '.protocol | startswith("0xb")' b
	equal 'account' "$account" "$(drops_account)"
	get /metrics >"$TMP/new"
	at_least 'other after that' "$last" "$(sample "$TMP/new" dropscope_drops_total 'symbol="other"')"
}

# Scrapes as Prometheus does while keys come and go; writes down what has become less. Only of the samples that move
# all the time: what IPv6 sends on a device of its own accord has pauses in which its sample is retired.
scrape_along() {
	local SOCKET=$QUIET

	get /metrics >"$TMP/old"
	while sleep 1; do
		get /metrics >"$TMP/new" || continue
		never_backwards "$TMP/old" "$TMP/new" '^dropscope_drop.*(symbol="other"|reason="NO_SOCKET")' \
			>>"$TMP/backwards"
		mv "$TMP/new" "$TMP/old"
	done
}

# quiet: nothing that a namespace of the churn dropped has a row any more
quiet() {
	[ "$(rows drops '(.interface | startswith("ds")) or (.reason == "NO_SOCKET" and .protocol == "udp")')" \
		= '[]' ]
}

# A packet with the key of the churn's, again and again: were the churn held up, its sample would be retired with the
# last of its rows and begin anew, as it should.
beat() {
	become a bash -c 'while "$1" udp 127.0.0.1 9 1 1; do sleep 0.2; done' bash "$TOOLS/traffic" >"$TMP/beat"
}

# churn_along COUNT: with a scrape a second
churn_along() {
	local beat scraper

	beat &
	beat=$!
	scrape_along &
	scraper=$!
	PIDS+=("$beat" "$scraper")
	LINE=$("$TOOLS/churn" "$1" 2 10) || fault 'expected churn to do its work, got an error'
	kill "$scraper" "$beat"
	wait "$scraper" "$beat" 2>/dev/null
	forget_pid "$scraper"
	forget_pid "$beat"
	truth 'all keys to be retired' wait_until 30 quiet
}

# Namespaces and devices by the hundred thousand, each a key that never comes back. The kernel's
# slots are few beside that: they must be given back.
case_churn() {
	local account memory

	needs root btf runs cpus || return
	[ -c /dev/net/tun ] || skip '/dev/net/tun is needed' || return
	start_daemon $'[series]\nretire-after = 2s\n[drops]\nslots = 32768' || return
	namespace a
	: >"$TMP/backwards"
	account=$(drops_account)
	# As many keys at once as there will be at any time: the memory for them may be kept.
	churn_along 20000
	equal 'account after the first keys' "$account" "$(drops_account)"
	memory=$(pss)
	churn_along "$CHURN"
	equal namespaces "$CHURN" "$(word namespaces)"
	equal 'account' "$account" "$(drops_account)"
	equal 'counters that went backwards' '' "$(head -n 3 "$TMP/backwards")"
	at_least 'retired' $((CHURN + CHURN / 10)) "$(retired)"
	equal 'lost for want of room' 0 "$(get '/drops?top=1' | jq .lost.map_full)"
	# The history's ring may have been filled since: 4 MiB.
	between 'memory, kB' 1 $((memory * 110 / 100 + 4096)) "$(pss)"
	printf '    %s; memory %s kB before, %s kB after\n' "$LINE" "$memory" "$(pss)"
}

run_case 'retire: a key that no longer moves' case_account
run_case 'retire: a key that moves stays' case_busy
run_case 'retire: keys that come back while they go' case_race
run_case 'retire: other never goes backwards' case_other
run_case "retire: $CHURN namespaces" case_churn
finish
