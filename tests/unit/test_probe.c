/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes in the running kernel, taken up from a store. Those of retransmits: nothing here sends any. */
#include "fake_manager.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "bpf/retransmit.h"
#include "kernel/btf.h"
#include "kernel/detour.h"
#include "kernel/features.h"
#include "kernel/probe.h"
#include "retransmit.skel.h"
#include "retransmit_raw.skel.h"

enum { SLOTS = 64, DESCRIPTORS = 2 + 2 * 4 }; /* two maps; two programs and their gates */

struct fixture {
	struct fake_manager manager;
	struct btf *btf;
	struct store *store;
	struct probe probe;
	unsigned layout, slots;
	bool other_program;
	enum gate_kind kind;
	char notes[1024];
};

static void on_note(void *userdata, const char *text)
{
	struct fixture *f = userdata;

	snprintf(f->notes + strlen(f->notes), sizeof(f->notes) - strlen(f->notes), "%s\n", text);
}

static int attempt(struct fixture *f, char **ret_reason)
{
	bool is_raw = f->kind == GATE_RAW_TP;
	struct retransmit_bpf *skeleton = is_raw ? NULL : retransmit_bpf__open();
	struct retransmit_raw_bpf *raw = is_raw ? retransmit_raw_bpf__open() : NULL;
	struct bpf_object *object;
	struct probe_source source = {
		.name = "retransmit",
		.layout = f->layout,
		.kind = f->kind,
		.btf = f->btf,
		.note = on_note,
		.userdata = f,
	};
	int error;

	expect(skeleton || raw);
	source.skeleton = raw ? raw->skeleton : skeleton->skeleton;
	object = *source.skeleton->obj;
	detour_leave_out(object);
	f->notes[0] = '\0';
	expect(constant_set(object, "slots_per_writer", f->slots) == 0);
	expect(constant_set(object, "has_error", f->other_program) == 0);
	expect((constant_set(object, "has_rdonly_cast",
			     kernel_btf_has_function(f->btf, "bpf_rdonly_cast")) == 0) == !raw);
	expect(bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "slots"),
					f->slots * probe_cpus()) == 0);
	expect(bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "writers"),
					probe_cpus()) == 0);
	manager_start(&f->manager);
	expect(store_new(&f->store) == 0);
	source.store = f->store;
	error = probe_start(&source, &f->probe, ret_reason);
	retransmit_bpf__destroy(skeleton);
	retransmit_raw_bpf__destroy(raw);
	manager_listen(&f->manager);
	return error;
}

static void start(struct fixture *f, enum probe_start expected)
{
	char *reason = NULL;

	expect(attempt(f, &reason) == 0);
	expect(f->probe.start == expected);
	expect(f->probe.n_programs == 2 && f->probe.n_maps == 2);
}

/* One that fails, for such a reason; the store is as the manager has it afterwards. */
static void start_fails(struct fixture *f, const char *expected)
{
	char *reason = NULL;

	expect(attempt(f, &reason) < 0);
	expect(reason && strstr(reason, expected));
	free(reason);
	store_free(f->store);
}

static void stop(struct fixture *f)
{
	probe_stop(&f->probe);
	expect(f->probe.n_maps == 0 && f->probe.n_superseded == 0 && f->probe.n_programs == 0);
	store_free(f->store);
}

static void begin(struct fixture *f)
{
	expect(close_range(3, ~0U, 0) == 0);
	manager_hold_messages();
	*f = (struct fixture){ .layout = 1, .slots = SLOTS };
	manager_open(&f->manager);
	if (kernel_btf_load(&f->btf) < 0)
		_exit(CHILD_CANNOT);
	start(f, PROBE_NEW);
	expect(f->manager.n == DESCRIPTORS && f->notes[0] == '\0');
}

static void end(struct fixture *f)
{
	stop(f);
	kernel_btf_freep(&f->btf);
	while (f->manager.n > 0)
		manager_drop(&f->manager, f->manager.entries[0].name);
	close(f->manager.socket);
	expect(fcntl(3, F_GETFD) < 0);
}

static unsigned id_of(int fd)
{
	struct bpf_map_info info = { .type = 0 };
	__u32 size = sizeof(info);

	expect(bpf_obj_get_info_by_fd(fd, &info, &size) == 0);
	return info.id;
}

/* The name of what the manager keeps that begins so. */
static const char *kept(const struct fixture *f, const char *prefix)
{
	for (unsigned i = 0; i < f->manager.n; i++)
		if (strncmp(f->manager.entries[i].name, prefix, strlen(prefix)) == 0)
			return f->manager.entries[i].name;
	return "";
}

