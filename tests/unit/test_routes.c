/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_collector.h"

#include "exposition.h"

#include <cjson/cJSON.h>

#include "http/routes.h"
#include "kernel/symbols.h"

#define NOW 1795230765678901234ULL

/* One that counts, one that cannot be loaded, one that is turned off. */
enum { ALPHA, BETA, GAMMA, N_FAKES };

static const struct collector fakes[N_FAKES] = {
	[ALPHA] = FAKE_COLLECTOR("alpha", drops),
	[BETA] = FAKE_COLLECTOR("beta", receive),
	[GAMMA] = FAKE_COLLECTOR("gamma", block),
};

struct fixture {
	struct fake fakes[N_FAKES];
	struct collecting collecting[N_FAKES];
	struct config config;
	struct symbols *symbols;
	struct self *self;
	sd_event *event;
	struct server *server;
	struct routes routes;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->config = (struct config){ .drops = true, .receive = true, .series_budget = 100 };
	for (unsigned i = 0; i < N_FAKES; i++) {
		fake_start(&f->fakes[i]);
		if (i == BETA) {
			f->fakes[i].error = -EPERM;
			f->fakes[i].reason = "needs \"CAP_BPF\"";
		}
		assert_int_equal(collecting_open(&fakes[i], &f->fakes[i].kernel, &f->config, NOW,
						 &f->collecting[i]),
				 0);
	}
	assert_int_equal(symbols_new(&f->symbols), 0);
	assert_int_equal(self_new(&f->self), 0);
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(server_new(f->event, routes_handle, &f->routes, &f->server), 0);
	f->routes = (struct routes){ .collecting = f->collecting,
				     .n_collecting = N_FAKES,
				     .self = f->self,
				     .symbols = f->symbols,
				     .server = f->server };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	server_free(f->server);
	sd_event_unref(f->event);
	self_free(f->self);
	symbols_free(f->symbols);
	for (unsigned i = 0; i < N_FAKES; i++) {
		collecting_close(&f->collecting[i]);
		fake_stop(&f->fakes[i]);
	}
	free(f);
	return 0;
}

/* Asks with at most one parameter (name NULL: none). The body is the caller's to free. */
static void ask(struct fixture *f, const char *path, const char *name, const char *value,
		unsigned status, struct reply *reply)
{
	struct parameter parameter = { name, value };
	struct request request = {
		.path = path, .parameters = &parameter, .n_parameters = name != NULL, .accept = ""
	};

	*reply = (struct reply){ .status = 0 };
	assert_int_equal(routes_handle(&f->routes, &request, reply), 0);
	assert_false(reply->body.failed);
	if (reply->status != status)
		fail_msg("%s: %u\n%.*s", path, reply->status, (int)reply->body.size,
			 reply->body.data);
}

/* The answer, which must be JSON and say so. */
static cJSON *ask_json(struct fixture *f, const char *path, const char *name, const char *value,
		       unsigned status)
{
	struct reply reply;
	cJSON *json;

	ask(f, path, name, value, status, &reply);
	assert_string_equal(reply.content_type, "application/json; charset=utf-8");
	json = cJSON_ParseWithLength(reply.body.data, reply.body.size);
	if (!json)
		fail_msg("not JSON: %.*s", (int)reply.body.size, reply.body.data);
	assert_int_equal(reply.body.data[reply.body.size - 1], '\n');
	buffer_free(&reply.body);
	return json;
}

static const char *string_of(const cJSON *json, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

static bool lists(const cJSON *json, const char *text)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(json, "allowed"))
		if (strcmp(cJSON_GetStringValue(item), text) == 0)
			return true;
	return false;
}

static void unknown_paths(void **state)
{
	static const char *const unknown[] = {
		"/nothing", "",	   "alphas",	"/alpha",    "/alphas/",       "//alphas",
		"/Alphas",  "/-/", "/metrics/", "/metricsx", "/alphas/live/x", "/-/ready/",
	};
	static const char *const known[] = { "/",	"/metrics", "/-/healthy", "/-/ready",
					     "/alphas", "/betas",   "/gammas" };

	for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
		cJSON *json = ask_json(*state, unknown[i], NULL, NULL, 404);

		assert_string_equal(string_of(json, "error"), "no such path");
		for (unsigned j = 0; j < ARRAY_SIZE(known); j++)
			assert_true(lists(json, known[j]));
		cJSON_Delete(json);
	}
}

static void page(void **state)
{
	struct reply reply;

	ask(*state, "/", NULL, NULL, 200, &reply);
	assert_string_equal(reply.content_type, "text/html; charset=utf-8");
	assert_true(reply.body.size > 15);
	assert_int_equal(strncasecmp(reply.body.data, "<!doctype html>", 15), 0);
	buffer_free(&reply.body);
}

static void healthy(void **state)
{
	cJSON *json = ask_json(*state, "/-/healthy", NULL, NULL, 200);

	assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "healthy")));
	cJSON_Delete(json);
}

