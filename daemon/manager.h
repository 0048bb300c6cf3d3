/* SPDX-License-Identifier: BSD-2-Clause */
/* The manager owns everything that lives as long as the daemon: loop, collectors, server, timer. */
#pragma once

#include "config.h"

struct manager;

/* What the command line says, over the file. Strings outlive the manager. */
struct manager_options {
	const char *config_path; /* NULL: defaults only */
	char *const *listen;	 /* instead of the file's addresses */
	unsigned n_listen;
	int log_level; /* instead of the file's; -1: the file's */
};

/* Loads the configuration that the options ask for; each fault is told. 0; -EINVAL for faults. */
int manager_load_config(const struct manager_options *options, complain_t complain,
			void *userdata, struct config **ret_config);
/* Logs a fault. */
void manager_complain(void *userdata, const char *message);

/*
 * Opens collectors and listens. Takes the configuration over in every case. What is wrong has been
 * logged. -ENOTSUP when not one collector is up.
 */
int manager_new(const struct manager_options *options, struct config *config,
		struct manager **ret_manager);
/* Runs until SIGTERM or SIGINT. 0, -errno. */
int manager_run(struct manager *manager);
void manager_free(struct manager *manager);
void manager_freep(struct manager **manager);
