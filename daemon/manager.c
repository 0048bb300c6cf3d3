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
#include "kernel/hints.h"
#include "kernel/symbols.h"
#include "live/live.h"
#include "log.h"
#include "memory.h"
#include "model/history.h"
#include "privileges.h"
#include "store.h"
#include "util.h"

enum {
	TICK_USEC = 1000000, /* how often the tables are brought up to date by themselves */
	TICK_SLACK_USEC = 10000,
	MAX_SWEEP_SECONDS = 60, /* how often keys are looked through for those to retire */
};

struct manager {
	const struct manager_options *options;
	struct config *config;
	struct store *store;
	unsigned n_sockets; /* from the manager of services: then `listen` is not used */
	struct kernel kernel;
	struct collecting collecting[N_COLLECTORS];
	unsigned n_collecting;
	struct history *history;
	struct self *self;
	struct live *live;
	struct routes routes;
	struct server *server;
	sd_event *event;
	sd_event_source *tick;
	uint64_t swept;
	uint64_t watchdog_usec; /* how often the service manager wants to hear; 0: never */
	uint64_t answered;	/* monotonic: when all collectors did, last */
};

void manager_complain(void *userdata, const char *message)
{
	const char *fields[] = { "DROPSCOPE_EVENT=config", NULL };

	(void)userdata;
	log_write(LOG_ERR, fields, "%s", message);
}

int manager_load_config(const struct manager_options *options, complain_t complain,
			void *userdata, struct config **ret_config)
{
	_cleanup_(config_freep) struct config *config = NULL;
	int error = config_load(options->config_path, complain, userdata, &config);

	if (error)
		return error;
	if (options->n_listen)
		error = config_set_listen(config, options->listen, options->n_listen, complain,
					  userdata);
	if (error)
		return error;
	error = hints_load(config->hints_directory, complain, userdata, &config->hints);
	if (error)
		return error;
	if (options->log_level >= 0)
		config->log_level = options->log_level;
	*ret_config = TAKE_PTR(config);
	return 0;
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

/* A state must not be older than what the ring reaches back to. */
static void on_evict(void *userdata)
{
	struct manager *m = userdata;

	for (unsigned i = 0; i < m->n_collecting; i++)
		if (m->collecting[i].slots)
			collecting_save(&m->collecting[i]);
}

static void sample(struct manager *m)
{
	struct table *tables[N_COLLECTORS];
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_collecting; i++)
		if (m->collecting[i].slots)
			tables[n++] = m->collecting[i].table;
	history_sample(m->history, tables, n, clock_now());
}

