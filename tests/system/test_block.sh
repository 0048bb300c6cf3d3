#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Disk I/O on loop devices: the number of requests, their bytes, and where their time went. The kernel's own
# count is /sys/block/NAME/stat.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

MIB=1048576

# disk OPERATION COUNT SIZE: on $LOOP, between the snapshots before and after
disk() {
	get '/block?top=100000' >"$TMP/before.json"
	stay_awake
	"$TOOLS/disk" "$LOOP" "$@" >/dev/null || fault "expected disk $* to do its work, got an error"
	may_sleep
	get '/block?top=100000' >"$TMP/after.json"
}

# grown COLUMN OPERATION
grown() {
	jq -n --slurpfile before "$TMP/before.json" --slurpfile after "$TMP/after.json" \
		--arg device "$LOOP_NAME" --arg operation "$2" \
		"def total: [.[0].rows[] | select(.device == \$device and .operation == \$operation) | .$1]
			| add // 0;
		(\$after | total) - (\$before | total)"
}

# kernel_count FIELD: reads 1, sectors read 3, writes 5, discards 12, flushes 16
kernel_count() {
	awk -v field="$1" '{ print $field }' "/sys/block/$LOOP_NAME/stat"
}

# all_three OPERATION COUNT: each completed request is in each histogram once
all_three() {
	equal "$1: request_seconds.count" "$2" "$(grown request_seconds.count "$1")"
	equal "$1: device_seconds.count" "$2" "$(grown device_seconds.count "$1")"
	equal "$1: queue_seconds.count" "$2" "$(grown queue_seconds.count "$1")"
	equal "$1: sum of the buckets" "$2" "$(jq -n --slurpfile before "$TMP/before.json" \
		--slurpfile after "$TMP/after.json" --arg device "$LOOP_NAME" --arg operation "$1" \
		'def total: [.[0].rows[] | select(.device == $device and .operation == $operation) |
			.request_seconds.buckets[][1]] | add // 0;
		($after | total) - ($before | total)')"
	equal "$1: errors" 0 "$(grown errors "$1")"
	equal "$1: completions without an issue" "$(jq .lost.unmatched "$TMP/before.json")" \
		"$(jq .lost.unmatched "$TMP/after.json")"
}

