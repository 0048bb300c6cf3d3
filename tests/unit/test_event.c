/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixtures.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cjson/cJSON.h>

#include "live/event.h"

struct fixture {
	struct collecting c;
	struct symbols *symbols;
	struct frames *frames;
	struct live_event event;
	void *state;
};

enum { SOCKET_STATE, TIMEOUT, OWN };

static const struct column own_columns[OWN] = {
	[SOCKET_STATE] = { .name = "socket_state" },
	[TIMEOUT] = { .name = "rto_seconds", .number = true },
};

/* Counts the events that it has described. */
static void describe(struct collecting *c, const struct live_event *event, void **state,
		     struct description *d)
{
	unsigned *described = *state ? *state : calloc(1, sizeof(*described));

	assert_non_null(c->table);
	assert_non_null(described);
	*state = described;
	++*described;
	if (event->socket_state)
		d->labels[SOCKET_STATE] = "LISTEN";
	description_printf(d, TIMEOUT, "%u.5", *described);
}

static uint64_t location(const struct slot_key *key)
{
	return key->word[0];
}

static const struct live_source source = {
	.n_values = 2,
	.columns = own_columns,
	.n_columns = OWN,
	.describe = describe,
	.location = location,
};

static const struct live_source nowhere = { .n_values = 1, .describe = describe };

static const struct collector collector = { .name = "drops", .live = &source };
static const struct collector without_location = { .name = "drops", .live = &nowhere };

static void set_address(struct live_address *address, const char *text)
{
	address->words[2] = htonl(0xffff);
	assert_int_equal(inet_pton(AF_INET, text, &address->bytes[12]), 1);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->c.collector = &collector;
	f->c.table = make_drops();
	assert_int_equal(symbols_new(&f->symbols), 0);
	assert_int_equal(frames_new(f->symbols, &f->frames), 0);
	set_address(&f->event.packet.source, "10.9.1.2");
	set_address(&f->event.packet.destination, "10.9.1.3");
	f->event.packet.ports = PORTS(40000, 80);
	f->event.length = 1514;
	f->event.pid = 4711;
	memcpy(f->event.process, "curl", 5);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	free(f->state);
	frames_free(f->frames);
	symbols_free(f->symbols);
	table_free(f->c.table);
	free(f);
	return 0;
}

#define ROW                                                                                    \
	"{\"time\":\"2026-11-21T03:12:45.678901Z\",\"symbol\":\"tcp_v4_rcv\",\"module\":\"\"," \
	"\"reason\":\"NO_SOCKET\",\"device\":\"eth0\",\"netns\":4026531840,\"offset\":\"\","

static void assert_line(struct buffer *line, const char *expected)
{
	cJSON *json;

	assert_false(line->failed);
	buffer_char(line, '\0');
	assert_string_equal(line->data, expected);
	json = cJSON_Parse(line->data);
	assert_non_null(json);
	cJSON_Delete(json);
	assert_ptr_equal(strchr(line->data, '\n'), line->data + line->size - 2);
	buffer_free(line);
}

static void assert_event(struct fixture *f, bool addresses, bool stack, const char *expected)
{
	struct event_texts texts;
	struct buffer line = { .data = NULL };

	memset(&texts, 'x', sizeof(texts));
	event_describe(&f->c, &f->event, &f->state, &texts);
	event_line(&line, &f->c, f->c.table->rows[1], NOW, &f->event, &texts, addresses,
		   stack ? f->frames : NULL);
	assert_line(&line, expected);
}

static void whole(void **state)
{
	struct fixture *f = *state;

	f->event.has_tcp = 1;
	f->event.tcp_flags = 0x12;
	f->event.seq = 4294967295;
	f->event.ack = 0;
	f->event.socket_state = 10;
	assert_event(f, true, false,
		     ROW "\"source\":\"10.9.1.2\",\"source_port\":40000,"
			 "\"destination\":\"10.9.1.3\",\"destination_port\":80,"
			 "\"tcp_flags\":\"SYN,ACK\",\"seq\":4294967295,\"ack\":0,"
			 "\"length\":1514,\"process\":\"curl\",\"pid\":4711,"
			 "\"socket_state\":\"LISTEN\",\"rto_seconds\":1.5}\n");
	/* What the collector remembers of the one before. */
	f->event.socket_state = 0;
	f->event.tcp_flags = 0;
	assert_event(f, true, false,
		     ROW "\"source\":\"10.9.1.2\",\"source_port\":40000,"
			 "\"destination\":\"10.9.1.3\",\"destination_port\":80,"
			 "\"tcp_flags\":null,\"seq\":4294967295,\"ack\":0,"
			 "\"length\":1514,\"process\":\"curl\",\"pid\":4711,"
			 "\"socket_state\":null,\"rto_seconds\":2.5}\n");
}