/* The programs' name: "retransmit_skb", as the object has it. */
static void gate_name(const struct fixture *f, const char *part, char name[static STORE_NAME_SIZE])
{
	snprintf(name, STORE_NAME_SIZE, "retransmit.%s.%s", part, f->probe.programs[0].name);
}

static void adopted(void *userdata)
{
	struct probe_statistics statistics;
	struct fixture f;
	unsigned slots;

	(void)userdata;
	begin(&f);
	slots = id_of(probe_map(&f.probe, "slots"));
	stop(&f);
	start(&f, PROBE_ADOPTED);
	expect(f.manager.messages == 0 && f.manager.n == DESCRIPTORS && f.notes[0] == '\0');
	expect(id_of(probe_map(&f.probe, "slots")) == slots);
	expect(probe_map(&f.probe, "slot") == -ENOENT);
	for (unsigned i = 0; i < f.probe.n_programs; i++)
		expect(probe_read(&f.probe.programs[i], &statistics));
	expect(probe_stored_entries(f.store, "retransmit", "slots") == 0); /* they are taken */
	end(&f);
}

/* The same maps; the gates go on, and lead to the new program. */
static void taken_over(void *userdata)
{
	char before[STORE_NAME_SIZE];
	struct fixture f;
	unsigned slots;

	(void)userdata;
	begin(&f);
	slots = id_of(probe_map(&f.probe, "slots"));
	snprintf(before, sizeof(before), "%s", kept(&f, "retransmit.program."));
	stop(&f);
	f.other_program = true;
	start(&f, PROBE_TAKEN_OVER);
	expect(f.manager.n == DESCRIPTORS && f.notes[0] == '\0');
	expect(id_of(probe_map(&f.probe, "slots")) == slots);
	expect(manager_find(&f.manager, before) < 0);
	expect(kept(&f, "retransmit.program.")[0]);
	stop(&f);
	f.other_program = false;
	start(&f, PROBE_TAKEN_OVER);
	expect(manager_find(&f.manager, before) >= 0);
	end(&f);
}

static void superseded(void *userdata)
{
	unsigned n = SLOTS * probe_cpus(), size = sizeof(struct retransmit_slot), slots;
	struct fixture f;

	(void)userdata;
	begin(&f);
	slots = id_of(probe_map(&f.probe, "slots"));
	stop(&f);
	f.slots = 2 * SLOTS;
	start(&f, PROBE_SUPERSEDING);
	/* The writers fit. */
	expect(f.probe.n_superseded == 1);
	expect(id_of(probe_superseded(&f.probe, "slots", 1, n, size)) == slots);
	expect(probe_superseded(&f.probe, "slots", 2, n, size) == -ENOENT);
	expect(probe_superseded(&f.probe, "writers", 1, probe_cpus(), 64) == -ENOENT);
	/* A crash now: it comes again. */
	stop(&f);
	start(&f, PROBE_ADOPTED);
	expect(f.probe.n_superseded == 1 && id_of(f.probe.superseded[0].fd) == slots);
	probe_forget_superseded(&f.probe, "retransmit", f.store);
	expect(f.probe.n_superseded == 0);
	stop(&f);
	start(&f, PROBE_ADOPTED);
	expect(f.probe.n_superseded == 0);
	stop(&f);
	/* Another layout: both of them. */
	f.layout = 2;
	start(&f, PROBE_SUPERSEDING);
	expect(f.probe.n_superseded == 2);
	expect(probe_superseded(&f.probe, "writers", 1, probe_cpus(), 64) >= 0);
	probe_forget_superseded(&f.probe, "retransmit", f.store);
	end(&f);
}

/* Replaces what is kept under the first name that begins so. */
static void replace(struct fixture *f, const char *prefix, int fd)
{
	char name[STORE_NAME_SIZE];

	snprintf(name, sizeof(name), "%s", kept(f, prefix));
	expect(name[0]);
	manager_drop(&f->manager, name);
	manager_keep(&f->manager, name, fd);
}

