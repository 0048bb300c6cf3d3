#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Frames that no IP stack knows, on a bare veth: named, exact, and at the device that received them.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

FRAMES=500

# What has an ethertype of its own is dropped by the core. An LLC frame is too where LLC is
# absent; where a kernel has it built in, LLC, STP or SNAP drop the frame themselves and give no
# reason.
case_frames() {
	local kind=$1 protocol=$2 found unhandled='UNHANDLED_PROTO' symbol='__netif_receive_skb_core'

	needs root btf nsenter ip || return
	namespace a
	namespace b
	cable a srcA b dstA
	traffic a frames srcA "$FRAMES" "$kind"
	found=$(rows drops true b)
	case $kind in
	stp | pvst | cdp)
		unhandled='@(UNHANDLED_PROTO|NOT_SPECIFIED)'
		symbol='@(__netif_receive_skb_core|llc_rcv|stp_pdu_rcv|snap_rcv|br_stp_rcv)'
		;;
	esac
	equal rows 1 "$(jq length <<<"$found")"
	equal protocol "$protocol" "$(jq -r '.[0].protocol' <<<"$found")"
	equal packets "$FRAMES" "$(sum packets <<<"$found")"
	equal wire_packets "$FRAMES" "$(sum wire_packets <<<"$found")"
	matches reason "$unhandled" "$(jq -r '.[0].reason' <<<"$found")"
	matches symbol "$symbol" "$(jq -r '.[0].symbol' <<<"$found")"
	equal device dstA "$(jq -r '.[0].device' <<<"$found")"
	equal interface dstA "$(jq -r '.[0].interface' <<<"$found")"
	equal ifindex "$(ip -n "$(namespace_name b)" -j link show dev dstA | jq ".[0].ifindex")" \
		"$(jq '.[0].ifindex' <<<"$found")"
	# 60 bytes without the 14 of the Ethernet header, which the device took off.
	case $kind in
	stp | pvst | cdp) at_least bytes "$FRAMES" "$(sum bytes <<<"$found")" ;;
	*) equal bytes $((FRAMES * 46)) "$(sum bytes <<<"$found")" ;;
	esac
	# The kernel's own count for the device.
	equal 'packets that the device received' "$FRAMES" \
		"$(ip -n "$(namespace_name b)" -s -j link show dev dstA | jq '.[0].stats64.rx.packets')"
}

# Both ends in one namespace: the sender's end has nothing to do with it.
case_same_namespace() {
	local found

	needs root btf nsenter ip || return
	namespace a
	cable a srcA a dstA
	traffic a frames srcA "$FRAMES" lldp
	found=$(rows drops true a)
	equal rows 1 "$(jq length <<<"$found")"
	equal device dstA "$(jq -r '.[0].device' <<<"$found")"
	equal protocol lldp "$(jq -r '.[0].protocol' <<<"$found")"
	equal packets "$FRAMES" "$(sum packets <<<"$found")"
}

# Two devices that drop the same are two rows and two series.
case_two_devices() {
	needs root btf nsenter ip || return
	start_daemon || return
	namespace a
	namespace b
	cable a srcA b dstA
	cable a srcB b dstB
	traffic a frames srcA 30 lldp
	traffic a frames srcB 40 lldp
	equal 'packets of dstA' 30 "$(count drops packets '.device == "dstA"' b)"
	equal 'packets of dstB' 40 "$(count drops packets '.device == "dstB"' b)"
	get /metrics >"$TMP/metrics"
	equal 'series of dstA' 30 "$(sample "$TMP/metrics" dropscope_drops_total 'protocol="lldp"' 'device="dstA"')"
	equal 'series of dstB' 40 "$(sample "$TMP/metrics" dropscope_drops_total 'protocol="lldp"' 'device="dstB"')"
}

shared_daemon
for protocol in stp pvst cdp lldp lacp eapol ptp 0x88b5; do
	run_case "link layer: $protocol" case_frames "$protocol" "$protocol"
done
run_case 'link layer: both ends in one namespace' case_same_namespace
run_case 'link layer: two devices are two series' case_two_devices
finish
