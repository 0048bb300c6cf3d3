#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The service as a fleet has it: the Debian package, in a machine with a systemd of its own.
# The cases follow one another on one machine.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
# shellcheck source=tests/system/builds.sh
. "$TOP/tests/system/builds.sh"
# shellcheck source=tests/service/machine.sh
. "$(dirname "$0")/machine.sh"

RESTARTS=${RESTARTS:-20}
UP=

# Every case but the first needs what the first has made.
needs_machine() {
	[ -n "$UP" ] || skip 'the machine is not up'
}

# The same package with another program, and a later version.
package_other() {
	build_program || return
	dpkg-deb -R "$TMP/this.deb" "$TMP/other"
	install -m 755 "$OTHER" "$TMP/other/usr/sbin/dropscoped"
	sed -i 's/^Version: .*/&+other/' "$TMP/other/DEBIAN/control"
	sed -i '/ usr\/sbin\/dropscoped$/d' "$TMP/other/DEBIAN/md5sums"
	dpkg-deb --root-owner-group -Znone -b "$TMP/other" "$TMP/other.deb" >/dev/null ||
		fault 'expected another package, got an error'
}

# install_deb FILE
install_deb() {
	there dpkg --force-unsafe-io --force-confdef --force-confold -i "/tests/$1" >"$TMP/dpkg.log" 2>&1 ||
		fault "expected dpkg to install $1, got: $(tail -n 3 "$TMP/dpkg.log")"
}

case_install() {
	needs root btf systemd-nspawn mmdebstrap dpkg-deb dpkg-buildpackage nsenter || return
	debian_package || return
	cp "$DEB" "$TMP/this.deb"
	machine_tree || return
	package_other || return
	boot || return
	UP=1
	there ip link set lo up
	install_deb this.deb || return
	truth 'the service to run' wait_until 10 is_active
	equal 'enabled' enabled "$(there systemctl is-enabled dropscoped)"
	matches 'the collectors' '*"ready": true*' "$(ask /-/ready)"
	there /tools/traffic udp 127.0.0.1 9 1000 64 >/dev/null
	equal 'packets' 1000 "$(dropped)"
	equal 'symbols in /metrics' 'dropscope_symbols_available 1' "$(ask /metrics | grep '^dropscope_symbols_available')"
	at_least 'the symbol by name' 1 "$(ask /metrics | grep -c 'symbol="__udp4_lib_rcv"')"
	matches 'the journal' '*listening on*' "$(journal)"
	matches 'the status line' '4 of 4 collectors up, *' "$(property StatusText)"
}

# words: in lower case, sorted
words() {
	tr ' ' '\n' | tr '[:upper:]' '[:lower:]' | sort -u | paste -sd' '
}

# calls SET...: the system calls of sets as systemd there has them, sorted, one a line
calls() {
	local name

	for name; do
		if [[ $name == @* ]]; then
			# shellcheck disable=SC2046 # words
			calls $(there systemd-analyze syscall-filter "$name" | sed -n 's/^    \([-@a-z_0-9]*\)$/\1/p')
		else
			echo "$name"
		fi
	done | sort -u
}

