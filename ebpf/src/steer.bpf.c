// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/*
 * Steers frames for Tern to the AF_XDP socket of the queue they came in on, with a record in front; passes everything
 * else to the kernel. Each frame adds one to exactly one counter of its queue.
 *
 * One program serves all instances on an interface. Each has queues of its own, and what it wants is kept by queue, in
 * the values of the maps: so one lookup tells where a frame belongs, and also that it came in on the wrong queue.
 *
 * UDP checksums are not verified here: the program would have to read the whole payload. The record is not part of the
 * frame, so what lies behind it is byte for byte what the NIC delivered.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* The layouts below; steer_abi.h, generated from tern-abi, asserts each offset and declares enum steer_counter. */
struct frame_record {
	__u16 version;
	__u16 kind;
	__u16 stream;
	__u16 payload_offset;
	__u16 payload_bytes;
	__u16 queue;
	__u8 line;
	__u8 reserved[3];
	__u64 arrival_tai_ns;
	__u64 nic_ns;
};

struct subscription_key {
	__be32 group;
	__be16 port;
	__u16 padding;
};

struct subscription_value {
	__u16 stream;
	__u8 line;
	__u8 wanted;
};

struct steer_facts {
	__u16 version;
	__u16 attach_mode;
	__u16 nic_stamp;
	__u16 clock;
	__u32 interface_index;
	__u32 program_id;
	__u64 tai_minus_monotonic_ns;
	__u64 netns_inode;
};

#include "steer_abi.h"

/* By RX queue: what the instance that has it wants. */
struct subscription {
	struct subscription_value of[STEER_QUEUES];
};

struct own_address {
	__u8 wanted[STEER_QUEUES];
};

/* Whose a queue is; for the loaders alone. */
struct queue_claim {
	__u8 owner[CLAIM_BYTES];
};

struct steer_counts {
	__u64 outcomes[STEER_COUNTER_COUNT];
};

#define MAX_SUBSCRIPTIONS 4096
#define MAX_OWN_ADDRESSES 64
#define MAX_VLAN_TAGS 2

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff

struct vlan_tag {
	__be16 control;
	__be16 inner_type;
};

struct arp_ipv4 {
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u8 sender_hardware[ETH_ALEN];
	__u8 sender_protocol[4];
	__u8 target_hardware[ETH_ALEN];
	__be32 target_protocol;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SUBSCRIPTIONS);
	__type(key, struct subscription_key);
	__type(value, struct subscription);
} subscriptions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_OWN_ADDRESSES);
	__type(key, __be32);
	__type(value, struct own_address);
} own_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, STEER_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS_OF_NOBODY + 1);
	__type(key, __u32);
	__type(value, struct steer_counts);
} steer_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEER_QUEUES);
	__type(key, __u32);
	__type(value, struct queue_claim);
} queue_claims SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_facts);
} steer_facts SEC(".maps");

/* Kernels before 6.1 lack bpf_ktime_get_tai_ns; the loader clears this and the verifier drops the call. */
const volatile bool has_tai_clock = true;

/* Weak, so that the plain program loads where the kernel has no such function. */
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *timestamp) __ksym __weak;

/* What a frame for us carries, for its record. */
struct cargo {
	__u16 stream;
	__u16 payload_offset;
	__u16 payload_bytes;
	__u8 line;
};

static __always_inline void count(__u32 queue, __u32 outcome)
{
	struct steer_counts *counts;

	if (queue >= STEER_QUEUES)
		queue = COUNTERS_OF_NOBODY;
	counts = bpf_map_lookup_elem(&steer_counters, &queue);
	if (counts && outcome < STEER_COUNTER_COUNT)
		counts->outcomes[outcome] += 1; /* per CPU, and XDP does not nest */
}