# new_loop MIB-BYTES [SCHEDULER]
new_loop() {
	rm -f "$TMP/image"
	fallocate -l $(($1 * MIB)) "$TMP/image" || fault 'expected a file, got none' || return
	loop_device "$TMP/image" || return
	[ $# -lt 2 ] || echo "$2" >"/sys/block/$LOOP_NAME/queue/scheduler" 2>/dev/null ||
		skip "the scheduler $2 is needed" || return
	# udev and the kernel's own look for partitions.
	! command -v udevadm >/dev/null || udevadm settle 2>/dev/null
	sleep 0.2
}

case_reads_and_writes() {
	local reads writes

	needs root btf losetup || return
	new_loop 64 "$@" || return
	reads=$(kernel_count 1) writes=$(kernel_count 5)
	disk read 1000 4096
	all_three read 1000
	equal 'read: bytes' $((1000 * 4096)) "$(grown bytes read)"
	equal 'write: requests' 0 "$(grown request_seconds.count write)"
	equal 'reads by the kernel' 1000 $(($(kernel_count 1) - reads))
	disk write 500 8192
	all_three write 500
	equal 'write: bytes' $((500 * 8192)) "$(grown bytes write)"
	equal 'read: requests' 0 "$(grown request_seconds.count read)"
	equal 'writes by the kernel' 500 $(($(kernel_count 5) - writes))
	# Time on the device and time in the queue are the request's time.
	truth 'times that add up' jq -en --argjson queue "$(grown queue_seconds.sum write)" \
		--argjson device "$(grown device_seconds.sum write)" \
		--argjson request "$(grown request_seconds.sum write)" \
		'$request > 0 and (($queue + $device) / $request | . > 0.9 and . < 1.1)' >/dev/null
}

case_discard() {
	needs root btf losetup || return
	new_loop 64 || return
	disk discard 20 "$MIB"
	all_three discard 20
	equal 'discard: bytes' $((20 * MIB)) "$(grown bytes discard)"
}

# What fsync() writes is a flush and nothing else: no byte, and no write that took no time.
case_flush() {
	local flushes

	needs root btf losetup || return
	new_loop 64 || return
	[ "$(cat "/sys/block/$LOOP_NAME/queue/write_cache")" = 'write back' ] ||
		skip 'a loop device with a write cache is needed' || return
	flushes=$(kernel_count 16)
	disk flush 30 4096
	equal 'flushes by the kernel' 30 $(($(kernel_count 16) - flushes))
	all_three flush 30
	equal 'flush: bytes' 0 "$(grown bytes flush)"
	equal 'write: requests' 0 "$(grown request_seconds.count write)"
	equal 'write: bytes' 0 "$(grown bytes write)"
}

# The device's file has ended in the middle of a request: the first part of it completes, what is
# left is issued again and fails. One request all the same, and one error.
case_errors() {
	local reads sectors

	needs root btf losetup || return
	new_loop 64 || return
	truncate -s $((32 * MIB + 65536)) "$TMP/image"
	reads=$(kernel_count 1) sectors=$(kernel_count 3)
	get '/block?top=100000' >"$TMP/before.json"
	"$TOOLS/disk" "$LOOP" read 40 "$MIB" >/dev/null 2>&1 &&
		fault 'expected an error of a read beyond the end, got none'
	get '/block?top=100000' >"$TMP/after.json"
	at_least 'read: errors' 1 "$(grown errors read)"
	equal 'read: requests' $(($(kernel_count 1) - reads)) "$(grown request_seconds.count read)"
	equal 'read: bytes, as the kernel has it' $((($(kernel_count 3) - sectors) * 512)) "$(grown bytes read)"
}

# The file system below is frozen, so that a write on the loop device above does not come back.
case_oldest() {
	local pid

	needs root btf losetup fsfreeze mkfs.ext4 || return
	new_loop 64 || return
	mkfs.ext4 -q -F "$LOOP" && mkdir -p "$TMP/mount" && mount "$LOOP" "$TMP/mount" ||
		fault 'expected a file system on the loop device, got an error' || return
	MOUNTS+=("$TMP/mount")
	fallocate -l $((16 * MIB)) "$TMP/mount/image"
	sync -f "$TMP/mount"
	loop_device "$TMP/mount/image" || return
	get '/block?top=100000' >"$TMP/before.json"
	fsfreeze --freeze "$TMP/mount" || fault 'expected a frozen file system, got an error' || return
	"$TOOLS/disk" "$LOOP" write 1 4096 >/dev/null &
	pid=$!
	PIDS+=("$pid")
	sleep 1.3
	get '/block?top=100000' >"$TMP/after.json"
	truth 'the oldest request to have waited for more than a second' jq -e --arg device "$LOOP_NAME" \
		'[.rows[] | select(.device == $device) | .oldest_request_seconds] | max | . > 1 and . < 5' \
		"$TMP/after.json" >/dev/null
	get /metrics >"$TMP/metrics"
	at_least 'dropscope_block_oldest_request_seconds' 1 \
		"$(sample "$TMP/metrics" dropscope_block_oldest_request_seconds "device=\"$LOOP_NAME\"")"
	fsfreeze --unfreeze "$TMP/mount"
	wait "$pid"
	forget_pid "$pid"
	get '/block?top=100000' >"$TMP/after.json"
	all_three write 1
	truth 'a device time of more than a second' jq -en \
		--argjson sum "$(grown device_seconds.sum write)" '$sum > 1' >/dev/null
	truth 'no request any more' jq -e --arg device "$LOOP_NAME" \
		'[.rows[] | select(.device == $device) | .oldest_request_seconds // 0] | max == 0' \
		"$TMP/after.json" >/dev/null
	losetup --detach "$LOOP"
	umount "$TMP/mount"
}

# All that the cases before have done, in both forms; loop devices are quiet now.
case_metrics() {
	local operation

	needs root btf losetup || return
	new_loop 16 || return
	disk read 100 4096
	get /metrics >"$TMP/metrics"
	for operation in read write; do
		equal "$operation: count" "$(jq --arg device "$LOOP_NAME" --arg operation $operation '[.rows[] |
			select(.device == $device and .operation == $operation) | .request_seconds.count] |
			add // 0' "$TMP/after.json")" \
			"$(sample "$TMP/metrics" dropscope_block_request_seconds_count \
				"device=\"$LOOP_NAME\"" "operation=\"$operation\"")"
		equal "$operation: bytes" "$(jq --arg device "$LOOP_NAME" --arg operation $operation '[.rows[] |
			select(.device == $device and .operation == $operation) | .bytes] | add // 0' \
			"$TMP/after.json")" \
			"$(sample "$TMP/metrics" dropscope_block_bytes_total \
				"device=\"$LOOP_NAME\"" "operation=\"$operation\"")"
	done
}

shared_daemon
stay_awake
for scheduler in none mq-deadline; do
	run_case "block: 1000 reads and 500 writes, $scheduler" case_reads_and_writes "$scheduler"
	forget_loops
done
for kind in discard flush errors oldest metrics; do
	run_case "block: $kind" "case_$kind"
	forget_loops
done
may_sleep
finish
