/* SPDX-License-Identifier: BSD-2-Clause */
#include "detour.h"

#include <assert.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "../util.h"
#include "probe_internal.h"

static_assert(PROBE_MAX_PROGRAMS == 8, "DETOUR_NONE has eight");

static const char suffix[] = "_live", prefix[] = "live_";

static bool is_detours_program(const struct bpf_program *program)
{
	const char *name = bpf_program__name(program);
	size_t size = strlen(name);

	return size > sizeof(suffix) - 1 && strcmp(name + size - (sizeof(suffix) - 1), suffix) == 0;
}

static bool is_detours_map(const struct bpf_map *map)
{
	return strncmp(bpf_map__name(map), prefix, sizeof(prefix) - 1) == 0;
}

void detour_leave_out(struct bpf_object *object)
{
	struct bpf_program *program;
	struct bpf_map *map;

	bpf_object__for_each_program (program, object)
		if (is_detours_program(program))
			bpf_program__set_autoload(program, false);
	bpf_object__for_each_map(map, object) if (is_detours_map(map))
		bpf_map__set_autocreate(map, false);
}

/* One that stands in for a program that the probe has. */
static bool is_wanted(const struct bpf_program *program, const struct probe *probe)
{
	char name[PROBE_NAME_SIZE];

	if (!is_detours_program(program))
		return false;
	snprintf(name, sizeof(name), "%.*s",
		 (int)(strlen(bpf_program__name(program)) - (sizeof(suffix) - 1)),
		 bpf_program__name(program));
	return probe_has_program(probe, name);
}

/* Only the detour's programs, over the maps that the probe's have. */
static int prepare(struct bpf_object *object, const struct probe *probe)
{
	struct bpf_program *program;
	struct bpf_map *map;
	int error = 0;

	bpf_object__for_each_program (program, object)
		bpf_program__set_autoload(program, is_wanted(program, probe));
	bpf_object__for_each_map(map, object)
	{
		int fd;

		if (bpf_map__is_internal(map) || is_detours_map(map))
			continue;
		fd = probe_map(probe, bpf_map__name(map));
		error = fd < 0 ? fd : bpf_map__reuse_fd(map, fd);
		if (error)
			break;
	}
	return error;
}

static int keep_maps(struct bpf_object *object, struct detour *detour)
{
	struct bpf_map *map;
	int error = 0;

	bpf_object__for_each_map(map, object)
	{
		if (is_detours_map(map) && !error)
			error = probe_map_keep(map, detour->maps, &detour->n_maps, DETOUR_MAX_MAPS);
	}
	return error;
}

static int keep_programs(struct bpf_object *object, const struct probe *probe,
			 struct detour *detour)
{
	for (unsigned i = 0; i < probe->n_programs; i++) {
		char name[PROBE_NAME_SIZE + sizeof(suffix)];
		struct bpf_program *program;

		snprintf(name, sizeof(name), "%s%s", probe->programs[i].name, suffix);
		program = bpf_object__find_program_by_name(object, name);
		if (!program)
			return -ENOENT;
		detour->programs[i] = probe_copy(bpf_program__fd(program));
		if (detour->programs[i] < 0)
			return detour->programs[i];
	}
	return 0;
}

static int take_over(const struct detour *detour, const struct probe *probe)
{
	int error = 0;

	for (unsigned i = 0; i < probe->n_programs && !error; i++)
		error = gate_set(&probe->programs[i].gate, detour->programs[i]);
	return error;
}

int detour_open(struct bpf_object *object, const struct probe *probe, unsigned writers,
		struct detour *ret_detour, char **ret_reason)
{
	struct bpf_map *scratch = bpf_object__find_map_by_name(object, "live_scratch");
	struct detour detour = DETOUR_NONE;
	int error = prepare(object, probe);

	if (!error)
		error = scratch ? bpf_map__set_max_entries(scratch, writers) : -ENOENT;
	if (!error)
		error = bpf_object__load(object);
	if (!error)
		error = keep_maps(object, &detour);
	if (!error)
		error = keep_programs(object, probe, &detour);
	if (!error)
		error = take_over(&detour, probe);
	if (error) {
		detour_close(&detour, probe);
		return probe_explain(error, "load the programs that tell of single events",
				     ret_reason);
	}
	*ret_detour = detour;
	return 0;
}

int detour_close(struct detour *detour, const struct probe *probe)
{
	int error = 0;

	for (unsigned i = 0; i < probe->n_programs; i++) {
		int failed = gate_set(&probe->programs[i].gate, probe->programs[i].fd);

		error = error ? error : failed;
	}
	for (unsigned i = 0; i < PROBE_MAX_PROGRAMS; i++)
		closep(&detour->programs[i]);
	for (unsigned i = 0; i < detour->n_maps; i++)
		closep(&detour->maps[i].fd);
	*detour = DETOUR_NONE;
	return error;
}

int detour_map(const struct detour *detour, const char *name)
{
	for (unsigned i = 0; i < detour->n_maps; i++)
		if (strcmp(detour->maps[i].name, name) == 0)
			return detour->maps[i].fd;
	return -ENOENT;
}