/* `here` for an address that the queue's instance has, `elsewhere` for another one's, `nobodys` for one that none has. */
static __always_inline __u32 classify_address(__be32 address, __u32 queue, __u32 here, __u32 elsewhere, __u32 nobodys)
{
	struct own_address *own = bpf_map_lookup_elem(&own_addresses, &address);

	if (!own)
		return nobodys;
	if (queue >= STEER_QUEUES || !own->wanted[queue])
		return elsewhere;
	return here;
}

static __always_inline __u32 classify_arp(void *at, void *end, __u32 queue)
{
	struct arp_ipv4 *arp = at;

	if ((void *)(arp + 1) > end)
		return STEER_PASS_TRUNCATED;
	if (arp->hardware_type != bpf_htons(1) || arp->protocol_type != bpf_htons(ETH_P_IP) ||
	    arp->hardware_bytes != ETH_ALEN || arp->protocol_bytes != 4)
		return STEER_PASS_ARP_OTHER;
	return classify_address(arp->target_protocol, queue, STEER_REDIRECT_ARP, STEER_PASS_ARP_OTHER_QUEUE,
				STEER_PASS_ARP_OTHER);
}

static __always_inline __u32 classify_udp(struct iphdr *ip, __u32 segment_bytes, void *data, void *end, __u32 queue,
					  struct cargo *cargo)
{
	struct udphdr *udp = (void *)(ip + 1);
	struct subscription_value *wanted;
	struct subscription *subscription;
	struct subscription_key key = {};
	__u32 udp_bytes;

	if (segment_bytes < sizeof(*udp) || (void *)(udp + 1) > end)
		return STEER_PASS_TRUNCATED;
	udp_bytes = bpf_ntohs(udp->len);
	if (udp_bytes < sizeof(*udp) || udp_bytes > segment_bytes)
		return STEER_PASS_TRUNCATED;
	key.group = ip->daddr;
	key.port = udp->dest;
	subscription = bpf_map_lookup_elem(&subscriptions, &key);
	if (!subscription)
		return STEER_PASS_UNSUBSCRIBED;
	if (queue >= STEER_QUEUES)
		return STEER_PASS_OTHER_QUEUE;
	wanted = &subscription->of[queue];
	if (!wanted->wanted)
		return STEER_PASS_OTHER_QUEUE;
	cargo->stream = wanted->stream;
	cargo->line = wanted->line;
	cargo->payload_offset = (void *)(udp + 1) - data;
	cargo->payload_bytes = udp_bytes - sizeof(*udp);
	return STEER_REDIRECT_UDP;
}

static __always_inline __u32 classify_ipv4(void *at, void *data, void *end, __u32 queue, struct cargo *cargo)
{
	struct iphdr *ip = at;
	__u32 packet_bytes;

	if ((void *)(ip + 1) > end)
		return STEER_PASS_TRUNCATED;
	if (ip->version != 4 || ip->ihl != 5)
		return STEER_PASS_IP_OPTIONS;
	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		return STEER_PASS_FRAGMENT;
	/* Shorter than the frame is padding; longer is a truncated packet. */
	packet_bytes = bpf_ntohs(ip->tot_len);
	if (packet_bytes < sizeof(*ip) || packet_bytes > (__u64)(end - at))
		return STEER_PASS_TRUNCATED;
	switch (ip->protocol) {
	case IPPROTO_UDP:
		return classify_udp(ip, packet_bytes - sizeof(*ip), data, end, queue, cargo);
	case IPPROTO_TCP:
		if (packet_bytes < sizeof(*ip) + sizeof(struct tcphdr))
			return STEER_PASS_TRUNCATED;
		return classify_address(ip->daddr, queue, STEER_REDIRECT_TCP, STEER_PASS_OTHER_QUEUE,
					STEER_PASS_TCP_OTHER);
	default:
		return STEER_PASS_PROTOCOL;
	}
}

