/* SPDX-License-Identifier: BSD-2-Clause */
#include "complaint.h"

#include <limits.h>
#include <stdio.h>

void complain_at(complain_t complain, void *userdata, const char *path, unsigned line,
		 const char *format, va_list arguments)
{
	char message[PATH_MAX + 1024];
	int n = 0;

	if (path && line > 0)
		n = snprintf(message, sizeof(message), "%.*s:%u: ", PATH_MAX, path, line);
	else if (path)
		n = snprintf(message, sizeof(message), "%.*s: ", PATH_MAX, path);
	vsnprintf(message + n, sizeof(message) - n, format, arguments);
	complain(userdata, message);
}
