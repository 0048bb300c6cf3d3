/* SPDX-License-Identifier: BSD-2-Clause */
/* What probe.c and probe_maps.c share: nobody else includes this. */
#pragma once

#include "../store.h"
#include "../util.h"
#include "probe.h"

struct bpf_map;
struct bpf_object;

struct bpf_object *probe_object(const struct probe_source *source);
/* Tells the source of something, in words. */
void probe_note(const struct probe_source *source, const char *format, ...) _printf_(2, 3);
/* "drops.WHAT.NAME" and, with `rest`, "drops.WHAT.NAME.REST". Returns `text`. */
const char *probe_stored_name(char text[static STORE_NAME_SIZE], const struct probe_source *source,
			      const char *what, const char *name, const char *rest);
/* A copy that outlives the object, closed on exec. A descriptor, -errno. */
int probe_copy(int fd);

/* Takes a copy of the map into maps[*n], of `most`. 0, -E2BIG, -errno. */
int probe_map_keep(const struct bpf_map *map, struct probe_map *maps, unsigned *n, unsigned most);

/* Lets the object, which is not loaded yet, use the stored maps that fit: all of them, some? Sets
 * aside what is superseded. 0, -errno. */
int probe_maps_adopt(const struct probe_source *source, struct probe *probe, bool *ret_all,
		     bool *ret_some);
/* Takes copies of the object's maps. 0, -errno: some may be there. */
int probe_maps_keep(const struct probe_source *source, struct probe *probe);
/* Puts what was kept into the store. */
void probe_maps_put(const struct probe_source *source, const struct probe *probe);
void probe_maps_close(struct probe_map *maps, unsigned *n);