# What the service manager makes of each line of the unit, in its own words. It says nothing of a line that it does
# not know, and obeys no setting of which it does not know the value.
case_unit() {
	local line name value lines=0 filter=''

	needs_machine || return
	while IFS= read -r line; do
		name=${line%%=*} value=${line#*=}
		lines=$((lines + 1))
		case $name in
		SystemCallFilter) filter+="$value;" ;;
		*) equal "$name" "$(words <<<"$value")" "$(property "$name" | words)" ;;
		esac
	done < <(sed -n '/^DynamicUser=/,/^\[/s/^\([A-Z][A-Za-z]*=.*\)/\1/p' "$TOP/systemd/dropscoped.service")
	at_least 'lines' 28 "$lines"
	equal 'the lines of the filter' '@system-service;~@privileged @resources;bpf capset;' "$filter"
	property SystemCallFilter | tr ' ' '\n' | sort -u >"$TMP/filter"
	calls @privileged @resources >"$TMP/taken"
	calls @system-service | comm -23 - "$TMP/taken" | sort -u - <(printf '%s\n' bpf capset) >"$TMP/wanted"
	at_least 'system calls' 100 "$(wc -l <"$TMP/wanted")"
	equal 'system calls that are allowed and ought not to be' '' "$(comm -23 "$TMP/filter" "$TMP/wanted" | head -n 5)"
	# Two are in systemd's sets and not yet in Debian 12's libseccomp.
	equal 'system calls that ought to be allowed and are not' '' \
		"$(comm -13 "$TMP/filter" "$TMP/wanted" | grep -vx -e riscv_hwprobe -e uretprobe | head -n 5)"
}

# What the daemon holds once it is up, and what the unit costs by systemd's own account.
case_hardening() {
	local pid exposure

	needs_machine || return
	pid=$(property MainPID)
	capabilities() { there sed -n "s/^$1:\t//p" "/proc/$pid/status"; }
	equal 'effective capabilities' 0000000000000000 "$(capabilities CapEff)"
	equal 'permitted capabilities' 'cap_perfmon,cap_bpf' \
		"$(there capsh --decode="$(capabilities CapPrm)" | sed 's/.*=//')"
	equal 'capabilities to inherit' 0000000000000000 "$(capabilities CapInh)"
	equal 'ambient capabilities' 0000000000000000 "$(capabilities CapAmb)"
	truth 'a user that is not root' [ "$(there stat -c %u "/proc/$pid")" -ge 60000 ]
	equal 'NoNewPrivs' 1 "$(capabilities NoNewPrivs)"
	equal 'a seccomp filter' 2 "$(capabilities Seccomp)"
	exposure=$(systemd-analyze security --offline=yes "$TOP/systemd/dropscoped.service" 2>/dev/null |
		sed -n 's/.*exposure level.*: \([0-9]*\)\.\([0-9]\).*/\1\2/p')
	between 'exposure, in tenths,' 0 20 "$exposure"
}

case_reload() {
	local pid

	needs_machine || return
	pid=$(property MainPID)
	there sh -c 'printf "[series]\nbudget = many\n" >>/etc/dropscope/dropscoped.conf'
	there systemctl reload dropscoped
	truth 'a line that names the key' wait_until 5 journal_has 'dropscoped.conf:*budget*many*'
	truth 'the old configuration' wait_until 5 journal_has '*the old configuration stays in force*'
	matches 'the collectors' '*"ready": true*' "$(ask /-/ready)"
	there sed -i '$d' /etc/dropscope/dropscoped.conf
	# Without capabilities in force: a collector is turned off and on all the same.
	there sh -c 'printf "budget = 77\n[collectors]\nreceive = no\n" >>/etc/dropscope/dropscoped.conf'
	there systemctl reload dropscoped
	truth 'receive to be off' wait_until 5 ready_says '"receive": {"up": false'
	there sed -i '/^receive = no/d' /etc/dropscope/dropscoped.conf
	there systemctl reload dropscoped
	truth 'receive to be on' wait_until 5 ready_says '"receive": {"up": true'
	equal 'the process' "$pid" "$(property MainPID)"
	equal 'packets' 1000 "$(dropped)"
	equal 'capabilities in force afterwards' 0000000000000000 "$(there sed -n 's/^CapEff:\t//p' "/proc/$pid/status")"
}

