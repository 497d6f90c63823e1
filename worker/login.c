#include "worker/login.h"

#include "common/clock.h"
#include "worker/base64.h"
#include "worker/clients.h"
#include "worker/passwd.h"
#include "worker/security.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BASIC           "Basic "
#define CREDENTIALS_MAX 8192
#define KEY_SIZE        96

/* One of the two counts of failures: by client and by address. */
struct limit {
    char key[KEY_SIZE];
    int64_t max;
    const char *reason;
    struct login_failures failures;
};

bool credentials_read(struct text header, struct credentials *ret)
{
    size_t n = strlen(BASIC);

    *ret = (struct credentials){.memory = BUF_INIT(CREDENTIALS_MAX)};
    if (header.len < n || strncasecmp(header.s, BASIC, n) != 0)
        return false;
    header.s += n;
    header.len -= n;
    while (header.len && *header.s == ' ')
        header.s++, header.len--;
    if (!base64_decode(header, BASE64_STANDARD, &ret->memory) || !ret->memory.len)
        return false;
    char *colon = memchr(ret->memory.data, ':', ret->memory.len);
    if (!colon)
        return false;
    ret->client_id = (struct text){ret->memory.data, (size_t)(colon - ret->memory.data)};
    ret->secret = (struct text){colon + 1, ret->memory.len - ret->client_id.len - 1};
    json_t *valid = json_stringn(ret->client_id.s, ret->client_id.len);
    json_decref(valid);
    return valid && ret->client_id.len && ret->secret.len &&
           !memchr(ret->client_id.s, '\0', ret->client_id.len);
}

void credentials_free(struct credentials *k)
{
    if (k->memory.data)
        explicit_bzero(k->memory.data, k->memory.len);
    buf_free(&k->memory);
}

/* Whoever has an IPv6 address has a network of them, so its first half counts. */
static void address_key(struct text peer, char out[KEY_SIZE])
{
    char text[INET6_ADDRSTRLEN] = "";
    struct in6_addr six;

    if (peer.len < sizeof text)
        memcpy(text, peer.len ? peer.s : "", peer.len);
    if (inet_pton(AF_INET6, text, &six) == 1 && !IN6_IS_ADDR_V4MAPPED(&six)) {
        memset(six.s6_addr + 8, 0, 8);
        inet_ntop(AF_INET6, &six, text, sizeof text);
    }
    snprintf(out, KEY_SIZE, "address:%s", text);
}

static void limits_init(const struct call *c, const struct credentials *k, struct limit limits[2])
{
    char digest[SHA256_TEXT_SIZE];

    sha256_text(k->client_id, digest); /* of one length, and no text of a client's choice */
    limits[0] = (struct limit){.max = c->cfg->login_failures,
                               .reason = "too many failed logins of the client"};
    snprintf(limits[0].key, KEY_SIZE, "client:%s", digest);
    limits[1] = (struct limit){.max = c->cfg->login_failures_address,
                               .reason = "too many failed logins from the address"};
    address_key(c->request->peer, limits[1].key);
}

static struct text key_of(const struct limit *l)
{
    return (struct text){l->key, strlen(l->key)};
}

/* Reads the counts; *ret_wait_s is more than 0 when one is at its limit. */
static enum err limits_read(struct call *c, struct limit limits[2], int64_t now_ms,
                            int64_t *ret_wait_s)
{
    *ret_wait_s = 0;
    for (int i = 0; i < 2; i++) {
        struct limit *l = &limits[i];
        enum err e =
            l->max ? store_login_failures(c->store, key_of(l), now_ms, &l->failures) : ERR_OK;
        if (e)
            return e;
        int64_t wait = (l->failures.until_ms - now_ms + 999) / 1000;
        if (l->max && l->failures.count >= l->max && wait > *ret_wait_s)
            *ret_wait_s = wait;
    }
    return ERR_OK;
}

static enum err count_failure(struct call *c, struct limit limits[2], int64_t now_ms,
                              const struct credentials *k)
{
    for (int i = 0; i < 2; i++) {
        struct limit *l = &limits[i];
        if (!l->max)
            continue;
        enum err e = store_login_failed(c->store, key_of(l), now_ms, c->cfg->login_window * 1000,
                                        &l->failures);
        if (e)
            return e;
        if (l->failures.count == l->max)
            security_event(c, SECURITY_WARN, "Logins are refused for a while",
                           "authn_login_lock:%.*s,%s", (int)k->client_id.len, k->client_id.s,
                           l->reason);
    }
    return ERR_OK;
}

/* The same work whether the client exists or not. */
static enum err check_secret(struct call *c, const struct credentials *k, json_t **ret_client)
{
    json_t *client = NULL;
    enum err e = store_client_get(c->store, k->client_id, &client);

    if (e && e != ERR_NOT_FOUND)
        return e;
    const char *hash = json_string_value(json_object_get(client, CLIENT_HASH));
    if (passwd_check(hash, k->secret, (int)c->cfg->bcrypt_rounds, clock_mono_ms())) {
        *ret_client = client;
        return ERR_OK;
    }
    json_decref(client);
    return ERR_NOT_FOUND;
}

enum login_result login_check(struct call *c, const struct credentials *k, json_t **ret_client,
                              int64_t *ret_wait_s)
{
    struct limit limits[2];
    int64_t now_ms = clock_wall_us() / 1000, wait_s;
    enum login_result result = LOGIN_OK;

    limits_init(c, k, limits);
    enum err e = limits_read(c, limits, now_ms, &wait_s);
    if (!e && wait_s > 0) {
        *ret_wait_s = wait_s;
        return LOGIN_LOCKED;
    }
    if (!e)
        e = check_secret(c, k, ret_client);
    if (e == ERR_NOT_FOUND) {
        e = count_failure(c, limits, now_ms, k);
        result = LOGIN_WRONG;
    } else if (!e && limits[0].failures.count) {
        e = store_login_forget(c->store, key_of(&limits[0]));
        if (e) {
            json_decref(*ret_client);
            *ret_client = NULL;
        }
    }
    if (!e)
        return result;
    reply_err(c, e);
    return LOGIN_FAULT;
}
