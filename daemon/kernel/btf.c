/* SPDX-License-Identifier: BSD-2-Clause */
#include "btf.h"

#include <bpf/btf.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "../util.h"

static const char modules_path[] = "/sys/kernel/btf";
static const char core_prefix[] = "SKB_DROP_REASON_";
static const uint32_t subsystem_mask = 0xffff0000; /* an enumerator, too */
static const uint64_t look_again_ns = 10 * 1000000000ULL;

int kernel_btf_load(struct btf **ret_btf)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return errno ? -errno : -ENOENT;
	*ret_btf = btf;
	return 0;
}

int kernel_btf_load_from(const char *path, struct btf **ret_btf)
{
	_cleanup_(kernel_btf_freep) struct btf *btf = NULL;

	if (!path)
		return kernel_btf_load(ret_btf);
	btf = btf__parse(path, NULL);
	if (!btf)
		return errno ? -errno : -EINVAL;
	/* Every kernel frees packets. */
	if (kernel_btf_tracepoint(btf, "kfree_skb") < 0)
		return -ENODATA;
	*ret_btf = TAKE_PTR(btf);
	return 0;
}

void kernel_btf_freep(struct btf **btf)
{
	btf__free(*btf);
}

int kernel_btf_tracepoint(const struct btf *btf, const char *tracepoint)
{
	char name[96];
	int id;

	snprintf(name, sizeof(name), "btf_trace_%s", tracepoint);
	id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
	return id < 0 ? -ENOENT : id;
}

int kernel_btf_arguments(const struct btf *btf, const char *tracepoint)
{
	const struct btf_type *type;
	int id = kernel_btf_tracepoint(btf, tracepoint);

	if (id < 0)
		return id;
	type = btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
	if (btf_is_ptr(type))
		type = btf__type_by_id(btf, type->type);
	/* The first parameter is the tracepoint's private data. */
	return btf_is_func_proto(type) ? (int)btf_vlen(type) - 1 : -ENOENT;
}

/* Of an enum with 32-bit values, or with 64-bit ones, of which the lower half is meant. */
static const char *enumerator_at(const struct btf *btf, const struct btf_type *type, unsigned i,
				 uint32_t *ret_value)
{
	bool wide = btf_is_enum64(type);

	*ret_value = wide ? btf_enum64(type)[i].val_lo32 : (uint32_t)btf_enum(type)[i].val;
	return btf__name_by_offset(btf, wide ? btf_enum64(type)[i].name_off
					     : btf_enum(type)[i].name_off);
}

static int find_enumerator(const struct btf *btf, const struct btf_type *type, const char *name)
{
	uint32_t value;

	for (unsigned i = 0; i < btf_vlen(type); i++)
		if (strcmp(enumerator_at(btf, type, i, &value), name) == 0)
			return (int)value;
	return -ENOENT;
}

/* Which of the two an enum is, depends on its values and on who wrote the BTF. NULL: there is none.
 * */
static const struct btf_type *find_enum(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_ENUM);

	if (id < 0)
		id = btf__find_by_name_kind(btf, name, BTF_KIND_ENUM64);
	return id < 0 ? NULL : btf__type_by_id(btf, id);
}

int kernel_btf_enumerator(const struct btf *btf, const char *enum_name, const char *name)
{
	int value = -ENOENT;

	if (enum_name) {
		const struct btf_type *type = find_enum(btf, enum_name);

		return type ? find_enumerator(btf, type, name) : -ENOENT;
	}
	for (unsigned id = 1; id < btf__type_cnt(btf) && value < 0; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (btf_is_any_enum(type))
			value = find_enumerator(btf, type, name);
	}
	return value;
}

int kernel_btf_function(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);

	return id < 0 ? -ENOENT : id;
}

int kernel_btf_parameters(const struct btf *btf, const char *name)
{
	int id = kernel_btf_function(btf, name);

	return id < 0 ? id : (int)btf_vlen(btf__type_by_id(btf, btf__type_by_id(btf, id)->type));
}

bool kernel_btf_has_function(const struct btf *btf, const char *name)
{
	return kernel_btf_function(btf, name) > 0;
}

bool kernel_btf_has_struct(const struct btf *btf, const char *name)
{
	return btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT) > 0;
}

struct reason {
	uint32_t number;
	char *name;
};

struct reasons {
	struct reason *list;
	unsigned n, capacity;
	uint64_t looked;  /* for subsystems' reasons, last */
	const char *path; /* where, if not in the kernel's own BTF */
};

