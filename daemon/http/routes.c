/* SPDX-License-Identifier: BSD-2-Clause */
#include "routes.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "../kernel/symbols.h"
#include "../model/query_parameters.h"
#include "../render/json.h"
#include "../render/prometheus.h"
#include "../render/text.h"
#include "../web/page.h"

static const char json_type[] = "application/json; charset=utf-8";
static const char text_type[] = "text/plain; charset=utf-8";

enum { MAX_PATHS = 32 };

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

static int answer_table(struct collecting *c, const struct query *query, struct reply *reply)
{
	struct result result;
	char host[HOST_NAME_MAX + 1] = "";
	int error;

	collecting_collect(c);
	error = query_run(query, c->table, &result);
	if (error)
		return error;
	gethostname(host, sizeof(host) - 1);
	reply->status = 200;
	reply->content_type = query->format == FORMAT_JSON ? json_type : text_type;
	if (query->format == FORMAT_JSON)
		json_render(&reply->body, c->table, &result, host, clock_now());
	else
		text_render(&reply->body, c->table, &result, host, clock_now());
	result_free(&result);
	return 0;
}

static int reply_table(struct collecting *c, const struct request *request, struct reply *reply)
{
	struct query_error refused;
	struct query query;

	if (!c->slots)
		return reply_error(reply, 503, c->reason, NULL, NULL, 0);
	query_init(&query, c->table);
	for (unsigned i = 0; i < request->n_parameters; i++) {
		const struct parameter *parameter = &request->parameters[i];

		if (query_parameter(&query, c->table, parameter->name, parameter->value, &refused) <
		    0)
			return reply_error(reply, 400, refused.message, refused.parameter,
					   refused.allowed, refused.n_allowed);
	}
	return answer_table(c, &query, reply);
}

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
static int route_ready(struct routes *routes, const struct request *request, struct reply *reply)
{
	bool ready = true;

	(void)request;
	for (unsigned i = 0; i < routes->n_collecting; i++)
		ready = ready && (routes->collecting[i].slots || routes->collecting[i].disabled);
	buffer_printf(&reply->body, "{\n  \"ready\": %s,\n  \"collectors\": {",
		      ready ? "true" : "false");
	for (unsigned i = 0; i < routes->n_collecting; i++) {
		const struct collecting *c = &routes->collecting[i];

		buffer_printf(&reply->body, "%s\n    \"%s\": {\"up\": %s", i ? "," : "",
			      c->collector->name, c->slots ? "true" : "false");
		if (c->reason) {
			buffer_string(&reply->body, ", \"reason\": ");
			json_string(&reply->body, c->reason, strlen(c->reason));
		}
		buffer_char(&reply->body, '}');
	}
	buffer_string(&reply->body, "\n  }\n}\n");
	reply->status = ready ? 200 : 503;
	reply->content_type = json_type;
	return 0;
}

static const struct {
	const char *path;
	route_t route;
} paths[] = {
	{ "/", route_page },
	{ "/metrics", route_metrics },
	{ "/-/healthy", route_healthy },
	{ "/-/ready", route_ready },
};

static int reply_unknown(const struct routes *routes, struct reply *reply)
{
	char table_paths[MAX_PATHS][64];
	const char *allowed[MAX_PATHS];
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(paths) && n < MAX_PATHS; i++)
		allowed[n++] = paths[i].path;
	for (unsigned i = 0; i < routes->n_collecting && n < MAX_PATHS; i++) {
		snprintf(table_paths[n], sizeof(table_paths[n]), "/%s",
			 routes->collecting[i].table->name);
		allowed[n] = table_paths[n];
		n++;
	}
	return reply_error(reply, 404, "no such path", "path", allowed, n);
}

int routes_handle(void *userdata, const struct request *request, struct reply *reply)
{
	struct routes *routes = userdata;

	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++)
		if (strcmp(request->path, paths[i].path) == 0)
			return request->n_parameters ? refuse_parameters(request, reply)
						     : paths[i].route(routes, request, reply);
	for (unsigned i = 0; i < routes->n_collecting; i++)
		if (request->path[0] == '/' &&
		    strcmp(request->path + 1, routes->collecting[i].table->name) == 0)
			return reply_table(&routes->collecting[i], request, reply);
	return reply_unknown(routes, reply);
}
