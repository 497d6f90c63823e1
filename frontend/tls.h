/* TLS of the frontend's own: certificate and key from --tls-cert and --tls-key, versions 1.2
 * and 1.3.
 */
#ifndef FRONTEND_TLS_H
#define FRONTEND_TLS_H

#include "common/err.h"

struct bufferevent;
struct config;
struct conn;
struct event_base;
struct tls; /* certificate, key, keys of tickets; survives a fork */

/* Reads the files; without the settings *ret is NULL. ERR_INVALID (logged): they cannot be used. */
enum err tls_load(const struct config *cfg, struct tls **ret) MUST_CHECK;
void tls_free(struct tls *t); /* may be NULL */

/* The bufferevent of a new connection, which shakes hands when it has its socket. It closes the
 * socket itself and calls pace_opened() at the end of the handshake. NULL: out of memory. */
struct bufferevent *tls_bufferevent(struct tls *t, struct event_base *base, struct conn *c);

/* The connection begins with a PROXY header, before the handshake. After the socket is set. */
void tls_expect_header(struct conn *c);

/* The connection is about to be closed: says so to the client, where that goes without waiting. */
void tls_bye(struct conn *c);

#endif
