/* SPDX-License-Identifier: BSD-2-Clause */
/* The hints that the program comes with, a site's own, and which of them fits best. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <cmocka.h>

#include "kernel/btf.h"
#include "kernel/hints.h"
#include "util.h"

enum { MAX_COMPLAINTS = 32 };

/* What hints_load() said, the directory's name taken off. */
struct complaints {
	char text[MAX_COMPLAINTS][1024];
	unsigned n;
	size_t skip;
};

static void note(void *userdata, const char *message)
{
	struct complaints *complaints = userdata;
	bool site = message[0] == '/' && strlen(message) > complaints->skip;

	assert_true(complaints->n < MAX_COMPLAINTS);
	snprintf(complaints->text[complaints->n++], sizeof(complaints->text[0]), "%s",
		 message + (site ? complaints->skip : 0));
}

struct site {
	char directory[256];
	struct complaints complaints;
};

static void site_make(struct site *site)
{
	const char *parent = getenv("TMPDIR");

	snprintf(site->directory, sizeof(site->directory), "%s/test_hints.XXXXXX",
		 parent ? parent : "/tmp");
	assert_non_null(mkdtemp(site->directory));
	site->complaints.n = 0;
	site->complaints.skip = strlen(site->directory) + 1;
}

static void site_write(const struct site *site, const char *name, const char *bytes, size_t size)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", site->directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void site_remove(const struct site *site)
{
	DIR *dir = opendir(site->directory);
	struct dirent *entry;
	char path[512];

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", site->directory, entry->d_name);
		unlink(path);
	}
	closedir(dir);
	assert_int_equal(rmdir(site->directory), 0);
}

static struct hints *load_good(struct site *site)
{
	struct hints *hints = NULL;
	int error = hints_load(site ? site->directory : NULL, note,
			       site ? &site->complaints : &(struct complaints){}, &hints);

	for (unsigned i = 0; site && i < site->complaints.n; i++)
		print_error("unexpected: %s\n", site->complaints.text[i]);
	assert_int_equal(error, 0);
	return hints;
}

/* One file, good. */
static struct hints *load_text(const char *text)
{
	struct hints *hints;
	struct site site;

	site_make(&site);
	site_write(&site, "a.conf", text, strlen(text));
	hints = load_good(&site);
	site_remove(&site);
	return hints;
}

/* One file, bad: its complaints are `expected`, in this order. */
static void assert_bad(const char *bytes, size_t size, const char *const *expected)
{
	struct hints *untouched = (struct hints *)&untouched, *hints = untouched;
	struct site site;
	unsigned i;

	site_make(&site);
	site_write(&site, "a.conf", bytes, size);
	assert_int_equal(hints_load(site.directory, note, &site.complaints, &hints), -EINVAL);
	assert_ptr_equal(hints, untouched);
	for (i = 0; i < site.complaints.n && expected[i]; i++)
		assert_string_equal(site.complaints.text[i], expected[i]);
	if (i < site.complaints.n)
		fail_msg("unexpected: %s", site.complaints.text[i]);
	if (expected[i])
		fail_msg("missing: %s", expected[i]);
	site_remove(&site);
}

#define BAD(text, ...) assert_bad(text, strlen(text), (const char *const[]){ __VA_ARGS__, NULL })

static void assert_found(const struct hints *hints, const char *symbol, const char *reason,
			 const char *protocol, const char *class, const char *meaning,
			 const char *check)
{
	struct explanation found;

	hints_find(hints, symbol, reason, protocol, &found);
	assert_string_equal(found.class, class);
	if (meaning)
		assert_string_equal(found.meaning, meaning);
	if (check)
		assert_string_equal(found.check, check);
}

#define CLASS(hints, symbol, reason, protocol, class) \
	assert_found(hints, symbol, reason, protocol, class, NULL, NULL)

/* ---- the program's own */

