/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "collect/collector.h"
#include "collect/self.h"
#include "http/routes.h"
#include "http/server.h"
#include "kernel/btf.h"
#include "kernel/devices.h"
#include "kernel/symbols.h"
#include "log.h"
#include "memory.h"
#include "util.h"

enum {
	TICK_USEC = 1000000, /* how often the tables are brought up to date by themselves */
	TICK_SLACK_USEC = 100000,
	MAX_SWEEP_SECONDS = 60, /* how often keys are looked through for those to retire */
};

struct manager {
	const struct manager_options *options;
	struct config *config;
	struct kernel kernel;
	struct collecting collecting[N_COLLECTORS];
	unsigned n_collecting;
	struct self *self;
	struct routes routes;
	struct server *server;
	sd_event *event;
	sd_event_source *tick;
	uint64_t swept;
};

static void complain(void *userdata, const char *message)
{
	const char *fields[] = { "DROPSCOPE_EVENT=config", NULL };

	(void)userdata;
	log_write(LOG_ERR, fields, "%s", message);
}

int manager_load_config(const struct manager_options *options, struct config **ret_config)
{
	_cleanup_(config_freep) struct config *config = NULL;
	int error = config_load(options->config_path, complain, NULL, &config);

	if (error)
		return error;
	if (options->n_listen)
		error = config_set_listen(config, options->listen, options->n_listen, complain,
					  NULL);
	if (error)
		return error;
	if (options->log_level >= 0)
		config->log_level = options->log_level;
	*ret_config = TAKE_PTR(config);
	return 0;
}

static void kernel_close(struct kernel *kernel)
{
	kernel_btf_freep(&kernel->btf);
	reasons_free(kernel->reasons);
	symbols_free(kernel->symbols);
	devices_free(kernel->devices);
	*kernel = (struct kernel){ .btf = NULL };
}

static int kernel_open(struct kernel *kernel, const struct config *config)
{
	int error = kernel_btf_load(&kernel->btf);

	if (error) /* each collector says so as its reason */
		log_debug("cannot read the kernel's BTF: %s", strerror(-error));
	error = reasons_new(kernel->btf, &kernel->reasons);
	if (!error)
		error = symbols_new(&kernel->symbols);
	if (!error)
		error = devices_new(config, &kernel->devices);
	return error;
}

static void log_collector(const struct collecting *c)
{
	char field[64];
	const char *fields[] = { field, NULL };

	snprintf(field, sizeof(field), "COLLECTOR=%s", c->collector->name);
	if (c->slots)
		log_write(LOG_DEBUG, fields, "%s: up", c->collector->name);
	else if (c->disabled)
		log_write(LOG_INFO, fields, "%s: %s", c->collector->name, c->reason);
	else
		log_write(LOG_ERR, fields, "%s: down: %s", c->collector->name, c->reason);
}

static int open_collectors(struct manager *m)
{
	for (unsigned i = 0; i < N_COLLECTORS; i++) {
		int error = collecting_open(collectors[i], &m->kernel, m->config, clock_now(),
					    &m->collecting[i]);

		m->n_collecting++;
		if (error)
			return error;
	}
	return 0;
}

static unsigned count_up(const struct manager *m)
{
	unsigned up = 0;

	for (unsigned i = 0; i < m->n_collecting; i++)
		up += m->collecting[i].slots != NULL;
	return up;
}

static void notify_status(const struct manager *m, const char *prefix)
{
	sd_notifyf(0, "%sSTATUS=%u of %u collectors up, %u address%s", prefix, count_up(m),
		   m->n_collecting, m->config->n_listen, m->config->n_listen == 1 ? "" : "es");
}

