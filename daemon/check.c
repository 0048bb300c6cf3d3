/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <systemd/sd-event.h>

#include "check_peer.h"
#include "check_report.h"
#include "collect/collector.h"
#include "http/listener.h"
#include "kernel/btf.h"
#include "kernel/features.h"
#include "kernel/hints.h"
#include "kernel/symbols.h"
#include "log.h"
#include "manager.h"
#include "util.h"

/* linux/capability.h of older systems does not know the two. */
enum { SYSLOG_BIT = 34, PERFMON_BIT = 38, BPF_BIT = 39 };

static void check_kernel(struct report *report)
{
	struct utsname name;

	if (uname(&name) == 0)
		report_add(report, CHECK_OK, "kernel", NULL, "%s %s", name.release, name.machine);
}

static void check_btf(struct report *report, const struct kernel *kernel)
{
	if (!kernel->btf)
		report_add(report, CHECK_FAILED, "btf", kernel->no_btf, "none");
	else if (kernel->btf_path)
		report_add(
			report, CHECK_NOTE, "btf",
			"it must be of this very kernel; programs are attached as raw tracepoints, "
			"which cost more for each event",
			"%s, as the kernel has none of its own", kernel->btf_path);
	else if (kernel->gate == GATE_RAW_TP)
		report_add(
			report, CHECK_NOTE, "btf",
			"programs are attached as raw tracepoints, which cost more for each event",
			"/sys/kernel/btf/vmlinux, but no program can be attached by its types");
	else
		report_add(report, CHECK_OK, "btf", NULL, "/sys/kernel/btf/vmlinux");
}

/* How many arguments the tracepoints pass at least, and at most in kernels that are known. */
static const struct {
	const char *name;
	int least, most;
} tracepoints[] = {
	{ "kfree_skb", 2, 4 },		{ "netif_receive_skb", 1, 1 },
	{ "tcp_retransmit_skb", 2, 3 }, { "tcp_retransmit_synack", 2, 2 },
	{ "block_rq_insert", 1, 2 },	{ "block_rq_merge", 1, 2 },
	{ "block_rq_issue", 1, 2 },	{ "block_rq_requeue", 1, 2 },
	{ "block_rq_complete", 3, 3 },
};

static void check_tracepoints(struct report *report, const struct kernel *kernel)
{
	for (unsigned i = 0; kernel->btf && i < ARRAY_SIZE(tracepoints); i++) {
		int arguments = kernel_btf_arguments(kernel->btf, tracepoints[i].name);
		char name[64];

		snprintf(name, sizeof(name), "tracepoint %s", tracepoints[i].name);
		if (arguments < tracepoints[i].least)
			report_add(report, CHECK_DEGRADED, name,
				   "its collector needs a kernel that has it", "%s",
				   arguments < 0 ? "not there" : "too few arguments");
		else
			report_add(report, CHECK_OK, name, NULL, "%d argument%s%s", arguments,
				   arguments == 1 ? "" : "s",
				   arguments > tracepoints[i].most ? ", more than are known" : "");
	}
}

static void check_reasons(struct report *report, const struct kernel *kernel)
{
	unsigned n = reasons_count(kernel->reasons);

	if (n > 0)
		report_add(report, CHECK_OK, "reason names", NULL, "%u", n);
	else if (kernel->btf)
		report_add(report, CHECK_NOTE, "reason names",
			   "Linux 5.17 and later have them; until then symbols tell where", "none");
}

static bool read_capabilities(uint64_t *ret_effective)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/status", "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %" SCNx64, ret_effective) == 1)
			return true;
	return false;
}

