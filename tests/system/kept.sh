# SPDX-License-Identifier: BSD-2-Clause
# A daemon whose descriptors outlive it: the keeper plays the service manager. Sourced after lib.sh.
# shellcheck shell=bash

# kept_daemon [CONFIGURATION]: one whose descriptors are kept. $KEPT/command is what is run; KEEPER_PID.
kept_daemon() {
	KEPT=$TMP/kept.$CASES
	mkdir -p "$KEPT"
	ln -sf "$DAEMON" "$KEPT/command"
	new_port
	CONFIG=$KEPT/conf
	printf '[daemon]\nlisten = 127.0.0.1:%s\n%s\n' "$PORT" "${1-}" >"$CONFIG"
	launch "$TOOLS/keeper" "$KEPT" "$KEPT/command" --config "$CONFIG" --log-level debug
	truth 'a first start' wait_until 10 has_started 1
}

started() {
	cat "$KEPT/ready" 2>/dev/null || echo 0
}

has_started() {
	[ "$(started)" -ge "$1" ]
}

# restart SIGNAL: ends the daemon, and waits until the next one serves
restart() {
	local before

	before=$(started)
	kill "-$1" "$(cat "$KEPT/pid")"
	wait_until 15 has_started $((before + 1)) || fault "expected a daemon that comes back after SIG$1, got none"
}