static void shipped_causes(void **state)
{
	struct hints *hints = load_good(NULL);

	(void)state;
	CLASS(hints, "__netif_receive_skb_core", "UNHANDLED_PROTO", "stp", "benign");
	CLASS(hints, "__netif_receive_skb_core", "UNHANDLED_PROTO", "lldp", "benign");
	CLASS(hints, "__netif_receive_skb_core", "UNHANDLED_PROTO", "0x88b5", "protocol");
	CLASS(hints, "llc_rcv", "NOT_SPECIFIED", "stp", "benign");
	CLASS(hints, "stp_pdu_rcv", "NOT_SPECIFIED", "stp", "benign");
	CLASS(hints, "llc_rcv", "NOT_SPECIFIED", "ipv4", "protocol");
	CLASS(hints, "skb_release_data", "NETFILTER_DROP", "tcp", "benign");
	CLASS(hints, "tcp_v4_rcv", "NO_SOCKET", "tcp", "protocol");
	CLASS(hints, "nft_do_chain", "NETFILTER_DROP", "udp", "policy");
	CLASS(hints, "udp_queue_rcv_one_skb", "SOCKET_RCVBUFF", "udp", "resource");
	CLASS(hints, "tcp_conn_request", "TCP_LISTEN_OVERFLOW", "tcp", "resource");
	CLASS(hints, "ip_rcv_finish_core", "IP_RPFILTER", "udp", "routing");
	CLASS(hints, "ip_forward", "IP_INHDR", "udp", "routing");
	CLASS(hints, "ip_rcv_core", "IP_INHDR", "udp", "malformed");
	CLASS(hints, "icmp_rcv", "ICMP_CSUM", "icmp", "malformed");
	CLASS(hints, "__dev_xmit_skb", "QDISC_DROP", "udp", "resource");
	CLASS(hints, "ip6_mc_input", "NOT_SPECIFIED", "icmpv6", "benign");
	CLASS(hints, "nobody_knows", "NOT_SPECIFIED", "udp", "unknown");
	CLASS(hints, "nobody_knows", "NEVER_HEARD_OF", "udp", "unknown");
	CLASS(hints, "nobody_knows", "subsys_4:7", "none", "unknown");
	CLASS(hints, "0xffffffff81234567", "RX_DROP_U_SHORT_GMAC", "none", "malformed");
	CLASS(hints, "ieee80211_rx_handlers", "___RX_DROP_U_DUP", "none", "benign");
	hints_free(hints);
}

/* A kernel that gives no reasons: the symbols do. */
static void without_reasons(void **state)
{
	struct hints *hints = load_good(NULL);

	(void)state;
	CLASS(hints, "__netif_receive_skb_core", "", "stp", "benign");
	CLASS(hints, "tcp_v4_rcv", "", "tcp", "protocol");
	CLASS(hints, "nf_hook_slow", "", "tcp", "policy");
	CLASS(hints, "unix_stream_connect", "", "none", "protocol");
	CLASS(hints, "xennet_start_xmit", "", "tcp", "resource");
	CLASS(hints, "skb_queue_purge", "", "tcp", "benign");
	CLASS(hints, "skb_queue_purge_reason", "", "tcp", "benign");
	CLASS(hints, "__udp_enqueue_schedule_skb", "", "udp", "resource");
	CLASS(hints, "neigh_resolve_output", "", "udp", "routing");
	CLASS(hints, "net_tx_action", "", "udp", "unknown");
	hints_free(hints);
}

/* Has it a hint of its own, in words, and not only that for what nobody knows? */
static bool is_explained(const struct hints *hints, const char *reason)
{
	struct explanation found, fallback;

	hints_find(hints, "", reason, "", &found);
	hints_find(hints, "", "NEVER_HEARD_OF", "", &fallback);
	return *found.meaning && *found.check && strcmp(found.meaning, fallback.meaning) != 0;
}

static void kernel_btf_freepp(struct btf **btf)
{
	kernel_btf_freep(btf);
}

/* Every reason that the running kernel can give. */
static void running_kernel(void **state)
{
	static const char prefix[] = "SKB_DROP_REASON_";
	_cleanup_(kernel_btf_freepp) struct btf *btf = NULL;
	struct hints *hints = load_good(NULL);
	unsigned n = 0, missing = 0;

	(void)state;
	if (kernel_btf_load(&btf) < 0) {
		hints_free(hints);
		print_message("the kernel has no BTF: skipped\n");
		skip();
	}
	for (unsigned id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		const char *name = btf__name_by_offset(btf, type->name_off);
		size_t size = strlen(name), ending = strlen("drop_reason");

		if (!btf_is_any_enum(type) || size < ending ||
		    strcmp(name + size - ending, "drop_reason") != 0)
			continue;
		for (unsigned i = 0; i < btf_vlen(type); i++) {
			const char *reason =
				btf__name_by_offset(btf, btf_is_enum64(type)
								 ? btf_enum64(type)[i].name_off
								 : btf_enum(type)[i].name_off);

			if (strncmp(reason, prefix, strlen(prefix)) == 0)
				reason += strlen(prefix);
			/* Bounds and masks: no packet is dropped for these. */
			if (strcmp(reason, "MAX") == 0 || strcmp(reason, "SUBSYS_MASK") == 0 ||
			    strstr(reason, "_DROP_MAX") || strstr(reason, "__QDISC_DROP_REASON"))
				continue;
			n++;
			if (is_explained(hints, reason))
				continue;
			print_error("config/hints.conf has no section for reason %s\n", reason);
			missing++;
		}
	}
	assert_int_equal(missing, 0);
	print_message("%u reasons\n", n);
	hints_free(hints);
}

