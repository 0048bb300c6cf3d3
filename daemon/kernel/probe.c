/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

#include "../hash.h"
#include "../util.h"
#include "btf.h"
#include "features.h"
#include "probe_internal.h"

unsigned probe_cpus(void)
{
	int cpus = libbpf_num_possible_cpus();

	return cpus > 0 ? cpus : 1;
}

struct bpf_object *probe_object(const struct probe_source *source)
{
	return *source->skeleton->obj;
}

void probe_note(const struct probe_source *source, const char *format, ...)
{
	char text[256];
	va_list arguments;

	if (!source->note)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	source->note(source->userdata, text);
}

const char *probe_stored_name(char text[static STORE_NAME_SIZE], const struct probe_source *source,
			      const char *what, const char *name, const char *rest)
{
	snprintf(text, STORE_NAME_SIZE, "%s.%s.%s%s%s", source->name, what, name, rest ? "." : "",
		 rest ? rest : "");
	return text;
}

/* Of the object and of the constants that it is loaded with: tells one program from another. */
static void object_digest(const struct probe_source *source, char text[static 17])
{
	uint64_t sum = hash_bytes(HASH_START, source->skeleton->data, source->skeleton->data_sz);
	struct bpf_map *map;

	bpf_object__for_each_map(map, probe_object(source))
	{
		size_t size;
		const void *constants;

		if (!bpf_map__is_internal(map))
			continue;
		constants = bpf_map__initial_value(map, &size);
		if (constants)
			sum = hash_bytes(sum, constants, size);
	}
	snprintf(text, 17, "%016" PRIx64, sum);
}

int probe_copy(int fd)
{
	int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return duplicate < 0 ? -errno : duplicate;
}

/* ---- programs and their gates */

/* "tp_btf/kfree_skb" is for kfree_skb. */
static const char *target_of(const struct bpf_program *program)
{
	const char *slash = strchr(bpf_program__section_name(program), '/');

	return slash ? slash + 1 : "";
}

/* Of a tracepoint's program the source says how; one of a function's entry is there in one kind. */
static enum gate_kind kind_of(const struct probe_source *source, const struct bpf_program *program)
{
	return strncmp(bpf_program__section_name(program), "fentry/", 7) == 0 ? GATE_FENTRY
									      : source->kind;
}

static const char *const gate_parts[] = { "gate-map", "gate", "link" };

static void gate_remove(const struct probe_source *source, const struct probe_program *p)
{
	char name[STORE_NAME_SIZE];

	for (unsigned i = 0; i < ARRAY_SIZE(gate_parts); i++)
		store_remove(source->store,
			     probe_stored_name(name, source, gate_parts[i], p->name, NULL));
}

/* The program's gate from the store, or none. */
static void gate_adopt(const struct probe_source *source, struct probe_program *p,
		       const char *target)
{
	int *const fds[] = { &p->gate.map_fd, &p->gate.program_fd, &p->gate.link_fd };
	char name[STORE_NAME_SIZE];
	const char *fault;
	bool some = false;

	for (unsigned i = 0; i < ARRAY_SIZE(gate_parts); i++) {
		*fds[i] = store_take(source->store,
				     probe_stored_name(name, source, gate_parts[i], p->name, NULL));
		some = some || *fds[i] >= 0;
	}
	fault = some ? gate_fault(&p->gate, target) : NULL;
	if (!fault)
		return;
	probe_note(source, "the stored gate %s is refused: %s", p->name, fault);
	gate_remove(source, p);
	gate_shut(&p->gate);
	gate_close(&p->gate);
}

/* Is the program behind the gate one of this object, over these maps? Then it is kept. */
static bool gate_is_current(const struct probe_source *source, struct probe_program *p,
			    const char *digest)
{
	char name[STORE_NAME_SIZE];

	p->fd = store_take(source->store,
			   probe_stored_name(name, source, "program", p->name, digest));
	return p->fd >= 0 && p->gate.link_fd >= 0 && gate_leads_to(&p->gate, p->fd);
}

static int gates_adopt(const struct probe_source *source, struct probe *probe, const char *digest,
		       bool *ret_current)
{
	bool current = true;
	struct bpf_program *program;

	bpf_object__for_each_program (program, probe_object(source)) {
		struct probe_program *p = &probe->programs[probe->n_programs];

		if (!bpf_program__autoload(program))
			continue;
		if (probe->n_programs == PROBE_MAX_PROGRAMS)
			return -E2BIG;
		probe->n_programs++;
		p->gate = GATE_NONE;
		p->gate.kind = kind_of(source, program);
		p->fd = -1;
		snprintf(p->name, sizeof(p->name), "%s", bpf_program__name(program));
		gate_adopt(source, p, target_of(program));
		current = gate_is_current(source, p, digest) && current;
	}
	*ret_current = current;
	return 0;
}