static void collect(struct manager *m)
{
	for (unsigned i = 0; i < m->n_collecting; i++)
		collecting_collect(&m->collecting[i]);
	sample(m);
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

/* The past, which an earlier run may have left. */
static int open_history(struct manager *m)
{
	static const char name[] = "history.ring";
	int fd = m->config->history_size ? store_take(m->store, name) : -1, error;
	const char *fault;

	if (!m->config->history_size)
		store_remove(m->store, name);
	error = history_new(m->config->history_size, fd, clock_now(), &m->history, &fault);
	closep(&fd);
	if (error)
		return error;
	if (fault)
		log_warning("the stored history is refused, whole or in part: %s", fault);
	/* The manager knows a descriptor that it has, and is to have one of this name. */
	if (fault)
		store_remove(m->store, name);
	if (history_fd(m->history) >= 0)
		store_put(m->store, name, history_fd(m->history));
	history_on_evict(m->history, on_evict, m);
	m->kernel.history = m->history;
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
	unsigned n = m->n_sockets ? m->n_sockets : m->config->n_listen;

	sd_notifyf(0, "%sSTATUS=%u of %u collectors up, %u address%s", prefix, count_up(m),
		   m->n_collecting, n, n == 1 ? "" : "es");
}

static uint64_t sweep_interval(const struct config *config)
{
	uint64_t interval = config->retire_after_ns / 4, most = MAX_SWEEP_SECONDS * 1000000000ULL;

	return interval < most ? interval : most;
}

static bool all_answer(const struct manager *m)
{
	for (unsigned i = 0; i < m->n_collecting; i++)
		if (!collecting_answers(&m->collecting[i]))
			return false;
	return true;
}

/* The service manager hears from the loop, and only while every collector that is up answers: what
 * does not is repaired by a new start, which loses nothing. */
static void feed_watchdog(struct manager *m, uint64_t now)
{
	if (m->watchdog_usec == 0 || (now - m->answered) / 1000 < m->watchdog_usec / 4 ||
	    !all_answer(m))
		return;
	m->answered = now;
	sd_notify(0, "WATCHDOG=1");
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	uint64_t now = clock_monotonic(), next;
	unsigned ended = 0;
	bool sweep = now - m->swept >= sweep_interval(m->config);

	collect(m);
	for (unsigned i = 0; sweep && i < m->n_collecting; i++)
		ended += collecting_retire(&m->collecting[i], m->config->retire_after_ns);
	if (sweep)
		m->swept = now;
	if (ended > 0)
		malloc_trim(0);
	feed_watchdog(m, now);
	/*
	 * From when it was due, so that there is one sample in each second of a plot; but what a
	 * suspended machine missed is not made up for.
	 */
	next = usec + TICK_USEC > now / 1000 ? usec + TICK_USEC : now / 1000 + TICK_USEC;
	sd_event_source_set_time(source, next);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* A collector that the new configuration turns on or off. Its counts begin anew. */
static int reopen_collector(struct manager *m, struct collecting *c, const struct config *config)
{
	const struct collector *collector = c->collector;
	int error;

	if (collector_enabled(collector, config) == !c->disabled)
		return 0;
	kernel_begin_load(&m->kernel);
	live_end(m->live, c);
	collecting_close(c);
	error = collecting_open(collector, &m->kernel, config, clock_now(), c);
	kernel_end_load(&m->kernel);
	log_collector(c);
	return error;
}

static int apply_config(struct manager *m, struct config *config)
{
	int error = 0;

	log_set_level(config->log_level);
	devices_configure(m->kernel.devices, config);
	m->kernel.config = config;
	m->kernel.hints = config->hints;
	if (config->drops_slots != m->config->drops_slots ||
	    config->receive_slots != m->config->receive_slots)
		log_warning("slots: a change takes effect when dropscoped is started again");
	if (config->history_size != m->config->history_size)
		log_warning("[history] size: a change takes effect when dropscoped is started "
			    "again");
	if (strcmp(config->btf ? config->btf : "", m->config->btf ? m->config->btf : "") != 0)
		log_warning("btf: a change takes effect when dropscoped is started again");
	if (config->drops_stacks != m->config->drops_stacks) {
		log_warning("[drops] stacks: a change takes effect when dropscoped is started "
			    "again");
		config->drops_stacks = m->config->drops_stacks; /* in programs for streams, too */
	}
	collect(m); /* what a collector that is turned off has counted */
	for (unsigned i = 0; i < m->n_collecting && !error; i++) {
		error = reopen_collector(m, &m->collecting[i], config);
		if (error)
			break;
		if (collecting_explain(&m->collecting[i]) < 0)
			log_warning("reload: no memory for new series, ignoring");
		table_set_budget(m->collecting[i].table, config->series_budget);
		table_admit(m->collecting[i].table);
	}
	live_configure(m->live);
	memory_settle();
	config_free(m->config);
	m->config = config;
	return error;
}

static int reload(struct manager *m)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_(freep) char *reason = NULL;
	int error = manager_load_config(m->options, manager_complain, NULL, &config);

	if (error) {
		log_error("reload: the old configuration stays in force");
		return 0;
	}
	if (!m->n_sockets)
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
	if (sd_watchdog_enabled(false, &m->watchdog_usec) <= 0)
		m->watchdog_usec = 0;
	return error < 0 ? error : 0;
}

static int start_server(struct manager *m)
{
	_cleanup_(freep) char *reason = NULL;
	int error = server_new(m->event, routes_handle, &m->routes, &m->server), fd;

	while (!error && (fd = store_take_socket(m->store)) >= 0) {
		error = server_adopt(m->server, fd);
		if (error)
			close(fd);
		m->n_sockets++;
	}
	if (error) {
		log_error("cannot start the HTTP server: %s", strerror(-error));
		return error;
	}
	if (!m->n_sockets)
		error = server_listen(m->server, m->config->listen, m->config->n_listen, &reason);
	if (error)
		log_error("%s", reason ? reason : strerror(-error));
	return error;
}

/* Of a collector that ought to be up, and may be at the next start: all that it has counted. */
static bool is_of_one_down(const struct manager *m, const char *name)
{
	for (unsigned i = 0; i < m->n_collecting; i++) {
		const struct collecting *c = &m->collecting[i];
		size_t length = strlen(c->collector->name);

		if (!c->slots && !c->disabled && strncmp(name, c->collector->name, length) == 0 &&
		    name[length] == '.')
			return true;
	}
	return false;
}

/* What the store had and nobody has taken. */
static void refuse_leftovers(struct manager *m)
{
	char copy[STORE_NAME_SIZE];
	const char *name;
	int fd;

	while ((fd = store_take_prefix(m->store, "", &name)) >= 0) {
		close(fd);
		if (is_of_one_down(m, name))
			continue; /* the manager has it on */
		snprintf(copy, sizeof(copy), "%s", name);
		log_warning("the stored descriptor \"%s\" is refused: nothing here is called so",
			    copy);
		store_remove(m->store, copy);
	}
}

/* What must be known at once and what is only memory from here on. */
static int start_collectors(struct manager *m)
{
	int error = kernel_open(&m->kernel, m->config);

	if (!error)
		error = open_history(m);
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
	refuse_leftovers(m);
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

/* From here on the probes are read, which needs nothing. Kernels before 5.19 ask for CAP_BPF even
 * so, where kernel.unprivileged_bpf_disabled is set. */
static void give_up_privileges(struct manager *m)
{
	int error = privileges_keep(symbols_read_kallsyms(m->kernel.symbols));

	if (error)
		log_warning("cannot give up capabilities: %s, ignoring", strerror(-error));
	m->kernel.privileged = error || symbols_read_kallsyms(m->kernel.symbols) || !all_answer(m);
	if (m->kernel.privileged)
		privileges_use(true);
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
	error = store_new(&m->store);
	m->kernel.store = m->store;
	if (!error)
		error = start_loop(m);
	/* The port first: it is the likelier fault, and costs nothing to try. */
	if (!error)
		error = start_server(m);
	if (!error)
		error = start_collectors(m);
	if (!error)
		error = live_new(m->event, &m->kernel, &m->live);
	if (error)
		return error;
	collect(m);
	m->routes = (struct routes){ m->collecting,	m->n_collecting, m->self,
				     m->kernel.symbols, m->live,	 m->server };
	give_up_privileges(m);
	memory_settle();
	*ret_manager = TAKE_PTR(m);
	return 0;
}

int manager_run(struct manager *m)
{
	for (unsigned i = 0; i < m->config->n_listen && !m->n_sockets; i++)
		log_info("listening on %s", m->config->listen[i]);
	if (m->n_sockets)
		log_info("listening on %u socket%s of the service manager", m->n_sockets,
			 m->n_sockets == 1 ? "" : "s");
	notify_status(m, "READY=1\n");
	return sd_event_loop(m->event);
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	server_free(m->server); /* and with it all who listen */
	live_free(m->live);
	if (m->history)
		collect(m);
	for (unsigned i = 0; i < m->n_collecting; i++)
		collecting_close(&m->collecting[i]);
	self_free(m->self);
	history_free(m->history);
	kernel_close(&m->kernel);
	store_free(m->store);
	sd_event_source_unref(m->tick);
	sd_event_unref(m->event);
	config_free(m->config);
	free(m);
}

void manager_freep(struct manager **m)
{
	manager_free(*m);
}