/* What other kernels call theirs, from 5.17 to 7.2: tests/unit/reasons.txt. */
static void other_kernels(void **state)
{
	_cleanup_(fclosep) FILE *file = fopen("tests/unit/reasons.txt", "r");
	struct hints *hints = load_good(NULL);
	unsigned n = 0, missing = 0;
	char line[256];

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		n++;
		if (is_explained(hints, line))
			continue;
		print_error("config/hints.conf has no section for reason %s\n", line);
		missing++;
	}
	assert_true(n > 150);
	assert_int_equal(missing, 0);
	hints_free(hints);
}

static void order_of_classes(void **state)
{
	static const char *const expected[] = { "resource", "routing", "malformed", "protocol",
						"unknown",  "policy",  "benign",    NULL };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
		if (expected[i])
			assert_string_equal(hint_classes[i], expected[i]);
		else
			assert_null(hint_classes[i]);
}

/* ---- which fits best */

static void protocol_before_symbol_before_reason(void **state)
{
	static const char text[] = "[protocol P]\nmeaning = p\n"
				   "[symbol S]\nmeaning = s\n"
				   "[reason R]\nmeaning = r\n"
				   "[symbol S reason R]\nmeaning = s r\n"
				   "[reason R protocol P]\nmeaning = r p\n"
				   "[protocol P symbol S]\nmeaning = s p\n"
				   "[reason Q symbol S protocol P]\nmeaning = q s p\n";
	struct hints *hints = load_text(text);

	(void)state;
	assert_found(hints, "X", "R", "X", "unknown", "r", NULL);
	assert_found(hints, "S", "X", "X", "unknown", "s", NULL);
	assert_found(hints, "S", "R", "X", "unknown", "s r", NULL);
	assert_found(hints, "X", "X", "P", "unknown", "p", NULL);
	assert_found(hints, "X", "R", "P", "unknown", "r p", NULL);
	assert_found(hints, "S", "X", "P", "unknown", "s p", NULL);
	assert_found(hints, "S", "R", "P", "unknown", "s p", NULL);
	assert_found(hints, "S", "Q", "P", "unknown", "q s p", NULL);
	hints_free(hints);
}

/* Each key from the section that says it. */
static void key_by_key(void **state)
{
	static const char text[] = "[reason R]\nclass = policy\nmeaning = m\ncheck = c\n"
				   "[reason R protocol P]\nclass = benign\n"
				   "[reason R protocol P]\ncheck = other\n";
	struct hints *hints = load_text(text);

	(void)state;
	assert_found(hints, "", "R", "", "policy", "m", "c");
	assert_found(hints, "", "R", "P", "benign", "m", "other");
	hints_free(hints);
}

static void names_and_beginnings(void **state)
{
	static const char text[] = "[reason RA RB RC_*]\nmeaning = several\n"
				   "[reason RC_D]\nmeaning = whole\n"
				   "[reason R* protocol P]\nmeaning = with protocol\n";
	struct hints *hints = load_text(text);

	(void)state;
	assert_found(hints, "", "RA", "", "unknown", "several", NULL);
	assert_found(hints, "", "RB", "", "unknown", "several", NULL);
	assert_found(hints, "", "RC_", "", "unknown", "several", NULL);
	assert_found(hints, "", "RC_X", "", "unknown", "several", NULL);
	assert_found(hints, "", "RC_D", "", "unknown", "whole", NULL);
	assert_found(hints, "", "RC_D", "P", "unknown", "with protocol", NULL);
	assert_found(hints, "", "RAA", "", "unknown", NULL, NULL);
	hints_free(hints);
}

/* Files in the order of their names, all of them after the program's own. */
static void later_files_override(void **state)
{
	static const char one[] = "[reason NO_SOCKET]\nclass = benign\nmeaning = one\n";
	static const char two[] = "# two\r\n[ reason  NO_SOCKET ]\r\n  meaning=two \t\r\n"
				  "; no newline at the end\r\n[reason X]\r\nclass = policy";
	struct explanation shipped;
	struct hints *hints;
	struct site site;

	(void)state;
	hints = load_good(NULL);
	hints_find(hints, "", "NO_SOCKET", "", &shipped);
	site_make(&site);
	site_write(&site, "20.conf", two, sizeof(two) - 1);
	site_write(&site, "10.conf", one, sizeof(one) - 1);
	site_write(&site, "30.conf.bak", "nonsense", 8);
	site_write(&site, ".40.conf", "nonsense", 8);
	site_write(&site, ".conf", "nonsense", 8);
	{
		struct hints *own = load_good(&site);

		assert_found(own, "", "NO_SOCKET", "", "benign", "two", shipped.check);
		assert_found(own, "", "X", "", "policy", NULL, NULL);
		hints_free(own);
	}
	site_remove(&site);
	hints_free(hints);
}

