/* Refresh tokens, by their digests. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define KIND_WEB "web"

static enum err add(struct sqlite *q, const struct refresh_new *token)
{
    struct query purge = query_new(q, SQL_REFRESH_PURGE), r = query_new(q, SQL_REFRESH_ADD);

    query_int(&purge, token->issued_ms - REFRESH_KEPT_MS);
    enum err e = query_run(&purge);
    if (e)
        return e;
    query_text(&r, token->client_id);
    query_str(&r, token->digest);
    query_int(&r, token->issued_ms);
    query_int(&r, token->expires_ms);
    query_str(&r, token->binding);
    query_str(&r, token->family);
    query_str(&r, token->web ? KIND_WEB : NULL);
    return query_run(&r);
}

enum err sqlite_refresh_add(struct store *s, const struct refresh_new *token)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, add(q, token));
}

enum err sqlite_refresh_find(struct store *s, const struct refresh_key *key,
                             struct refresh_found *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_REFRESH);

    query_str(&r, key->digest);
    enum err e = query_step(&r);
    if (!e) {
        struct text client = query_col_text(&r, 1), binding = query_col_text(&r, 5);
        struct text family = query_col_text(&r, 6);
        *ret = (struct refresh_found){.client_id = json_stringn(client.s, client.len),
                                      .revoked = query_col_int(&r, 2) != 0,
                                      .expires_ms = query_col_int(&r, 3),
                                      .issued_ms = query_col_int(&r, 4),
                                      .web = query_col_text(&r, 7).s != NULL};
        snprintf(ret->id, sizeof ret->id, "%lld", (long long)query_col_int(&r, 0));
        snprintf(ret->binding, sizeof ret->binding, "%.*s", (int)binding.len,
                 binding.s ? binding.s : "");
        snprintf(ret->family, sizeof ret->family, "%.*s", (int)family.len, family.s);
    }
    query_end(&r);
    return e;
}

/* The row number of an id; ERR_NOT_FOUND: not one of ours. */
static enum err number_of(const char *id, int64_t *ret)
{
    char *end;
    long long n = strtoll(id, &end, 10);

    if (end == id || *end)
        return ERR_NOT_FOUND;
    *ret = n;
    return ERR_OK;
}

static enum err touch(struct sqlite *q, int64_t id, int64_t now_ms, int64_t expires_ms)
{
    struct query r = query_new(q, SQL_REFRESH_TOUCH);

    query_int(&r, id);
    query_int(&r, now_ms);
    query_int(&r, expires_ms);
    enum err e = query_run(&r);
    return e ? e : query_changes(&r) ? ERR_OK : ERR_NOT_FOUND;
}

enum err sqlite_refresh_touch(struct store *s, const char *id, int64_t now_ms, int64_t expires_ms)
{
    struct sqlite *q = sqlite_of(s);
    int64_t n;
    enum err e = number_of(id, &n);

    if (!e)
        e = sqlite_write_begin(q);
    return e ? e : sqlite_write_end(q, touch(q, n, now_ms, expires_ms));
}

static enum err revoke(struct sqlite *q, int64_t id, bool *ret)
{
    struct query look = query_new(q, SQL_REFRESH_REVOKED), r = query_new(q, SQL_REFRESH_REVOKE);

    query_int(&look, id);
    enum err e = query_step(&look);
    bool before = !e && query_col_int(&look, 0) != 0;
    query_end(&look);
    if (e)
        return e;
    query_int(&r, id);
    e = query_run(&r);
    if (!e)
        *ret = !before;
    return e;
}

enum err sqlite_refresh_revoke(struct store *s, const char *id, bool *ret)
{
    struct sqlite *q = sqlite_of(s);
    int64_t n;
    enum err e = number_of(id, &n);

    if (!e)
        e = sqlite_write_begin(q);
    return e ? e : sqlite_write_end(q, revoke(q, n, ret));
}

