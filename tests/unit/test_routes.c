/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_collector.h"

#include "exposition.h"

#include <cjson/cJSON.h>

#include "http/routes.h"
#include "kernel/symbols.h"
#include "live/live.h"

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
		"/nothing",	  "",	       "alphas",     "/alpha",	     "/alphas/",
		"//alphas",	  "/Alphas",   "/-/",	     "/metrics/",    "/metricsx",
		"/alphas/live/x", "/-/ready/", "/alphas.tx", "/alphas.txt/", "/alphas.json",
		"/metrics.txt",
	};
	static const char *const known[] = { "/",	    "/metrics", "/-/healthy", "/-/ready",
					     "/alphas",	    "/betas",	"/gammas",    "/alphas.txt",
					     "/gammas.txt", "/history" };

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

/* How programs are attached and what the kernel does not give, in /-/ready and as a metric. */
static void ready_details(void **state)
{
	struct fixture *f = *state;
	struct collecting *c = &f->collecting[0];
	const cJSON *all, *one, *programs, *missing;
	cJSON *json;

	collecting_lacks(c, "reason", "passes \"none\"");
	collecting_lacks(c, "socket", "does not pass it");
	strcpy(c->probe.programs[0].name, "alpha_probe");
	c->probe.programs[0].gate = GATE_NONE;
	c->probe.n_programs = 1;
	json = ask_json(f, "/-/ready", NULL, NULL, 503);
	all = cJSON_GetObjectItemCaseSensitive(json, "collectors");
	one = cJSON_GetObjectItemCaseSensitive(all, "alpha");
	programs = cJSON_GetObjectItemCaseSensitive(one, "programs");
	missing = cJSON_GetObjectItemCaseSensitive(one, "missing");
	assert_int_equal(cJSON_GetArraySize(programs), 1);
	assert_string_equal(string_of(cJSON_GetArrayItem(programs, 0), "name"), "alpha_probe");
	assert_string_equal(string_of(cJSON_GetArrayItem(programs, 0), "attach"), "tp_btf");
	assert_int_equal(cJSON_GetArraySize(missing), 2);
	assert_string_equal(string_of(cJSON_GetArrayItem(missing, 0), "what"), "reason");
	assert_string_equal(string_of(cJSON_GetArrayItem(missing, 0), "why"), "passes \"none\"");
	assert_string_equal(string_of(cJSON_GetArrayItem(missing, 1), "what"), "socket");
	one = cJSON_GetObjectItemCaseSensitive(all, "beta");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(one, "missing")), 0);
	cJSON_Delete(json);
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

static void no_history(void **state)
{
	cJSON *json = ask_json(*state, "/alphas", "window", "60s", 503);

	assert_string_equal(string_of(json, "parameter"), "window");
	assert_non_null(strstr(string_of(json, "error"), "[history] size"));
	cJSON_Delete(json);
	json = ask_json(*state, "/history", "table", "alphas", 503);
	assert_non_null(strstr(string_of(json, "error"), "[history] size"));
	cJSON_Delete(json);
}

static void history(void **state)
{
	struct fixture *f = *state;
	struct history *past;
	const char *fault;
	cJSON *json;

	assert_int_equal(history_new(HISTORY_MIN_SIZE, -1, clock_now(), &past, &fault), 0);
	f->collecting[ALPHA].kernel->history = past;
	count_some(f);
	json = ask_json(f, "/alphas", "window", "60s", 200);
	assert_non_null(cJSON_GetObjectItemCaseSensitive(json, "history_since"));
	cJSON_Delete(json);
	json = ask_json(f, "/alphas", "window", "60", 400);
	assert_string_equal(string_of(json, "parameter"), "window");
	cJSON_Delete(json);
	json = ask_json(f, "/history", "table", "alphas", 200);
	assert_string_equal(string_of(json, "column"), "packets");
	cJSON_Delete(json);
	json = ask_json(f, "/history", NULL, NULL, 400);
	assert_true(lists(json, "alphas") && lists(json, "gammas"));
	cJSON_Delete(json);
	json = ask_json(f, "/history", "table", "deltas", 400);
	assert_true(lists(json, "alphas"));
	cJSON_Delete(json);
	json = ask_json(f, "/history", "table", "betas", 503);
	assert_string_equal(string_of(json, "error"), "needs \"CAP_BPF\"");
	cJSON_Delete(json);
	f->collecting[ALPHA].kernel->history = NULL;
	history_free(past);
}