/* Counters go together: where one map of them is refused, or is not there, all begin anew. */
static void expect_new(struct fixture *f, const char *refused, const char *missing)
{
	char note[128];

	start(f, PROBE_NEW);
	expect(!refused || strstr(f->notes, refused));
	snprintf(note, sizeof(note), "all of them: %s are missing; counting begins anew\n",
		 missing);
	expect(strstr(f->notes, note));
	expect(f->probe.n_superseded == 0 && f->manager.n == DESCRIPTORS);
	expect(manager_find(&f->manager, "retransmit.state.0") < 0);
	stop(f);
	start(f, PROBE_ADOPTED);
	expect(f->notes[0] == '\0');
	stop(f);
	manager_keep(&f->manager, "retransmit.state.0", manager_file("state"));
}

static void maps_refused(void *userdata)
{
	LIBBPF_OPTS(bpf_map_create_opts, mappable, .map_flags = BPF_F_MMAPABLE);
	char name[STORE_NAME_SIZE];
	struct fixture f;

	(void)userdata;
	begin(&f);
	stop(&f);
	replace(&f, "retransmit.map.slots.", manager_file("no map"));
	expect_new(&f, " is refused: it is no such map\n", "slots");
	/* Of another size and of another kind. */
	replace(&f, "retransmit.map.slots.",
		bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, sizeof(struct retransmit_slot),
			       2 * SLOTS * probe_cpus(), &mappable));
	expect_new(&f, "the stored retransmit.map.slots.1-", "slots");
	replace(&f, "retransmit.map.writers.",
		bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 64, probe_cpus(), NULL));
	expect_new(&f, "the stored retransmit.map.writers.1-", "writers");
	snprintf(name, sizeof(name), "%s", kept(&f, "retransmit.map.slots."));
	manager_drop(&f.manager, name);
	expect_new(&f, NULL, "slots");
	/* A damaged one of another shape, where those of this one are whole, is no loss. */
	manager_drop(&f.manager, "retransmit.state.0");
	manager_keep(&f.manager, "retransmit.map.writers.9-1x64",
		     bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 64, 1, NULL));
	start(&f, PROBE_ADOPTED);
	expect(strstr(f.notes, "the stored retransmit.map.writers.9-1x64 is refused: it is no "
			       "mappable array\n"));
	expect(f.probe.n_superseded == 0 && f.manager.n == DESCRIPTORS);
	end(&f);
}

static void gates_refused(void *userdata)
{
	static const char *const parts[] = { "link", "gate", "gate-map" };
	static const char *const faults[] = { "its link is no link",
					      "its program is no tracing program",
					      "its map is no program array" };
	char name[STORE_NAME_SIZE], note[256];
	struct fixture f;

	(void)userdata;
	begin(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		gate_name(&f, parts[i], name);
		stop(&f);
		replace(&f, name, manager_file("no part of a gate"));
		start(&f, PROBE_TAKEN_OVER);
		snprintf(note, sizeof(note), "the stored gate %s is refused: %s\n",
			 f.probe.programs[0].name, faults[i]);
		expect(strcmp(f.notes, note) == 0);
		expect(f.manager.n == DESCRIPTORS);
		stop(&f);
		manager_drop(&f.manager, name);
		start(&f, PROBE_TAKEN_OVER);
		expect(strstr(f.notes, "a part of it is missing"));
		expect(f.manager.n == DESCRIPTORS);
		stop(&f);
		start(&f, PROBE_ADOPTED);
	}
	end(&f);
}

/* The same maps; a gate of one kind leads to no program of the other, and is replaced. */
static void other_kind(void *userdata)
{
	struct gate old = GATE_NONE;
	struct fixture f;
	unsigned slots;

	(void)userdata;
	begin(&f);
	slots = id_of(probe_map(&f.probe, "slots"));
	old.map_fd = manager_move(dup(f.probe.programs[0].gate.map_fd));
	expect(gate_leads_to(&f.probe.programs[0].gate, f.probe.programs[0].fd));
	for (unsigned i = 0; i < 2; i++) {
		stop(&f);
		f.kind = i ? GATE_TP_BTF : GATE_RAW_TP;
		start(&f, PROBE_TAKEN_OVER);
		expect(strstr(f.notes, i ? "refused: its program is no tracing program\n"
					 : "refused: its program is none of a raw tracepoint\n"));
		expect(id_of(probe_map(&f.probe, "slots")) == slots);
		expect(f.manager.n == DESCRIPTORS);
		for (unsigned j = 0; j < f.probe.n_programs; j++) {
			expect(f.probe.programs[j].gate.kind == f.kind);
			expect(gate_leads_to(&f.probe.programs[j].gate, f.probe.programs[j].fd));
		}
		stop(&f);
		start(&f, PROBE_ADOPTED);
		expect(f.notes[0] == '\0');
	}
	/* Whoever still held the first gate would have counted each event again. */
	expect(bpf_map_lookup_elem(old.map_fd, &(__u32){ 0 }, &slots) < 0);
	gate_close(&old);
	end(&f);
}

