// SPDX-License-Identifier: BSD-2-Clause
/*
 * probecost [-b] [-r ROUNDS] COMMAND [ARG...]
 *
 * What every BPF program on this machine costs per event while COMMAND makes the load: average run
 * time from the kernel's own statistics, less that of an empty program on the same tracepoint in
 * the same round (or the mean of all empty ones, where a program is not on one of theirs). Works on
 * any program that is loaded, whoever loaded it. With -b, two plain per-CPU hash counters run
 * beside them: reference_*, and floor_*.
 *
 * Prints, per program, the median over the rounds: runs a round, average ns, net ns, smallest and
 * largest net ns, and runs that the kernel skipped (recursion_misses). Programs that did not run 50
 * times in every round are left out. What COMMAND prints goes to standard error. Needs root. Exit
 * status: 0, or 1 with the reason on standard error.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/wait.h>

#include "../system/tool.h"
#include "empty.skel.h"

enum { MAX_PROGRAMS = 512, MAX_ROUNDS = 101, MIN_RUNS = 50 };

struct program {
	__u32 id;
	__u32 attached; /* the tracepoint's BTF id; 0: not a tp_btf program */
	char name[48];
	__u64 runs, ns, misses; /* at the last look */
	__u64 total_misses;
	int rounds;
	double round_runs[MAX_ROUNDS];
	double average[MAX_ROUNDS];
};

struct table {
	struct program programs[MAX_PROGRAMS];
	int count;
};

/* The kernel keeps 15 bytes of a program's name; its BTF has all of it. */
static void full_name(int fd, char *name, size_t size)
{
	struct bpf_func_info function = { 0 };
	struct bpf_prog_info info = {
		.nr_func_info = 1,
		.func_info_rec_size = sizeof(function),
		.func_info = (__u64)(unsigned long)&function,
	};
	__u32 info_size = sizeof(info);
	const struct btf_type *type;
	struct btf *btf;

	if (bpf_obj_get_info_by_fd(fd, &info, &info_size) || !info.btf_id || !info.nr_func_info)
		return;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	type = btf ? btf__type_by_id(btf, function.type_id) : NULL;
	if (type)
		snprintf(name, size, "%s", btf__name_by_offset(btf, type->name_off));
	btf__free(btf);
}

/* NULL when the table is full. */
static struct program *find(struct table *table, int fd, const struct bpf_prog_info *info)
{
	struct program *p;

	for (int i = 0; i < table->count; i++)
		if (table->programs[i].id == info->id)
			return &table->programs[i];
	if (table->count == MAX_PROGRAMS)
		return NULL;
	p = &table->programs[table->count++];
	p->id = info->id;
	p->attached = info->attach_btf_id;
	snprintf(p->name, sizeof(p->name), "%s", info->name);
	full_name(fd, p->name, sizeof(p->name));
	return p;
}

/* Reads every program's statistics; with `book`, books what was added since the last look. */
static void look(struct table *table, bool book)
{
	__u32 id = 0;

	while (bpf_prog_get_next_id(id, &id) == 0) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);
		struct program *p = NULL;
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
			p = find(table, fd, &info);
		close(fd);
		if (!p)
			continue;
		if (book && info.run_cnt - p->runs >= MIN_RUNS) {
			__u64 runs = info.run_cnt - p->runs;

			p->round_runs[p->rounds] = (double)runs;
			p->average[p->rounds++] = (double)(info.run_time_ns - p->ns) / (double)runs;
			p->total_misses += info.recursion_misses - p->misses;
		}
		p->runs = info.run_cnt;
		p->ns = info.run_time_ns;
		p->misses = info.recursion_misses;
	}
}

static void run(char **command)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("probecost: fork");
	if (pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(command[0], command);
		fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0)
		die("probecost: waitpid");
	errno = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		die("probecost: %s has failed", command[0]);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the values. */
static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), by_value);
	return values[count / 2];
}

static bool is_empty(const struct program *p)
{
	return strncmp(p->name, "empty_", 6) == 0;
}

/* What an empty program cost in a round: the mean of those on a tracepoint, or with 0 of all.
 * Negative when there was none. */
static double empty_cost(const struct table *table, __u32 attached, int round, int rounds)
{
	double sum = 0;
	int n = 0;

	for (int i = 0; i < table->count; i++) {
		const struct program *p = &table->programs[i];

		if (!is_empty(p) || p->rounds != rounds || (attached && p->attached != attached))
			continue;
		sum += p->average[round];
		n++;
	}
	return n ? sum / n : -1;
}

