#include "worker/auth/login_limits.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/auth/bcrypt.h"
#include "worker/auth/security_log.h"
#include "worker/clients/document.h"
#include "worker/encoding/base64.h"
#include "worker/encoding/sha256.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BASIC           "Basic "
#define CREDENTIALS_MAX 8192

/* A client is trusted for so long at an address from which it logged in; a login renews the trust
 * in the store when it is older than TRUST_FRESH_MS. */
#define TRUST_MS       ((int64_t)7 * 86400 * 1000)
#define TRUST_FRESH_MS ((int64_t)3600 * 1000)

/* Addresses at which one client is trusted at a time. */
#define TRUST_SLOTS 64

/* Idle for so long between two logins: the process has no backlog. */
#define PAUSE_MS 50

/* Longest wait of a login before it is answered "busy": in a burst of up to BURST_MS, after that,
 * and of logins that are slowed down, of which one in SLOW_SHARE is checked all the same. */
#define BURST_MS     5000
#define SUSTAINED_MS 500
#define SLOW_MS      250
#define SLOW_SHARE   4

/* Retry-After of "busy": 1 to this many seconds, at random. */
#define RETRY_SPREAD_S 5

#define TELL_MS 60000

/* Failure counts, then the trust record: loops over failures end before TRUST. */
enum { ADDRESS, PAIR, CLIENT, TRUST, COUNTS };

struct attempt {
    struct login_count counts[COUNTS];
    int64_t max[COUNTS]; /* 0: no limit */
    int64_t now_ms;
    int64_t address; /* 52-bit digest; TRUST's count holds the trusted one */
    bool trusted;
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

void login_address(struct text peer, char out[LOGIN_ADDRESS_SIZE])
{
    struct in6_addr six;
    const char *zone = peer.len ? memchr(peer.s, '%', peer.len) : NULL;
    size_t len = zone ? (size_t)(zone - peer.s) : peer.len;

    out[0] = '\0';
    if (len >= LOGIN_ADDRESS_SIZE)
        return;
    snprintf(out, LOGIN_ADDRESS_SIZE, "%.*s", (int)len, len ? peer.s : "");
    if (inet_pton(AF_INET6, out, &six) != 1)
        return;
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
        inet_ntop(AF_INET, six.s6_addr + 12, out, LOGIN_ADDRESS_SIZE);
        return;
    }
    memset(six.s6_addr + 8, 0, 8);
    inet_ntop(AF_INET6, &six, out, LOGIN_ADDRESS_SIZE);
}

/* The first 52 bits of a digest in hex. */
static int64_t number_of(const char *digest)
{
    char digits[14];

    snprintf(digits, sizeof digits, "%.13s", digest);
    return (int64_t)strtoll(digits, NULL, 16);
}

/* Keys hold digests: of fixed length and without text that a client chose. */
static void attempt_init(struct attempt *a, const struct call *c, const struct credentials *k)
{
    char address[LOGIN_ADDRESS_SIZE], client[SHA256_TEXT_SIZE], digest[SHA256_TEXT_SIZE];
    char pair[SHA256_TEXT_SIZE + LOGIN_ADDRESS_SIZE];

    *a = (struct attempt){.now_ms = store_now_ms(c->store),
                          .max = {[ADDRESS] = c->cfg->login_failures_address,
                                  [PAIR] = c->cfg->login_failures,
                                  [CLIENT] = c->cfg->login_failures}};
    login_address(c->request->peer, address);
    sha256_text(k->client_id, client);
    int len = snprintf(pair, sizeof pair, "%s %s", client, address);
    sha256_text((struct text){pair, (size_t)len}, digest);
    snprintf(a->counts[ADDRESS].key, LOGIN_KEY_SIZE, "address:%s", address);
    snprintf(a->counts[PAIR].key, LOGIN_KEY_SIZE, "pair:%s", digest);
    snprintf(a->counts[CLIENT].key, LOGIN_KEY_SIZE, "client:%s", client);
    sha256_text((struct text){address, strlen(address)}, digest);
    a->address = number_of(digest);
    snprintf(a->counts[TRUST].key, LOGIN_KEY_SIZE, "trust:%s:%d", client,
             (int)(a->address % TRUST_SLOTS));
}

