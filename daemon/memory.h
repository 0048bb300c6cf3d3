/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that only the start needs. */
#pragma once

/* To be called first: until memory_settle(), memory that is freed is kept for the next to allocate.
 * Each probe's loading reads all of the kernel's types, 6 MB, and lets go of them again. */
void memory_prepare(void);

/*
 * Gives back free heap, from now on at once (an answer is large and short-lived), and unmaps the
 * pages of code and constants that have been touched so far: the dynamic linker's and the
 * libraries' start-up read several megabytes of them that nothing reads again. They stay in the
 * page cache, and whichever is needed after all is mapped again by a minor fault. Mappings that
 * have been written to (relocations) are left alone.
 */
void memory_settle(void);