static void check_capabilities(struct report *report, const struct kernel *kernel)
{
	uint64_t effective;
	bool admin, bpf, perfmon;

	if (!read_capabilities(&effective)) {
		report_add(report, CHECK_NOTE, "capabilities", "mount /proc to see them",
			   "cannot be read");
		return;
	}
	admin = effective >> CAP_SYS_ADMIN & 1;
	bpf = admin || (effective >> BPF_BIT & 1);
	perfmon = admin || (effective >> PERFMON_BIT & 1);
	report_add(report, bpf ? CHECK_OK : CHECK_FAILED, "capability CAP_BPF",
		   bpf ? NULL
		       : "to load programs: run as root, or give CAP_BPF (before Linux 5.8: "
			 "CAP_SYS_ADMIN) as in dropscoped.service",
		   bpf ? "yes" : "no");
	report_add(report, perfmon ? CHECK_OK : CHECK_FAILED, "capability CAP_PERFMON",
		   perfmon ? NULL
			   : "to attach them to tracepoints: run as root, or give CAP_PERFMON "
			     "(before Linux 5.8: CAP_SYS_ADMIN) as in dropscoped.service",
		   perfmon ? "yes" : "no");
	if (effective >> SYSLOG_BIT & 1)
		report_add(report, CHECK_OK, "capability CAP_SYSLOG", NULL, "yes");
	else
		report_add(report, symbols_available(kernel->symbols) ? CHECK_NOTE : CHECK_DEGRADED,
			   "capability CAP_SYSLOG",
			   "needed only where BPF cannot name addresses (before Linux 5.14)", "no");
}

static void check_symbols(struct report *report, const struct kernel *kernel)
{
	bool readable = symbols_search("/proc/kallsyms", NULL, 0) == 0;

	report_add(report, readable ? CHECK_OK : CHECK_NOTE, "kallsyms",
		   readable ? NULL
			    : "needs CAP_SYSLOG, and kernel.kptr_restrict below 2; see \"symbols\"",
		   readable ? "shows addresses" : "hides addresses, or is not there");
	if (!symbols_available(kernel->symbols))
		report_add(
			report, CHECK_DEGRADED, "symbols",
			"give CAP_SYSLOG, or run Linux 5.14 or later with CAP_BPF and CAP_PERFMON",
			"addresses cannot be named");
	else
		report_add(report, CHECK_OK, "symbols", NULL, "named by %s",
			   symbols_read_kallsyms(kernel->symbols) ? "/proc/kallsyms" : "BPF");
}

enum { MEMLOCK_NEEDED = 64 << 20 };

/* kernel_open() has raised the limit as far as it goes: this is what would be in force. */
static void check_memlock(struct report *report, const struct kernel *kernel)
{
	bool charged = kernel->btf && kernel_charges_memlock(kernel->btf), enough;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return;
	enough = limit.rlim_cur >= MEMLOCK_NEEDED;
	if (limit.rlim_cur == RLIM_INFINITY)
		report_add(report, CHECK_OK, "memlock", NULL, "unlimited");
	else if (!charged)
		report_add(report, CHECK_OK, "memlock", NULL,
			   "%" PRIu64 " bytes, which this kernel does not apply to BPF",
			   (uint64_t)limit.rlim_cur);
	else
		report_add(report, enough ? CHECK_OK : CHECK_DEGRADED, "memlock",
			   enough ? NULL
				  : "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
			   "%" PRIu64 " bytes, which this kernel charges maps to (Linux 5.11 and "
			   "later do not)",
			   (uint64_t)limit.rlim_cur);
}

static void check_collector(struct report *report, const struct collecting *c)
{
	char programs[PROBE_MAX_PROGRAMS * (PROBE_NAME_SIZE + 12)] = "", name[96];
	size_t used = 0;

	for (unsigned i = 0; i < c->probe.n_programs; i++)
		used += snprintf(programs + used, sizeof(programs) - used, "%s%s (%s)",
				 i ? ", " : "", c->probe.programs[i].name,
				 gate_attach_name(&c->probe.programs[i].gate));
	snprintf(name, sizeof(name), "collector %s", c->collector->name);
	if (c->slots)
		report_add(report, CHECK_OK, name, NULL, "up: %s", programs);
	else if (c->disabled)
		report_add(report, CHECK_OK, name, NULL, "%s", c->reason);
	else
		report_add(report, CHECK_DEGRADED, name, c->reason, "down");
	for (unsigned i = 0; i < c->n_lacks; i++) {
		snprintf(name, sizeof(name), "collector %s: %s", c->collector->name,
			 c->lacks[i].what);
		report_add(report, CHECK_NOTE, name, c->lacks[i].why, "not given");
	}
}

