/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The kernel's types, only the fields that the probes read. Offsets are not these: CO-RE takes them
 * from the running kernel's BTF when a probe is loaded (preserve_access_index).
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#define KERNEL_TYPE __attribute__((preserve_access_index))

#define AF_INET 2
#define AF_INET6 10

struct ns_common {
	unsigned int inum;
} KERNEL_TYPE;

/* net_cookie was an atomic64_t, a struct, until 5.12. */
struct net {
	struct ns_common ns;
	__u64 net_cookie;
} KERNEL_TYPE;

typedef struct {
	struct net *net;
} KERNEL_TYPE possible_net_t;

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
} KERNEL_TYPE;

struct sock_common {
	__u16 skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
} KERNEL_TYPE;

struct sock {
	struct sock_common __sk_common;
} KERNEL_TYPE;

struct request_sock {
	struct sock_common __req_common;
	__u8 num_timeout : 7;
	__u32 timeout; /* since 5.15 */
} KERNEL_TYPE;

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	int skb_iif;
	__be16 protocol;
	__u16 network_header;
	unsigned int tail;
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
} KERNEL_TYPE;

struct skb_shared_info {
	unsigned short gso_size;
	unsigned short gso_segs;
} KERNEL_TYPE;

struct inet_connection_sock {
	__u32 icsk_rto;
	__u8 icsk_ca_state : 5; /* 6 bits wide before 5.9 */
	__u8 icsk_pending;
} KERNEL_TYPE;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 snd_wnd;
} KERNEL_TYPE;

struct gendisk {
	int major;
	int first_minor;
	char disk_name[32];
	__u64 diskseq; /* since 5.15 */
} KERNEL_TYPE;

struct request_queue {
	struct gendisk *disk; /* since 5.17; NULL for a queue without a disk */
} KERNEL_TYPE;

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int rq_flags;
	unsigned int __data_len;
	__u64 start_time_ns;
} KERNEL_TYPE;

/* Before 5.17 the disk hung off the request. */
struct request___rq_disk {
	struct gendisk *rq_disk;
} KERNEL_TYPE;

/* Its byte arrays make it the kernel type through which header bytes are read: h_dest[i] is byte i,
 * h_source[i] is byte 6 + i. */
struct ethhdr {
	unsigned char h_dest[6];
	unsigned char h_source[6];
	__be16 h_proto;
} KERNEL_TYPE;

/* A kfunc since 6.2 that costs no call: loads through its result are guarded, a bad address reads
 * 0. `has_rdonly_cast` says whether the kernel has it; without it, probe reads do the same. */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id)
	__attribute__((section(".ksyms"), weak));

#ifdef __bpf__

#include <bpf/bpf_core_read.h>

const volatile bool has_rdonly_cast = false;

/*
 * The same pointer, for reading only. From one that it trusts, kernels since 6.2 let the verifier
 * follow each pointer only after a search through all of their types, a millisecond a step and
 * state; from this one they do not.
 */
#define READ_ONLY(pointer)                                                                        \
	(has_rdonly_cast ? (typeof(pointer))bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(     \
									     typeof(*(pointer)))) \
			 : (pointer))

#endif