static void by_hand(void *userdata)
{
	struct fixture f;

	(void)userdata;
	begin(&f);
	stop(&f);
	while (f.manager.n > 0)
		manager_drop(&f.manager, f.manager.entries[0].name);
	unsetenv("NOTIFY_SOCKET");
	start(&f, PROBE_NEW);
	expect(f.manager.n == 0);
	stop(&f);
	start(&f, PROBE_NEW);
	end(&f);
}

/* The kernel's BTF, in which the last program's tracepoint has another name. */
static struct btf *without_synack(const struct btf *btf)
{
	static const char name[] = "btf_trace_tcp_retransmit_synack";
	const void *data;
	struct btf *other;
	char *copy, *at;
	__u32 size;

	data = btf__raw_data(btf, &size);
	copy = data ? malloc(size) : NULL;
	expect(copy);
	memcpy(copy, data, size);
	at = memmem(copy, size, name, sizeof(name));
	expect(at);
	at[0] = 'c';
	other = btf__new(copy, size);
	expect(other);
	free(copy);
	return other;
}

/* What fails leaves nothing attached, and a reason. */
static void fails(void *userdata)
{
	struct btf *whole;
	struct fixture f;

	(void)userdata;
	begin(&f);
	stop(&f);
	while (f.manager.n > 0)
		manager_drop(&f.manager, f.manager.entries[0].name);
	whole = f.btf;
	f.btf = without_synack(whole);
	start_fails(&f, "cannot load a program for the tracepoint tcp_retransmit_synack");
	expect(f.manager.n == 0);
	btf__free(f.btf);
	f.btf = whole;
	start(&f, PROBE_NEW);
	end(&f);
}

/* The program that a gate of the manager's leads to. */
static __u32 leads_to(const struct fixture *f, const char *prefix)
{
	__u32 index = 0, id = 0;

	expect(bpf_map_lookup_elem(manager_find(&f->manager, kept(f, prefix)), &index, &id) == 0);
	return id;
}

/* Of several gates all lead to the new programs, or none does; what is stored stays. */
static void fails_to_take_over(void *userdata)
{
	struct fixture f;
	char last[STORE_NAME_SIZE], before[STORE_NAME_SIZE];
	__u32 program;

	(void)userdata;
	begin(&f);
	snprintf(last, sizeof(last), "retransmit.gate-map.%s", f.probe.programs[1].name);
	snprintf(before, sizeof(before), "%s", kept(&f, "retransmit.program."));
	gate_name(&f, "gate-map", f.notes);
	stop(&f);
	program = leads_to(&f, f.notes);
	expect(bpf_map_freeze(manager_find(&f.manager, last)) == 0); /* it cannot be set any more */
	f.other_program = true;
	start_fails(&f, "cannot attach ");
	gate_name(&f, "gate-map", f.notes);
	expect(leads_to(&f, f.notes) == program);
	expect(f.manager.n == DESCRIPTORS && manager_find(&f.manager, before) >= 0);
	f.other_program = false;
	start(&f, PROBE_ADOPTED);
	stop(&f);
	/* One that cannot be led back is given up. */
	manager_drop(&f.manager, before);
	f.other_program = true;
	start_fails(&f, "cannot attach ");
	gate_name(&f, "link", f.notes);
	expect(manager_find(&f.manager, f.notes) < 0);
	manager_drop(&f.manager, last);
	start(&f, PROBE_TAKEN_OVER);
	expect(f.manager.n == DESCRIPTORS);
	end(&f);
}

TEST_IN_CHILD(adopted)
TEST_IN_CHILD(taken_over)
TEST_IN_CHILD(superseded)
TEST_IN_CHILD(maps_refused)
TEST_IN_CHILD(gates_refused)
TEST_IN_CHILD(other_kind)
TEST_IN_CHILD(by_hand)
TEST_IN_CHILD(fails)
TEST_IN_CHILD(fails_to_take_over)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adopted_test),
		cmocka_unit_test(taken_over_test),
		cmocka_unit_test(superseded_test),
		cmocka_unit_test(maps_refused_test),
		cmocka_unit_test(gates_refused_test),
		cmocka_unit_test(other_kind_test),
		cmocka_unit_test(by_hand_test),
		cmocka_unit_test(fails_test),
		cmocka_unit_test(fails_to_take_over_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
