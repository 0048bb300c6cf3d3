/* SPDX-License-Identifier: BSD-2-Clause */
#include "routes.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "../collect/stacks.h"
#include "../kernel/symbols.h"
#include "../live/filter.h"
#include "../live/parameters.h"
#include "../model/query_parameters.h"
#include "../render/folded.h"
#include "../render/json.h"
#include "../render/prometheus.h"
#include "../render/text.h"
#include "../web/page.h"

static const char json_type[] = "application/json; charset=utf-8";
static const char text_type[] = "text/plain; charset=utf-8";
static const char lines_type[] = "application/x-ndjson; charset=utf-8";

static const char no_history[] =
	"no history is kept: [history] size in the configuration is 0, and must be 1M to 16M";

static const char no_samples[] =
	"samples of stacks cannot be read: there was no memory for them when the collector was "
	"started";

enum { MAX_PATHS = 32, HOST_SIZE = HOST_NAME_MAX + 1 };

typedef int (*route_t)(struct routes *routes, const struct request *request, struct reply *reply);

static int reply_error(struct reply *reply, unsigned status, const char *message,
		       const char *parameter, const char *const *allowed, unsigned n_allowed)
{
	reply->status = status;
	reply->content_type = json_type;
	json_error(&reply->body, message, parameter, allowed, n_allowed);
	return 0;
}

/* Parameters where none are known would be ignored in silence: say so instead. */
static int refuse_parameters(const struct request *request, struct reply *reply)
{
	return reply_error(reply, 400, "this path takes no parameters", request->parameters[0].name,
			   NULL, 0);
}

static int route_page(struct routes *routes, const struct request *request, struct reply *reply)
{
	(void)routes;
	(void)request;
	reply->status = 200;
	reply->content_type = "text/html; charset=utf-8";
	buffer_bytes(&reply->body, page_html, page_html_size);
	return 0;
}

static int route_metrics(struct routes *routes, const struct request *request, struct reply *reply)
{
	enum prometheus_format format = prometheus_negotiate(request->accept);
	struct server_counters http = server_counters(routes->server);
	int error;

	for (unsigned i = 0; i < routes->n_collecting; i++) {
		struct collecting *c = &routes->collecting[i];

		if (!c->slots)
			continue;
		collecting_collect(c);
		table_sum(c->table);
		prometheus_render(&reply->body, c->table, format);
	}
	error = self_collect(routes->self, routes->collecting, routes->n_collecting,
			     symbols_available(routes->symbols), &http);
	if (error)
		return error;
	for (unsigned i = 0; i < SELF_TABLES; i++) {
		table_sum(self_tables(routes->self)[i]);
		prometheus_render(&reply->body, self_tables(routes->self)[i], format);
	}
	prometheus_finish(&reply->body, format);
	reply->status = 200;
	reply->content_type = prometheus_content_type(format);
	return 0;
}

static int reply_refused(struct reply *reply, const struct query_error *refused)
{
	return reply_error(reply, 400, refused->message, refused->parameter, refused->allowed,
			   refused->n_allowed);
}

static int take_parameters(struct query *query, const struct table *table,
			   const struct request *request, struct query_error *ret_error)
{
	int error = 0;

	for (unsigned i = 0; i < request->n_parameters && !error; i++)
		error = query_parameter(query, table, request->parameters[i].name,
					request->parameters[i].value, ret_error);
	return error;
}

/* An answer that names the machine: `host` becomes its name. */
static void begin_answer(struct reply *reply, enum query_format format, char host[static HOST_SIZE])
{
	host[0] = host[HOST_SIZE - 1] = '\0';
	gethostname(host, HOST_SIZE - 1);
	reply->status = 200;
	reply->content_type = format == FORMAT_JSON ? json_type : text_type;
}

static bool has_history(const struct collecting *c)
{
	return c->kernel->history && history_since(c->kernel->history);
}

static int answer_table(const struct table *table, const struct query *query, struct reply *reply)
{
	struct result result;
	char host[HOST_SIZE];
	int error = query_run(query, table, &result);

	if (error)
		return error;
	begin_answer(reply, query->format, host);
	if (query->format == FORMAT_JSON)
		json_render(&reply->body, table, &result, host, clock_now());
	else
		text_render(&reply->body, table, &result, host, clock_now());
	result_free(&result);
	return 0;
}