/* Opens and closes each; what the maps hold goes with them. */
static void check_collectors(struct report *report, struct kernel *kernel,
			     const struct config *config)
{
	unsigned up = 0;

	for (unsigned i = 0; i < N_COLLECTORS; i++) {
		struct collecting c;

		if (collecting_open(collectors[i], kernel, config, clock_now(), &c) < 0)
			report->incomplete = true;
		check_collector(report, &c);
		up += c.slots != NULL;
		collecting_close(&c);
	}
	if (up == 0)
		report_add(report, CHECK_FAILED, "collectors", "see above what each of them needs",
			   "not one is up");
}

static void on_accepted(void *userdata, int fd, const struct sockaddr *client, socklen_t size)
{
	(void)userdata;
	(void)client;
	(void)size;
	close(fd);
}

static void check_address(struct report *report, sd_event *event, char *address)
{
	struct listeners listeners = { .accepted = on_accepted };
	_cleanup_(freep) char *reason = NULL;
	int error = listeners_change(&listeners, event, &address, 1, &reason);
	char name[160];

	snprintf(name, sizeof(name), "listen %s", address);
	if (!error)
		report_add(report, CHECK_OK, name, NULL, "free");
	else if (error == -EADDRINUSE && peer_is_dropscoped(address))
		report_add(report, CHECK_OK, name, NULL, "in use by the dropscoped that runs");
	else
		report_add(report, CHECK_FAILED, name,
			   error == -EADDRINUSE ? "change `listen`, or stop the other" : NULL, "%s",
			   reason ? reason : strerror(-error));
	listeners_close(&listeners);
}

static void check_addresses(struct report *report, const struct config *config)
{
	sd_event *event = NULL;

	if (sd_event_new(&event) < 0) {
		report->incomplete = true;
		return;
	}
	for (unsigned i = 0; i < config->n_listen; i++)
		check_address(report, event, config->listen[i]);
	sd_event_unref(event);
}

static void on_fault(void *userdata, const char *message)
{
	report_add(userdata, CHECK_FAILED, "configuration", NULL, "%s", message);
}

/* With faults in it, the rest is checked with the defaults. NULL: out of memory. */
static struct config *check_config(struct report *report, const struct manager_options *options)
{
	struct config *config = NULL;
	int error = manager_load_config(options, on_fault, report, &config);

	if (!error) {
		report_add(report, CHECK_OK, "configuration", NULL, "%s",
			   options->config_path ? options->config_path : "the defaults");
		return config;
	}
	if (report->n == 0)
		report_add(report, CHECK_FAILED, "configuration", NULL, "%s", strerror(-error));
	if (config_load(NULL, on_fault, report, &config) < 0)
		return NULL;
	if (hints_load(NULL, on_fault, report, &config->hints) == 0)
		return config;
	config_free(config);
	return NULL;
}

static void check_all(struct report *report, const struct manager_options *options)
{
	_cleanup_(config_freep) struct config *config = check_config(report, options);
	struct kernel kernel = { .btf = NULL };

	if (!config || kernel_open(&kernel, config) < 0) {
		report->incomplete = true;
	} else {
		log_set_level(config->log_level);
		check_kernel(report);
		check_btf(report, &kernel);
		check_capabilities(report, &kernel);
		check_memlock(report, &kernel);
		check_tracepoints(report, &kernel);
		check_reasons(report, &kernel);
		check_symbols(report, &kernel);
		check_collectors(report, &kernel, config);
		check_addresses(report, config);
	}
	kernel_close(&kernel);
}

int check_run(const struct manager_options *options, bool json)
{
	struct report report = { .n = 0 };
	struct buffer out = { .data = NULL };
	int status;

	check_all(&report, options);
	if (json)
		report_json(&report, &out);
	else
		report_text(&report, &out);
	status = report_exit_status(&report);
	if (out.failed || fwrite(out.data, 1, out.size, stdout) != out.size || fflush(stdout) != 0)
		status = 2;
	buffer_free(&out);
	report_clear(&report);
	return status;
}
