#include "worker/handlers/job_secrets.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/secrets/wipe.h"

#include <stdlib.h>
#include <string.h>

/* After a claim whose secrets could not be read, others leave such jobs alone for so long, or so
 * many times as long as it took. */
#define AWAY_MS    1000
#define AWAY_RESTS 10

#define REFUSED_MAX (64 * 1024) /* bytes of the answer that names paths */

static int64_t away_until_ms; /* clock_mono_ms() */

bool job_secrets_are_away(void)
{
    return clock_mono_ms() < away_until_ms;
}

/* {NAME: PATH, ...} of a job; NULL: it names no secrets. */
static json_t *secrets_of(const json_t *data)
{
    json_t *secrets = json_object_get(json_object_get(data, "test_data"), "secrets");

    return json_is_object(secrets) ? secrets : NULL;
}

/* ---- at the submission ---- */

static int by_bytes(const void *a, const void *b)
{
    const struct secret_look *x = a, *y = b;

    return text_order(x->path, y->path);
}

/* Answers with the paths that were not found. False: there are none. */
static bool refuse_missing(struct call *c, const struct secret_look *looks, size_t n)
{
    struct buf text = BUF_INIT(REFUSED_MAX);
    const char *before = "Inaccessible secret paths: ";
    bool missing = false;

    for (size_t i = 0; i < n; i++) {
        if (looks[i].found)
            continue;
        if (buf_add(&text, before, strlen(before)) ||
            buf_add(&text, looks[i].path.s, looks[i].path.len))
            break; /* the rest is cut off */
        before = ", ";
        missing = true;
    }
    if (missing)
        reply_json(c, 422, json_pack("{s:{}, s:s#}", "detail", "message", text.data, text.len));
    buf_free(&text);
    return missing;
}

static bool look(struct call *c, json_t *secrets, struct text client)
{
    size_t n = json_object_size(secrets), len = 0;
    struct secret_look *looks = mem_alloc((n + 1) * sizeof *looks);
    const char *name;
    json_t *path;

    json_object_foreach (secrets, name, path)
        looks[len++].path = json_string_text(path);
    enum err e = store_secrets_look(c->store, client, looks, len);
    qsort(looks, len, sizeof *looks, by_bytes);
    bool good = !e && !refuse_missing(c, looks, len);
    if (e) {
        reply_err(c, e);
        reply_header(c, "Retry-After", "1");
    }
    free(looks);
    return good;
}

bool job_secrets_check(struct call *c, json_t *data, struct text client)
{
    json_t *secrets = secrets_of(data);

    if (!secrets)
        return true;
    if (!c->store->has_secrets) {
        reply_error(c, 422, "No secrets store");
    } else if (!client.s) {
        reply_error(c, 422, "Missing client ID (user not authenticated)");
    } else {
        json_object_set_new(data, "client_id", json_stringn(client.s, client.len));
        return look(c, secrets, client);
    }
    return false;
}

/* ---- at the claim ---- */

/* The client whose secrets they are, new reference; NULL: unknown. */
static enum err client_of(struct call *c, const struct claim *claim, json_t **ret)
{
    json_t *client = json_object_get(claim->data, "client_id");

