/* SPDX-License-Identifier: BSD-2-Clause */
/* The page served at "/": index.html, as it is, in the program's read-only data. */
#pragma once

#include <stddef.h>

extern const char page_html[];
extern const size_t page_html_size;