static void a_path_that_is_text(void **state)
{
	struct reply reply;
	cJSON *json;

	count_some(*state);
	ask(*state, "/alphas.txt", "key", "k7", 200, &reply);
	assert_string_equal(reply.content_type, "text/plain; charset=utf-8");
	assert_memory_equal(reply.body.data, "alphas on ", 10);
	assert_non_null(memmem(reply.body.data, reply.body.size, "k7", 2));
	assert_null(memmem(reply.body.data, reply.body.size, "k8", 2));
	buffer_free(&reply.body);
	/* The path has said it. */
	json = ask_json(*state, "/alphas.txt", "format", "json", 400);
	assert_string_equal(string_of(json, "parameter"), "format");
	cJSON_Delete(json);
	json = ask_json(*state, "/gammas.txt", NULL, NULL, 503);
	cJSON_Delete(json);
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
	assert_line(&reply, "\ndropscope_collector_info{collector=\"beta\",attach=\"\","
			    "missing=\"everything\",why=\"needs \\\"CAP_BPF\\\"\"} 1\n");
	assert_no_line(&reply, "\ndropscope_collector_info{collector=\"gamma\"");
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

/* ---- streams and stacks */

static void describe_event(struct collecting *c, const struct live_event *event, void **state,
			   struct description *d)
{
	(void)c;
	(void)event;
	(void)state;
	(void)d;
}

static const struct live_source live_source = { .n_values = 1, .describe = describe_event };

/* The same as those without, but for their single events and stacks. */
struct listened {
	struct collector collectors[2];
	struct live *live;
};

static void listened_open(struct fixture *f, struct listened *ret_listened)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ret_listened->collectors); i++) {
		ret_listened->collectors[i] = fakes[i];
		ret_listened->collectors[i].live = &live_source;
		ret_listened->collectors[i].samples_stacks = true;
		f->collecting[i].collector = &ret_listened->collectors[i];
		f->fakes[i].kernel.config = &f->config;
		f->fakes[i].kernel.privileged = true;
	}
	assert_int_equal(live_new(f->event, &f->fakes[ALPHA].kernel, &ret_listened->live), 0);
	f->routes.live = ret_listened->live;
}

static void listened_close(struct fixture *f, struct listened *listened)
{
	for (unsigned i = 0; i < ARRAY_SIZE(listened->collectors); i++)
		f->collecting[i].collector = &fakes[i];
	live_free(listened->live);
}

/* A whole request; "body" is what it must be, without the newline at its end. */
static void assert_answer(struct fixture *f, const struct request *request, unsigned status,
			  const char *type, const char *body)
{
	struct reply reply = { .status = 0 };

	assert_int_equal(routes_handle(&f->routes, request, &reply), 0);
	assert_null(reply.stream.read);
	assert_false(reply.cacheable);
	buffer_char(&reply.body, '\0');
	assert_string_equal(reply.body.data, body);
	assert_int_equal(reply.status, status);
	assert_string_equal(reply.content_type, type);
	buffer_free(&reply.body);
}

#define JSON "application/json; charset=utf-8"
#define LINES "application/x-ndjson; charset=utf-8"

static void assert_path_listed(struct fixture *f, const char *path, bool listed)
{
	cJSON *json = ask_json(f, "/nothing", NULL, NULL, 404);

	if (lists(json, path) != listed)
		fail_msg("%s is %slisted", path, listed ? "not " : "");
	cJSON_Delete(json);
}