static void no_directory(void **state)
{
	struct complaints complaints = { .n = 0 };
	struct hints *hints;

	(void)state;
	assert_int_equal(hints_load("/nowhere/at/all", note, &complaints, &hints), 0);
	assert_int_equal(complaints.n, 0);
	CLASS(hints, "", "NO_SOCKET", "", "protocol");
	hints_free(hints);
	assert_int_equal(hints_load("/dev/null", note, &complaints, &hints), -ENOTDIR);
	assert_int_equal(complaints.n, 1);
	assert_string_equal(complaints.text[0], "/dev/null: cannot be read: Not a directory");
}

/* ---- what is wrong */

/* Where the configuration is faulty, --check goes on without one. */
static void none(void **state)
{
	struct explanation found;

	(void)state;
	hints_find(NULL, "tcp_v4_rcv", "NO_SOCKET", "tcp", &found);
	assert_string_equal(found.class, "unknown");
	assert_string_equal(found.meaning, "");
	assert_string_equal(found.check, "");
}

static void wrong_headings(void **state)
{
	(void)state;
	BAD("[reason X\nclass = policy\n",
	    "a.conf:1: [reason X: not a section; allowed: [reason NAME], [symbol NAME protocol NAME] "
	    "and the like, alone on their line");
	BAD("\n[reason X] # why\n",
	    "a.conf:2: [reason X] # why: not a section; allowed: [reason NAME], [symbol NAME "
	    "protocol NAME] and the like, alone on their line");
	BAD("[]\n",
	    "a.conf:1: []: names nothing; allowed: reason, symbol, protocol, each with names "
	    "after it");
	BAD("[reason]\n", "a.conf:1: [reason]: names nothing; allowed: reason, symbol, protocol, "
			  "each with names after it");
	BAD("[reason symbol X]\n", "a.conf:1: [reason]: names nothing; allowed: reason, symbol, "
				   "protocol, each with names after it");
	BAD("[NO_SOCKET]\n", "a.conf:1: [NO_SOCKET]: unknown; allowed: reason, symbol, protocol, "
			     "each with names after it");
	BAD("[reason X symbol Y reason Z]\n",
	    "a.conf:1: [reason]: there twice; allowed: once, with several names");
	BAD("[symbol a*b]\n", "a.conf:1: [a*b]: not a name; allowed: printable ASCII, up to 63 "
			      "bytes, * at the end for any ending");
	BAD("[symbol \xc3\xa9]\n", "a.conf:1: [\xc3\xa9]: not a name; allowed: printable ASCII, up "
				   "to 63 bytes, * at the end for any ending");
}

static void wrong_keys(void **state)
{
	(void)state;
	BAD("class = policy\n", "a.conf:1: class: in no section; allowed: keys below a line that "
				"reads [reason NAME], [symbol NAME] or [protocol NAME]");
	BAD("[reason X]\nclas = policy\nseverity=1\n",
	    "a.conf:2: clas: unknown; allowed: class, meaning, check",
	    "a.conf:3: severity: unknown; allowed: class, meaning, check");
	BAD("[reason X]\nclass = harmless\n",
	    "a.conf:2: class: \"harmless\" is not a class; allowed: resource, routing, malformed, "
	    "protocol, unknown, policy, benign");
	BAD("[reason X]\nclass = policy ; why\n",
	    "a.conf:2: class: \"policy ; why\" is not a class; allowed: resource, routing, malformed, "
	    "protocol, unknown, policy, benign");
	BAD("[reason X]\nclass = policy\n[reason Y]\nclass = policy\n\nclass = benign\n",
	    "a.conf:6: class: already on line 4; allowed: once in a section");
	BAD("[reason X]\nclass\n= policy\n",
	    "a.conf:2: neither a section nor a key; allowed: [reason NAME] and the like, KEY = VALUE, "
	    "comments that begin with # or ;",
	    "a.conf:3: neither a section nor a key; allowed: [reason NAME] and the like, KEY = VALUE, "
	    "comments that begin with # or ;");
}