static enum err attempt_load(struct attempt *a, const struct call *c)
{
    enum err e = store_login_counts(c->store, a->counts, COUNTS, a->now_ms);

    if (e)
        return e;
    for (int i = 0; i < TRUST; i++) /* the store's clock was set back: they would last too long */
        if (a->counts[i].until_ms - a->now_ms > c->cfg->login_window * 1000)
            a->counts[i].count = 0;
    a->trusted = a->counts[TRUST].until_ms > a->now_ms && a->counts[TRUST].count == a->address;
    return ERR_OK;
}

static bool is_over(const struct attempt *a, int which)
{
    return a->max[which] && a->counts[which].count >= a->max[which];
}

/* Seconds until the client may try again from its address; 0: it may now. */
static int64_t wait_s(const struct attempt *a)
{
    int64_t until_ms = 0;

    for (int i = ADDRESS; i <= PAIR; i++)
        if (!a->trusted && is_over(a, i) && a->counts[i].until_ms > until_ms)
            until_ms = a->counts[i].until_ms;
    return until_ms ? (until_ms - a->now_ms + 999) / 1000 : 0;
}

/* ---- more logins than can be checked ---- */

/* Load of this process. Times are monotonic. */
static struct {
    int64_t since_ms;  /* when it was last idle */
    int64_t ended_ms;  /* when it ended the last login */
    int64_t worked_ms; /* work minus idle time, 0 to BURST_MS */
    int64_t told_ms;   /* when the overload was last logged; 0: never */
    unsigned turn;
} busy;

static void busy_begins(int64_t now_ms)
{
    int64_t idle_ms = now_ms - busy.ended_ms;

    if (idle_ms > PAUSE_MS)
        busy.since_ms = now_ms;
    busy.worked_ms = idle_ms < busy.worked_ms ? busy.worked_ms - idle_ms : 0;
}

static void busy_ends(int64_t began_ms)
{
    busy.ended_ms = clock_mono_ms();
    busy.worked_ms += busy.ended_ms - began_ms;
    if (busy.worked_ms > BURST_MS)
        busy.worked_ms = BURST_MS;
}

/* How long logins have been waiting: the request's age by the wall clock, at most the busy time by
 * the monotonic clock, since the frontend's wall clock may be wrong. */
static int64_t backlog_ms(const struct call *c, int64_t now_ms)
{
    int64_t waited_ms = clock_wall_us() / 1000 - c->request->received_us / 1000;

    return waited_ms < now_ms - busy.since_ms ? waited_ms : now_ms - busy.since_ms;
}

static void tell_busy(int64_t now_ms)
{
    if (busy.told_ms && now_ms - busy.told_ms < TELL_MS)
        return;
    busy.told_ms = now_ms;
    log_warn("logins come faster than secrets can be checked: clients that have not logged in from "
             "their address before are told to try again; raise --logins if they are no attack");
}

/* Whether to refuse this login unchecked (LOGIN_BUSY), in favour of trusted clients. */
static bool gives_way(const struct attempt *a, const struct call *c, int64_t now_ms)
{
    bool over_any = is_over(a, ADDRESS) || is_over(a, PAIR);
    bool slow = a->trusted ? over_any : is_over(a, CLIENT);
    int64_t backlog = backlog_ms(c, now_ms);
    int64_t most = busy.worked_ms < BURST_MS - PAUSE_MS ? BURST_MS : SUSTAINED_MS;
    bool way = (!a->trusted || slow) && backlog > most;

    if (slow && backlog > SLOW_MS)
        way = way || busy.turn++ % SLOW_SHARE != 0;
    if (way)
        tell_busy(now_ms);
    return way;
}

