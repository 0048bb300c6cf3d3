/* SPDX-License-Identifier: BSD-2-Clause */
#include "listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>

#include "address.h"

enum {
	LISTENER_BACKLOG = 128,
	LISTENER_BATCH = 16,	       /* connections accepted before others get their turn */
	LISTENER_PAUSE_USEC = 1000000, /* after an accept that failed for want of something */
};

struct listener {
	struct address address;
	int fd;
	dev_t device; /* of a unix socket's path, as bound here; else 0 */
	ino_t inode;
	listener_accepted_t accepted;
	void *userdata;
	sd_event_source *readable;
	sd_event_source *resume; /* enabled while `readable` is not */
};

static int fail_in_use(const struct address *address, const char *name, char **ret_reason)
{
	if (address->generic.sa_family == AF_UNIX)
		return address_fault(
			-EADDRINUSE, ret_reason,
			"%s: another process answers on this socket, perhaps another dropscoped; "
			"see who: ss -lxp 'src %s'",
			name, address->local.sun_path);
	return address_fault(
		-EADDRINUSE, ret_reason,
		"%s: the address is in use: another dropscoped may be running, and 9435 is also "
		"the default port of cloudflare/ebpf_exporter; see who has it: "
		"ss -ltnp 'sport = :%u'",
		name, address_port(address));
}

static int fail_to_bind(int error, const struct address *address, const char *name,
			char **ret_reason)
{
	unsigned port = address_port(address);

	if (error == -EADDRINUSE)
		return fail_in_use(address, name, ret_reason);
	if (error == -EADDRNOTAVAIL)
		return address_fault(error, ret_reason,
				     "%s: no interface of this machine has this address", name);
	if (error == -EACCES && port > 0 && port < 1024)
		return address_fault(error, ret_reason,
				     "%s: a port below 1024 needs CAP_NET_BIND_SERVICE", name);
	if (error == -ENOENT)
		return address_fault(error, ret_reason, "%s: there is no such directory", name);
	return address_fault(error, ret_reason, "%s: cannot listen: %s", name, strerror(-error));
}

/* Removes a unix socket that nobody serves. 0 also when there is nothing at the path. */
static int clear_path(const struct address *address, const char *name, char **ret_reason)
{
	const char *path = address->local.sun_path;
	_cleanup_(closep) int fd = -1;
	struct stat status;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : fail_to_bind(-errno, address, name, ret_reason);
	if (!S_ISSOCK(status.st_mode))
		return address_fault(
			-EEXIST, ret_reason,
			"%s: there is a file that is not a socket: remove it or choose another path",
			name);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_to_bind(-errno, address, name, ret_reason);
	/* EAGAIN is a full backlog, EPROTOTYPE a datagram socket: both have an owner. */
	if (connect(fd, &address->generic, address->size) == 0 || errno == EAGAIN ||
	    errno == EPROTOTYPE)
		return fail_in_use(address, name, ret_reason);
	if (errno != ECONNREFUSED)
		return fail_to_bind(-errno, address, name, ret_reason);
	if (unlink(path) < 0 && errno != ENOENT)
		return address_fault(-errno, ret_reason, "%s: cannot remove the stale socket: %s",
				     name, strerror(errno));
	return 0;
}

/* A socket for *address. Where the kernel has no IPv6, all addresses are all IPv4 addresses: then
 * *bound differs from *address. */
static int open_socket(const struct address *address, struct address *bound)
{
	static const int on = 1, off = 0;
	const struct in6_addr *wanted = &address->ipv6.sin6_addr;
	int family = address->generic.sa_family;
	_cleanup_(closep) int fd = -1;

	*bound = *address;
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(wanted)) {
		*bound = (struct address){
			.ipv4 = { .sin_family = AF_INET, .sin_port = address->ipv6.sin6_port },
			.size = sizeof(bound->ipv4),
		};
		family = AF_INET;
		fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0)
		return -errno;

	if (family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* The listener takes the socket over, unless this fails. */
static int listener_new(int fd, const struct address *address, struct listener **ret_listener)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return -ENOMEM;
	listener->address = *address;
	listener->fd = fd;
	*ret_listener = listener;
	return 0;
}

