/* TLS of the frontend: certificate and key from --tls-cert and --tls-key, versions 1.2 and 1.3. */
#ifndef FRONTEND_TLS_H
#define FRONTEND_TLS_H

#include "common/err.h"

struct bufferevent;
struct config;
struct conn;
struct event_base;
struct tls; /* certificate, key, keys of tickets; survives a fork */

/* Reads the files; *ret is NULL without the settings. ERR_INVALID (logged): they cannot be used. */
enum err tls_load(const struct config *cfg, struct tls **ret) MUST_CHECK;
void tls_free(struct tls *t); /* may be NULL */

/* Makes the bufferevent of a new connection, which starts the handshake when it has its socket,
 * closes the socket itself, and calls pace_opened() after the handshake. NULL: out of memory. */
struct bufferevent *tls_bufferevent(struct tls *t, struct event_base *base, struct conn *c);

/* Awaits a PROXY header before the handshake. Call it after the socket is set. */
void tls_expect_header(struct conn *c);

/* Call it before the connection is closed: sends close_notify if that does not block. */
void tls_bye(struct conn *c);

#endif
