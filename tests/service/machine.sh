# SPDX-License-Identifier: BSD-2-Clause
# A machine for tests of the service: a Debian tree (tree), kept from one run to the next, below an overlay that
# is thrown away, booted by systemd-nspawn with a systemd of its own. Sourced after lib.sh.
# shellcheck shell=bash

MACHINE=$TMP/machine

# The tree, made once: some minutes where the mirror is slow. Whoever makes it at this moment is waited for.
machine_tree() {
	TREE=$("$TOP/tests/service/tree" "$DAEMON" 2>"$TMP/tree.log") ||
		skip "no Debian tree can be made: $(tail -n 1 "$TMP/tree.log")"
}

# boot: sets LEADER, the pid of its systemd
boot() {
	mkdir -p "$MACHINE"/{upper,work,root}
	mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$MACHINE/upper,workdir=$MACHINE/work" \
		"$MACHINE/root" 2>"$TMP/overlay" || skip "no overlay can be mounted: $(cat "$TMP/overlay")" || return
	MOUNTS+=("$MACHINE/root")
	echo vm >"$MACHINE/root/etc/hostname"
	SYSTEMD_SECCOMP=0 systemd-nspawn --quiet --directory="$MACHINE/root" --register=no --keep-unit \
		--boot --private-network --capability=all --bind=/sys/fs/bpf --bind-ro="$TMP:/tests" \
		--bind-ro="$TOOLS:/tools" >"$MACHINE/console" 2>&1 &
	NSPAWN=$!
	PIDS+=("$NSPAWN")
	wait_until 30 has_booted || skip "systemd does not come up in systemd-nspawn: $(tail -n 1 "$MACHINE/console")"
}

has_booted() {
	LEADER=$(pgrep -P "$NSPAWN" | head -n 1)
	[ -n "$LEADER" ] && [[ $(there systemctl is-system-running 2>/dev/null) =~ running|degraded ]]
}

# there COMMAND...: inside the machine
there() {
	nsenter -t "$LEADER" -m -n -p -u -i -C -- "$@"
}

power_off() {
	[ -n "${NSPAWN:-}" ] || return 0
	there systemctl poweroff --no-block >/dev/null 2>&1
	wait_until 20 died "$NSPAWN"
	wait "$NSPAWN" 2>/dev/null
	forget_pid "$NSPAWN"
	NSPAWN=''
}

# property NAME: of the service
property() {
	there systemctl show dropscoped -p "$1" --value
}

# ask PATH: what the service answers
ask() {
	there curl -sS --max-time 20 "localhost:9435$1"
}

is_active() {
	[ "$(property ActiveState) $(property SubState)" = 'active running' ]
}

# What the journal has of the service.
journal() {
	there journalctl --no-pager -o cat -u dropscoped "$@"
}

# Packets that were dropped in the machine's own namespace, of UDP datagrams to closed ports.
dropped() {
	ask '/drops?top=100000' | jq --argjson netns "$(stat -L -c %i "/proc/$LEADER/ns/net")" \
		'[.rows[] | select(.netns == $netns and .reason == "NO_SOCKET" and .protocol == "udp") | .packets] | add // 0'
}

lost() {
	ask '/drops?top=1' | jq '.lost.nested + .lost.map_full'
}
