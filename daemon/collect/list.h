/* SPDX-License-Identifier: BSD-2-Clause */
/* The collectors. A new one is a word here: its key in the configuration, its place among the
 * metrics and the name of its struct collector, drops_collector, all come from it. */
#pragma once

#define COLLECTORS(X) \
	X(drops)      \
	X(receive)    \
	X(retransmit) \
	X(block)
