/* SPDX-License-Identifier: BSD-2-Clause */
/* A probe's maps: taken from the store, kept, put there, and found again. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "../util.h"
#include "probe_internal.h"

/* Not the object's own constants, nor what it leaves out. */
static bool is_kept(const struct bpf_map *map)
{
	return !bpf_map__is_internal(map) && bpf_map__autocreate(map);
}

static bool map_info(int fd, struct bpf_map_info *ret_info)
{
	__u32 size = sizeof(*ret_info);

	*ret_info = (struct bpf_map_info){ .type = 0 };
	return bpf_obj_get_info_by_fd(fd, ret_info, &size) == 0 && ret_info->type != 0;
}

static bool map_fits(const struct bpf_map *map, const struct bpf_map_info *info)
{
	return info->type == bpf_map__type(map) && info->key_size == bpf_map__key_size(map) &&
	       info->value_size == bpf_map__value_size(map) &&
	       info->max_entries == bpf_map__max_entries(map) &&
	       info->map_flags == bpf_map__map_flags(map);
}

void probe_maps_close(struct probe_map *maps, unsigned *n)
{
	for (unsigned i = 0; i < *n; i++)
		closep(&maps[i].fd);
	*n = 0;
}

/* A map that is not written to any more. What could not be read by whoever carries over is refused
 * at once. */
static void map_supersede(const struct probe_source *source, struct probe *probe, const char *name,
			  const char *shape, int fd)
{
	struct probe_map *old = &probe->superseded[probe->n_superseded];
	char full[STORE_NAME_SIZE];
	struct bpf_map_info info = { .type = 0 };

	probe_stored_name(full, source, "map", name, shape);
	if (probe->n_superseded == PROBE_MAX_MAPS || !map_info(fd, &info) ||
	    info.type != BPF_MAP_TYPE_ARRAY || !(info.map_flags & BPF_F_MMAPABLE)) {
		if (info.type != BPF_MAP_TYPE_RINGBUF) /* which holds nothing to carry over */
			probe_note(source, "the stored %s is refused: it is no mappable array",
				   full);
		store_remove(source->store, full);
		close(fd);
		return;
	}
	snprintf(old->name, sizeof(old->name), "%s.%s", name, shape);
	old->fd = fd;
	probe->n_superseded++;
}

#define SHAPE "%u-%ux%u"
enum { SHAPE_SIZE = 40 };

/* What a map's entries mean, how many and how large they are: "1-4096x128". */
static const char *map_shape(char text[static SHAPE_SIZE], const struct probe_source *source,
			     const struct bpf_map *map)
{
	snprintf(text, SHAPE_SIZE, SHAPE, source->layout, bpf_map__max_entries(map),
		 bpf_map__value_size(map));
	return text;
}

/* The stored map of this name, if it is what the object wants; sets aside what is not. -ENOENT. */
static int map_take(const struct probe_source *source, struct probe *probe,
		    const struct bpf_map *map)
{
	char full[STORE_NAME_SIZE], shape[SHAPE_SIZE];
	const char *name = bpf_map__name(map), *rest;
	_cleanup_(closep) int fd = -1;
	struct bpf_map_info info;
	int old;

	probe_stored_name(full, source, "map", name, map_shape(shape, source, map));
	fd = store_take(source->store, full);
	if (fd >= 0 && !(map_info(fd, &info) && map_fits(map, &info))) {
		probe_note(source, "the stored %s is refused: it is no such map", full);
		store_remove(source->store, full);
		close(TAKE_FD(fd));
	}
	probe_stored_name(full, source, "map", name, "");
	while ((old = store_take_prefix(source->store, full, &rest)) >= 0)
		map_supersede(source, probe, name, rest, old);
	return fd >= 0 ? TAKE_FD(fd) : -ENOENT;
}

/* The others hold what is on its way, and can be anew at any time (slots.h). */
static bool holds_counters(const struct bpf_map *map)
{
	return strcmp(bpf_map__name(map), "slots") == 0 ||
	       strcmp(bpf_map__name(map), "writers") == 0;
}

static bool is_superseded(const struct probe *probe, const char *name)
{
	size_t length = strlen(name);

	for (unsigned i = 0; i < probe->n_superseded; i++)
		if (strncmp(probe->superseded[i].name, name, length) == 0 &&
		    probe->superseded[i].name[length] == '.')
			return true;
	return false;
}

/* What is left of counters is worth nothing without the rest: the state describes all of them, and
 * they would be less than they were with no word of a new start. */
static void refuse_all(const struct probe_source *source, struct probe *probe, const char *lost)
{
	char prefix[STORE_NAME_SIZE];

	probe_note(
		source,
		"the stored counters are refused, all of them: %s are missing; counting begins anew",
		lost);
	snprintf(prefix, sizeof(prefix), "%s.", source->name);
	store_remove_prefix(source->store, prefix);
	probe_maps_close(probe->superseded, &probe->n_superseded);
}

