/* One frontend process. */
#ifndef FRONTEND_HTTP_H
#define FRONTEND_HTTP_H

#include "frontend/server.h"

/* Opened by the master. */
struct http_setup {
    int listen_fd;
    struct tls *tls; /* NULL: plain HTTP */
    struct proxies proxies;
};

/* Serves HTTP on the listening socket, which it takes, until `stop_fd` is readable. Then finishes
 * requests within the grace time, or --reload-timeout if replaced by HUP. `slot`: see prefork.h.
 * Returns the exit status. */
int http_run(const struct config *cfg, unsigned slot, const struct http_setup *setup, int stop_fd);

/* Makes s->http, the configured HTTP library, and what conn.c needs in `s` besides settings. For
 * http_run and the fuzz target. */
bool http_library(struct server *s);

#endif