/* ---- the check ---- */

static const char *const reasons[] = {
    [ADDRESS] = "too many failed logins from the address",
    [PAIR] = "too many failed logins of the client from the address",
    [CLIENT] = "too many failed logins of the client: new addresses give way to others",
};

/* One write for all counts: an attack must not sync the disk three times a login. */
static enum err count_failure(struct call *c, struct attempt *a, const struct credentials *k)
{
    enum err e = store_group_begin(c->store);

    if (e)
        return e;
    for (int i = 0; !e && i < TRUST; i++) {
        struct login_count *n = &a->counts[i];
        if (!a->max[i])
            continue;
        e = store_login_failed(c->store, n, a->now_ms, c->cfg->login_window * 1000);
        if (!e && n->count == a->max[i])
            security_event(c, SECURITY_WARN,
                           i == CLIENT ? "Logins are slowed down for a while"
                                       : "Logins are refused for a while",
                           "authn_login_lock:%.*s,%s", security_shown_len(k->client_id),
                           k->client_id.s, reasons[i]);
    }
    enum err end = store_group_commit(c->store);
    return e ? e : end;
}

static enum err count_success(struct call *c, struct attempt *a)
{
    struct login_count *trust = &a->counts[TRUST];
    enum err e = a->counts[PAIR].count ? store_login_forget(c->store, a->counts[PAIR].key) : ERR_OK;

    if (e || (a->trusted && trust->until_ms - a->now_ms > TRUST_MS - TRUST_FRESH_MS))
        return e;
    trust->count = a->address;
    trust->until_ms = a->now_ms + TRUST_MS;
    return store_login_trust(c->store, trust, a->now_ms);
}

/* Must take as long for unknown clients: else the time tells which exist. */
static enum err check_secret(struct call *c, const struct credentials *k, json_t **ret_client)
{
    json_t *client = NULL;
    enum err e = store_client_get(c->store, k->client_id, &client);

    if (e && e != ERR_NOT_FOUND)
        return e;
    const char *hash = json_string_value(json_object_get(client, CLIENT_HASH));
    if (bcrypt_check(hash, k->secret, (int)c->cfg->bcrypt_rounds, clock_mono_ms())) {
        *ret_client = client;
        return ERR_OK;
    }
    json_decref(client);
    return ERR_NOT_FOUND;
}

static enum login_result check(struct call *c, struct attempt *a, const struct credentials *k,
                               json_t **ret_client)
{
    enum err e = check_secret(c, k, ret_client);
    enum login_result result = e ? LOGIN_WRONG : LOGIN_OK;

    if (e == ERR_NOT_FOUND) {
        e = count_failure(c, a, k);
    } else if (!e && (e = count_success(c, a))) {
        json_decref(*ret_client);
        *ret_client = NULL;
    }
    if (!e)
        return result;
    reply_err(c, e);
    return LOGIN_FAULT;
}

enum login_result login_check(struct call *c, const struct credentials *k, json_t **ret_client,
                              int64_t *ret_wait_s)
{
    struct attempt a;
    enum login_result result = LOGIN_LOCKED;
    int64_t now_ms = clock_mono_ms();

    busy_begins(now_ms);
    attempt_init(&a, c, k);
    enum err e = attempt_load(&a, c);
    *ret_wait_s = e ? 0 : wait_s(&a);
    if (e) {
        reply_err(c, e);
        result = LOGIN_FAULT;
    } else if (!*ret_wait_s && gives_way(&a, c, now_ms)) {
        *ret_wait_s = 1 + (int64_t)(busy.turn++ % RETRY_SPREAD_S);
        result = LOGIN_BUSY;
    } else if (!*ret_wait_s) {
        result = check(c, &a, k, ret_client);
    }
    busy_ends(now_ms);
    return result;
}
