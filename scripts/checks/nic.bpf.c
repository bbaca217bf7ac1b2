// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/*
 * What a NIC's flow steering does, for a veth pair: on the venue's end it says in which queue of the other end a frame comes in. Frames to
 * the MAC address or the multicast group of the second instance go to queue 1, all else to queue 0.
 */
#include <linux/bpf.h>

#define SECOND_MAC_FIRST 0x02
#define SECOND_MAC_LAST 0x04
#define ETHERNET 14

__attribute__((section("classifier"), used))
int steer(struct __sk_buff *skb)
{
	unsigned char *at = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	unsigned int queue = 0;

	if (at + ETHERNET + 20 <= end) {
		unsigned char *to = at + ETHERNET + 16;

		if (at[0] == SECOND_MAC_FIRST && at[5] == SECOND_MAC_LAST)
			queue = 1;
		/* 239.77.1.2 */
		if (at[12] == 8 && at[13] == 0 && to[0] == 239 && to[1] == 77 && to[2] == 1 && to[3] == 2)
			queue = 1;
	}
	/* As if it had come in there, which the choice of a queue to send by goes by; 0 stands for none. */
	skb->queue_mapping = queue + 1;
	return -1; /* TC_ACT_UNSPEC: on its way */
}

char _license[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
