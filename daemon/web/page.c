/* SPDX-License-Identifier: BSD-2-Clause */
#include "page.h"

/* Paths of .incbin are relative to where the compiler runs: the repository's root. */
__asm__(".section .rodata\n"
	".global page_html, page_html_size\n"
	"page_html: .incbin \"daemon/web/index.html\"\n"
	"page_html_end: .balign 8\n"
	"page_html_size: .quad page_html_end - page_html\n"
	".previous\n");
