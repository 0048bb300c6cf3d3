/* SPDX-License-Identifier: BSD-2-Clause */
/* Detours in the running kernel. Those of retransmits: nothing here sends any. */
#include "fake_manager.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "bpf/live.h"
#include "bpf/retransmit.h"
#include "kernel/btf.h"
#include "kernel/detour.h"
#include "receive.skel.h"
#include "retransmit.skel.h"

enum { SLOTS = 64, PROGRAMS = 2 };

static const char *const detours_maps[] = { "live_control", "live_scratch", "live_events",
					    "live_sums" };

struct fixture {
	struct fake_manager manager;
	struct btf *btf;
	struct store *store; /* NULL: by hand */
	struct probe probe;
	struct detour detour;
};

static unsigned writers(void)
{
	return probe_cpus() * RETRANSMIT_WRITERS;
}

static struct retransmit_bpf *open_object(const struct fixture *f)
{
	struct retransmit_bpf *skeleton = retransmit_bpf__open();

	expect(skeleton);
	skeleton->rodata->slots_per_writer = SLOTS;
	skeleton->rodata->has_error = kernel_btf_arguments(f->btf, "tcp_retransmit_skb") >= 3;
	skeleton->rodata->has_rdonly_cast = kernel_btf_has_function(f->btf, "bpf_rdonly_cast");
	expect(bpf_map__set_max_entries(skeleton->maps.slots, SLOTS * writers()) == 0);
	expect(bpf_map__set_max_entries(skeleton->maps.writers, writers()) == 0);
	return skeleton;
}

static void start(struct fixture *f, enum probe_start expected)
{
	struct retransmit_bpf *skeleton = open_object(f);
	const struct probe_source source = {
		.name = "retransmit",
		.layout = 1,
		.skeleton = skeleton->skeleton,
		.btf = f->btf,
		.store = f->store,
	};
	char *reason = NULL;

	detour_leave_out(skeleton->obj);
	expect(probe_start(&source, &f->probe, &reason) == 0);
	expect(f->probe.start == expected);
	expect(f->probe.n_programs == PROGRAMS);
	retransmit_bpf__destroy(skeleton);
}

static void begin(struct fixture *f)
{
	expect(close_range(3, ~0U, 0) == 0);
	*f = (struct fixture){ .detour = DETOUR_NONE };
	if (geteuid() != 0 || kernel_btf_load(&f->btf) < 0)
		_exit(CHILD_CANNOT);
	start(f, PROBE_NEW);
}

static void end(struct fixture *f)
{
	probe_stop(&f->probe);
	kernel_btf_freep(&f->btf);
	expect(fcntl(3, F_GETFD) < 0);
}

static void open_detour(struct fixture *f)
{
	struct retransmit_bpf *skeleton = open_object(f);
	char *reason = NULL;
	int error = detour_open(skeleton->obj, &f->probe, writers(), &f->detour, &reason);

	if (error)
		fprintf(stderr, "%s\n", reason ? reason : "no memory");
	expect(error == 0 && !reason);
	retransmit_bpf__destroy(skeleton);
}

/* Do all gates lead to the probe's own programs, or to the detour's? */
static bool on_usual_way(const struct fixture *f)
{
	unsigned usual = 0, detoured = 0;

	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct probe_program *program = &f->probe.programs[i];

		usual += gate_leads_to(&program->gate, program->fd);
		detoured += f->detour.programs[i] >= 0 &&
			    gate_leads_to(&program->gate, f->detour.programs[i]);
	}
	expect(usual + detoured == PROGRAMS);
	expect(usual == 0 || detoured == 0);
	return usual != 0;
}

static struct bpf_map_info info_of(int fd)
{
	struct bpf_map_info info = { .type = 0 };
	__u32 size = sizeof(info);

	expect(bpf_obj_get_info_by_fd(fd, &info, &size) == 0);
	return info;
}

/* Needs no kernel: what an object loads, and what it does not. */
static void left_out(void **state)
{
	struct retransmit_bpf *skeleton = retransmit_bpf__open();
	struct bpf_program *program;
	struct bpf_map *map;
	unsigned loaded = 0, left = 0;

	(void)state;
	assert_non_null(skeleton);
	detour_leave_out(skeleton->obj);
	bpf_object__for_each_program (program, skeleton->obj) {
		bool detours = strstr(bpf_program__name(program), "_live") != NULL;

		assert_int_equal(bpf_program__autoload(program), !detours);
		loaded += !detours;
		left += detours;
	}
	assert_int_equal(loaded, PROGRAMS);
	assert_int_equal(left, PROGRAMS);
	left = 0;
	bpf_object__for_each_map(map, skeleton->obj)
	{
		bool detours = strncmp(bpf_map__name(map), "live_", 5) == 0;

		assert_int_equal(bpf_map__autocreate(map), !detours);
		left += detours;
	}
	assert_int_equal(left, ARRAY_SIZE(detours_maps));
	retransmit_bpf__destroy(skeleton);
}