    *ret = json_is_string(client) ? json_incref(client) : NULL;
    if (*ret)
        return ERR_OK;
    enum err e =
        store_job_submitter(c->store, (struct text){claim->job_id, strlen(claim->job_id)}, ret);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Of several names of a single-use secret the first one gets it. */
static bool is_again(const struct secret_take *t, size_t i)
{
    for (size_t k = 0; t->reads[i].single_use && k < i; k++)
        if (text_equal(t->reads[k].path, t->reads[i].path))
            return true;
    return false;
}

/* Tells the logs who got what. */
static void tell(struct call *c, const struct claim *claim, const struct secret_take *t)
{
    json_t *paths = json_array();
    char why[128];

    snprintf(why, sizeof why, "Job %s got a secret", claim->job_id);
    for (size_t i = 0; i < t->n; i++) {
        struct text path = t->reads[i].path;
        metric_add(t->reads[i].value ? M_SECRETS_READ : M_SECRETS_MISSING, 0, 1);
        if (!t->reads[i].value)
            continue;
        json_array_append_new(paths, json_stringn(path.s, path.len));
        security_event(c, SECURITY_INFO, why, "sensitive_read:%.*s,%.*s",
                       security_shown_len(t->client), t->client.s, (int)path.len, path.s);
    }
    if (json_array_size(paths))
        audit(c, "secret.read", t->client,
              json_pack("{s:s, s:s#, s:O}", "job_id", claim->job_id, "agent",
                        claim->agent.s ? claim->agent.s : "", claim->agent.s ? claim->agent.len : 0,
                        "paths", paths));
    json_decref(paths);
}

/* Wipes a value that the job must not get. */
static void drop_value(struct secret_read *read)
{
    mem_wipe(read->value);
    read->value = NULL;
}

/* Asks the store for the values, those of single use once. Where it cannot read those of this job
 * and never will, they are missing: else the job would hold up all others with secrets. */
static enum err take(struct call *c, struct secret_take *t)
{
    enum err e = t->client.s && c->store->has_secrets ? store_secrets_take(c->store, t) : ERR_OK;
    bool never = e == ERR_INVALID || e == ERR_INTERNAL;

    if (never)
        log_error("job %.*s is handed out without those secrets that cannot be read; see the "
                  "message before",
                  (int)t->job_id.len, t->job_id.s);
    for (size_t i = t->n; i-- > 0;)
        if (is_again(t, i) || (never && t->reads[i].single_use)) /* the job may not have got it */
            drop_value(&t->reads[i]);
    return never ? ERR_OK : e;
}

/* Reads the values of a client's secrets into the claim. */
static enum err read_values(struct call *c, struct claim *claim, json_t *secrets,
                            struct text client)
{
    struct secret_read reads[SECRETS_TAKEN_MAX] = {0};
    struct secret_take t = {
        .client = client, .job_id = {claim->job_id, strlen(claim->job_id)}, .reads = reads};
    json_t *values = json_object(), *path;
    const char *name;
    size_t i = 0;

    json_object_foreach (secrets, name, path)
        if (json_is_string(path) && t.n < SECRETS_TAKEN_MAX)
            reads[t.n++].path = json_string_text(path);
    enum err e = take(c, &t);
    json_object_foreach (secrets, name, path) {
        bool is = json_is_string(path) && i < t.n;
        json_t *value = is && reads[i].value ? json_stringn(reads[i].value, reads[i].len) : NULL;
        json_object_set_new(values, name, value ? value : json_string(""));
        i += is;
    }
    if (!e) {
        tell(c, claim, &t);
        json_object_set(json_object_get(claim->data, "test_data"), "secrets", values);
    }
    for (i = 0; i < t.n; i++)
        mem_wipe(reads[i].value);
    json_decref(values);
    return e;
}

enum err job_secrets_fill(struct call *c, struct claim *claim)
{
    json_t *secrets = secrets_of(claim->data), *client;

    if (!secrets)
        return ERR_OK;
    if (json_object_size(secrets) == 0) {
        json_object_del(json_object_get(claim->data, "test_data"), "secrets");
        return ERR_OK;
    }
    c->secret = true;
    json_incref(secrets); /* its texts name what is read */
    int64_t began_ms = clock_mono_ms();
    enum err e = client_of(c, claim, &client);
    wipe_json(true);
    if (!e)
        e = read_values(c, claim, secrets, json_string_text(client));
    wipe_json(false);
    json_decref(client);
    json_decref(secrets);
    if (e) {
        int64_t now = clock_mono_ms(), ms = AWAY_RESTS * (now - began_ms);
        int64_t until = now + (ms > AWAY_MS ? ms : AWAY_MS);
        if (until > away_until_ms)
            away_until_ms = until;
        metric_add(M_SECRETS_RETURNED, 0, 1);
        log_warn("job %s waits again: its secrets cannot be read; see the message before",
                 claim->job_id);
    }
    return e;
}