static void nothing_known(void **state)
{
	struct fixture *f = *state;

	f->event = (struct live_event){ .time = 1 };
	/* Neither of these is there: no process, no TCP. */
	memcpy(f->event.process, "swapper/0", 10);
	f->event.tcp_flags = 2;
	assert_event(f, true, false,
		     ROW "\"source\":null,\"source_port\":null,\"destination\":null,"
			 "\"destination_port\":null,\"tcp_flags\":null,\"seq\":null,\"ack\":null,"
			 "\"length\":0,\"process\":null,\"pid\":null,"
			 "\"socket_state\":null,\"rto_seconds\":1.5}\n");
}

/* Ports stay, and so does all else. */
static void addresses_hidden(void **state)
{
	assert_event(*state, false, false,
		     ROW "\"source_port\":40000,\"destination_port\":80,\"tcp_flags\":null,"
			 "\"seq\":null,\"ack\":null,\"length\":1514,\"process\":\"curl\","
			 "\"pid\":4711,\"socket_state\":null,\"rto_seconds\":1.5}\n");
}

/* One that is said to have 16 bytes has no NUL. */
static void process_names(void **state)
{
	static const struct {
		const char *name, *json;
	} names[] = {
		{ "", "null" },
		{ "a b", "\"a b\"" },
		{ "sixteen bytes of", "\"sixteen bytes of\"" },
		{ "\"q\\\n\t\r\x1b[2J", "\"\\\"q\\\\\\n\\t\\u000d\\u001b[2J\"" },
		{ "\xff\xc3\xa9\xc3", "\"\\ufffd\xc3\xa9\\ufffd\"" },
		{ "\xc2\x9b"
		  "31m\x7f",
		  "\"\\u009b31m\\u007f\"" },
		{ "fifteen bytes 1\xc3", "\"fifteen bytes 1\\ufffd\"" },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		char expected[1024];

		memcpy(f->event.process, names[i].name, strnlen(names[i].name, 16));
		if (strlen(names[i].name) < 16)
			f->event.process[strlen(names[i].name)] = '\0';
		snprintf(expected, sizeof(expected),
			 ROW "\"source_port\":40000,\"destination_port\":80,\"tcp_flags\":null,"
			     "\"seq\":null,\"ack\":null,\"length\":1514,\"process\":%s,"
			     "\"pid\":4711,\"socket_state\":null,\"rto_seconds\":%u.5}\n",
			 names[i].json, i + 1);
		assert_event(f, false, false, expected);
	}
}

static void flags(void **state)
{
	static const struct {
		unsigned flags;
		const char *text;
	} all[] = {
		{ 0x01, "FIN" },
		{ 0x02, "SYN" },
		{ 0x04, "RST" },
		{ 0x08, "PSH" },
		{ 0x10, "ACK" },
		{ 0x20, "URG" },
		{ 0x40, "ECE" },
		{ 0x80, "CWR" },
		{ 0x11, "FIN,ACK" },
		{ 0xc2, "SYN,ECE,CWR" },
		{ 0xff, "FIN,SYN,RST,PSH,ACK,URG,ECE,CWR" },
	};
	struct fixture *f = *state;
	struct event_texts texts;

	f->event.has_tcp = 1;
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		f->event.tcp_flags = (uint8_t)all[i].flags;
		event_describe(&f->c, &f->event, &f->state, &texts);
		assert_string_equal(texts.common.labels[4], all[i].text);
	}
}