static void there_and_back(void *userdata)
{
	unsigned descriptors;
	struct fixture f;

	(void)userdata;
	begin(&f);
	expect(on_usual_way(&f));
	descriptors = count_descriptors();
	for (unsigned i = 0; i < 3; i++) {
		open_detour(&f);
		expect(!on_usual_way(&f));
		expect(count_descriptors() == descriptors + PROGRAMS + ARRAY_SIZE(detours_maps));
		expect(detour_close(&f.detour, &f.probe) == 0);
		expect(on_usual_way(&f));
		expect(count_descriptors() == descriptors);
	}
	end(&f);
}

static void its_maps(void *userdata)
{
	struct bpf_prog_info program = { .type = 0 };
	__u32 size = sizeof(program), maps[16], slots;
	struct fixture f;
	bool shared = false;

	(void)userdata;
	begin(&f);
	open_detour(&f);
	expect(f.detour.n_maps == ARRAY_SIZE(detours_maps));
	for (unsigned i = 0; i < ARRAY_SIZE(detours_maps); i++)
		expect(detour_map(&f.detour, detours_maps[i]) >= 0);
	expect(detour_map(&f.detour, "slots") == -ENOENT);
	expect(detour_map(&f.detour, "live_sum") == -ENOENT);
	expect(detour_map(&f.detour, "") == -ENOENT);
	expect(info_of(detour_map(&f.detour, "live_scratch")).max_entries == writers());
	expect(info_of(detour_map(&f.detour, "live_control")).value_size ==
	       sizeof(struct live_control));
	expect(info_of(detour_map(&f.detour, "live_events")).type == BPF_MAP_TYPE_RINGBUF);
	expect(info_of(detour_map(&f.detour, "live_sums")).key_size == sizeof(struct live_sum_key));
	/* It counts in the probe's own. */
	slots = info_of(probe_map(&f.probe, "slots")).id;
	program.nr_map_ids = ARRAY_SIZE(maps);
	program.map_ids = (uintptr_t)maps;
	expect(bpf_obj_get_info_by_fd(f.detour.programs[0], &program, &size) == 0);
	for (unsigned i = 0; i < program.nr_map_ids; i++)
		shared = shared || maps[i] == slots;
	expect(shared);
	/* Closed on exec, as all of the daemon's. */
	for (unsigned i = 0; i < PROGRAMS; i++)
		expect(fcntl(f.detour.programs[i], F_GETFD) == FD_CLOEXEC);
	expect(fcntl(detour_map(&f.detour, "live_control"), F_GETFD) == FD_CLOEXEC);
	expect(f.detour.programs[PROGRAMS] == -1);

	expect(detour_close(&f.detour, &f.probe) == 0);
	expect(f.detour.n_maps == 0 && f.detour.programs[0] == -1);
	expect(detour_map(&f.detour, "live_control") == -ENOENT);
	/* Once more is nothing. */
	expect(detour_close(&f.detour, &f.probe) == 0);
	expect(on_usual_way(&f));
	end(&f);
}

/* What fails leaves everything as it was, and a reason. */
static void assert_fails(struct fixture *f, struct bpf_object *object, unsigned n, int expected)
{
	unsigned descriptors = count_descriptors();
	struct detour detour = { .n_maps = 42 };
	char *reason = NULL;
	int error = detour_open(object, &f->probe, n, &detour, &reason);

	expect(error < 0 && (expected == 0 || error == expected));
	expect(detour.n_maps == 42);
	expect(reason && strstr(reason, "load the programs that tell of single events"));
	free(reason);
	expect(on_usual_way(f));
	expect(count_descriptors() >= descriptors);
}