# Without capabilities in force: programs for a stream are loaded all the same. The past outlives a restart here, too.
case_streams() {
	local pid reader counted here

	needs_machine || return
	pid=$(property MainPID)
	here="netns=$(stat -L -c %i "/proc/$LEADER/ns/net")&protocol=udp&reason=NO_SOCKET"
	ask "/drops/live?$here&dport=9&count=3&stack=1&duration=30s" >"$TMP/lines" &
	reader=$!
	PIDS+=("$reader")
	truth 'a stream' wait_until 10 journal_has 'drops: somebody listens to single events'
	there /tools/traffic udp 127.0.0.1 9 3 64 >/dev/null
	wait "$reader"
	forget_pid "$reader"
	equal 'events' 3 "$(grep -c '"symbol":"__udp4_lib_rcv"' "$TMP/lines")"
	equal 'stacks' 3 "$(grep -c 'udp_sendmsg+' "$TMP/lines")"
	truth 'its programs to go' wait_until 15 journal_has 'drops: nobody listens to single events any more'
	equal 'capabilities in force afterwards' 0000000000000000 "$(there sed -n 's/^CapEff:\t//p' "/proc/$pid/status")"
	counted=$(dropped)
	equal 'stacks by their weights' "$counted" "$(ask "/drops/stacks?window=1h&$here" |
		awk '{ n += $NF } END { print n + 0 }')"
	restart
	truth 'another process' wait_until 20 restarted "$pid"
	equal 'packets in the past hour' "$counted" \
		"$(ask "/drops?window=1h&$here" | jq .totals.packets)"
	equal 'packets in an hour that is over' 0 \
		"$(ask "/drops?window=1h&at=-2h&$here" | jq .totals.packets)"
}

journal_has() {
	# shellcheck disable=SC2053 # the pattern is one
	[[ $(journal) == *$1* ]]
}

ready_says() {
	[[ $(ask /-/ready) == *"$1"* ]]
}

# flood: from two CPUs until end_flood
flood() {
	LOST=$(lost) BEFORE=$(dropped)
	rm -f "$TMP/enough"
	{
		rounds=0
		until [ -e "$TMP/enough" ]; do
			there /tools/traffic udp 127.0.0.1 9 100000 64 2 >/dev/null || exit
			rounds=$((rounds + 1))
		done
		echo $((rounds * 100000)) >"$TMP/sent"
	} &
	FLOOD=$!
	PIDS+=("$FLOOD")
}

end_flood() {
	local sent rows lost

	touch "$TMP/enough"
	wait "$FLOOD"
	forget_pid "$FLOOD"
	sent=$(cat "$TMP/sent") rows=$(($(dropped) - BEFORE)) lost=$(($(lost) - LOST))
	between 'rows, of what was sent less what was lost,' $((sent - lost)) "$sent" "$rows"
	[ "$lost" != 0 ] || equal 'rows, as nothing was lost,' "$sent" "$rows"
	printf '    %s packets sent, %s in rows; %s were lost to nesting or full maps in all of the machine\n' \
		"$sent" "$rows" "$lost"
}

# restarted OLD-PID: another process serves
restarted() {
	is_active && [ "$(property MainPID)" != "$1" ] && healthy
}

healthy() {
	ask /-/healthy >/dev/null 2>&1
}

restart() {
	there systemctl restart dropscoped
}

crash() {
	there kill -9 "$(property MainPID)"
}

upgrade() {
	TURN=$((TURN + 1))
	install_deb "$([ $((TURN % 2)) = 1 ] && echo other.deb || echo this.deb)"
}

# drop_in SETTING...: of the service, so that nobody waits long
drop_in() {
	printf '%s\n' '[Service]' "$@" >"$TMP/test.conf"
	there mkdir -p /run/systemd/system/dropscoped.service.d
	there cp /tests/test.conf /run/systemd/system/dropscoped.service.d/
	there systemctl daemon-reload
}

no_drop_in() {
	there rm -r /run/systemd/system/dropscoped.service.d
	there systemctl daemon-reload
}