static void largest(void **state)
{
	struct fixture *f = *state;

	memset(f->event.packet.source.bytes, 0xfd, 16);
	memset(f->event.packet.destination.bytes, 0xfe, 16);
	f->event.packet.ports = PORTS(65535, 65535);
	f->event.has_tcp = 1;
	f->event.tcp_flags = 0xff;
	f->event.seq = f->event.ack = f->event.length = f->event.pid = UINT32_MAX;
	memcpy(f->event.process, "sixteen bytes of", 16);
	assert_event(f, true, false,
		     ROW "\"source\":\"fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd\","
			 "\"source_port\":65535,"
			 "\"destination\":\"fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe\","
			 "\"destination_port\":65535,"
			 "\"tcp_flags\":\"FIN,SYN,RST,PSH,ACK,URG,ECE,CWR\","
			 "\"seq\":4294967295,\"ack\":4294967295,\"length\":4294967295,"
			 "\"process\":\"sixteen bytes of\",\"pid\":4294967295,"
			 "\"socket_state\":null,\"rto_seconds\":1.5}\n");
}

/* Addresses that no kernel names. */
static void add_stack(struct live_sum *sum)
{
	sum->n_frames = 4;
	for (unsigned i = 0; i < 4; i++)
		sum->frames[i] = 0x1000 + i;
}

#define BEFORE_STACK                                                                         \
	ROW "\"source_port\":40000,\"destination_port\":80,\"tcp_flags\":null,\"seq\":null," \
	    "\"ack\":null,\"length\":1514,\"process\":\"curl\",\"pid\":4711,"

static void stacks(void **state)
{
	struct fixture *f = *state;

	f->event.key.word[0] = 0x1002;
	assert_event(f, false, true,
		     BEFORE_STACK "\"socket_state\":null,\"rto_seconds\":1.5,\"stack\":[]}\n");
	add_stack(&f->event.sum);
	assert_event(f, false, true,
		     BEFORE_STACK "\"socket_state\":null,\"rto_seconds\":2.5,"
				  "\"stack\":[\"0x1002\",\"0x1003\"]}\n");
	f->event.key.word[0] = 0x999;
	assert_event(f, false, true,
		     BEFORE_STACK "\"socket_state\":null,\"rto_seconds\":3.5,"
				  "\"stack\":[\"0x1000\",\"0x1001\",\"0x1002\",\"0x1003\"]}\n");
	f->c.collector = &without_location;
	f->event.key.word[0] = 0x1002;
	assert_event(f, false, true,
		     BEFORE_STACK "\"stack\":[\"0x1000\",\"0x1001\",\"0x1002\",\"0x1003\"]}\n");
}

static void sums(void **state)
{
	struct fixture *f = *state;
	struct live_sum sum = { .values = { 31, UINT64_MAX, 7 } };
	const struct live_sum_key key = { .slot.word[0] = 0x1003 };
	struct buffer line = { .data = NULL };

	add_stack(&sum);
	event_sum_line(&line, &f->c, f->c.table->rows[1], NOW, SECOND, &key, &sum, NULL);
	assert_line(&line, "{\"time\":\"2026-11-21T03:12:45.678901Z\",\"interval_seconds\":1,"
			   "\"symbol\":\"tcp_v4_rcv\",\"module\":\"\",\"reason\":\"NO_SOCKET\","
			   "\"device\":\"eth0\",\"netns\":4026531840,\"offset\":\"\","
			   "\"packets\":31,\"bytes\":18446744073709551615}\n");
	event_sum_line(&line, &f->c, f->c.table->rows[0], NOW, 1500000001, &key, &sum, f->frames);
	assert_line(&line, "{\"time\":\"2026-11-21T03:12:45.678901Z\","
			   "\"interval_seconds\":1.500000001,"
			   "\"symbol\":\"__netif_receive_skb_core\",\"module\":\"\","
			   "\"reason\":\"UNHANDLED_PROTO\",\"device\":\"eth0\",\"netns\":null,"
			   "\"offset\":\"0x8a1\",\"packets\":31,\"bytes\":18446744073709551615,"
			   "\"stack\":[\"0x1003\"]}\n");
	f->c.collector = &without_location;
	event_sum_line(&line, &f->c, f->c.table->rows[1], NOW, 1, &key, &sum, NULL);
	assert_line(&line, "{\"time\":\"2026-11-21T03:12:45.678901Z\","
			   "\"interval_seconds\":0.000000001,"
			   "\"symbol\":\"tcp_v4_rcv\",\"module\":\"\",\"reason\":\"NO_SOCKET\","
			   "\"device\":\"eth0\",\"netns\":4026531840,\"offset\":\"\","
			   "\"packets\":31}\n");
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(whole), test(nothing_known), test(addresses_hidden), test(process_names),
		test(flags), test(largest),	  test(stacks),		  test(sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