static void fails(void *userdata)
{
	struct receive_bpf *without = receive_bpf__open();
	struct retransmit_bpf *skeleton;
	char *reason = NULL, first;
	struct fixture f;
	int gate;

	(void)userdata;
	expect(without);
	begin(&f);
	/* An object that has no programs for it. */
	assert_fails(&f, without->obj, writers(), -ENOENT);
	receive_bpf__destroy(without);
	/* No room for an event at all. */
	skeleton = open_object(&f);
	assert_fails(&f, skeleton->obj, 0, 0);
	retransmit_bpf__destroy(skeleton);
	/* The probe does not have the map that they count in. */
	skeleton = open_object(&f);
	first = f.probe.maps[0].name[0];
	f.probe.maps[0].name[0] = '?';
	assert_fails(&f, skeleton->obj, writers(), -ENOENT);
	f.probe.maps[0].name[0] = first;
	retransmit_bpf__destroy(skeleton);
	/* One of the gates does not take it: the others are given back. */
	skeleton = open_object(&f);
	gate = f.probe.programs[1].gate.map_fd;
	f.probe.programs[1].gate.map_fd = -1;
	expect(detour_open(skeleton->obj, &f.probe, writers(), &f.detour, &reason) < 0);
	expect(reason);
	free(reason);
	f.probe.programs[1].gate.map_fd = gate;
	retransmit_bpf__destroy(skeleton);
	expect(on_usual_way(&f));
	open_detour(&f);
	expect(!on_usual_way(&f));
	expect(detour_close(&f.detour, &f.probe) == 0);
	end(&f);
}

static void cannot_be_closed(void *userdata)
{
	unsigned descriptors;
	struct fixture f;
	int gate;

	(void)userdata;
	begin(&f);
	descriptors = count_descriptors();
	open_detour(&f);
	gate = f.probe.programs[0].gate.map_fd;
	f.probe.programs[0].gate.map_fd = -1;
	expect(detour_close(&f.detour, &f.probe) < 0);
	f.probe.programs[0].gate.map_fd = gate;
	/* The other gate is back, and nothing stays open. */
	expect(count_descriptors() == descriptors);
	expect(!gate_leads_to(&f.probe.programs[0].gate, f.probe.programs[0].fd));
	expect(gate_leads_to(&f.probe.programs[1].gate, f.probe.programs[1].fd));
	end(&f);
}

static void restart(struct fixture *f, enum probe_start expected)
{
	manager_start(&f->manager);
	expect(store_new(&f->store) == 0);
	start(f, expected);
	manager_listen(&f->manager);
}

/* The daemon dies while somebody listens: its next start does not take the detour for its own. */
static void a_crash(void *userdata)
{
	struct fixture f = { .detour = DETOUR_NONE };
	unsigned slots;

	(void)userdata;
	expect(close_range(3, ~0U, 0) == 0);
	manager_hold_messages();
	manager_open(&f.manager);
	if (kernel_btf_load(&f.btf) < 0)
		_exit(CHILD_CANNOT);
	restart(&f, PROBE_NEW);
	slots = info_of(probe_map(&f.probe, "slots")).id;
	open_detour(&f);
	expect(!on_usual_way(&f));
	/* What a crash does: all descriptors go, the manager's and the kernel's programs stay. */
	for (unsigned i = 0; i < PROGRAMS; i++)
		closep(&f.detour.programs[i]);
	for (unsigned i = 0; i < f.detour.n_maps; i++)
		closep(&f.detour.maps[i].fd);
	f.detour = DETOUR_NONE;
	probe_stop(&f.probe);
	store_free(f.store);

	restart(&f, PROBE_TAKEN_OVER);
	expect(info_of(probe_map(&f.probe, "slots")).id == slots);
	expect(on_usual_way(&f));
	open_detour(&f);
	expect(detour_close(&f.detour, &f.probe) == 0);
	probe_stop(&f.probe);
	store_free(f.store);
	/* A detour that was given up in time leaves no trace. */
	restart(&f, PROBE_ADOPTED);
	expect(on_usual_way(&f));
	store_free(f.store);
	while (f.manager.n > 0)
		manager_drop(&f.manager, f.manager.entries[0].name);
	close(f.manager.socket);
	end(&f);
}

TEST_IN_CHILD(there_and_back)
TEST_IN_CHILD(its_maps)
TEST_IN_CHILD(fails)
TEST_IN_CHILD(cannot_be_closed)
TEST_IN_CHILD(a_crash)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(left_out),
		cmocka_unit_test(there_and_back_test),
		cmocka_unit_test(its_maps_test),
		cmocka_unit_test(fails_test),
		cmocka_unit_test(cannot_be_closed_test),
		cmocka_unit_test(a_crash_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