/* What the table has counted, or what it has in the window that the query asks for. */
static int answer_query(struct collecting *c, const struct query *query, struct reply *reply)
{
	_cleanup_(table_freep) struct table *window = NULL;
	uint64_t from, to;
	int error;

	collecting_collect(c);
	if (!query_window(query, &from, &to))
		return answer_table(c->table, query, reply);
	if (!has_history(c))
		return reply_error(reply, 503, no_history, query->window ? "window" : "at", NULL,
				   0);
	error = collecting_window(c, from, to, query->now, &window);
	return error ? error : answer_table(window, query, reply);
}

/* text: the path asks for it. */
static int reply_table(struct collecting *c, const struct request *request, bool text,
		       struct reply *reply)
{
	static const char *const allowed[] = { "text" };
	struct query_error refused;
	struct query query;

	if (!c->slots)
		return reply_error(reply, 503, c->reason, NULL, NULL, 0);
	query_init(&query, c->table);
	query.now = clock_now();
	if (text)
		query.format = FORMAT_TEXT;
	if (take_parameters(&query, c->table, request, &refused) < 0)
		return reply_refused(reply, &refused);
	if (text && query.format != FORMAT_TEXT)
		return reply_error(reply, 400, "this path has a format of its own", "format",
				   allowed, ARRAY_SIZE(allowed));
	return answer_query(c, &query, reply);
}

static int answer_plot(struct collecting *c, const struct request *request, struct reply *reply)
{
	char host[HOST_SIZE];
	struct query_error refused;
	struct query query;
	struct plot plot;
	int error;

	if (!c->slots)
		return reply_error(reply, 503, c->reason, NULL, NULL, 0);
	query_init_plot(&query, c->table);
	query.now = clock_now();
	error = take_parameters(&query, c->table, request, &refused);
	if (!error && !has_history(c))
		return reply_error(reply, 503, no_history, NULL, NULL, 0);
	if (!error) {
		collecting_collect(c);
		error = collecting_plot(c, &query, &plot, &refused);
	}
	if (error == -EINVAL)
		return reply_refused(reply, &refused);
	if (error)
		return error;
	begin_answer(reply, FORMAT_JSON, host);
	json_plot(&reply->body, c->table, &plot, host, clock_now());
	plot_clear(&plot);
	return 0;
}

static int reply_json(struct routes *routes, struct collecting *c, const struct request *request,
		      struct reply *reply)
{
	(void)routes;
	return reply_table(c, request, false, reply);
}

static int reply_text(struct routes *routes, struct collecting *c, const struct request *request,
		      struct reply *reply)
{
	(void)routes;
	return reply_table(c, request, true, reply);
}

static int route_history(struct routes *routes, const struct request *request, struct reply *reply)
{
	const char *names[N_COLLECTORS], *wanted = NULL;

	for (unsigned i = 0; i < request->n_parameters; i++)
		if (strcmp(request->parameters[i].name, "table") == 0 && !wanted)
			wanted = request->parameters[i].value;
	for (unsigned i = 0; i < routes->n_collecting; i++) {
		names[i] = routes->collecting[i].table->name;
		if (wanted && strcmp(wanted, names[i]) == 0)
			return answer_plot(&routes->collecting[i], request, reply);
	}
	return reply_error(reply, 400, wanted ? "no such table" : "which table is not said",
			   "table", names, routes->n_collecting);
}

static bool has_stacks(const struct collecting *c)
{
	return c->collector->samples_stacks;
}

static int reply_stacks(struct routes *routes, struct collecting *c, const struct request *request,
			struct reply *reply)
{
	_cleanup_(table_freep) struct table *window = NULL;
	char host[HOST_SIZE];
	struct query_error refused;
	struct shares shares;
	struct query query;
	uint64_t from, to;
	int error;