static uint64_t sweep_interval(const struct config *config)
{
	uint64_t interval = config->retire_after_ns / 4, most = MAX_SWEEP_SECONDS * 1000000000ULL;

	return interval < most ? interval : most;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	uint64_t now = clock_monotonic();
	unsigned ended = 0;
	bool sweep = now - m->swept >= sweep_interval(m->config);

	(void)usec;
	for (unsigned i = 0; i < m->n_collecting; i++) {
		collecting_collect(&m->collecting[i]);
		if (sweep)
			ended += collecting_retire(&m->collecting[i], m->config->retire_after_ns);
	}
	if (sweep)
		m->swept = now;
	if (ended > 0)
		malloc_trim(0);
	/*
	 * From now, not from when it was due: what a suspended machine missed is not made up for.
	 */
	sd_event_source_set_time_relative(source, TICK_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* A collector that the new configuration turns on or off. Its counts begin anew. */
static int reopen_collector(struct manager *m, struct collecting *c, const struct config *config)
{
	const struct collector *collector = c->collector;
	int error;

	if (collector_enabled(collector, config) == !c->disabled)
		return 0;
	if (!m->kernel.btf)
		kernel_btf_load(&m->kernel.btf);
	collecting_close(c);
	error = collecting_open(collector, &m->kernel, config, clock_now(), c);
	log_collector(c);
	return error;
}

static int apply_config(struct manager *m, struct config *config)
{
	int error = 0;

	log_set_level(config->log_level);
	devices_configure(m->kernel.devices, config);
	if (config->drops_slots != m->config->drops_slots ||
	    config->receive_slots != m->config->receive_slots)
		log_warning("slots: a change takes effect when dropscoped is started again");
	for (unsigned i = 0; i < m->n_collecting && !error; i++) {
		error = reopen_collector(m, &m->collecting[i], config);
		if (error)
			break;
		table_set_budget(m->collecting[i].table, config->series_budget);
		table_admit(m->collecting[i].table);
	}
	kernel_btf_freep(&m->kernel.btf);
	m->kernel.btf = NULL;
	memory_settle();
	config_free(m->config);
	m->config = config;
	return error;
}

static int reload(struct manager *m)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_(freep) char *reason = NULL;
	int error = manager_load_config(m->options, &config);

	if (error) {
		log_error("reload: the old configuration stays in force");
		return 0;
	}
	error = server_listen(m->server, config->listen, config->n_listen, &reason);
	if (error) {
		log_error("reload: %s; the old configuration stays in force",
			  reason ? reason : strerror(-error));
		return 0;
	}
	error = apply_config(m, TAKE_PTR(config));
	if (!error)
		log_notice("configuration reloaded");
	return error;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct manager *m = userdata;
	int error;

	(void)source;
	(void)info;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)(clock_monotonic() / 1000));
	error = reload(m);
	if (error) {
		log_error("reload: %s", strerror(-error));
		return sd_event_exit(m->event, error);
	}
	notify_status(m, "READY=1\n");
	return 0;
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *info,
			void *userdata)
{
	struct manager *m = userdata;

	(void)source;
	sd_notify(0, "STOPPING=1");
	log_info("stopping on %s", strsignal(info->ssi_signo));
	return sd_event_exit(m->event, 0);
}

static int watch_signals(struct manager *m)
{
	sigset_t mask;
	int error;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	error = sd_event_add_signal(m->event, NULL, SIGTERM, on_terminate, m);
	if (error >= 0)
		error = sd_event_add_signal(m->event, NULL, SIGINT, on_terminate, m);
	if (error >= 0)
		error = sd_event_add_signal(m->event, NULL, SIGHUP, on_hangup, m);
	return error < 0 ? error : 0;
}

static int start_loop(struct manager *m)
{
	int error = sd_event_new(&m->event);

	if (error < 0)
		return error;
	error = watch_signals(m);
	if (!error)
		error = sd_event_add_time_relative(m->event, &m->tick, CLOCK_MONOTONIC, TICK_USEC,
						   TICK_SLACK_USEC, on_tick, m);
	if (error >= 0)
		error = sd_event_set_watchdog(m->event, true);
	return error < 0 ? error : 0;
}