# case_flood HOW: so many times under full load
case_flood() {
	local since pid turn

	needs_machine || return
	drop_in RestartSec=100ms
	since=$(ask '/drops?top=1' | jq -r .counting_since) TURN=0
	flood
	for ((turn = 1; turn <= RESTARTS; turn++)); do
		pid=$(property MainPID)
		"$1"
		wait_until 20 restarted "$pid" || fault "expected a service that comes back, got $(property ActiveState)" || break
	done
	end_flood
	equal 'counting_since' "$since" "$(ask '/drops?top=1' | jq -r .counting_since)"
	no_drop_in
}

# When this process began, by its own metric.
start_time() {
	ask /metrics | sed -n 's/^process_start_time_seconds //p'
}

# systemd itself is replaced by another of its kind, as an upgrade of it does: it takes its store along.
case_reexec() {
	local before since began pid

	needs_machine || return
	there /tools/traffic udp 127.0.0.1 9 700 64 >/dev/null
	before=$(dropped) since=$(ask '/drops?top=1' | jq -r .counting_since) began=$(start_time)
	at_least 'packets' 700 "$before"
	there systemctl daemon-reexec
	truth 'the service to run' wait_until 10 is_active
	equal 'the process' "$began" "$(start_time)"
	there /tools/traffic udp 127.0.0.1 9 30 64 >/dev/null
	pid=$(property MainPID)
	restart
	truth 'another process' wait_until 20 restarted "$pid"
	truth 'another process_start_time_seconds' [ "$began" != "$(start_time)" ]
	equal 'counting_since' "$since" "$(ask '/drops?top=1' | jq -r .counting_since)"
	equal 'packets' $((before + 30)) "$(dropped)"
}

# A start that fails leaves the probes counting, and the next one that works has it all.
case_broken_start() {
	local before lines

	needs_machine || return
	before=$(dropped)
	there cp /etc/dropscope/dropscoped.conf /tmp/good.conf
	there sh -c 'echo nonsense >>/etc/dropscope/dropscoped.conf'
	lines=$(there cat /etc/dropscope/dropscoped.conf | wc -l)
	there systemctl restart dropscoped 2>/dev/null
	truth 'a line that names the file and the line' wait_until 5 journal_has "/etc/dropscope/dropscoped.conf:$lines: "
	there /tools/traffic udp 127.0.0.1 9 5000 64 >/dev/null
	there cp /tmp/good.conf /etc/dropscope/dropscoped.conf
	truth 'the service to come back by itself' wait_until 15 is_active
	truth 'an answer' wait_until 5 healthy
	equal 'packets' $((before + 5000)) "$(dropped)"
}

# A process that does not answer is ended and started anew.
case_watchdog() {
	local pid before

	needs_machine || return
	drop_in WatchdogSec=2 RestartSec=100ms
	there systemctl restart dropscoped
	truth 'the service to run' wait_until 10 is_active
	pid=$(property MainPID) before=$(dropped)
	sleep 5
	equal 'the process, which feeds its watchdog,' "$pid" "$(property MainPID)"
	there kill -STOP "$pid"
	there /tools/traffic udp 127.0.0.1 9 2000 64 >/dev/null
	truth 'another process' wait_until 30 restarted "$pid"
	truth 'the watchdog to be the reason' journal_has '*Watchdog timeout*'
	equal 'packets' $((before + 2000)) "$(dropped)"
	no_drop_in
}

# Programs and maps of ours in the kernel, "KIND ID", by the descriptors that the machine's systemd keeps. It
# has some of its own.
kept() {
	local kind id

	there sh -c 'cat /proc/1/fdinfo/*' 2>/dev/null | sed -n 's/^\(prog\|map\)_id:\t/\1 /p' | sort -u |
		while read -r kind id; do
			bpftool -j "$kind" show id "$id" | grep -q '"name":"sd_' || echo "$kind $id"
		done
}

# are_gone "KIND ID"...: the kernel frees them a moment after the last descriptor
are_gone() {
	local kind id

	while read -r kind id; do
		! bpftool "$kind" show id "$id" >/dev/null 2>&1 || return
	done <<<"$1"
}

