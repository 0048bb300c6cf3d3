/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capabilities (capabilities(7)): few to begin with, fewer once the probes are up.
 *
 * Root is left as it is: what user 0 gives up, its next execve() has again.
 */
#pragma once

#include <stdbool.h>

/*
 * Gives up all but CAP_BPF and CAP_PERFMON, which a reload that turns a collector on needs, and,
 * if `syslog`, CAP_SYSLOG, for ever. (CAP_SYS_ADMIN stands for the first two in kernels that do not
 * know them.) What is left is not in force until privileges_use(). 0, -errno.
 */
int privileges_keep(bool syslog);
/* Puts what is left in force, or takes it out. 0, -errno. */
int privileges_use(bool on);