/* Takes the object's maps from the store, one descriptor each or -1; all or none of the counters. */
static int maps_take(const struct probe_source *source, struct probe *probe,
		     int ret_fds[static PROBE_MAX_MAPS], unsigned *ret_n)
{
	const char *lost = NULL;
	char prefix[STORE_NAME_SIZE];
	struct bpf_map *map;
	bool stored;

	snprintf(prefix, sizeof(prefix), "%s.map.", source->name);
	stored = store_peek(source->store, prefix) >= 0;
	bpf_object__for_each_map(map, probe_object(source))
	{
		if (!is_kept(map))
			continue;
		if (*ret_n == PROBE_MAX_MAPS)
			return -E2BIG;
		ret_fds[*ret_n] = map_take(source, probe, map);
		if (ret_fds[(*ret_n)++] < 0 && holds_counters(map) &&
		    !is_superseded(probe, bpf_map__name(map)))
			lost = bpf_map__name(map);
	}
	if (!stored || !lost)
		return 0;
	refuse_all(source, probe, lost);
	for (unsigned i = 0; i < *ret_n; i++) {
		closep(&ret_fds[i]);
		ret_fds[i] = -1;
	}
	return 0;
}

int probe_maps_adopt(const struct probe_source *source, struct probe *probe, bool *ret_all,
		     bool *ret_some)
{
	bool all = true, some = false;
	int fds[PROBE_MAX_MAPS];
	unsigned n = 0, i = 0;
	struct bpf_map *map;
	int error = maps_take(source, probe, fds, &n);

	bpf_object__for_each_map(map, probe_object(source))
	{
		if (error || !is_kept(map))
			continue;
		if (fds[i] >= 0)
			error = bpf_map__reuse_fd(map, fds[i]); /* which frees the name */
		all = all && fds[i] >= 0;
		some = some || fds[i] >= 0;
		i++;
	}
	while (n > 0)
		closep(&fds[--n]);
	*ret_all = all;
	*ret_some = some;
	return error;
}

int probe_map_keep(const struct bpf_map *map, struct probe_map *maps, unsigned *n, unsigned most)
{
	struct probe_map *kept = &maps[*n];

	if (*n == most)
		return -E2BIG;
	kept->fd = probe_copy(bpf_map__fd(map));
	if (kept->fd < 0)
		return kept->fd;
	snprintf(kept->name, sizeof(kept->name), "%s", bpf_map__name(map));
	(*n)++;
	return 0;
}

int probe_maps_keep(const struct probe_source *source, struct probe *probe)
{
	struct bpf_map *map;
	int error = 0;

	bpf_object__for_each_map(map, probe_object(source))
	{
		if (is_kept(map) && !error)
			error = probe_map_keep(map, probe->maps, &probe->n_maps, PROBE_MAX_MAPS);
	}
	return error;
}

void probe_maps_put(const struct probe_source *source, const struct probe *probe)
{
	char name[STORE_NAME_SIZE], shape[SHAPE_SIZE];
	struct bpf_map *map;

	bpf_object__for_each_map(map, probe_object(source))
	{
		if (!is_kept(map))
			continue;
		probe_stored_name(name, source, "map", bpf_map__name(map),
				  map_shape(shape, source, map));
		store_put(source->store, name, probe_map(probe, bpf_map__name(map)));
	}
}

void probe_forget_superseded(struct probe *probe, const char *name, struct store *store)
{
	char full[STORE_NAME_SIZE];

	for (unsigned i = 0; i < probe->n_superseded; i++) {
		snprintf(full, sizeof(full), "%s.map.%s", name, probe->superseded[i].name);
		store_remove(store, full);
	}
	probe_maps_close(probe->superseded, &probe->n_superseded);
}

static int find(const struct probe_map *maps, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(maps[i].name, name) == 0)
			return maps[i].fd;
	return -ENOENT;
}

int probe_map(const struct probe *probe, const char *name)
{
	return find(probe->maps, probe->n_maps, name);
}

int probe_superseded(const struct probe *probe, const char *name, unsigned layout, unsigned entries,
		     unsigned size)
{
	char full[PROBE_NAME_SIZE];

	snprintf(full, sizeof(full), "%s." SHAPE, name, layout, entries, size);
	return find(probe->superseded, probe->n_superseded, full);
}

unsigned probe_stored_entries(const struct store *store, const char *probe, const char *map)
{
	struct bpf_map_info info;
	char prefix[STORE_NAME_SIZE];
	int fd;

	snprintf(prefix, sizeof(prefix), "%s.map.%s.", probe, map);
	fd = store_peek(store, prefix);
	return fd >= 0 && map_info(fd, &info) ? info.max_entries : 0;
}
