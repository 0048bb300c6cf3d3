// SPDX-License-Identifier: BSD-2-Clause
/*
 * shiftbtf FROM TO: writes the types of FROM under other numbers. A kernel whose BTF seems to be TO
 * refuses programs for its types, as the number of a type is what they are loaded for.
 */
#include <bpf/btf.h>
#include <stdio.h>

#include "tool.h"

int main(int argc, char **argv)
{
	struct btf *from, *to = btf__new_empty();
	const void *data;
	FILE *file;
	__u32 size;

	if (argc != 3) {
		fprintf(stderr, "usage: shiftbtf FROM TO\n");
		return 2;
	}
	from = btf__parse(argv[1], NULL);
	if (!from || !to)
		die("%s", argv[1]);
	if (btf__add_int(to, "before all others", 4, 0) < 0 || btf__add_btf(to, from) < 0)
		die("types cannot be added");
	data = btf__raw_data(to, &size);
	file = fopen(argv[2], "w");
	if (!data || !file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
		die("%s", argv[2]);
	btf__free(from);
	btf__free(to);
	return 0;
}
