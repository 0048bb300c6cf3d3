/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "../util.h"

unsigned probe_cpus(void)
{
	int cpus = libbpf_num_possible_cpus();

	return cpus > 0 ? cpus : 1;
}

/* A copy that outlives the object, closed on exec. */
static int keep(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

static int keep_maps(struct probe *probe, struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		struct probe_map *kept = &probe->maps[probe->n_maps];

		if (bpf_map__is_internal(map))
			continue;
		if (probe->n_maps == PROBE_MAX_MAPS)
			return -E2BIG;
		kept->fd = keep(bpf_map__fd(map));
		if (kept->fd < 0)
			return kept->fd;
		snprintf(kept->name, sizeof(kept->name), "%s", bpf_map__name(map));
		probe->n_maps++;
	}
	return 0;
}

static int attach(struct probe *probe, struct bpf_program *program)
{
	struct probe_program *kept = &probe->programs[probe->n_programs];
	struct bpf_link *link;
	int error = 0;

	if (probe->n_programs == PROBE_MAX_PROGRAMS)
		return -E2BIG;
	link = bpf_program__attach(program);
	if (!link)
		return -errno;
	kept->fd = keep(bpf_program__fd(program));
	kept->link_fd = keep(bpf_link__fd(link));
	snprintf(kept->name, sizeof(kept->name), "%s", bpf_program__name(program));
	probe->n_programs++;
	if (kept->fd < 0 || kept->link_fd < 0)
		error = -EMFILE;
	bpf_link__destroy(link);
	return error;
}

/* In words, for a log line and /-/ready. */
static void explain(int error, const char *what, char **ret_reason)
{
	const char *advice = "run with --log-level debug to see what the kernel answers";

	if (error == -EPERM || error == -EACCES)
		advice =
			"needs CAP_BPF and CAP_PERFMON (kernels before 5.8: CAP_SYS_ADMIN), or root, "
			"and a kernel that is not locked down";
	else if (error == -ENOMEM || error == -E2BIG)
		advice = "raise the memory limit, or lower `slots` in the configuration";
	if (asprintf(ret_reason, "cannot %s: %s; %s", what, strerror(-error), advice) < 0)
		*ret_reason = NULL;
}

int probe_start(struct bpf_object *object, struct probe *ret_probe, char **ret_reason)
{
	struct probe probe = { .n_programs = 0 };
	struct bpf_program *program;
	int error;

	error = bpf_object__load(object);
	if (error) {
		explain(error, "load the programs", ret_reason);
		return error;
	}
	error = keep_maps(&probe, object);
	if (error)
		explain(error, "keep the maps", ret_reason);
	bpf_object__for_each_program (program, object) {
		char what[96];

		if (error || !bpf_program__autoload(program))
			continue;
		error = attach(&probe, program);
		snprintf(what, sizeof(what), "attach %s", bpf_program__name(program));
		if (error)
			explain(error, what, ret_reason);
	}
	if (error) {
		probe_stop(&probe);
		return error;
	}
	*ret_probe = probe;
	return 0;
}

void probe_stop(struct probe *probe)
{
	for (unsigned i = 0; i < probe->n_programs; i++) {
		closep(&probe->programs[i].link_fd);
		closep(&probe->programs[i].fd);
	}
	for (unsigned i = 0; i < probe->n_maps; i++)
		closep(&probe->maps[i].fd);
	probe->n_programs = probe->n_maps = 0;
}

int probe_map(const struct probe *probe, const char *name)
{
	for (unsigned i = 0; i < probe->n_maps; i++)
		if (strcmp(probe->maps[i].name, name) == 0)
			return probe->maps[i].fd;
	return -ENOENT;
}

void probe_read(const struct probe_program *program, struct probe_statistics *ret_statistics)
{
	struct bpf_prog_info info = { .type = 0 };
	__u32 size = sizeof(info);

	*ret_statistics = (struct probe_statistics){ .runs = 0 };
	if (bpf_obj_get_info_by_fd(program->fd, &info, &size) < 0)
		return;
	ret_statistics->runs = info.run_cnt;
	ret_statistics->nanoseconds = info.run_time_ns;
	ret_statistics->nested = info.recursion_misses;
}