static __always_inline bool is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* The outcome of a frame on a queue, were there a socket for it; fills `cargo` for datagrams. */
static __always_inline __u32 classify(void *data, void *end, __u32 queue, struct cargo *cargo)
{
	struct ethhdr *ethernet = data;
	void *at = ethernet + 1;
	__be16 type;
	int tag;

	if (at > end)
		return STEER_PASS_TRUNCATED;
	type = ethernet->h_proto;
#pragma unroll
	for (tag = 0; tag < MAX_VLAN_TAGS; tag++) {
		struct vlan_tag *vlan = at;

		if (!is_vlan(type))
			break;
		if ((void *)(vlan + 1) > end)
			return STEER_PASS_TRUNCATED;
		type = vlan->inner_type;
		at = vlan + 1;
	}
	if (is_vlan(type))
		return STEER_PASS_VLAN_DEPTH;
	if (type == bpf_htons(ETH_P_IP))
		return classify_ipv4(at, data, end, queue, cargo);
	if (type == bpf_htons(ETH_P_ARP))
		return classify_arp(at, end, queue);
	return STEER_PASS_NOT_IP;
}

static __always_inline __u64 arrival_tai_ns(void)
{
	struct steer_facts *facts;
	__u32 zero = 0;

	if (has_tai_clock)
		return bpf_ktime_get_tai_ns();
	facts = bpf_map_lookup_elem(&steer_facts, &zero);
	return bpf_ktime_get_ns() + (facts ? facts->tai_minus_monotonic_ns : 0);
}

/* Counts `outcome` and passes the frame on. */
static __always_inline int pass(__u32 queue, __u32 outcome)
{
	count(queue, outcome);
	return XDP_PASS;
}

static __always_inline int steer(struct xdp_md *ctx, __u64 arrival_ns, __u64 nic_ns)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 outcome, queue = ctx->rx_queue_index;
	struct frame_record *record;
	struct cargo cargo = {};
	__u16 kind;

	outcome = classify(data, end, queue, &cargo);
	switch (outcome) {
	case STEER_REDIRECT_UDP:
		kind = FRAME_UDP;
		break;
	case STEER_REDIRECT_TCP:
		kind = FRAME_TCP;
		break;
	case STEER_REDIRECT_ARP:
		kind = FRAME_ARP;
		break;
	default:
		return pass(queue, outcome);
	}

	/* Before the head moves: without a socket the kernel must get the frame as it came. */
	if (!bpf_map_lookup_elem(&sockets, &queue))
		return pass(queue, STEER_PASS_NO_SOCKET);
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*record)))
		return pass(queue, STEER_PASS_NO_HEADROOM);
	record = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(record + 1) > end)
		return XDP_ABORTED; /* cannot be: the head just moved back by this much */
	record->version = STEER_VERSION;
	record->kind = kind;
	record->stream = cargo.stream;
	record->payload_offset = cargo.payload_offset;
	record->payload_bytes = cargo.payload_bytes;
	record->queue = queue;
	record->line = cargo.line;
	__builtin_memset(record->reserved, 0, sizeof(record->reserved));
	record->arrival_tai_ns = arrival_ns;
	record->nic_ns = nic_ns;

	if (bpf_redirect_map(&sockets, queue, XDP_PASS) == XDP_REDIRECT) {
		count(queue, outcome);
		return XDP_REDIRECT;
	}
	/* The socket closed since the lookup. */
	if (bpf_xdp_adjust_head(ctx, sizeof(*record)))
		return XDP_ABORTED;
	return pass(queue, STEER_PASS_NO_SOCKET);
}

SEC("xdp")
int tern_steer(struct xdp_md *ctx)
{
	return steer(ctx, arrival_tai_ns(), 0);
}

/* Loaded for one device (BPF_F_XDP_DEV_BOUND_ONLY), whose driver then answers the metadata call. */
SEC("xdp")
int tern_steer_nic(struct xdp_md *ctx)
{
	__u64 arrival_ns = arrival_tai_ns(), nic_ns = 0;

	if (bpf_xdp_metadata_rx_timestamp(ctx, &nic_ns))
		nic_ns = 0;
	return steer(ctx, arrival_ns, nic_ns);
}

char _license[] SEC("license") = "Dual MIT/GPL";