	(void)routes;
	if (!c->slots)
		return reply_error(reply, 503, c->reason, NULL, NULL, 0);
	if (!c->stacks)
		return reply_error(reply, 503, c->mute ? c->mute : no_samples, NULL, NULL, 0);
	query_init_stacks(&query, c->table);
	query.now = clock_now();
	if (take_parameters(&query, c->table, request, &refused) < 0)
		return reply_refused(reply, &refused);
	if (!has_history(c))
		return reply_error(reply, 503, no_history, NULL, NULL, 0);
	collecting_collect(c);
	query_window(&query, &from, &to);
	error = collecting_window(c, from, to, query.now, &window);
	if (!error)
		error = collecting_share(c, window, &query, &shares);
	if (error)
		return error;
	begin_answer(reply, query.format, host);
	if (query.format == FORMAT_JSON)
		json_shares(&reply->body, &shares, host, clock_now());
	else
		folded_render(&reply->body, &shares);
	stacks_free_shares(&shares);
	return 0;
}

/* ---- streams */

static ssize_t stream_read(void *userdata, char *to, size_t size)
{
	return subscriber_read(userdata, to, size);
}

static void stream_close(void *userdata)
{
	live_unsubscribe(userdata);
}

static void on_ready(void *userdata)
{
	server_resume(userdata);
}

static const char *const not_shown =
	"addresses of packets are shown to clients on this machine only: ask from there, or set "
	"[live] remote-addresses = yes in the configuration";

/* Who may not see addresses may not find them out by filters, either. */
static int take_live_parameters(struct live_request *live, const struct table *table,
				const struct request *request, bool addresses,
				struct query_error *ret_error)
{
	int error = 0;

	for (unsigned i = 0; i < request->n_parameters && !error; i++) {
		const struct parameter *parameter = &request->parameters[i];

		if (filter_is_address(parameter->name) && !addresses)
			return -EACCES;
		error = live_parameter(live, table, parameter->name, parameter->value, ret_error);
	}
	return error;
}

static bool has_live(const struct collecting *c)
{
	return c->collector->live != NULL;
}

static int reply_live(struct routes *routes, struct collecting *c, const struct request *request,
		      struct reply *reply)
{
	_cleanup_(freep) char *reason = NULL;
	struct subscriber *subscriber;
	struct query_error refused;
	struct live_request live;
	int error;

	if (!c->slots)
		return reply_error(reply, 503, c->reason, NULL, NULL, 0);
	if (c->mute)
		return reply_error(reply, 503, c->mute, NULL, NULL, 0);
	live_request_init(&live, c->table);
	live.local = request->local;
	error = take_live_parameters(&live, c->table, request,
				     request->local || c->kernel->config->live_remote_addresses,
				     &refused);
	if (error == -EACCES)
		return reply_error(reply, 403, not_shown, NULL, NULL, 0);
	if (error)
		return reply_refused(reply, &refused);
	reply->status = 200;
	reply->content_type = lines_type;
	if (request->head)
		return 0;
	error = live_subscribe(routes->live, c, &live, on_ready, request->connection, &subscriber,
			       &reason);
	if (error && error != -ENOMEM)
		return reply_error(reply, 503, reason ? reason : strerror(-error), NULL, NULL, 0);
	if (!error)
		reply->stream = (struct stream){ stream_read, stream_close, subscriber };
	return error;
}

/* ---- health */

static int route_healthy(struct routes *routes, const struct request *request, struct reply *reply)
{
	(void)routes;
	(void)request;
	reply->status = 200;
	reply->content_type = json_type;
	buffer_string(&reply->body, "{\"healthy\": true}\n");
	return 0;
}

