#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The harness itself: what is wrong must come out as a failure, what cannot run as skipped.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# trial BODY: runs BODY as a test script of its own; sets OUTPUT and STATUS
trial() {
	printf '. %q\n%s\n' "$TOP/tests/system/lib.sh" "$1" >"$TMP/test_trial.sh"
	OUTPUT=$("$TOP/tests/system/run" "$TMP/test_trial.sh" 2>&1)
	STATUS=$?
}

case_wrong() {
	trial 'wrong() { equal packets 1000 999; }; run_case wrong wrong; finish'
	matches 'output' '*FAIL wrong: expected packets 1000, got 999*' "$OUTPUT"
	equal 'last line' '0 passed, 1 failed, 0 skipped' "$(tail -n 1 <<<"$OUTPUT")"
	equal 'exit status' 1 "$STATUS"
}

case_goes_on() {
	trial 'wrong() { equal packets 1000 999; }; right() { equal packets 1 1; }
		run_case wrong wrong; run_case right right; finish'
	matches 'output' '*FAIL wrong:*ok right*' "$OUTPUT"
	equal 'last line' '1 passed, 1 failed, 0 skipped' "$(tail -n 1 <<<"$OUTPUT")"
	equal 'exit status' 1 "$STATUS"
}

case_nothing_checked() {
	trial 'empty() { :; }; run_case empty empty; finish'
	equal 'last line' '0 passed, 1 failed, 0 skipped' "$(tail -n 1 <<<"$OUTPUT")"
	equal 'exit status' 1 "$STATUS"
}

case_checks() {
	trial 'all() { at_least a 2 1; between b 1 2 3; matches c "x*" y; truth d false; equal e 1 ""
			at_least f 1 nothing; }
		run_case all all; finish'
	equal 'lines of faults' 6 "$(grep -c 'expected .*, got' <<<"$OUTPUT")"
	equal 'exit status' 1 "$STATUS"
}

case_missing() {
	trial 'absent() { needs no-such-program-at-all || return; equal a 1 1; }
		run_case absent absent; finish'
	matches 'output' '*skip absent: no-such-program-at-all is needed*' "$OUTPUT"
	equal 'last line' '0 passed, 0 failed, 1 skipped' "$(tail -n 1 <<<"$OUTPUT")"
	equal 'exit status' 0 "$STATUS"
}

case_not_root() {
	needs root setpriv || return
	cp "$TOP"/tests/system/{lib.sh,run} "$TMP/"
	printf '. %q\n%s\n' "$TMP/lib.sh" \
		'plain() { needs root || return; equal a 1 1; }; run_case plain plain; finish' \
		>"$TMP/test_plain.sh"
	OUTPUT=$(setpriv --reuid=65534 --regid=65534 --clear-groups env TMPDIR=/tmp \
		bash "$TMP/run" "$TMP/test_plain.sh" 2>&1)
	matches 'output' '*skip plain: root is needed*' "$OUTPUT"
	equal 'last line' '0 passed, 0 failed, 1 skipped' "$(tail -n 1 <<<"$OUTPUT")"
}

case_dies() {
	trial 'early() { equal a 1 1; }; run_case early early; exit 0'
	matches 'output' '*FAIL test_trial.sh: expected its end*' "$OUTPUT"
	equal 'exit status' 1 "$STATUS"
	# shellcheck disable=SC2016 # for the other script
	trial 'unset nothing; early() { equal a 1 "$nothing"; }; run_case early early; finish'
	matches 'output' '*FAIL test_trial.sh: expected its end*' "$OUTPUT"
	equal 'exit status' 1 "$STATUS"
}

case_hangs() {
	OUTPUT=$(LIMIT=1 trial 'forever() { sleep 60; }; run_case forever forever; finish'
		printf '%s\n' "$OUTPUT")
	matches 'output' '*FAIL test_trial.sh: expected its end, got exit status 124*' "$OUTPUT"
}

case_tidy() {
	needs root ip || return
	# shellcheck disable=SC2016 # for the other script
	trial 'mess() { namespace a; sleep 100 & PIDS+=($!); echo "left $! $TMP $(namespace_name a)"; kill -TERM $$; }
		run_case mess mess; finish'
	local pid directory name

	read -r _ pid directory name <<<"$(grep '^left' <<<"$OUTPUT")"
	truth 'the process to be gone' test ! -d "/proc/${pid:-self}"
	truth 'the directory to be gone' test ! -e "${directory:-/}"
	truth 'the namespace to be gone' test ! -e "/run/netns/${name:-}"
}

# Whoever builds what cannot be built has nothing, and hears of it.
case_build() {
	needs make || return
	# shellcheck disable=SC2016 # for the other script
	trial '. "$TOP/tests/system/builds.sh"; OTHER=/bin/true
		broken() { build broken "s/^int main/int niam/" daemon/main.c; echo "status $? of ${OTHER:-nothing}"; }
		same() { build same s/a/a/ daemon/main.c; echo "status $? of ${OTHER:-nothing}"; }
		run_case broken broken; run_case same same; finish'
	equal 'builds' $'status 1 of nothing\nstatus 1 of nothing' "$(grep '^status' <<<"$OUTPUT")"
	matches 'output' '*FAIL broken: expected the build broken, got: make*FAIL same: expected daemon/main.c to be changed for the build same*' \
		"$OUTPUT"
}

run_case 'harness: a wrong number fails' case_wrong
run_case 'harness: a failure does not stop the rest' case_goes_on
run_case 'harness: a case that checks nothing fails' case_nothing_checked
run_case 'harness: every check can fail' case_checks
run_case 'harness: a missing program is a skip' case_missing
run_case 'harness: no root is a skip' case_not_root
run_case 'harness: a script that dies fails' case_dies
run_case 'harness: a script that hangs is ended' case_hangs
run_case 'harness: nothing is left behind' case_tidy
run_case 'harness: a build that fails' case_build
finish