static void only_where_there_are(void **state)
{
	struct fixture *f = *state;
	struct listened listened;

	cJSON_Delete(ask_json(f, "/alphas/live", NULL, NULL, 404));
	cJSON_Delete(ask_json(f, "/alphas/stacks", NULL, NULL, 404));
	assert_path_listed(f, "/alphas/live", false);
	assert_path_listed(f, "/alphas/stacks", false);

	listened_open(f, &listened);
	assert_path_listed(f, "/alphas/live", true);
	assert_path_listed(f, "/betas/live", true); /* one that is down, too */
	assert_path_listed(f, "/gammas/live", false);
	assert_path_listed(f, "/alphas/stacks", true);
	assert_path_listed(f, "/betas/stacks", true);
	assert_path_listed(f, "/gammas/stacks", false);
	assert_path_listed(f, "/alphas.txt", true);
	cJSON_Delete(ask_json(f, "/gammas/live", NULL, NULL, 404));
	cJSON_Delete(ask_json(f, "/gammas/stacks", NULL, NULL, 404));
	cJSON_Delete(ask_json(f, "/alphas/live/", NULL, NULL, 404));
	cJSON_Delete(ask_json(f, "/alphas/stacks.txt", NULL, NULL, 404));
	listened_close(f, &listened);
}

static void stacks_need_a_history(void **state)
{
	struct fixture *f = *state;
	const struct parameter top = { "top", "1" }, window = { "window", "5m" };
	struct request request = { .path = "/alphas/stacks", .accept = "" };
	struct listened listened;

	listened_open(f, &listened);
	f->collecting[ALPHA].stacks = (void *)f; /* nobody looks at it */
	assert_answer(f, &request, 503, JSON,
		      "{\n  \"error\": \"no history is kept: [history] size in the configuration "
		      "is 0, and must be 1M to 16M\",\n  \"allowed\": []\n}\n");
	request.n_parameters = 1;
	request.parameters = &window;
	assert_answer(f, &request, 503, JSON,
		      "{\n  \"error\": \"no history is kept: [history] size in the configuration "
		      "is 0, and must be 1M to 16M\",\n  \"allowed\": []\n}\n");
	request.parameters = &top;
	assert_answer(f, &request, 400, JSON,
		      "{\n  \"error\": \"no such parameter\",\n  \"parameter\": \"top\",\n"
		      "  \"allowed\": [\n    \"at\",\n    \"format\",\n    \"window\",\n"
		      "    \"key\",\n    \"second\"\n  ]\n}\n");
	f->collecting[ALPHA].stacks = NULL;
	listened_close(f, &listened);
}

static void stacks_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct request request = { .path = "/alphas/stacks", .accept = "" };
	struct listened listened;

	listened_open(f, &listened);
	assert_answer(f, &request, 503, JSON,
		      "{\n  \"error\": \"samples of stacks cannot be read: there was no memory for "
		      "them when the collector was started\",\n  \"allowed\": []\n}\n");
	f->collecting[ALPHA].mute = "the kernel has no ring buffers";
	assert_answer(
		f, &request, 503, JSON,
		"{\n  \"error\": \"the kernel has no ring buffers\",\n  \"allowed\": []\n}\n");
	f->collecting[ALPHA].mute = NULL;
	request.path = "/betas/stacks";
	assert_answer(f, &request, 503, JSON,
		      "{\n  \"error\": \"needs \\\"CAP_BPF\\\"\",\n  \"allowed\": []\n}\n");
	listened_close(f, &listened);
}