static void wrong_texts(void **state)
{
	static const char allowed[] =
		"not a line of text; allowed: 1 to 240 bytes of UTF-8 without "
		"control characters";
	char text[512], expected[256];

	(void)state;
	snprintf(expected, sizeof(expected), "a.conf:2: check: %s", allowed);
	BAD("[reason X]\ncheck =\n", expected);
	BAD("[reason X]\ncheck = \xff\n", expected);
	BAD("[reason X]\ncheck = a\x1b[2J\n", expected);
	snprintf(text, sizeof(text), "[reason X]\ncheck = %0241d\n", 0);
	BAD(text, expected);
	snprintf(text, sizeof(text), "[reason X]\ncheck = %0240d\n", 0);
	hints_free(load_text(text));
}

/* Every fault is told, those of all files. */
static void all_faults(void **state)
{
	struct hints *hints;
	struct site site;

	(void)state;
	site_make(&site);
	site_write(&site, "a.conf", "[x]\n", 4);
	site_write(&site, "b.conf", "y\n", 2);
	assert_int_equal(hints_load(site.directory, note, &site.complaints, &hints), -EINVAL);
	assert_int_equal(site.complaints.n, 2);
	assert_memory_equal(site.complaints.text[0], "a.conf:1: ", 10);
	assert_memory_equal(site.complaints.text[1], "b.conf:1: ", 10);
	site_remove(&site);
}

static void wrong_files(void **state)
{
	char *large = malloc(HINTS_MAX_FILE + 1);
	struct hints *hints;
	struct site site;
	char path[512];

	(void)state;
	assert_non_null(large);
	memset(large, '\n', HINTS_MAX_FILE + 1);
	assert_bad(large, HINTS_MAX_FILE + 1,
		   (const char *const[]){ "a.conf: too long; allowed: at most 131072 bytes",
					  NULL });
	assert_bad("[reason X]\nclass = policy\0\n", 28,
		   (const char *const[]){ "a.conf: holds a zero byte; allowed: lines of text",
					  NULL });
	site_make(&site);
	site_write(&site, "a.conf", large, HINTS_MAX_FILE);
	hints_free(load_good(&site));
	site_remove(&site);
	free(large);

	site_make(&site);
	snprintf(path, sizeof(path), "%s/a.conf", site.directory);
	assert_int_equal(symlink("/nowhere/at/all", path), 0);
	assert_int_equal(hints_load(site.directory, note, &site.complaints, &hints), -EINVAL);
	assert_int_equal(site.complaints.n, 1);
	assert_string_equal(site.complaints.text[0],
			    "a.conf: cannot be read: No such file or directory");
	site_remove(&site);
}

static void limits(void **state)
{
	struct hints *hints;
	struct site site;
	char name[32];

	(void)state;
	site_make(&site);
	for (unsigned i = 0; i <= HINTS_MAX_FILES; i++) {
		snprintf(name, sizeof(name), "%03u.conf", i);
		site_write(&site, name, "", 0);
	}
	assert_int_equal(hints_load(site.directory, note, &site.complaints, &hints), -EINVAL);
	assert_int_equal(site.complaints.n, 1);
	assert_string_equal(site.complaints.text[0],
			    "064.conf: one file too many; allowed: at most 64");
	site_remove(&site);
}

static void too_many_sections(void **state)
{
	size_t size = HINTS_MAX * strlen("[reason X]\n");
	char *text = malloc(size + 1);
	struct hints *hints;
	struct site site;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < HINTS_MAX; i++)
		strcpy(text + i * strlen("[reason X]\n"), "[reason X]\n");
	site_make(&site);
	site_write(&site, "a.conf", text, size);
	assert_int_equal(hints_load(site.directory, note, &site.complaints, &hints), -EINVAL);
	assert_int_equal(site.complaints.n, 1);
	assert_non_null(
		strstr(site.complaints.text[0],
		       ": one section too many; allowed: at most 2048, of all files together"));
	site_remove(&site);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shipped_causes),
		cmocka_unit_test(without_reasons),
		cmocka_unit_test(running_kernel),
		cmocka_unit_test(other_kernels),
		cmocka_unit_test(order_of_classes),
		cmocka_unit_test(protocol_before_symbol_before_reason),
		cmocka_unit_test(key_by_key),
		cmocka_unit_test(names_and_beginnings),
		cmocka_unit_test(later_files_override),
		cmocka_unit_test(no_directory),
		cmocka_unit_test(none),
		cmocka_unit_test(wrong_headings),
		cmocka_unit_test(wrong_keys),
		cmocka_unit_test(wrong_texts),
		cmocka_unit_test(all_faults),
		cmocka_unit_test(wrong_files),
		cmocka_unit_test(limits),
		cmocka_unit_test(too_many_sections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
