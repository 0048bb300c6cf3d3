/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The requests on their way, by their identity: where an entry is found, taken and given back. An
 * array that is memory-mapped, hashed here and claimed by compare-and-swap; or, with
 * INFLIGHT_IN_HASH, the kernel's hash map, for kernels whose BPF has no compare-and-swap.
 */
#pragma once

#ifdef INFLIGHT_IN_HASH

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, struct block_inflight);
} inflight SEC(".maps");

static __always_inline struct block_inflight *inflight_find(__u64 request)
{
	return bpf_map_lookup_elem(&inflight, &request);
}

/* The request's entry: the one it has, or a new one. */
static __noinline struct block_inflight *inflight_enter(__u64 request)
{
	struct block_inflight *entry = inflight_find(request), empty = { .request = request };

	if (entry)
		return entry;
	bpf_map_update_elem(&inflight, &request, &empty, BPF_NOEXIST);
	entry = inflight_find(request);
	return entry ? entry : inflight_full();
}

static __always_inline void inflight_leave(struct block_inflight *entry)
{
	__u64 request = entry->request;

	bpf_map_delete_elem(&inflight, &request);
}

#else

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct block_inflight);
} inflight SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct block_state);
} state SEC(".maps");

static __always_inline __u32 inflight_hash(__u64 request)
{
	return request * 0x9e3779b97f4a7c15 >> 40;
}

static __always_inline struct block_inflight *inflight_at(__u32 hash)
{
	__u32 index = hash & inflight_mask;

	return bpf_map_lookup_elem(&inflight, &index);
}

static __noinline struct block_inflight *inflight_search(__u64 request)
{
	__u32 hash = inflight_hash(request);

	for (__u32 i = 0; i < BLOCK_INFLIGHT_PROBES; i++) {
		struct block_inflight *entry = inflight_at(hash + i);

		if (entry && entry->request == request)
			return entry;
	}
	return NULL;
}

static __always_inline struct block_inflight *inflight_find(__u64 request)
{
	struct block_inflight *entry = inflight_at(inflight_hash(request));

	return entry && entry->request == request ? entry : inflight_search(request);
}

static __always_inline struct block_state *block_state(void)
{
	__u32 index = 0;

	return bpf_map_lookup_elem(&state, &index);
}

static __always_inline void displaced_add(int n)
{
	struct block_state *s = block_state();

	if (s)
		__sync_fetch_and_add(&s->displaced, n);
}

static __always_inline bool none_displaced(void)
{
	volatile struct block_state *s = block_state();

	return s && s->displaced == 0;
}

/* The request's entry wherever it is, or a free one, claimed; NULL, counted, without room. */
static __noinline struct block_inflight *inflight_claim(__u64 request)
{
	struct block_inflight *entry = inflight_search(request);
	__u32 hash = inflight_hash(request);

	if (entry)
		return entry;
	for (__u32 i = 0; i < BLOCK_INFLIGHT_PROBES; i++) {
		entry = inflight_at(hash + i);
		if (!entry)
			return NULL;
		if (__sync_val_compare_and_swap(&entry->request, 0, request) != 0)
			continue;
		inflight_reset(entry, i > 0);
		if (i > 0)
			displaced_add(1);
		return entry;
	}
	return inflight_full();
}

/* The request's entry: the one it has, else a free one, reset. */
static __always_inline struct block_inflight *inflight_enter(__u64 request)
{
	struct block_inflight *entry = inflight_at(inflight_hash(request));

	if (entry && entry->request == request)
		return entry;
	if (!entry || !none_displaced() ||
	    __sync_val_compare_and_swap(&entry->request, 0, request) != 0)
		return inflight_claim(request);
	inflight_reset(entry, false);
	return entry;
}

/* Frees an entry: from the last store on it is another's. */
static __always_inline void inflight_leave(struct block_inflight *entry)
{
	if (entry->displaced)
		displaced_add(-1);
	store_release(&entry->request, 0);
}

#endif
