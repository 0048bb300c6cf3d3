/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* An address to resolve and its name, handed over through the program's global variables. */
#pragma once

#define SYMBOLS_TEXT 192 /* a symbol has at most 128 characters since 4.x, 512 since 6.1 */
