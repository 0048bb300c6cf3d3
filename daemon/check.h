/* SPDX-License-Identifier: BSD-2-Clause */
/* The preflight: what this machine lets dropscope do, and what is missing. */
#pragma once

#include <stdbool.h>

struct manager_options;

/*
 * Looks at the configuration, the kernel, the rights and the addresses, opens each collector and
 * each address for as long as that takes, and prints a report on standard output. Returns the exit
 * status: 0 everything works, 1 something does not, 2 dropscope cannot run.
 */
int check_run(const struct manager_options *options, bool json);
