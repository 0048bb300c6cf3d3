/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of network devices, and the groups that short-lived ones are counted under. */
#pragma once

#include <stdint.h>

#include "../config.h"

enum { DEVICE_NAME_SIZE = 16, DEVICES_REMEMBERED = 1024 };

struct devices;

/*
 * `config` supplies the groups and must outlive the devices or be replaced by devices_configure().
 */
int devices_new(const struct config *config, struct devices **ret_devices);
void devices_free(struct devices *devices);
void devices_configure(struct devices *devices, const struct config *config);

/*
 * The name of a device that a probe saw. `name` is what the probe read ("" where it had no device
 * at hand, only an index): it is remembered for its namespace (inode number) and index, and used
 * where the next has none; the last resort is asking the kernel, which answers for the daemon's own
 * namespace only. "none" for index 0, "unknown" when nobody knows.
 */
const char *devices_name(struct devices *devices, uint32_t netns, uint32_t ifindex,
			 const char *name, char buffer[static DEVICE_NAME_SIZE]);

/* The label: the group whose pattern matches, the first one counts, or the name itself. */
const char *devices_label(const struct devices *devices, const char *name);