/* Lets this process bind an overlapping address while this listener, about to go, still serves. */
static void listener_share(struct listener *listener, bool shared)
{
	int on = shared;

	/* Sockets of one user that both say so may overlap. What fails here, bind() tells. Linux
	 * remembers it for the port: one that asks for it can join until all its sockets are gone.
	 * */
	if (address_port(&listener->address) != 0)
		(void)setsockopt(listener->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

/* A unix socket's path goes too, if it is still this listener's. */
static void listener_free(struct listener *listener)
{
	struct stat status;

	if (!listener)
		return;
	sd_event_source_unref(listener->readable);
	sd_event_source_unref(listener->resume);
	if (listener->inode != 0 && lstat(listener->address.local.sun_path, &status) == 0 &&
	    status.st_dev == listener->device && status.st_ino == listener->inode)
		unlink(listener->address.local.sun_path);
	closep(&listener->fd);
	free(listener);
}

static void listener_freep(struct listener **listener)
{
	listener_free(*listener);
}

/* Binds and listens. `name` is the address as it was written, for the reason. With `shared`, it may
 * overlap with listeners that listener_share() was called on. */
static int listener_open(const struct address *address, const char *name, bool shared,
			 struct listener **ret_listener, char **ret_reason)
{
	_cleanup_(listener_freep) struct listener *listener = NULL;
	_cleanup_(closep) int fd = -1;
	struct address bound;
	struct stat status;
	int r;

	if (address->generic.sa_family == AF_UNIX) {
		r = clear_path(address, name, ret_reason);
		if (r < 0)
			return r;
	}

	fd = open_socket(address, &bound);
	if (fd < 0)
		return fail_to_bind(fd, address, name, ret_reason);
	r = listener_new(fd, address, &listener);
	if (r < 0)
		return fail_to_bind(r, address, name, ret_reason);
	TAKE_FD(fd);

	listener_share(listener, shared);
	if (bind(listener->fd, &bound.generic, bound.size) < 0)
		return fail_to_bind(-errno, address, name, ret_reason);
	if (address->generic.sa_family == AF_UNIX && lstat(address->local.sun_path, &status) == 0) {
		listener->device = status.st_dev;
		listener->inode = status.st_ino;
	}
	if (listen(listener->fd, LISTENER_BACKLOG) < 0)
		return fail_to_bind(-errno, address, name, ret_reason);
	listener_share(listener, false);

	*ret_listener = TAKE_PTR(listener);
	return 0;
}

/* Stops accepting for a while: the socket stays readable, and the loop would spin on it. */
static void pause_accepting(struct listener *listener)
{
	uint64_t now = 0;

	(void)sd_event_now(sd_event_source_get_event(listener->resume), CLOCK_MONOTONIC, &now);
	(void)sd_event_source_set_time(listener->resume, now + LISTENER_PAUSE_USEC);
	if (sd_event_source_set_enabled(listener->resume, SD_EVENT_ONESHOT) >= 0)
		(void)sd_event_source_set_enabled(listener->readable, SD_EVENT_OFF);
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct listener *listener = userdata;

	(void)source;
	(void)usec;
	(void)sd_event_source_set_enabled(listener->readable, SD_EVENT_ON);
	return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct listener *listener = userdata;

	(void)source;
	(void)events;
	for (unsigned i = 0; i < LISTENER_BATCH; i++) {
		struct sockaddr_storage client = {};
		socklen_t size = sizeof(client);
		int connection = accept4(fd, (struct sockaddr *)&client, &size,
					 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (connection >= 0) {
			listener->accepted(listener->userdata, connection,
					   (struct sockaddr *)&client, size);
			continue;
		}
		if (errno == EAGAIN)
			break;
		/* Descriptors or memory are short. Anything else is this one connection's own
		 * trouble, see accept(2). */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			pause_accepting(listener);
			break;
		}
	}
	return 0;
}

/* Begins to accept. */
static int listener_start(struct listener *listener, sd_event *event, listener_accepted_t accepted,
			  void *userdata)
{
	int r;

	listener->accepted = accepted;
	listener->userdata = userdata;
	r = sd_event_add_time(event, &listener->resume, CLOCK_MONOTONIC, 0, 0, on_resume, listener);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(listener->resume, SD_EVENT_OFF);
	if (r < 0)
		return r;
	return sd_event_add_io(event, &listener->readable, listener->fd, EPOLLIN, on_readable,
			       listener);
}

/* One set of addresses on its way to become the set that is listened on. */
struct change {
	struct address addresses[LISTENERS_MAX];
	const char *names[LISTENERS_MAX];
	struct listener *listeners[LISTENERS_MAX];
	bool old[LISTENERS_MAX]; /* the listener was there before */
	unsigned n;
};

static struct listener *find_listener(const struct listeners *listeners,
				      const struct address *address)
{
	for (unsigned i = 0; i < listeners->n; i++)
		if (address_equal(&listeners->list[i]->address, address))
			return listeners->list[i];
	return NULL;
}

static int plan_change(const struct listeners *listeners, char *const *names, unsigned n,
		       struct change *change, char **ret_reason)
{
	for (unsigned i = 0; i < n; i++) {
		struct address address;
		bool twice = false;
		int r = address_parse(names[i], &address, ret_reason);

		if (r < 0)
			return r;
		for (unsigned j = 0; j < change->n; j++)
			twice = twice || address_equal(&change->addresses[j], &address);
		if (twice)
			continue;
		change->addresses[change->n] = address;
		change->names[change->n] = names[i];
		change->listeners[change->n] = find_listener(listeners, &address);
		change->old[change->n] = change->listeners[change->n] != NULL;
		change->n++;
	}
	return 0;
}

static bool stays(const struct change *change, const struct listener *listener)
{
	for (unsigned i = 0; i < change->n; i++)
		if (change->listeners[i] == listener)
			return true;
	return false;
}

/* Lets the listeners that go share their port for the moment, or ends that. True when one of them
 * has this port. */
static bool share_going(const struct listeners *listeners, const struct change *change,
			unsigned port, bool shared)
{
	bool found = false;

	for (unsigned i = 0; port != 0 && i < listeners->n; i++) {
		struct listener *listener = listeners->list[i];

		if (stays(change, listener) || address_port(&listener->address) != port)
			continue;
		listener_share(listener, shared);
		found = true;
	}
	return found;
}

static int open_new(const struct listeners *listeners, struct change *change, sd_event *event,
		    char **ret_reason)
{
	for (unsigned i = 0; i < change->n; i++) {
		unsigned port = address_port(&change->addresses[i]);
		bool shared;
		int r;

		if (change->old[i])
			continue;
		shared = share_going(listeners, change, port, true);
		r = listener_open(&change->addresses[i], change->names[i], shared,
				  &change->listeners[i], ret_reason);
		share_going(listeners, change, port, false);
		if (r < 0)
			return r;
		r = listener_start(change->listeners[i], event, listeners->accepted,
				   listeners->userdata);
		if (r < 0)
			return address_fault(r, ret_reason, "%s: %s", change->names[i],
					     strerror(-r));
	}
	return 0;
}

int listeners_change(struct listeners *listeners, sd_event *event, char *const *names, unsigned n,
		     char **ret_reason)
{
	struct change change = {};
	int r;

	assert(n <= LISTENERS_MAX);
	r = plan_change(listeners, names, n, &change, ret_reason);
	if (r < 0)
		return r;
	r = open_new(listeners, &change, event, ret_reason);
	if (r < 0) {
		for (unsigned i = 0; i < change.n; i++)
			if (!change.old[i])
				listener_free(change.listeners[i]);
		return r;
	}

	for (unsigned i = 0; i < listeners->n; i++)
		if (!stays(&change, listeners->list[i]))
			listener_free(listeners->list[i]);
	memcpy(listeners->list, change.listeners, sizeof(listeners->list));
	listeners->n = change.n;
	return 0;
}

int listeners_adopt(struct listeners *listeners, sd_event *event, int fd)
{
	_cleanup_(listener_freep) struct listener *listener = NULL;
	struct address address = { .size = sizeof(address) - sizeof(socklen_t) };
	int flags = fcntl(fd, F_GETFL), r;

	if (listeners->n == LISTENERS_MAX)
		return -E2BIG;
	if (getsockname(fd, &address.generic, &address.size) < 0 || flags < 0 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	r = listener_new(fd, &address, &listener);
	if (r < 0)
		return r;
	r = listener_start(listener, event, listeners->accepted, listeners->userdata);
	if (r < 0) {
		listener->fd = -1;
		return r;
	}
	listeners->list[listeners->n++] = TAKE_PTR(listener);
	return 0;
}

void listeners_close(struct listeners *listeners)
{
	for (unsigned i = 0; i < listeners->n; i++)
		listener_free(listeners->list[i]);
	listeners->n = 0;
}