static int reasons_add(struct reasons *reasons, uint32_t number, const char *name)
{
	char *copy;

	if (reasons->n == reasons->capacity) {
		unsigned capacity = reasons->capacity ? reasons->capacity * 2 : 128;
		struct reason *grown = reallocarray(reasons->list, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		reasons->list = grown;
		reasons->capacity = capacity;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	reasons->list[reasons->n++] = (struct reason){ number, copy };
	return 0;
}

static const char *reasons_find(const struct reasons *reasons, uint32_t number)
{
	for (unsigned i = 0; i < reasons->n; i++)
		if (reasons->list[i].number == number)
			return reasons->list[i].name;
	return NULL;
}

/*
 * Takes the core's values, whose upper half is 0, or those of subsystems, that have no name yet. An
 * enum has 32 or, since its mask does not fit an int, 64-bit values, depending on who wrote the
 * BTF.
 */
static int reasons_take(struct reasons *reasons, const struct btf *btf, const struct btf_type *type,
			bool core)
{
	for (unsigned i = 0; i < btf_vlen(type); i++) {
		uint32_t number;
		const char *name = enumerator_at(btf, type, i, &number);

		if ((number >> 16 == 0) != core || number == subsystem_mask ||
		    reasons_find(reasons, number))
			continue;
		if (strncmp(name, core_prefix, sizeof(core_prefix) - 1) == 0)
			name += sizeof(core_prefix) - 1;
		if (reasons_add(reasons, number, name) < 0)
			return -ENOMEM;
	}
	return 0;
}

int reasons_new(const struct btf *btf, struct reasons **ret_reasons)
{
	struct reasons *reasons = calloc(1, sizeof(*reasons));
	const struct btf_type *type = btf ? find_enum(btf, "skb_drop_reason") : NULL;
	int error = 0;

	if (!reasons)
		return -ENOMEM;
	if (type)
		error = reasons_take(reasons, btf, type, true);
	if (error) {
		reasons_free(reasons);
		return error;
	}
	*ret_reasons = reasons;
	return 0;
}

void reasons_free(struct reasons *reasons)
{
	if (!reasons)
		return;
	for (unsigned i = 0; i < reasons->n; i++)
		free(reasons->list[i].name);
	free(reasons->list);
	free(reasons);
}

void reasons_look_in(struct reasons *reasons, const char *path)
{
	reasons->path = path;
}

unsigned reasons_count(const struct reasons *reasons)
{
	return reasons->n;
}

/* A subsystem's enum is called something_drop_reason; its values carry the subsystem's number. */
static int reasons_search(struct reasons *reasons, const struct btf *btf, unsigned from)
{
	static const char ending[] = "drop_reason";

	for (unsigned id = from; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		const char *name;
		size_t size;

		if (!btf_is_any_enum(type))
			continue;
		name = btf__name_by_offset(btf, type->name_off);
		size = strlen(name);
		if (size < sizeof(ending) - 1 ||
		    strcmp(name + size - sizeof(ending) + 1, ending) != 0 ||
		    strcmp(name, "skb_drop_reason") == 0)
			continue;
		if (reasons_take(reasons, btf, type, false) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* All subsystems at once: the next unknown reason may be another one's. */
static void reasons_look(struct reasons *reasons)
{
	_cleanup_(kernel_btf_freep) struct btf *base = NULL;
	_cleanup_(closedirp) DIR *dir = opendir(modules_path);
	struct dirent *entry;

	if (kernel_btf_load_from(reasons->path, &base) < 0 ||
	    reasons_search(reasons, base, 1) < 0 || !dir)
		return;
	while ((entry = readdir(dir))) {
		_cleanup_(kernel_btf_freep) struct btf *module = NULL;
		char path[512];

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "vmlinux") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", modules_path, entry->d_name);
		module = btf__parse_split(path, base);
		if (module && reasons_search(reasons, module, btf__type_cnt(base)) < 0)
			return;
	}
}

void reasons_name(struct reasons *reasons, uint32_t reason, uint64_t now,
		  char name[static REASON_NAME_SIZE])
{
	const char *known = reasons_find(reasons, reason);
	uint32_t subsystem = reason >> 16;

	if (!known && subsystem && (!reasons->looked || now - reasons->looked >= look_again_ns)) {
		reasons->looked = now;
		reasons_look(reasons);
		known = reasons_find(reasons, reason);
	}
	if (known)
		snprintf(name, REASON_NAME_SIZE, "%s", known);
	else if (reasons->n == 0 && reason == 0)
		name[0] = '\0'; /* a kernel that gives no reasons */
	else if (subsystem)
		snprintf(name, REASON_NAME_SIZE, "subsys_%u:%u", subsystem, reason & 0xffff);
	else
		snprintf(name, REASON_NAME_SIZE, "reason_%u", reason);
}
