/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Link-layer protocols that an ethertype does not tell: 802.3 frames carry a length in its place,
 * and LLC (and SNAP, IEEE 802) behind it. Shared by the probes and the daemon, which names them.
 */
#pragma once

#include <linux/types.h>

enum link_protocol {
	LINK_NONE,
	LINK_LLC,  /* some other LLC protocol */
	LINK_SNAP, /* some other SNAP protocol */
	LINK_STP,
	LINK_PVST, /* Cisco's spanning tree per VLAN */
	LINK_CDP,
	LINK_UDLD,
	LINK_DTP,
	LINK_VTP,
	LINK_PAGP,
	LINK_PROTOCOLS,
};

struct llc_snap {
	__u8 dsap, ssap, control;
	__u8 oui[3];
	__u8 type[2];
};

static inline __u8 link_of_llc(const struct llc_snap *llc)
{
	if (llc->dsap == 0x42 && llc->ssap == 0x42)
		return LINK_STP;
	if (llc->dsap != 0xaa || llc->ssap != 0xaa)
		return LINK_LLC;
	if (llc->oui[0] != 0 || llc->oui[1] != 0 || llc->oui[2] != 0x0c)
		return LINK_SNAP;
	switch (llc->type[0] << 8 | llc->type[1]) {
	case 0x010b:
		return LINK_PVST;
	case 0x2000:
		return LINK_CDP;
	case 0x0111:
		return LINK_UDLD;
	case 0x2004:
		return LINK_DTP;
	case 0x2003:
		return LINK_VTP;
	case 0x0104:
		return LINK_PAGP;
	default:
		return LINK_SNAP;
	}
}