static void print_program(const struct table *table, struct program *p, int rounds)
{
	double net[MAX_ROUNDS], middle;

	for (int i = 0; i < rounds; i++) {
		double empty = p->attached ? empty_cost(table, p->attached, i, rounds) : -1;

		net[i] = p->average[i] - (empty < 0 ? empty_cost(table, 0, i, rounds) : empty);
	}
	middle = median(net, rounds);
	printf("%-32s %10.0f %9.1f %9.1f %9.1f %9.1f %7llu\n", p->name,
	       median(p->round_runs, rounds), median(p->average, rounds), middle, net[0],
	       net[rounds - 1], (unsigned long long)p->total_misses);
}

static void print_table(struct table *table, int rounds)
{
	errno = 0;
	if (empty_cost(table, 0, 0, rounds) < 0)
		die("probecost: the load hit none of the tracepoints %d times a round", MIN_RUNS);
	printf("%-32s %10s %9s %9s %9s %9s %7s\n", "program", "runs/round", "avg ns", "net ns",
	       "min", "max", "missed");
	/* The empty ones last: printing sorts the averages that the others are compared with. */
	for (int empty = 0; empty < 2; empty++)
		for (int i = 0; i < table->count; i++)
			if (table->programs[i].rounds == rounds &&
			    is_empty(&table->programs[i]) == empty)
				print_program(table, &table->programs[i], rounds);
}

/* How many arguments a tracepoint passes; -1: this kernel has no such tracepoint. */
static int tracepoint_arguments(const struct btf *kernel, const char *name)
{
	char typedef_name[80];
	const struct btf_type *type;
	int id;

	snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", name);
	id = btf__find_by_name_kind(kernel, typedef_name, BTF_KIND_TYPEDEF);
	type = id < 0 ? NULL : btf__type_by_id(kernel, (__u32)id);
	if (type)
		type = btf__type_by_id(kernel, type->type); /* the pointer */
	if (type)
		type = btf__type_by_id(kernel, type->type); /* the function */
	/* Of those the first is not the tracepoint's but the probe's own data. */
	return type ? btf_vlen(type) - 1 : -1;
}

static struct empty_bpf *load(bool with_reference)
{
	struct empty_bpf *bpf = empty_bpf__open();
	struct btf *kernel = btf__load_vmlinux_btf();
	struct bpf_program *program;

	if (!bpf || !kernel)
		die("probecost: cannot open the programs (is there /sys/kernel/btf/vmlinux?)");
	bpf_object__for_each_program (program, bpf->obj) {
		bool empty = strncmp(bpf_program__name(program), "empty_", 6) == 0;
		const char *tracepoint = strchr(bpf_program__section_name(program), '/') + 1;

		bpf_program__set_autoload(program,
					  (empty || with_reference) &&
						  tracepoint_arguments(kernel, tracepoint) >= 0);
	}
	bpf->rodata->has_reason = tracepoint_arguments(kernel, "kfree_skb") > 2;
	bpf->rodata->has_rdonly_cast =
		btf__find_by_name_kind(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	btf__free(kernel);
	if (empty_bpf__load(bpf) || empty_bpf__attach(bpf))
		die("probecost: cannot load or attach the empty programs (are you root?)");
	return bpf;
}

int main(int argc, char **argv)
{
	static struct table table;
	bool with_reference = false;
	struct empty_bpf *bpf;
	int rounds = 7, option;

	while ((option = getopt(argc, argv, "+br:")) != -1) {
		if (option == 'b')
			with_reference = true;
		else if (option == 'r')
			rounds = (int)number(optarg, 1, MAX_ROUNDS);
		else
			optind = argc;
	}
	if (optind >= argc) {
		fprintf(stderr, "usage: probecost [-b] [-r 1..%d] COMMAND [ARG...]\n", MAX_ROUNDS);
		return 1;
	}
	bpf = load(with_reference);
	if (bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		die("probecost: cannot enable run-time statistics");
	run(argv + optind); /* warm-up */
	for (int i = 0; i < rounds; i++) {
		look(&table, false);
		run(argv + optind);
		look(&table, true);
	}
	print_table(&table, rounds);
	empty_bpf__destroy(bpf);
	return 0;
}