static int start_server(struct manager *m)
{
	_cleanup_(freep) char *reason = NULL;
	int error = server_new(m->event, routes_handle, &m->routes, &m->server);

	if (error) {
		log_error("cannot start the HTTP server: %s", strerror(-error));
		return error;
	}
	error = server_listen(m->server, m->config->listen, m->config->n_listen, &reason);
	if (error)
		log_error("%s", reason ? reason : strerror(-error));
	return error;
}

/* What must be known at once and what is only memory from here on. */
static int start_collectors(struct manager *m)
{
	int error = kernel_open(&m->kernel, m->config);

	if (!error)
		error = open_collectors(m);
	if (!error)
		error = self_new(&m->self);
	kernel_btf_freep(&m->kernel.btf);
	m->kernel.btf = NULL;
	if (error) {
		log_error("cannot start: %s", strerror(-error));
		return error;
	}
	for (unsigned i = 0; i < m->n_collecting; i++)
		log_collector(&m->collecting[i]);
	if (count_up(m) == 0) {
		log_error("not one collector is up: there is nothing to do");
		return -ENOTSUP;
	}
	if (!symbols_available(m->kernel.symbols))
		log_warning("kernel addresses cannot be named: symbols are shown as addresses; "
			    "needs a kernel since 5.14, or CAP_SYSLOG to read /proc/kallsyms");
	return 0;
}

int manager_new(const struct manager_options *options, struct config *config,
		struct manager **ret_manager)
{
	_cleanup_(manager_freep) struct manager *m = calloc(1, sizeof(*m));
	int error;

	if (!m) {
		config_free(config);
		return -ENOMEM;
	}
	m->options = options;
	m->config = config;
	m->swept = clock_monotonic();
	error = start_loop(m);
	/* The port first: it is the likelier fault, and costs nothing to try. */
	if (!error)
		error = start_server(m);
	if (!error)
		error = start_collectors(m);
	if (error)
		return error;
	m->routes = (struct routes){ m->collecting, m->n_collecting, m->self, m->kernel.symbols,
				     m->server };
	memory_settle();
	*ret_manager = TAKE_PTR(m);
	return 0;
}

int manager_run(struct manager *m)
{
	for (unsigned i = 0; i < m->config->n_listen; i++)
		log_info("listening on %s", m->config->listen[i]);
	notify_status(m, "READY=1\n");
	return sd_event_loop(m->event);
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	server_free(m->server);
	for (unsigned i = 0; i < m->n_collecting; i++)
		collecting_close(&m->collecting[i]);
	self_free(m->self);
	kernel_close(&m->kernel);
	sd_event_source_unref(m->tick);
	sd_event_unref(m->event);
	config_free(m->config);
	free(m);
}

void manager_freep(struct manager **m)
{
	manager_free(*m);
}

int manager_check(struct config *config)
{
	struct manager m = { .config = config };
	unsigned wanted = 0, up;

	if (kernel_open(&m.kernel, config) < 0 || open_collectors(&m) < 0)
		log_error("out of memory");
	for (unsigned i = 0; i < m.n_collecting; i++) {
		const struct collecting *c = &m.collecting[i];

		wanted += !c->disabled;
		printf("%-12s %s%s%s\n", c->collector->name, c->slots ? "up" : "down",
		       c->reason ? ": " : "", c->reason ? c->reason : "");
	}
	printf("%-12s %s\n", "symbols",
	       m.kernel.symbols && symbols_available(m.kernel.symbols)
		       ? "named"
		       : "addresses only: needs a kernel since 5.14, or CAP_SYSLOG");
	up = count_up(&m);
	for (unsigned i = 0; i < m.n_collecting; i++)
		collecting_close(&m.collecting[i]);
	kernel_close(&m.kernel);
	config_free(config);
	return up == 0 ? 2 : up < wanted ? 1 : 0;
}
