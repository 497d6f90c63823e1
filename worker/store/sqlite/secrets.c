/* Secrets of clients: rows under their path; of single use, under JOB_ID:PATH once a job has
 * them. */
#include "worker/store/sqlite/secret_keys.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/secrets/names.h"

#include <stdlib.h>
#include <string.h>

static struct query query_of(struct sqlite *q, enum sql which, struct text client, struct text name)
{
    struct query r = query_new(q, which);

    query_text(&r, client);
    query_text(&r, name);
    return r;
}

static enum err found(struct sqlite *q, struct text client, struct text path, bool *ret)
{
    struct query r = query_of(q, SQL_SECRET_FOUND, client, path);

    query_int(&r, sqlite_now_ms(q));
    enum err e = query_probe(&r);
    if (!e || e == ERR_NOT_FOUND)
        *ret = !e;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err put(struct sqlite *q, struct secret_put *p)
{
    const struct seal_key *key;
    enum err e = found(q, p->client, p->path, &p->existed);

    if (!e)
        e = sqlite_secrets_newest(q, &key);
    if (e)
        return e;
    size_t len = p->value.len + SEAL_OVERHEAD;
    uint8_t *sealed = mem_alloc(len);
    if (seal_value(key, p->client, p->path, p->value, sealed)) {
        struct query r = query_of(q, SQL_SECRET_PUT, p->client, p->path);
        query_blob(&r, (struct text){(const char *)key->id, SEAL_ID_SIZE});
        query_blob(&r, (struct text){(const char *)sealed, len});
        query_int(&r, p->single_use);
        query_int_or_null(&r, p->expires_ms);
        query_int(&r, sqlite_now_ms(q));
        e = query_run(&r);
    } else {
        e = ERR_INTERNAL;
    }
    free(sealed);
    return e;
}

enum err sqlite_secret_put(struct store *s, struct secret_put *p)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = q->secrets ? sqlite_write_begin(q) : ERR_UNAVAILABLE;

    return e ? e : sqlite_write_end(q, put(q, p));
}

enum err sqlite_secret_delete(struct store *s, struct text client, struct text path)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    if (e)
        return e;
    struct query r = query_of(q, SQL_SECRET_DROP, client, path);
    return sqlite_write_end(q, query_run(&r));
}

enum err sqlite_secrets_look(struct store *s, struct text client, struct secret_look *looks,
                             size_t n)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_file_check(q);

    for (size_t i = 0; !e && i < n; i++)
        e = found(q, client, looks[i].path, &looks[i].found);
    return e;
}

/* Reads the secret of this name. ERR_NOT_FOUND. */
static enum err read_name(struct sqlite *q, struct text client, struct text name,
                          struct secret_read *ret)
{
    struct query r = query_of(q, SQL_SECRET, client, name);

    query_int(&r, sqlite_now_ms(q));
    enum err e = query_step(&r);
    if (!e) {
        ret->single_use = query_col_int(&r, 2);
        e = sqlite_secret_open(q, client, ret->path, &r, &ret->value, &ret->len);
        if (!e && !ret->value)
            log_error("the secret %.*s of client %.*s cannot be decrypted: its row was changed or "
                      "moved; store it again",
                      (int)ret->path.len, ret->path.s, (int)client.len, client.s);
    }
    query_end(&r);
    return e;
}

static enum err take_one(struct sqlite *q, struct secret_take *t, struct secret_read *read)
{
    char *name = secret_claimed_name(t->job_id, read->path);
    struct text claimed = {name, strlen(name)};
    enum err e = read_name(q, t->client, claimed, read);
    bool found = e != ERR_NOT_FOUND;

    if (!found)
        e = read_name(q, t->client, read->path, read);
    secret_count(t, read);
    if (!found) {
        if (!e && read->single_use && read->value) {
            struct query r = query_of(q, SQL_SECRET_CLAIM, t->client, read->path);
            query_text(&r, claimed);
            query_text(&r, t->job_id);
            e = query_run(&r);
        }
    }
    free(name);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* In a write from the start: of two claims that read a single-use secret, one gets it. */
enum err sqlite_secrets_take(struct store *s, struct secret_take *t)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = q->secrets ? sqlite_write_begin(q) : ERR_UNAVAILABLE;

    if (e)
        return e;
    for (size_t i = 0; !e && i < t->n; i++)
        e = take_one(q, t, &t->reads[i]);
    return sqlite_write_end(q, e);
}
