#include "frontend/tls.h"

#include "common/config.h"
#include "common/log.h"
#include "common/mem.h"
#include "frontend/client.h"
#include "frontend/pace.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Ciphers of TLS 1.2; all of TLS 1.3 are strong. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

struct tls {
    SSL_CTX *ctx;
};

/* ---- files ---- */

static const char *reason(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;

    return text ? text : ERR_SYSTEM_ERROR(e) ? strerror((int)ERR_GET_REASON(e)) : "unknown reason";
}

/* Only owner and group may read the key, only the owner may write it. */
static bool is_private(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        log_error("tls-key: %s: %s", path, strerror(errno));
        return false;
    }
    if (st.st_mode & 0027) {
        log_error("tls-key: %s has mode %04o: everybody on this machine may read or change it; "
                  "chmod 600, or 640 for a group (a mounted secret: defaultMode 0440)",
                  path, (unsigned)st.st_mode & 07777);
        return false;
    }
    return true;
}

/* Without it OpenSSL would ask for a passphrase on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return 0;
}

static bool load_files(SSL_CTX *ctx, const struct config *cfg)
{
    ERR_clear_error();
    if (!is_private(cfg->tls_key))
        return false;
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, cfg->tls_cert) != 1) {
        log_error("tls-cert: %s: %s; it must be a PEM file with the certificate first and then "
                  "those of its authorities",
                  cfg->tls_cert, reason());
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, cfg->tls_key, SSL_FILETYPE_PEM) != 1) {
        log_error("tls-key: %s: %s; it must be the certificate's key, a PEM file without a "
                  "passphrase",
                  cfg->tls_key, reason());
        return false;
    }
    return true;
}

/* ---- the context ---- */

/* ALPN: HTTP/1.1 or nothing. */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                  const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";

    (void)ssl;
    (void)arg;
    for (unsigned i = 0; i < in_len; i += 1u + in[i])
        if (in[i] == 8 && i + 9 <= in_len && memcmp(in + i, ours, 9) == 0) {
            *out = in + i + 1;
            *out_len = 8;
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

static void on_info(const SSL *ssl, int where, int value)
{
    struct conn *c = SSL_get_app_data(ssl);

    (void)value;
    if (c && where & SSL_CB_HANDSHAKE_DONE)
        pace_opened(c);
}

static SSL_CTX *new_context(void)
{
    static const unsigned char id[] = "testflinger";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (!ctx)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    /* Ignore a missing close_notify: HTTP has its own lengths. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* free the buffers of idle connections */
    SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets do */
    SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
    SSL_CTX_set_info_callback(ctx, on_info);
    if (SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

enum err tls_load(const struct config *cfg, struct tls **ret)
{
    *ret = NULL;
    if (!*cfg->tls_cert && !*cfg->tls_key)
        return ERR_OK;
    if (!*cfg->tls_cert || !*cfg->tls_key) {
        log_error("tls-%s is not set; TLS needs a certificate and its key",
                  *cfg->tls_cert ? "key" : "cert");
        return ERR_INVALID;
    }
    struct tls *t = mem_alloc(sizeof *t);
    t->ctx = new_context();
    if (t->ctx && load_files(t->ctx, cfg)) {
        *ret = t;
        return ERR_OK;
    }
    tls_free(t);
    return ERR_INVALID;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

/* ---- a PROXY header before the handshake ---- */

/* Takes the header and no byte behind it; once it is complete, passes all reads through. */
static int header_read(BIO *b, char *out, int n)
{
    struct conn *c = BIO_get_data(b);
    BIO *next = BIO_next(b);
    char part[256];
    int got;

    BIO_clear_retry_flags(b);
    while (c->client.header) {
        size_t wanted = proxy2_wants(c->client.header);
        got = BIO_read(next, part, wanted < sizeof part ? (int)wanted : (int)sizeof part);
        if (got <= 0) {
            BIO_copy_next_retry(b);
            return got;
        }
        if (client_take_header(c, part, (size_t)got) == PROXY2_BAD)
            return -1;
    }
    got = BIO_read(next, out, n);
    BIO_copy_next_retry(b);
    return got;
}

static long header_ctrl(BIO *b, int command, long number, void *pointer)
{
    return BIO_ctrl(BIO_next(b), command, number, pointer);
}

static BIO_METHOD *header_method(void)
{
    static BIO_METHOD *method;

    if (method)
        return method;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_FILTER, "PROXY header");
    mem_check(method && BIO_meth_set_read(method, header_read) == 1 &&
              BIO_meth_set_ctrl(method, header_ctrl) == 1);
    return method;
}

void tls_expect_header(struct conn *c)
{
    SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
    BIO *header = BIO_new(header_method());
    BIO *socket = BIO_new_socket(bufferevent_getfd(c->bev), BIO_NOCLOSE);

    mem_check(ssl && header && socket);
    BIO_set_data(header, c);
    BIO_set_init(header, 1);
    SSL_set0_rbio(ssl, BIO_push(header, socket));
}

/* ---- connections ---- */

struct bufferevent *tls_bufferevent(struct tls *t, struct event_base *base, struct conn *c)
{
    SSL *ssl = SSL_new(t->ctx);

    if (!ssl)
        return NULL;
    SSL_set_app_data(ssl, c);
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (bev)
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    else
        SSL_free(ssl);
    return bev;
}

void tls_bye(struct conn *c)
{
    SSL *ssl = bufferevent_openssl_get_ssl(c->bev);

    SSL_set_app_data(ssl, NULL);
    if (SSL_is_init_finished(ssl))
        SSL_shutdown(ssl);
    ERR_clear_error();
}