/* What EPERM may mean, too, where maps are charged to a limit. */
static void advise_memlock(const struct btf *btf, char text[static 192])
{
	struct rlimit limit;

	text[0] = '\0';
	if (!btf || !kernel_charges_memlock(btf) || getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return;
	snprintf(text, 192,
		 "; and this kernel charges maps to RLIMIT_MEMLOCK, %" PRIu64
		 " bytes here: LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
		 (uint64_t)limit.rlim_cur);
}

int probe_explain_for(const struct btf *btf, int error, const char *what, char **ret_reason)
{
	const char *advice = "run with --log-level debug to see what the kernel answers";
	char memlock[192] = "";

	if (error == -EPERM || error == -EACCES) {
		advice = "needs CAP_BPF and CAP_PERFMON (kernels before 5.8: CAP_SYS_ADMIN), or "
			 "root, and a kernel that is not locked down";
		advise_memlock(btf, memlock);
	} else if (error == -ENOMEM || error == -E2BIG) {
		advice = "raise the memory limit, or lower `slots` in the configuration";
	}
	if (asprintf(ret_reason, "cannot %s: %s; %s%s", what, strerror(-error), advice, memlock) <
	    0)
		*ret_reason = NULL;
	return error;
}

int probe_explain(int error, const char *what, char **ret_reason)
{
	return probe_explain_for(NULL, error, what, ret_reason);
}

static struct bpf_program *program_of(const struct probe_source *source,
				      const struct probe_program *p)
{
	return bpf_object__find_program_by_name(probe_object(source), p->name);
}

static int gate_make(const struct probe_source *source, struct probe_program *p,
		     const struct bpf_program *program, char **ret_reason)
{
	enum gate_kind kind = kind_of(source, program);
	const char *target = target_of(program);
	bool is_function = kind == GATE_FENTRY;
	int id = is_function ? kernel_btf_function(source->btf, target)
			     : kernel_btf_tracepoint(source->btf, target);
	int error = id < 0 ? id : gate_new(p->name, kind, id, &p->gate);
	char what[96];

	snprintf(what, sizeof(what), "load a program for the %s %s",
		 is_function ? "function" : "tracepoint", target);
	return error ? probe_explain_for(source->btf, error, what, ret_reason) : 0;
}

static int explain_attach(const struct probe_source *source, int error,
			  const struct probe_program *p, char **ret_reason)
{
	char what[96];

	snprintf(what, sizeof(what), "attach %s", p->name);
	return probe_explain_for(source->btf, error, what, ret_reason);
}

/* Makes and attaches the gates that are not there yet, leading to the object's programs. They are
 * in no store: where one fails, the others go with it. */
static int gates_open(const struct probe_source *source, struct probe *probe, const int *fds,
		      char **ret_reason)
{
	int error = 0;

	for (unsigned i = 0; i < probe->n_programs && !error; i++) {
		struct probe_program *p = &probe->programs[i];
		const struct bpf_program *program = program_of(source, p);

		if (p->gate.link_fd >= 0)
			continue;
		error = gate_make(source, p, program, ret_reason);
		if (error)
			break;
		error = gate_set(&p->gate, fds[i]);
		if (!error)
			error = gate_attach(&p->gate, target_of(program));
		if (error)
			explain_attach(source, error, p, ret_reason);
	}
	return error;
}

/* To the program that it led to before; one of which that is not known is given up. */
static void gate_lead_back(const struct probe_source *source, const struct probe_program *p)
{
	char name[STORE_NAME_SIZE];
	int fd = p->fd;

	if (fd < 0)
		fd = store_peek(source->store,
				probe_stored_name(name, source, "program", p->name, ""));
	if (fd < 0 || gate_set(&p->gate, fd) < 0)
		gate_remove(source, p);
}

/* Leads the events of all gates to the object's programs, or those of none. */
static int gates_lead(const struct probe_source *source, const struct probe *probe, const int *fds,
		      char **ret_reason)
{
	for (unsigned i = 0; i < probe->n_programs; i++) {
		int error = gate_set(&probe->programs[i].gate, fds[i]);

		if (!error)
			continue;
		explain_attach(source, error, &probe->programs[i], ret_reason);
		while (i > 0)
			gate_lead_back(source, &probe->programs[--i]);
		return error;
	}
	return 0;
}

/* ---- the store */

static void program_put(const struct probe_source *source, const struct probe_program *p,
			const char *digest)
{
	const int fds[] = { p->gate.map_fd, p->gate.program_fd, p->gate.link_fd };
	char name[STORE_NAME_SIZE];

	for (unsigned i = 0; i < ARRAY_SIZE(gate_parts); i++)
		store_put(source->store,
			  probe_stored_name(name, source, gate_parts[i], p->name, NULL), fds[i]);
	store_remove_prefix(source->store, probe_stored_name(name, source, "program", p->name, ""));
	store_put(source->store, probe_stored_name(name, source, "program", p->name, digest),
		  p->fd);
}

/* Copies of the object's programs, in the probe's order. */
static int programs_copy(const struct probe_source *source, const struct probe *probe, int *ret_fds)
{
	for (unsigned i = 0; i < probe->n_programs; i++) {
		ret_fds[i] = probe_copy(bpf_program__fd(program_of(source, &probe->programs[i])));
		if (ret_fds[i] < 0)
			return ret_fds[i];
	}
	return 0;
}

/*
 * Lets the object's programs, which are loaded, take the gates over. What is likely to fail comes
 * first, while it is ours alone. The maps are in the store before a gate that is there leads to
 * programs that count in them.
 */
static int take_over(const struct probe_source *source, struct probe *probe, const int *fds,
		     char **ret_reason)
{
	int error = gates_open(source, probe, fds, ret_reason);

	if (error)
		return error;
	probe_maps_put(source, probe);
	return gates_lead(source, probe, fds, ret_reason);
}

/* Loads the object over the maps that were adopted. */
static int load(const struct probe_source *source, struct probe *probe, const char *digest,
		char **ret_reason)
{
	int error = bpf_object__load(probe_object(source)), fds[PROBE_MAX_PROGRAMS];

	if (error)
		return probe_explain_for(source->btf, error, "load the programs", ret_reason);
	memset(fds, -1, sizeof(fds));
	error = probe_maps_keep(source, probe);
	if (!error)
		error = programs_copy(source, probe, fds);
	if (error)
		probe_explain_for(source->btf, error, "keep the maps and programs", ret_reason);
	else
		error = take_over(source, probe, fds, ret_reason);
	for (unsigned i = 0; i < probe->n_programs; i++) {
		struct probe_program *p = &probe->programs[i];

		closep(error ? &fds[i] : &p->fd);
		if (error)
			continue;
		p->fd = fds[i];
		program_put(source, p, digest);
	}
	return error;
}

int probe_start(const struct probe_source *source, struct probe *ret_probe, char **ret_reason)
{
	struct probe probe = { .start = PROBE_NEW };
	bool maps = false, some = false, gates = false;
	char digest[17];
	int error;

	object_digest(source, digest);
	error = probe_maps_adopt(source, &probe, &maps, &some);
	if (!error)
		error = gates_adopt(source, &probe, digest, &gates);
	if (error)
		probe_explain_for(source->btf, error, "take up the stored maps and programs",
				  ret_reason);
	else if (maps && gates)
		error = probe_maps_keep(source, &probe);
	else
		error = load(source, &probe, digest, ret_reason);
	if (error) {
		probe_stop(&probe);
		return error;
	}
	if (maps && gates)
		probe.start = PROBE_ADOPTED;
	else if (probe.n_superseded > 0)
		probe.start = PROBE_SUPERSEDING;
	else if (some)
		probe.start = PROBE_TAKEN_OVER;
	*ret_probe = probe;
	return 0;
}

void probe_stop(struct probe *probe)
{
	for (unsigned i = 0; i < probe->n_programs; i++) {
		gate_close(&probe->programs[i].gate);
		closep(&probe->programs[i].fd);
	}
	probe->n_programs = 0;
	probe_maps_close(probe->maps, &probe->n_maps);
	probe_maps_close(probe->superseded, &probe->n_superseded);
}

bool probe_has_program(const struct probe *probe, const char *name)
{
	for (unsigned i = 0; i < probe->n_programs; i++)
		if (strcmp(probe->programs[i].name, name) == 0)
			return true;
	return false;
}

bool probe_read(const struct probe_program *program, struct probe_statistics *ret_statistics)
{
	struct bpf_prog_info info = { .type = 0 };
	__u32 size = sizeof(info);

	*ret_statistics = (struct probe_statistics){ .runs = 0 };
	if (bpf_obj_get_info_by_fd(program->gate.program_fd, &info, &size) < 0)
		return false;
	ret_statistics->runs = info.run_cnt;
	ret_statistics->nanoseconds = info.run_time_ns;
	ret_statistics->nested = info.recursion_misses;
	return true;
}