case_stop() {
	local ours

	needs_machine || return
	ours=$(kept)
	at_least 'programs that systemd keeps' 18 "$(grep -c ^prog <<<"$ours")"
	at_least 'maps that systemd keeps' 19 "$(grep -c ^map <<<"$ours")"
	there systemctl stop dropscoped
	equal 'descriptors in the store' 0 "$(property NFileDescriptorStore)"
	truth 'all programs and maps to go' wait_until 10 are_gone "$ours"
	there systemctl start dropscoped
	equal 'packets of a new start' 0 "$(dropped)"
}

# The port is systemd's, and answers while the service is restarted.
case_socket() {
	local answered=0 turn

	needs_machine || return
	there systemctl stop dropscoped
	there sed -i '1i [daemon]\nlisten = 127.0.0.1:1' /etc/dropscope/dropscoped.conf
	there systemctl start dropscoped.socket
	equal 'the service, before anybody asks,' inactive "$(property ActiveState)"
	matches 'the first answer' '*"ready": true*' "$(ask /-/ready)"
	truth 'a line about the socket' journal_has '*listening on 1 socket of the service manager*'
	there systemctl restart --no-block dropscoped
	for turn in 1 2 3 4 5 6 7 8 9 10; do
		healthy && answered=$((answered + 1))
	done
	equal 'answers during a restart' 10 "$answered"
	there systemctl stop dropscoped.socket dropscoped
	there sed -i 1,2d /etc/dropscope/dropscoped.conf
	there systemctl start dropscoped
	truth 'the service to run' wait_until 10 is_active
}

# An older package is put back: the edited configuration stays.
case_rollback() {
	needs_machine || return
	install_deb other.deb || return
	there sh -c 'echo "# edited here" >>/etc/dropscope/dropscoped.conf'
	install_deb this.deb || return
	equal 'the edited line' '# edited here' "$(there tail -n 1 /etc/dropscope/dropscoped.conf)"
	truth 'the service to run' wait_until 10 is_active
}

case_remove() {
	local ours

	needs_machine || return
	ours=$(kept)
	at_least 'programs that systemd keeps' 18 "$(grep -c ^prog <<<"$ours")"
	there dpkg --remove dropscope >"$TMP/dpkg.log" 2>&1
	truth 'all programs and maps to go' wait_until 10 are_gone "$ours"
	equal 'processes' '' "$(there pgrep dropscoped)"
	truth 'the edited configuration' there test -e /etc/dropscope/dropscoped.conf
	there dpkg --purge dropscope >"$TMP/dpkg.log" 2>&1
	equal 'files' '' "$(there sh -c 'ls -d /etc/dropscope /usr/sbin/dropscoped /usr/share/dropscope \
		/var/lib/dropscope /run/dropscope /var/lib/private/dropscope \
		/etc/systemd/system/*/dropscoped* 2>/dev/null')"
	equal 'the unit' not-found "$(property LoadState)"
}

run_case 'dpkg installs, enables and starts' case_install
run_case 'the unit, as systemd has it' case_unit
run_case 'hardening' case_hardening
run_case 'reload, of a bad and a good configuration' case_reload
run_case 'streams, stacks and the past' case_streams
run_case "restart, $RESTARTS times under a flood" case_flood restart
run_case "SIGKILL, $RESTARTS times under a flood" case_flood crash
run_case "upgrade, $RESTARTS times under a flood" case_flood upgrade
run_case 'daemon-reexec, and a restart' case_reexec
run_case 'a start with a broken configuration' case_broken_start
run_case 'the watchdog bites' case_watchdog
run_case 'stop leaves nothing' case_stop
run_case 'socket activation' case_socket
run_case 'rollback' case_rollback
run_case 'remove and purge leave nothing' case_remove
power_off
finish