static void assert_ready(struct fixture *f, unsigned status, const char *name, bool up,
			 const char *reason)
{
	cJSON *json = ask_json(f, "/-/ready", NULL, NULL, status);
	const cJSON *all = cJSON_GetObjectItemCaseSensitive(json, "collectors");
	const cJSON *one = cJSON_GetObjectItemCaseSensitive(all, name);

	assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "ready")),
			 status == 200);
	assert_int_equal(cJSON_GetArraySize(all), N_FAKES);
	assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(one, "up")), up);
	if (reason)
		assert_string_equal(string_of(one, "reason"), reason);
	else
		assert_null(cJSON_GetObjectItemCaseSensitive(one, "reason"));
	cJSON_Delete(json);
}

static void not_ready(void **state)
{
	assert_ready(*state, 503, "alpha", true, NULL);
	assert_ready(*state, 503, "beta", false, "needs \"CAP_BPF\"");
	assert_ready(*state, 503, "gamma", false, "turned off in the configuration");
}

/* What is turned off is nothing to wait for. */
static void ready(void **state)
{
	struct fixture *f = *state;

	collecting_close(&f->collecting[BETA]);
	f->fakes[BETA].error = 0;
	assert_int_equal(collecting_open(&fakes[BETA], &f->fakes[BETA].kernel, &f->config, NOW,
					 &f->collecting[BETA]),
			 0);
	assert_ready(f, 200, "beta", true, NULL);
	assert_ready(f, 200, "gamma", false, "turned off in the configuration");
}

static void down_collectors(void **state)
{
	cJSON *json = ask_json(*state, "/betas", NULL, NULL, 503);

	assert_string_equal(string_of(json, "error"), "needs \"CAP_BPF\"");
	cJSON_Delete(json);
	json = ask_json(*state, "/gammas", "format", "text", 503);
	assert_string_equal(string_of(json, "error"), "turned off in the configuration");
	cJSON_Delete(json);
}

/* Three rows of two keys. */
static void count_some(struct fixture *f)
{
	struct slot_key detail = fake_key(7, 2);

	fake_event(&f->fakes[ALPHA], 0, 7, 100);
	fake_event(&f->fakes[ALPHA], 0, 7, 100);
	fake_event(&f->fakes[ALPHA], 1, 8, 5);
	assert_true(fake_count(&f->fakes[ALPHA].probe, 0, &detail, 1000, clock_monotonic()));
}

/* The numbers are those of the moment of asking. */
static void a_table_as_json(void **state)
{
	struct fixture *f = *state;
	cJSON *json = ask_json(f, "/alphas", NULL, NULL, 200);
	const cJSON *row;

	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "rows")), 0);
	cJSON_Delete(json);
	count_some(f);
	json = ask_json(f, "/alphas", "second", "2", 200);
	row = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "rows"), 0);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "rows")), 1);
	assert_string_equal(string_of(row, "key"), "k7");
	assert_int_equal(cJSON_GetObjectItemCaseSensitive(row, "bytes")->valueint, 1000);
	cJSON_Delete(json);
	json = ask_json(f, "/alphas", "by", "key", 200);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "rows")), 2);
	cJSON_Delete(json);
}

static void a_table_as_text(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	count_some(f);
	ask(f, "/alphas", "format", "text", 200, &reply);
	assert_string_equal(reply.content_type, "text/plain; charset=utf-8");
	assert_non_null(memmem(reply.body.data, reply.body.size, "k7", 2));
	assert_non_null(memmem(reply.body.data, reply.body.size, "1000", 4));
	buffer_free(&reply.body);
}

static void bad_parameters(void **state)
{
	static const struct {
		const char *path, *name, *value, *allowed;
	} cases[] = {
		{ "/alphas", "colour", "red", "key" },	  { "/alphas", "colour", "red", "top" },
		{ "/alphas", "format", "xml", "json" },	  { "/alphas", "by", "colour", "key" },
		{ "/alphas", "sort", "colour", "bytes" }, { "/alphas", "top", "-1", NULL },
		{ "/-/healthy", "x", "", NULL },	  { "/-/ready", "x", "", NULL },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		cJSON *json = ask_json(*state, cases[i].path, cases[i].name, cases[i].value, 400);

		assert_string_equal(string_of(json, "parameter"), cases[i].name);
		assert_true(strlen(string_of(json, "error")) > 0);
		assert_true(!cases[i].allowed || lists(json, cases[i].allowed));
		cJSON_Delete(json);
	}
}

