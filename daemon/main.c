/* SPDX-License-Identifier: BSD-2-Clause */
/* dropscoped: options, then a list of steps. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "check.h"
#include "collect/self.h"
#include "log.h"
#include "manager.h"
#include "memory.h"
#include "render/prometheus.h"
#include "util.h"
#include "version.h"

enum { EXIT_USAGE = 2 };

static const char help[] =
	"usage: dropscoped [OPTION]...\n"
	"Counts dropped packets, received packets, TCP retransmits and disk requests in the\n"
	"kernel, and serves them to Prometheus and curl.\n"
	"\n"
	"  --config FILE         configuration (default: built-in defaults)\n"
	"  --listen ADDRESS      instead of the file's addresses; repeatable. PORT, HOST:PORT,\n"
	"                        [IPV6]:PORT, *:PORT or the path of a unix socket\n"
	"  --log-level LEVEL     error, warning, info or debug\n"
	"  --check[=json]        say what this machine lets dropscoped do and what is missing,\n"
	"                        then exit: 0 all works, 1 some does not, 2 it cannot run\n"
	"  --list-metrics        print every metric as a Markdown table\n"
	"  --version             print the version\n"
	"  --help                print this\n";

static int libbpf_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char text[1024];

	/*
	 * libbpf warns of what a collector then gives as its reason: the details are for debugging.
	 */
	if (level == LIBBPF_DEBUG || log_level() < LOG_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), format, arguments);
	text[strcspn(text, "\n")] = '\0';
	log_debug("%s", text);
	return 0;
}

static int list_metrics(void)
{
	struct buffer out = { .data = NULL };
	struct self *self;
	bool failed;

	if (self_new(&self) < 0)
		return EXIT_FAILURE;
	buffer_string(&out, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
	for (unsigned i = 0; i < N_COLLECTORS; i++) {
		struct table *table;

		if (table_new(collectors[i]->table, collectors[i]->columns,
			      collectors[i]->n_columns, 1, &table) < 0)
			break;
		prometheus_list(&out, table);
		table_free(table);
	}
	for (unsigned i = 0; i < SELF_TABLES; i++)
		prometheus_list(&out, self_tables(self)[i]);
	if (!out.failed)
		fwrite(out.data, 1, out.size, stdout);
	failed = out.failed;
	buffer_free(&out);
	self_free(self);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

struct command {
	struct manager_options options;
	char *listen[CONFIG_MAX_LISTEN];
	bool check, json;
};

static int add_listen(struct command *command, char *address)
{
	if (command->options.n_listen == CONFIG_MAX_LISTEN) {
		log_error("--listen: at most %d addresses", CONFIG_MAX_LISTEN);
		return -EINVAL;
	}
	command->listen[command->options.n_listen++] = address;
	return 0;
}

static int set_log_level(struct command *command, const char *name)
{
	command->options.log_level = config_log_level(name);
	if (command->options.log_level >= 0)
		return 0;
	log_error("--log-level: \"%s\" is none of error, warning, info, debug", name);
	return -EINVAL;
}

static int set_check(struct command *command, const char *format)
{
	command->check = true;
	command->json = format && strcmp(format, "json") == 0;
	if (!format || command->json || strcmp(format, "text") == 0)
		return 0;
	log_error("--check: \"%s\" is neither text nor json", format);
	return -EINVAL;
}

/* 1: go on; 0: done, exit with success; -EINVAL: said what is wrong. */
static int parse_options(int argc, char **argv, struct command *command)
{
	enum { CONFIG = 1, LISTEN, LOG_LEVEL, CHECK, LIST_METRICS, VERSION, HELP };
	static const struct option options[] = {
		{ "config", required_argument, NULL, CONFIG },
		{ "listen", required_argument, NULL, LISTEN },
		{ "log-level", required_argument, NULL, LOG_LEVEL },
		{ "check", optional_argument, NULL, CHECK },
		{ "list-metrics", no_argument, NULL, LIST_METRICS },
		{ "version", no_argument, NULL, VERSION },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int option, error = 0;

	while (!error && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case CONFIG:
			command->options.config_path = optarg;
			break;
		case LISTEN:
			error = add_listen(command, optarg);
			break;
		case LOG_LEVEL:
			error = set_log_level(command, optarg);
			break;
		case CHECK:
			error = set_check(command, optarg);
			break;
		case LIST_METRICS:
			return list_metrics() == EXIT_SUCCESS ? 0 : -EIO;
		case VERSION:
			puts("dropscoped " DROPSCOPE_VERSION);
			return 0;
		case HELP:
			fputs(help, stdout);
			return 0;
		default: /* getopt has named it */
			fputs("Try --help.\n", stderr);
			return -EINVAL;
		}
	}
	if (!error && optind < argc) {
		log_error("\"%s\" is no option: try --help", argv[optind]);
		error = -EINVAL;
	}
	return error ? error : 1;
}

int main(int argc, char **argv)
{
	_cleanup_(manager_freep) struct manager *manager = NULL;
	struct command command = { .options.log_level = -1 };
	struct config *config;
	int error;

	log_open();
	libbpf_set_print(libbpf_log);
	memory_prepare();
	command.options.listen = command.listen;
	error = parse_options(argc, argv, &command);
	if (error <= 0)
		return error ? EXIT_USAGE : EXIT_SUCCESS;
	if (command.check)
		return check_run(&command.options, command.json);
	if (manager_load_config(&command.options, manager_complain, NULL, &config) < 0)
		return EXIT_USAGE;
	log_set_level(config->log_level);
	error = manager_new(&command.options, config, &manager);
	if (!error)
		error = manager_run(manager);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