/* ERR_NOT_FOUND: no token has this id. */
static enum err rotate(struct sqlite *q, int64_t id, const struct refresh_rotation *rotation,
                       enum refresh_rotated *ret)
{
    struct query look = query_new(q, SQL_REFRESH_USE), r = query_new(q, SQL_REFRESH_USED);

    query_int(&look, id);
    query_str(&look, rotation->request_id);
    enum err e = query_step(&look);
    bool revoked = !e && query_col_int(&look, 0) != 0, fresh = !e && query_col_int(&look, 2);
    int64_t used_ms = e ? 0 : query_col_int(&look, 1);
    query_end(&look);
    if (e)
        return e;
    bool late = fresh && used_ms && rotation->now_ms - used_ms > rotation->grace_ms;
    *ret = revoked ? REFRESH_REVOKED : late ? REFRESH_REUSED : REFRESH_NEXT;
    if (*ret != REFRESH_NEXT)
        return ERR_OK;
    query_int(&r, id);
    query_int(&r, rotation->now_ms);
    query_str(&r, rotation->request_id);
    e = query_run(&r);
    return e ? e : add(q, &rotation->next);
}

enum err sqlite_refresh_rotate(struct store *s, const struct refresh_rotation *rotation,
                               enum refresh_rotated *ret)
{
    struct sqlite *q = sqlite_of(s);
    enum refresh_rotated rotated = REFRESH_REVOKED;
    int64_t n;
    enum err e = number_of(rotation->id, &n);

    if (!e)
        e = sqlite_write_begin(q);
    if (!e)
        e = sqlite_write_end(q, rotate(q, n, rotation, &rotated));
    if (!e)
        *ret = rotated;
    return e;
}

static enum err revoke_family(struct sqlite *q, const char *family, int64_t *ret)
{
    struct query r = query_new(q, SQL_REFRESH_REVOKE_FAMILY);

    query_str(&r, family);
    enum err e = query_run(&r);
    if (!e)
        *ret = query_changes(&r);
    return e;
}

enum err sqlite_refresh_revoke_family(struct store *s, const char *family, int64_t *ret)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, revoke_family(q, family, ret));
}

static json_t *date(const struct query *r, int column)
{
    char text[CLOCK_TEXT_SIZE];

    clock_rfc3339(query_col_int(r, column), text);
    return json_string(text);
}

/* The tokens that a statement finds. */
static enum err list(struct query *r, json_t **ret)
{
    json_t *list = json_array();
    char id[REFRESH_ID_SIZE];
    enum err e;

    while (!(e = query_step(r))) {
        struct text client = query_col_text(r, 1);
        snprintf(id, sizeof id, "%lld", (long long)query_col_int(r, 0));
        json_array_append_new(list, json_pack("{s:s, s:s#, s:o, s:o, s:b, s:o, s:s*}", "id", id,
                                              "client_id", client.s, client.len, "issued_at",
                                              date(r, 2), "expires_at", date(r, 3), "revoked",
                                              (int)query_col_int(r, 4), "last_accessed", date(r, 5),
                                              "kind", query_col_text(r, 6).s ? KIND_WEB : NULL));
    }
    query_end(r);
    if (e == ERR_NOT_FOUND) {
        *ret = list;
        return ERR_OK;
    }
    json_decref(list);
    return e;
}

enum err sqlite_refresh_list(struct store *s, struct text client_id, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_REFRESH_LIST);

    query_given(&r, client_id);
    return list(&r, ret);
}

enum err sqlite_refresh_valid(struct store *s, const struct refresh_page *page, json_t **ret)
{
    int64_t first = 0, end = INT64_MAX;

    if ((page->before && number_of(page->before, &end)) ||
        (page->id && number_of(page->id, &first))) {
        *ret = json_array();
        return ERR_OK;
    }
    if (page->id && end > first)
        end = first + 1;
    struct query r = query_new(sqlite_of(s), SQL_REFRESH_VALID);
    query_text(&r, page->client_id);
    query_int(&r, first);
    query_int(&r, end);
    query_int(&r, page->now_ms);
    query_int(&r, page->limit);
    return list(&r, ret);
}
