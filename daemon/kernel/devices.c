/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices.h"

#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>

#include "../util.h"

struct remembered {
	uint32_t netns, ifindex;
	char name[DEVICE_NAME_SIZE];
};

struct devices {
	const struct config *config;
	uint32_t own_netns;
	struct remembered remembered[DEVICES_REMEMBERED]; /* a later one takes an earlier's place */
};

int devices_new(const struct config *config, struct devices **ret_devices)
{
	struct devices *devices = calloc(1, sizeof(*devices));
	struct stat own;

	if (!devices)
		return -ENOMEM;
	devices->config = config;
	if (stat("/proc/self/ns/net", &own) == 0)
		devices->own_netns = own.st_ino;
	*ret_devices = devices;
	return 0;
}

void devices_free(struct devices *devices)
{
	free(devices);
}

void devices_configure(struct devices *devices, const struct config *config)
{
	devices->config = config;
}

static struct remembered *devices_slot(struct devices *devices, uint32_t netns, uint32_t ifindex)
{
	uint64_t hash = ((uint64_t)netns << 32 | ifindex) * 0x9e3779b97f4a7c15;

	return &devices->remembered[(hash >> 32) % DEVICES_REMEMBERED];
}

const char *devices_name(struct devices *devices, uint32_t netns, uint32_t ifindex,
			 const char *name, char buffer[static DEVICE_NAME_SIZE])
{
	struct remembered *slot = devices_slot(devices, netns, ifindex);
	char asked[IF_NAMESIZE];

	if (ifindex == 0)
		return strcpy(buffer, "none");
	if (name[0]) {
		snprintf(buffer, DEVICE_NAME_SIZE, "%s", name);
		slot->netns = netns;
		slot->ifindex = ifindex;
		memcpy(slot->name, buffer, DEVICE_NAME_SIZE);
		return buffer;
	}
	if (slot->ifindex == ifindex && slot->netns == netns)
		return memcpy(buffer, slot->name, DEVICE_NAME_SIZE);
	if (netns == devices->own_netns && if_indextoname(ifindex, asked)) {
		snprintf(buffer, DEVICE_NAME_SIZE, "%s", asked);
		return buffer;
	}
	return strcpy(buffer, "unknown");
}

const char *devices_label(const struct devices *devices, const char *name)
{
	const struct config *config = devices->config;

	for (unsigned i = 0; i < config->n_groups; i++)
		if (fnmatch(config->groups[i].pattern, name, 0) == 0)
			return config->groups[i].label;
	return name;
}
