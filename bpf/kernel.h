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

/* Also the kernel type through which header words are read. */
struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
} KERNEL_TYPE;

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	__u16 skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} KERNEL_TYPE;

struct sock {
	struct sock_common __sk_common;
} KERNEL_TYPE;

struct request_sock {
	struct sock_common __req_common;
	__u8 num_timeout : 7;
	__u32 timeout; /* since 5.15 */
} KERNEL_TYPE;

struct tcp_request_sock {
	__u32 snt_isn;
	__u32 rcv_nxt;
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
	char cb[48];
} KERNEL_TYPE;

/* What TCP keeps in an sk_buff's cb. */
struct tcp_skb_cb {
	__u32 seq;
	__u8 tcp_flags; /* 16 bits wide since 6.16 */
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
	__u32 snd_cwnd;
	__u32 rcv_nxt;
	__u32 srtt_us; /* eight times */
	__u32 packets_out;
	__u32 lost_out;
} KERNEL_TYPE;

struct task_struct {
	void *stack; /* where it begins */
	unsigned int flags;
} KERNEL_TYPE;

struct pt_regs {
	unsigned long orig_ax; /* a system call's number, -1 in an interrupt */
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

#ifdef __bpf__

#include <bpf/bpf_core_read.h>

/*
 * How the probes are attached is up to who compiles them (RAW_TRACEPOINT). As tp_btf their
 * arguments are pointers of a type that the verifier knows from the kernel's own BTF, and to read
 * through one is a load. As raw_tp, for kernels without that, they are numbers: every read is a
 * call, which reads 0 from a bad address, and there are no kfuncs, as not even a weak one loads
 * without that BTF.
 *
 *	PROBE("kfree_skb")	the section of a tracepoint's program
 *	GET(pointer, field)	a field
 *	GET_WORD(pointer, field)	the eight bytes that an array begins with
 *	GET_BITS(pointer, field)	a bit field
 */
#ifdef RAW_TRACEPOINT

#define PROBE(name) SEC("raw_tp/" name)
#define GET(pointer, field) BPF_CORE_READ(pointer, field)
#define GET_WORD(pointer, field)                                        \
	({                                                              \
		__u64 _word = 0;                                        \
		bpf_core_read(&_word, sizeof(_word), &(pointer)->field); \
		_word;                                                  \
	})
#define GET_BITS(pointer, field) BPF_CORE_READ_BITFIELD_PROBED(pointer, field)

#define has_rdonly_cast false
#define bpf_rdonly_cast(object, btf_id) ((void *)(object))
#define READ_ONLY(pointer) (pointer)

#else

#define PROBE(name) SEC("tp_btf/" name)
#define GET(pointer, field) ((pointer)->field)
#define GET_WORD(pointer, field) (*(const __u64 *)(pointer)->field)
#define GET_BITS(pointer, field) BPF_CORE_READ_BITFIELD(pointer, field)

/* A kfunc since 6.2 that costs no call: loads through its result are guarded, a bad address reads
 * 0. `has_rdonly_cast` says whether the kernel has it; without it, probe reads do the same. */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id)
	__attribute__((section(".ksyms"), weak));

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
#endif
