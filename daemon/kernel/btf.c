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

void kernel_btf_freep(struct btf **btf)
{
	btf__free(*btf);
}

int kernel_btf_arguments(const struct btf *btf, const char *tracepoint)
{
	char name[96];
	const struct btf_type *type;
	int id;

	snprintf(name, sizeof(name), "btf_trace_%s", tracepoint);
	id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
	if (id < 0)
		return -ENOENT;
	type = btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
	if (btf_is_ptr(type))
		type = btf__type_by_id(btf, type->type);
	/* The first parameter is the tracepoint's private data. */
	return btf_is_func_proto(type) ? (int)btf_vlen(type) - 1 : -ENOENT;
}

static int find_enumerator(const struct btf *btf, const struct btf_type *type, const char *name)
{
	const struct btf_enum *value = btf_enum(type);

	for (unsigned i = 0; i < btf_vlen(type); i++, value++)
		if (strcmp(btf__name_by_offset(btf, value->name_off), name) == 0)
			return value->val;
	return -ENOENT;
}

int kernel_btf_enumerator(const struct btf *btf, const char *enum_name, const char *name)
{
	int value = -ENOENT;

	if (enum_name) {
		int id = btf__find_by_name_kind(btf, enum_name, BTF_KIND_ENUM);

		return id < 0 ? -ENOENT : find_enumerator(btf, btf__type_by_id(btf, id), name);
	}
	for (unsigned id = 1; id < btf__type_cnt(btf) && value < 0; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (btf_is_enum(type))
			value = find_enumerator(btf, type, name);
	}
	return value;
}

bool kernel_btf_has_function(const struct btf *btf, const char *name)
{
	return btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

struct reason {
	uint32_t number;
	char *name;
};

struct reasons {
	struct reason *list;
	unsigned n, capacity;
	uint64_t looked; /* for subsystems' reasons, last */
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
		bool wide = btf_is_enum64(type);
		uint32_t number =
			wide ? btf_enum64(type)[i].val_lo32 : (uint32_t)btf_enum(type)[i].val;
		const char *name = btf__name_by_offset(btf, wide ? btf_enum64(type)[i].name_off
								 : btf_enum(type)[i].name_off);

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
	int id, error = 0;

	if (!reasons)
		return -ENOMEM;
	id = btf ? btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM) : 0;
	if (id < 0)
		id = btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM64);
	if (id > 0)
		error = reasons_take(reasons, btf, btf__type_by_id(btf, id), true);
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

	if (kernel_btf_load(&base) < 0 || reasons_search(reasons, base, 1) < 0 || !dir)
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
