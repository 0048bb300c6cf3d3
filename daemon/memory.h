/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that only the start needed. */
#pragma once

/*
 * Gives back free heap, and unmaps the pages of code and constants that have been touched so far: the dynamic
 * linker's and the libraries' start-up read several megabytes of them that nothing reads again. They stay in
 * the page cache, and whichever is needed after all is mapped again by a minor fault. Mappings that
 * have been written to (relocations) are left alone.
 */
void memory_settle(void);
