// SPDX-License-Identifier: BSD-2-Clause
/*
 * openvswitch DEVICE: a new switch of the kernel's Open vSwitch with DEVICE as port 1, nobody to ask what to do
 * with a packet that no flow takes, and a flow without an action for ethertype 0x88b6. So the
 * module drops every packet: 0x88b6 for OVS_DROP_LAST_ACTION where the kernel tells, others for
 * want of a flow. It stays when the program ends.
 */
#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/openvswitch.h>
#include <net/if.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../system/tool.h"

enum { ETHERTYPE = 0x88b6, MAX_MESSAGE = 4096 };
static const char switch_name[] = "ovs0";

struct message {
	struct nlmsghdr header;
	struct genlmsghdr generic;
	char data[MAX_MESSAGE];
};

static struct nlattr *attribute(struct message *m, int type, const void *data, size_t size)
{
	struct nlattr *a = (void *)((char *)m + NLMSG_ALIGN(m->header.nlmsg_len));

	a->nla_type = (uint16_t)type;
	a->nla_len = (uint16_t)(NLA_HDRLEN + size);
	if (size)
		memcpy((char *)a + NLA_HDRLEN, data, size);
	m->header.nlmsg_len = NLMSG_ALIGN(m->header.nlmsg_len) + (uint32_t)NLA_ALIGN(a->nla_len);
	return a;
}

static void end_nested(struct message *m, struct nlattr *nest)
{
	nest->nla_type |= NLA_F_NESTED;
	nest->nla_len = (uint16_t)((char *)m + m->header.nlmsg_len - (char *)nest);
}

static void begin(struct message *m, int family, int command)
{
	memset(m, 0, sizeof(*m));
	m->header.nlmsg_type = (uint16_t)family;
	m->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	m->header.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	m->generic.cmd = (uint8_t)command;
	m->generic.version = 1;
}

/* The same for a command to a switch, 0: one that does not exist yet. */
static void begin_ovs(struct message *m, int family, int command, int version, unsigned ifindex)
{
	struct ovs_header header = { .dp_ifindex = (int)ifindex };

	begin(m, family, command);
	m->generic.version = (uint8_t)version;
	memcpy((char *)m + m->header.nlmsg_len, &header, sizeof(header));
	m->header.nlmsg_len += sizeof(header);
}

/* Sends, and reads until the acknowledgement; the answer before it, if any, is left in *answer. */
static void talk(int fd, struct message *m, struct message *answer, const char *what)
{
	if (send(fd, m, m->header.nlmsg_len, 0) < 0)
		die("%s", what);
	for (;;) {
		char buffer[2 * MAX_MESSAGE];
		ssize_t size = recv(fd, buffer, sizeof(buffer), 0);
		struct nlmsghdr *header = (void *)buffer;

		if (size < 0)
			die("%s", what);
		for (; NLMSG_OK(header, size); header = NLMSG_NEXT(header, size)) {
			if (header->nlmsg_type != NLMSG_ERROR) {
				memcpy(answer, header,
				       header->nlmsg_len < sizeof(*answer) ? header->nlmsg_len
									   : sizeof(*answer));
				continue;
			}
			errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
			if (errno)
				die("%s", what);
			return;
		}
	}
}

static int family(int fd, const char *name)
{
	struct message m, answer = { .generic.cmd = 0 };
	char *at = answer.data, *end;

	begin(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	attribute(&m, CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);
	talk(fd, &m, &answer, name);
	end = (char *)&answer + answer.header.nlmsg_len;
	while (at < end) {
		struct nlattr *a = (void *)at;

		if (a->nla_type == CTRL_ATTR_FAMILY_ID)
			return *(uint16_t *)(at + NLA_HDRLEN);
		at += NLA_ALIGN(a->nla_len);
	}
	die("%s has no number", name);
}

static void nested_key(struct message *m, int type, uint32_t port, uint16_t ethertype)
{
	struct nlattr *nest = attribute(m, type, NULL, 0);
	struct ovs_key_ethernet any = { { 0 }, { 0 } };
	uint16_t order = htons(ethertype);

	attribute(m, OVS_KEY_ATTR_IN_PORT, &port, sizeof(port));
	attribute(m, OVS_KEY_ATTR_ETHERNET, &any, sizeof(any));
	attribute(m, OVS_KEY_ATTR_ETHERTYPE, &order, sizeof(order));
	end_nested(m, nest);
}

int main(int argc, char **argv)
{
	uint32_t nobody = 0, port = 1, type = OVS_VPORT_TYPE_NETDEV;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	struct message m, ignored;
	unsigned ifindex;

	if (argc != 2) {
		fprintf(stderr, "usage: openvswitch DEVICE\n");
		return 2;
	}
	if (fd < 0)
		die("a netlink socket");
	begin_ovs(&m, family(fd, OVS_DATAPATH_FAMILY), OVS_DP_CMD_NEW, OVS_DATAPATH_VERSION, 0);
	attribute(&m, OVS_DP_ATTR_NAME, switch_name, sizeof(switch_name));
	attribute(&m, OVS_DP_ATTR_UPCALL_PID, &nobody, sizeof(nobody));
	talk(fd, &m, &ignored, "a new switch");
	ifindex = if_nametoindex(switch_name);
	begin_ovs(&m, family(fd, OVS_VPORT_FAMILY), OVS_VPORT_CMD_NEW, OVS_VPORT_VERSION, ifindex);
	attribute(&m, OVS_VPORT_ATTR_PORT_NO, &port, sizeof(port));
	attribute(&m, OVS_VPORT_ATTR_TYPE, &type, sizeof(type));
	attribute(&m, OVS_VPORT_ATTR_NAME, argv[1], strlen(argv[1]) + 1);
	attribute(&m, OVS_VPORT_ATTR_UPCALL_PID, &nobody, sizeof(nobody));
	talk(fd, &m, &ignored, "a port");
	begin_ovs(&m, family(fd, OVS_FLOW_FAMILY), OVS_FLOW_CMD_NEW, OVS_FLOW_VERSION, ifindex);
	nested_key(&m, OVS_FLOW_ATTR_KEY, port, ETHERTYPE);
	nested_key(&m, OVS_FLOW_ATTR_MASK, UINT32_MAX, UINT16_MAX);
	end_nested(&m, attribute(&m, OVS_FLOW_ATTR_ACTIONS, NULL, 0));
	talk(fd, &m, &ignored, "a flow");
	printf("port 1\n");
	return 0;
}