static void streams_refused(void **state)
{
	struct fixture *f = *state;
	const struct parameter port = { "port", "0" }, unknown = { "top", "1" };
	struct request request = { .path = "/betas/live", .accept = "", .local = true };
	struct listened listened;

	listened_open(f, &listened);
	assert_answer(f, &request, 503, JSON,
		      "{\n  \"error\": \"needs \\\"CAP_BPF\\\"\",\n  \"allowed\": []\n}\n");
	request.path = "/alphas/live";
	request.n_parameters = 1;
	request.parameters = &port;
	assert_answer(f, &request, 400, JSON,
		      "{\n  \"error\": \"not a port: \\\"0\\\"\",\n  \"parameter\": \"port\",\n"
		      "  \"allowed\": [\n    \"1 to 65535\"\n  ]\n}\n");
	request.parameters = &unknown;
	assert_answer(f, &request, 400, JSON,
		      "{\n  \"error\": \"no such parameter\",\n  \"parameter\": \"top\",\n"
		      "  \"allowed\": [\n    \"count\",\n    \"duration\",\n    \"interval\",\n"
		      "    \"stack\",\n    \"proto\",\n    \"addr\",\n    \"saddr\",\n"
		      "    \"daddr\",\n    \"port\",\n    \"sport\",\n    \"dport\",\n"
		      "    \"key\",\n    \"second\"\n  ]\n}\n");
	listened_close(f, &listened);
}

/* What the kernel says when the first one listens. */
static void streams_that_cannot_begin(void **state)
{
	struct fixture *f = *state;
	struct request request = { .path = "/alphas/live", .accept = "", .local = true };
	struct listened listened;

	listened_open(f, &listened);
	f->fakes[ALPHA].error = -EPERM;
	f->fakes[ALPHA].reason = "the kernel \"says\" no";
	assert_answer(f, &request, 503, JSON,
		      "{\n  \"error\": \"the kernel \\\"says\\\" no\",\n  \"allowed\": []\n}\n");
	f->fakes[ALPHA].reason = NULL;
	assert_answer(f, &request, 503, JSON,
		      "{\n  \"error\": \"Operation not permitted\",\n  \"allowed\": []\n}\n");
	/* Its head alone begins nothing. */
	request.head = true;
	assert_answer(f, &request, 200, LINES, "");
	f->fakes[ALPHA].error = 0;
	listened_close(f, &listened);
}

/* From elsewhere, nobody sees addresses, or finds them out by asking for them. */
static void addresses_of_others(void **state)
{
	static const char refused[] =
		"{\n  \"error\": \"addresses of packets are shown to clients on this machine "
		"only: ask from there, or set [live] remote-addresses = yes in the "
		"configuration\",\n  \"allowed\": []\n}\n";
	static const char *const names[] = { "addr", "saddr", "daddr" };
	const struct parameter others[] = {
		{ "proto", "tcp" },
		{ "port", "80" },
		{ "key", "k*" },
		{ "stack", "1" },
	};
	struct fixture *f = *state;
	struct request request = { .path = "/alphas/live", .accept = "", .head = true };
	struct listened listened;

	listened_open(f, &listened);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const struct parameter both[] = { { "port", "80" }, { names[i], "10.0.0.1" } };
		const struct parameter bad[] = { { names[i], "x" } };

		request.parameters = both;
		request.n_parameters = ARRAY_SIZE(both);
		assert_answer(f, &request, 403, JSON, refused);
		request.local = true;
		assert_answer(f, &request, 200, LINES, "");
		request.local = false;
		f->config.live_remote_addresses = true;
		assert_answer(f, &request, 200, LINES, "");
		f->config.live_remote_addresses = false;
		/* Not even whether it is one. */
		request.parameters = bad;
		request.n_parameters = ARRAY_SIZE(bad);
		assert_answer(f, &request, 403, JSON, refused);
	}
	request.parameters = others;
	request.n_parameters = ARRAY_SIZE(others);
	assert_answer(f, &request, 200, LINES, "");
	listened_close(f, &listened);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(unknown_paths),
		test(page),
		test(healthy),
		test(not_ready),
		test(ready_details),
		test(ready),
		test(down_collectors),
		test(a_table_as_json),
		test(a_table_as_text),
		test(no_history),
		test(history),
		test(a_path_that_is_text),
		test(bad_parameters),
		test(several_parameters),
		test(metrics),
		test(metrics_as_openmetrics),
		test(metrics_for_promtool),
		test(metrics_of_what_has_ended),
		test(only_where_there_are),
		test(stacks_need_a_history),
		test(stacks_that_cannot_be),
		test(streams_refused),
		test(streams_that_cannot_begin),
		test(addresses_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