/* The first that is wrong is named, and the right ones before it do not help. */
static void several_parameters(void **state)
{
	struct fixture *f = *state;
	struct parameter parameters[] = { { "key", "k7" }, { "by", "key" }, { "top", "x" } };
	struct request request = { .path = "/alphas", .parameters = parameters, .accept = "" };
	struct reply reply = {};
	cJSON *json;

	count_some(f);
	request.n_parameters = 3;
	assert_int_equal(routes_handle(&f->routes, &request, &reply), 0);
	assert_int_equal(reply.status, 400);
	json = cJSON_ParseWithLength(reply.body.data, reply.body.size);
	assert_string_equal(string_of(json, "parameter"), "top");
	cJSON_Delete(json);
	buffer_free(&reply.body);
	request.n_parameters = 2;
	reply = (struct reply){};
	assert_int_equal(routes_handle(&f->routes, &request, &reply), 0);
	assert_int_equal(reply.status, 200);
	json = cJSON_ParseWithLength(reply.body.data, reply.body.size);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "rows")), 1);
	cJSON_Delete(json);
	buffer_free(&reply.body);
}

static void scrape(struct fixture *f, const char *accept, struct reply *reply)
{
	struct request request = { .path = "/metrics", .accept = accept };

	*reply = (struct reply){};
	assert_int_equal(routes_handle(&f->routes, &request, reply), 0);
	assert_int_equal(reply->status, 200);
	assert_false(reply->body.failed);
}

static void assert_line(const struct reply *reply, const char *line)
{
	if (!memmem(reply->body.data, reply->body.size, line, strlen(line)))
		fail_msg("\"%s\" is not in:\n%.*s", line, (int)reply->body.size, reply->body.data);
}

static void assert_no_line(const struct reply *reply, const char *line)
{
	if (memmem(reply->body.data, reply->body.size, line, strlen(line)))
		fail_msg("\"%s\" is in the answer", line);
}

static void metrics(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	count_some(f);
	fake_writer(&f->fakes[ALPHA].probe, 0)->map_full = 5;
	scrape(f, "", &reply);
	assert_string_equal(reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
	assert_exposition(&reply.body, false);
	assert_line(&reply, "\ndropscope_fake_packets_total{key=\"k7\"} 3\n");
	assert_line(&reply, "\ndropscope_fake_packets_total{key=\"other\"} 0\n");
	assert_line(&reply, "\ndropscope_fake_bytes_total{key=\"k8\"} 5\n");
	assert_line(&reply, "\ndropscope_collector_up{collector=\"alpha\"} 1\n");
	assert_line(&reply, "\ndropscope_collector_up{collector=\"beta\"} 0\n");
	/* What is off is not down. */
	assert_no_line(&reply, "\ndropscope_collector_up{collector=\"gamma\"}");
	assert_line(&reply, "\ndropscope_events_lost_total{collector=\"alpha\",cause=\"map_full\"} "
			    "5\n");
	/* What can be lost is there before it is lost, also of what is down. */
	assert_line(&reply, "{collector=\"alpha\",cause=\"nested\"} 0\n");
	assert_line(&reply, "{collector=\"beta\",cause=\"unmatched\"} 0\n");
	assert_line(&reply, "\ndropscope_collector_rows{collector=\"alpha\"} 3\n");
	assert_line(&reply, "\ndropscope_collector_series{collector=\"alpha\"} 2\n");
	assert_line(&reply, "\ndropscope_build_info{version=\"");
	assert_line(&reply, "\nprocess_open_fds ");
	buffer_free(&reply.body);
	/* Once more: the tables of the daemon itself are filled anew, not a second time. */
	fake_event(&f->fakes[ALPHA], 0, 7, 100);
	scrape(f, "", &reply);
	assert_exposition(&reply.body, false);
	assert_line(&reply, "\ndropscope_fake_packets_total{key=\"k7\"} 4\n");
	buffer_free(&reply.body);
}

static void metrics_as_openmetrics(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	count_some(f);
	scrape(f, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", &reply);
	assert_string_equal(reply.content_type,
			    "application/openmetrics-text; version=1.0.0; charset=utf-8");
	assert_exposition(&reply.body, true);
	assert_line(&reply, "\ndropscope_fake_packets_total{key=\"k7\"} 3\n");
	buffer_free(&reply.body);
}

static void metrics_for_promtool(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	count_some(f);
	scrape(f, "", &reply);
	assert_promtool(&reply.body);
	buffer_free(&reply.body);
}

/* What has ended is still accounted for. */
static void metrics_of_what_has_ended(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	count_some(f);
	scrape(f, "", &reply);
	buffer_free(&reply.body);
	collecting_retire(&f->collecting[ALPHA], 0);
	scrape(f, "", &reply);
	assert_exposition(&reply.body, false);
	assert_null(memmem(reply.body.data, reply.body.size, "k7", 2));
	assert_line(&reply, "\ndropscope_retired_total{collector=\"alpha\",counter=\"packets\"} "
			    "4\n");
	assert_line(&reply, "\ndropscope_retired_total{collector=\"alpha\",counter=\"bytes\"} "
			    "1205\n");
	buffer_free(&reply.body);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(unknown_paths),
		test(page),
		test(healthy),
		test(not_ready),
		test(ready),
		test(down_collectors),
		test(a_table_as_json),
		test(a_table_as_text),
		test(bad_parameters),
		test(several_parameters),
		test(metrics),
		test(metrics_as_openmetrics),
		test(metrics_for_promtool),
		test(metrics_of_what_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
