#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The preflight, in a container whose capabilities are taken away one by one: what it says must be what is
# wrong, and what to do about it.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# contained CAPABILITIES ARGUMENT...: dropscoped with only these, in a container over this machine's /usr; sets
# STATUS and REPORT
contained() {
	local capabilities=$1 changes

	shift
	changes=-all,+${capabilities//,/,+}
	REPORT=$(SYSTEMD_SECCOMP=0 timeout 60 systemd-nspawn --quiet --directory=/ --volatile=yes --register=no \
		--keep-unit --private-network "--machine=dropscope-check-$$" "--bind-ro=$BUILD:/opt" \
		--capability=CAP_BPF,CAP_PERFMON,CAP_SYSLOG --as-pid2 --pipe setpriv \
		"--bounding-set=$changes" "--inh-caps=$changes" /opt/dropscoped "$@" 2>"$TMP/errors" </dev/null)
	STATUS=$?
}

# found NAME MEMBER: of the check that is called so
found() {
	jq -r --arg name "$1" ".checks[] | select(.name == \$name) | .$2" <<<"$REPORT"
}

case_all() {
	needs root btf systemd-nspawn setpriv || return
	contained bpf,perfmon,syslog --check=json
	equal 'exit status' 0 "$STATUS"
	equal status ok "$(jq -r .status <<<"$REPORT")"
	equal exit_status 0 "$(jq .exit_status <<<"$REPORT")"
	equal 'collectors that are up' 4 \
		"$(jq '[.checks[] | select(.name | test("^collector [a-z]+$")) | select(.found | startswith("up: "))] | length' <<<"$REPORT")"
	equal 'programs of drops' 'up: drops_kfree_skb (tp_btf)' "$(found 'collector drops' found)"
	equal 'programs of retransmit' 2 "$(found 'collector retransmit' found | grep -o '(tp_btf)' | wc -l)"
	equal 'a tracepoint' '1 argument' "$(found 'tracepoint netif_receive_skb' found)"
	equal 'an address' free "$(found 'listen [::]:9435' found)"
	contained bpf,perfmon,syslog --check
	equal 'exit status of the text' 0 "$STATUS"
	equal 'the last line' 'everything works' "$(tail -n 1 <<<"$REPORT")"
}

# without CAPABILITY REST: it cannot run, and says which one is missing
case_without() {
	local name=$1

	needs root btf systemd-nspawn setpriv || return
	contained "$2" --check=json
	equal 'exit status' 2 "$STATUS"
	equal "$name" failed "$(found "capability $name" status)"
	equal 'others that are missing' '' "$(jq -r --arg name "capability $name" '.checks[] |
		select(.name | startswith("capability")) | select(.name != $name and .status != "ok") | .name' <<<"$REPORT")"
	matches 'what to do about it' "*$name*" "$(found "capability $name" advice)"
	equal collectors failed "$(found collectors status)"
	matches 'why one is down' '*CAP_BPF and CAP_PERFMON*' "$(found 'collector drops' advice)"
}

# Where BPF names addresses, nothing is lost with CAP_SYSLOG.
case_without_syslog() {
	needs root btf systemd-nspawn setpriv || return
	contained bpf,perfmon --check=json
	equal 'exit status' 0 "$STATUS"
	equal CAP_SYSLOG note "$(found 'capability CAP_SYSLOG' status)"
	equal kallsyms note "$(found kallsyms status)"
	equal symbols 'named by BPF' "$(found symbols found)"
}

listens() {
	ss -Hltn "sport = :$1" | grep -q .
}

# Beside a daemon that runs, whichever way it is reached; and where somebody else has the address, who does not answer.
case_address() {
	local address other=0

	needs root btf ss || return
	start_daemon || return
	for address in "127.0.0.1:$PORT" "[::]:$PORT" "$QUIET"; do
		REPORT=$("$DAEMON" --check=json --listen "$address")
		equal "exit status for $address" 0 $?
		equal "$address" 'in use by the dropscoped that runs' "$(found "listen $address" found)"
	done
	equal 'the daemon that has it' 200 "$(status /-/healthy)"
	equal 'its collectors' 4 "$(get /-/ready | jq '[.collectors[] | select(.up)] | length')"
	other=$(free_port)
	"$TOOLS/tcpflow" handshakes 127.0.0.1 "$other" 1 15000 >/dev/null &
	PIDS+=($!)
	truth 'another that listens' wait_until 10 listens "$other"
	REPORT=$("$DAEMON" --check=json --listen "[::]:$other")
	equal 'exit status' 2 $?
	equal 'the address' failed "$(found "listen [::]:$other" status)"
	matches 'the address' '*ebpf_exporter*' "$(found "listen [::]:$other" found)"
}

case_file() {
	needs root btf || return
	# What is dropped meanwhile is described, too.
	"$TOOLS/traffic" udp 127.0.0.1 9 1000000 64 >/dev/null &
	PIDS+=($!)
	printf '[series]\nbudget = many\n[drops]\nslots = 100\n' >"$TMP/faulty.conf"
	REPORT=$("$DAEMON" --check=json --config "$TMP/faulty.conf")
	equal 'exit status' 2 $?
	equal 'faults' 2 "$(jq '[.checks[] | select(.name == "configuration" and .status == "failed")] | length' <<<"$REPORT")"
	matches 'the first' "$TMP/faulty.conf:2: *budget*" \
		"$(jq -r '[.checks[] | select(.name == "configuration")][0].found' <<<"$REPORT")"
	REPORT=$("$DAEMON" --check=xml 2>&1)
	equal 'exit status of --check=xml' 2 $?
	matches 'what is allowed' '*xml*text*json*' "$REPORT"
}

run_case 'check: with all capabilities' case_all
run_case 'check: without CAP_BPF' case_without CAP_BPF perfmon,syslog
run_case 'check: without CAP_PERFMON' case_without CAP_PERFMON bpf,syslog
run_case 'check: without CAP_SYSLOG' case_without_syslog
run_case 'check: an address that is taken' case_address
run_case 'check: a faulty file' case_file
finish