/* Ready: every collector that the configuration asks for is counting. */
/* What a collector says of itself: programs and how they are attached, what is missing and why. */
static void ready_collector(struct buffer *body, const struct collecting *c)
{
	buffer_printf(body, "\n    \"%s\": {\"up\": %s", c->collector->name,
		      c->slots ? "true" : "false");
	if (c->reason) {
		buffer_string(body, ", \"reason\": ");
		json_string(body, c->reason, strlen(c->reason));
	}
	buffer_string(body, ",\n      \"programs\": [");
	for (unsigned i = 0; i < c->probe.n_programs; i++)
		buffer_printf(body, "%s{\"name\": \"%s\", \"attach\": \"%s\"}", i ? ", " : "",
			      c->probe.programs[i].name,
			      gate_attach_name(&c->probe.programs[i].gate));
	buffer_string(body, "],\n      \"missing\": [");
	for (unsigned i = 0; i < c->n_lacks; i++) {
		buffer_printf(body, "%s\n        {\"what\": \"%s\", \"why\": ", i ? "," : "",
			      c->lacks[i].what);
		json_string(body, c->lacks[i].why, strlen(c->lacks[i].why));
		buffer_char(body, '}');
	}
	buffer_string(body, "]}");
}

static int route_ready(struct routes *routes, const struct request *request, struct reply *reply)
{
	bool ready = true;

	(void)request;
	for (unsigned i = 0; i < routes->n_collecting; i++)
		ready = ready && (routes->collecting[i].slots || routes->collecting[i].disabled);
	buffer_printf(&reply->body, "{\n  \"ready\": %s,\n  \"collectors\": {",
		      ready ? "true" : "false");
	for (unsigned i = 0; i < routes->n_collecting; i++) {
		if (i > 0)
			buffer_char(&reply->body, ',');
		ready_collector(&reply->body, &routes->collecting[i]);
	}
	buffer_string(&reply->body, "\n  }\n}\n");
	reply->status = ready ? 200 : 503;
	reply->content_type = json_type;
	return 0;
}

static const struct {
	const char *path;
	route_t route;
	bool parameters; /* it takes some */
} paths[] = {
	{ "/", route_page, false },	     { "/metrics", route_metrics, false },
	{ "/history", route_history, true }, { "/-/healthy", route_healthy, false },
	{ "/-/ready", route_ready, false },
};

/* What there is of a table, behind its name. */
static const struct {
	const char *suffix;
	int (*reply)(struct routes *routes, struct collecting *c, const struct request *request,
		     struct reply *reply);
	bool (*has)(const struct collecting *c); /* NULL: every table has */
} suffixes[] = {
	{ "", reply_json, NULL },
	{ ".txt", reply_text, NULL },
	{ "/live", reply_live, has_live },
	{ "/stacks", reply_stacks, has_stacks },
};

static bool has_suffix(const struct collecting *c, unsigned i)
{
	return !suffixes[i].has || suffixes[i].has(c);
}

static int reply_unknown(const struct routes *routes, struct reply *reply)
{
	char table_paths[MAX_PATHS][64];
	const char *allowed[MAX_PATHS];
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(paths) && n < MAX_PATHS; i++)
		allowed[n++] = paths[i].path;
	for (unsigned i = 0; i < routes->n_collecting; i++) {
		for (unsigned j = 0; j < ARRAY_SIZE(suffixes) && n < MAX_PATHS; j++) {
			if (!has_suffix(&routes->collecting[i], j))
				continue;
			snprintf(table_paths[n], sizeof(table_paths[n]), "/%s%s",
				 routes->collecting[i].table->name, suffixes[j].suffix);
			allowed[n] = table_paths[n];
			n++;
		}
	}
	return reply_error(reply, 404, "no such path", "path", allowed, n);
}

int routes_handle(void *userdata, const struct request *request, struct reply *reply)
{
	struct routes *routes = userdata;

	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++)
		if (strcmp(request->path, paths[i].path) == 0)
			return request->n_parameters && !paths[i].parameters
				       ? refuse_parameters(request, reply)
				       : paths[i].route(routes, request, reply);
	for (unsigned i = 0; i < routes->n_collecting; i++) {
		struct collecting *c = &routes->collecting[i];
		size_t size = strlen(c->table->name);

		if (request->path[0] != '/' ||
		    strncmp(request->path + 1, c->table->name, size) != 0)
			continue;
		for (unsigned j = 0; j < ARRAY_SIZE(suffixes); j++)
			if (has_suffix(c, j) &&
			    strcmp(request->path + 1 + size, suffixes[j].suffix) == 0)
				return suffixes[j].reply(routes, c, request, reply);
	}
	return reply_unknown(routes, reply);
}
